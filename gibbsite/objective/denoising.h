// Denoising score matching. Per example, with s the score, n the noise and t = grad log q(n) its own score,
//
//   dsm    ½‖s(x + n) - t‖²                          t = -n/σ² for Gaussian noise      (Vincent 2011)
//   with control_variate   ½‖s(x + n)‖² - t·(s(x + n) - s(x))     the same mean up to ½E‖t‖² (mvl.md 2.6)
//   mdsm   factor/σ_b² ‖s(x + n_b) + n_b/σ₀²‖²       n_b ~ N(0, σ_b² I), levels spaced over the batch
//
// summed over dimensions and averaged over the batch. derivative = "autograd" is exact and projects nothing: the score's
// graph is kept and Σ z·score differentiated, 6 forward passes in all. The others take the component of the residual along
// random directions, ½(v·(s - t))² with E[v vᵀ] = I: with "finite_difference" this is FD-DSM (finite-difference score
// matching, Eq. 10; its constant is weight = "per_dimension"), 6 forward passes too, with a projection's variance and ε's bias.
#pragma once

#include <gibbsite/calculus/derivatives.h>
#include <gibbsite/objective/noise_grid.h>
#include <gibbsite/objective/noise_law.h>
#include <gibbsite/objective/objective.h>
#include <gibbsite/objective/projection.h>

namespace gibbsite {

/// How the score at a noisy point enters: whole, or along directions.
struct NoisyScoreOptions : ProjectionOptions, StepOptions {
  std::string derivative = "autograd";
  void declare(OptionVisitor& o) {
    o.option("derivative", derivative,
             "autograd: the whole score, exact; jet, finite_difference: its component along random directions",
             derivative_method_names());
    ProjectionOptions::declare(o, derivative != "autograd");
    StepOptions::declare(o, derivative == "finite_difference");
  }
};

struct DenoisingScoreMatchingOptions : NoisyScoreOptions, NoiseLawOptions {
  double sigma = 0.1;
  bool control_variate = false;
  std::string weight = "one";
  void declare(OptionVisitor& o) {
    o.option("sigma", sigma, "scale of the noise, its standard deviation where it is Gaussian", positive());
    NoiseLawOptions::declare(o);
    o.option("weight", weight, "one; variance: σ², sliced score matching's code: σ⁴ (½‖σ²s + n‖²); per_dimension: 2/d",
             {"one", "variance", "variance_squared", "per_dimension"});
    NoisyScoreOptions::declare(o);
    o.only_if(derivative == "autograd")
        .option(
            "control_variate", control_variate,
            "subtract ½‖t‖² and t·s(x), whose variances grow as sigma falls: the loss then stays finite and tends to "
            "½‖s‖² + ξᵀ∇s ξ");
  }
};

/// ½‖s(x + n) - t‖² of every row, [B], without a graph; with `control_variate` less ½‖t‖² and plus t·s(x), formed without
/// subtracting what is large.
Tensor denoising_terms(const Score& score, const Tensor& x, const Tensor& noise, const Tensor& target,
                       bool control_variate, Rng& rng);

/// Takes an energy, or a score network with derivative = "autograd".
std::unique_ptr<Objective> make_denoising_score_matching(const DenoisingScoreMatchingOptions& options,
                                                         const ObjectiveParts& parts);

struct MultiscaleDenoisingOptions : NoisyScoreOptions, NoiseGridOptions {
  double sigma = 0.1;
  double factor = 1e-4;
  void declare(OptionVisitor& o) {
    o.option("sigma", sigma, "σ₀, the noise level the model represents", positive());
    NoiseGridOptions::declare(o);
    o.option("factor", factor, "the loss is factor/σ_b² ‖s + n/σ₀²‖²: the paper's constant, twice our definition's ½",
             positive());
    NoisyScoreOptions::declare(o);
  }
};

/// Takes what make_denoising_score_matching takes.
std::unique_ptr<Objective> make_multiscale_denoising(const MultiscaleDenoisingOptions& options,
                                                     const ObjectiveParts& parts);

}  // namespace gibbsite
