// Table 4 of finite-difference score matching: a deep energy's typicality as a detector of images from elsewhere.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Trains the residual energy of recipes/fd/ood by denoising score matching in three ways: exact through gibbsite's fast
/// operations (dsm), the same estimate by LibTorch's double backward (dsm-stock), and finite differences (fd-dsm). Then
/// groups of M = 1, 2, 5, 10 test images, drawn with replacement, are told from groups of the in-distribution test set by
/// the distance of their mean energy from that of 10000 training images. The in-distribution set is itself an `out` set:
/// two independent draws of it, where 1/2 is expected.
///
/// Rows: auroc with `group` = M, `out` and `score` = "typicality"; the rows of measure_steps.
ExperimentOutcome reproduce_out_of_distribution(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
