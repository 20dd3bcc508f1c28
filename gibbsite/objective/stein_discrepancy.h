// Kernelised Stein discrepancy of the data and the model (Liu, Lee and Jordan 2016; VaGES, Eq. 12): the mean over pairs of
//
//   u(v, v') = k s·s' + s·∇_v' k + s'·∇_v k + tr ∇_v ∇_v' k,   s = s(v), s' = s(v'), k = exp(-‖v - v'‖²/(2 width²))
//
// Row b of the first half of a batch is paired with row b of the second half; a last odd row is left out. Works for every
// score whose gradient comes by pullback: exact, or the variational one of a latent-variable energy.
#pragma once

#include <gibbsite/objective/objective.h>

namespace gibbsite {

struct SteinDiscrepancyOptions {
  double width = 0.1;
  std::string sides = "both";
  void declare(OptionVisitor& o) {
    o.option("width", width, "width of the Gaussian kernel", positive());
    o.option("sides", sides,
             "both points carry the gradient; second: only v', half the gradient in expectation at about half the cost "
             "(VaGES, Eq. 14, without its factor 2)",
             {"both", "second"});
  }
};

/// Takes an energy, a score network or a variational score. The reported loss may be negative.
std::unique_ptr<Objective> make_stein_discrepancy(const SteinDiscrepancyOptions& options, const ObjectiveParts& parts);

struct ImportanceSteinOptions : SteinDiscrepancyOptions {
  std::int64_t particles = 5;
  void declare(OptionVisitor& o) {
    o.option("particles", particles, "L, draws of the latent variables per point", at_least(1));
    SteinDiscrepancyOptions::declare(o);
  }
};

/// The same with the score of posterior/importance_score.h. Needs a latent model with binary h.
std::unique_ptr<Objective> make_importance_stein(const ImportanceSteinOptions& options, const ObjectiveParts& parts);

}  // namespace gibbsite
