// Coverage of the thousand modes of stacked digits (VAEBM, Table 5).
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Rows: modes and kl_uniform of samples of the auto-encoder and of its product with an energy, and of as many training images
/// (data), by a classifier of digits that looks at one channel at a time; kl_data, the divergence from the shares of the training
/// set; confident_share of the digits; the classifier's accuracy per digit on test images.
ExperimentOutcome reproduce_stacked_mnist(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
