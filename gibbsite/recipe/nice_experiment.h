// Table 3 of finite-difference score matching: NICE on the logits of MNIST by eight objectives.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// For every method and both laws of the data (the paper's, whose clamped background pixels are atoms, so that the
/// score-matching loss is unbounded below, and one with N(0, 0.1²) added) trains from recipes/fd/nice, takes the checkpoint
/// with the best value of the method's own objective, and measures the test set. Then one training step of every method at
/// the width of the paper, interleaved on one thread.
///
/// Rows: nll (nats, of the logit vector) and sm_loss (the first 512 test points) with `noise`, and `sigma` or `epsilon`
/// where the method has one; seconds_per_step and multiply_adds of a step, optimiser included; time_ratio with its
/// denominator in `against`.
ExperimentOutcome reproduce_nice(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
