// Score matching of energies. Per example, with E the energy, s = -grad E the score and tr the trace of a Hessian in x:
//
//   exact_score_matching   ½‖grad E‖² - tr ∇²E                                  (Hyvärinen)
//   ssm                    ½(v·grad E)² - vᵀ∇²E v                               (sliced score matching)
//   ssm_vr                 ½‖grad E‖² - vᵀ∇²E v                                 (its variance-reduced form)
//   dsm                    ½‖s(x + n) + n/σ²‖², n ~ N(0, σ²I)                   (denoising score matching)
//   mdsm                   ½‖s(x + n_b) + n_b/σ₀²‖² · w_b, σ_b over the batch   (multi-scale)
//
// all summed over dimensions and averaged over the batch. `weight` names the papers' scalings.
#pragma once

#include <gibbsite/calculus/derivatives.h>
#include <gibbsite/core/options.h>
#include <gibbsite/objective/objective.h>

namespace gibbsite {

struct ExactScoreMatchingOptions {
  std::string derivative = "jet";
  std::int64_t chunk = 64;
  void declare(OptionVisitor& o) {
    o.option("derivative", derivative, "how the Laplacian is taken", {"jet", "autograd"});
    o.only_if(derivative == "jet").option("chunk", chunk, "coordinates carried in one jet pass", at_least(1));
  }
};
std::unique_ptr<Objective> make_exact_score_matching(const ExactScoreMatchingOptions& options,
                                                     const ObjectiveParts& parts);

struct SlicedScoreMatchingOptions {
  std::string derivative = "jet";
  std::string projection = "rademacher";
  std::int64_t projections = 1;
  double noise = 0;
  std::string weight = "one";
  double epsilon = 0.1;
  bool batched = true;
  void declare(OptionVisitor& o) {
    o.option("derivative", derivative, "how directional derivatives are taken", derivative_method_names());
    o.option("projection", projection, "law of the direction v, E[v vᵀ] = I", {"rademacher", "gaussian", "sphere"});
    o.option("projections", projections, "directions per example", at_least(1));
    o.option("noise", noise, "standard deviation of Gaussian noise added to the batch", non_negative());
    o.option("weight", weight, "one, or per_dimension: 1/d as the finite-difference paper prints it",
             {"one", "per_dimension"});
    const bool difference = derivative == "finite_difference";
    o.only_if(difference)
        .option("epsilon", epsilon, "finite-difference step, the length of the displacement", positive());
    o.only_if(difference).option("batched", batched, "evaluate the finite-difference points in one batch");
  }
};
std::unique_ptr<Objective> make_sliced_score_matching(const SlicedScoreMatchingOptions& options,
                                                      const ObjectiveParts& parts);
std::unique_ptr<Objective> make_sliced_score_matching_vr(const SlicedScoreMatchingOptions& options,
                                                         const ObjectiveParts& parts);

struct DenoisingScoreMatchingOptions {
  double sigma = 0.1;
  std::string weight = "one";
  void declare(OptionVisitor& o) {
    o.option("sigma", sigma, "standard deviation of the noise", positive());
    o.option("weight", weight, "one; variance: σ², sliced score matching's code: σ⁴ (½‖σ²s + n‖²); per_dimension: 2/d",
             {"one", "variance", "variance_squared", "per_dimension"});
  }
};
std::unique_ptr<Objective> make_denoising_score_matching(const DenoisingScoreMatchingOptions& options,
                                                         const ObjectiveParts& parts);

struct MultiscaleDenoisingOptions {
  double sigma = 0.1;
  double sigma_min = 0.05;
  double sigma_max = 1.2;
  double factor = 1e-4;
  void declare(OptionVisitor& o) {
    o.option("sigma", sigma, "σ₀, the noise level the model represents", positive());
    o.option("sigma_min", sigma_min, "smallest noise level; levels are evenly spaced over the global batch",
             positive());
    o.option("sigma_max", sigma_max, "largest noise level", positive());
    o.option("factor", factor, "the loss is factor/σ_b² ‖s + n/σ₀²‖²: the paper's constant, twice our definition's ½",
             positive());
  }
};
std::unique_ptr<Objective> make_multiscale_denoising(const MultiscaleDenoisingOptions& options,
                                                     const ObjectiveParts& parts);

}  // namespace gibbsite
