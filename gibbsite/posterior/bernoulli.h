// q(h | v) = Π_j Bernoulli(h_j; sigmoid(ℓ_j(v))), h in {0, 1}^K, drawn hard or relaxed (VaGES, section 4.1; protocol sheet
// 2.5).
//
// A relaxed draw is sigmoid((ℓ + G₁ - G₂)/τ) with Gumbel noise G (Jang et al. 2017; Maddison et al. 2017), whose difference
// is drawn as one logistic variable: inside the cube, differentiable in ℓ, and of slightly smaller variance than a hard one.
// At relaxed h, log_prob is the same formula Σ_j h_j ℓ_j - softplus(ℓ_j), which trains q but is no log density: no bound may
// be made of it.
#pragma once

#include <gibbsite/calculus/activation.h>
#include <gibbsite/model/grbm.h>
#include <gibbsite/posterior/posterior.h>

#include <string>
#include <vector>

namespace gibbsite {

struct BernoulliDrawOptions {
  std::string draw = "relaxed";
  double temperature = 0.1;
  void declare(OptionVisitor& o) {
    o.option("draw", draw, "relaxed by Gumbel-softmax, or hard: 0 or 1, without gradient", {"relaxed", "hard"});
    o.only_if(draw == "relaxed").option("temperature", temperature, "τ of the relaxation", positive());
  }
};

struct BernoulliPosteriorOptions : BernoulliDrawOptions {
  std::vector<std::int64_t> hidden;
  std::string activation = "tanh";
  void declare(OptionVisitor& o) {
    BernoulliDrawOptions::declare(o);
    o.option("hidden", hidden, "widths of the hidden layers; none: an affine map", at_least(1));
    o.option("activation", activation, "nonlinearity of every hidden layer", activation_names());
  }
};

/// Logits by a multi-layer perceptron of v.
std::unique_ptr<Posterior> make_bernoulli_posterior(const BernoulliPosteriorOptions& options,
                                                    const LatentContext& context);

/// p(h | v) of the machine, which must outlive it; no parameters of its own.
std::unique_ptr<Posterior> make_exact_posterior(const Grbm& machine, const BernoulliDrawOptions& options);

}  // namespace gibbsite
