// Score matching with an estimated trace, ½‖grad E‖² − Σ_i diag_i: approximate back-propagation (Kingma and LeCun 2010,
// deterministic, biased beyond one hidden layer) and curvature propagation (Martens, Sutskever and Swersky 2012, unbiased).
// The gradient grad E is exact in both. Baselines of Table 3 of finite-difference score matching.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/objective/objective.h>

namespace gibbsite {

struct DiagonalCurvatureOptions {
  double noise = 0;
  void declare(OptionVisitor& o) {
    o.option("noise", noise, "standard deviation of Gaussian noise added to the batch", non_negative());
  }
};

/// Both need an energy with a traced form and throw RequestError for others.
std::unique_ptr<Objective> make_approximate_backprop(const DiagonalCurvatureOptions& options,
                                                     const ObjectiveParts& parts);
std::unique_ptr<Objective> make_curvature_propagation(const DiagonalCurvatureOptions& options,
                                                      const ObjectiveParts& parts);

}  // namespace gibbsite
