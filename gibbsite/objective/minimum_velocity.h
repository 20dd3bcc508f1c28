// Minimum velocity learning (Wasserstein minimum velocity learning, section 3): the velocity at which a sampler of the model
// q ∝ exp(-E) starts to move the data, in Euclidean space or on a manifold. One step of size ε of the sampler for q^(1/2)
// takes x to x⁻ with weight w and diffusion increment ξ, and per example, in the paper's scale,
//
//   difference   (2/ε) [E(x) - w E(x⁻) - ⟨score, ξ⟩]         the last term is the control variate, without which the
//                                                            variance grows as 8‖∇E‖²/ε
//   limit        what this tends to as ε → 0, exactly, with no ε:
//     langevin      ‖grad E‖² - 2 ΔE                         twice Hyvärinen's loss; ΔE as Hess E(v, v), E[v vᵀ] = I
//     svgd          mean over pairs of k⟨∇E, ∇E'⟩ - 2⟨∇E, ∇k⟩   kernelised Stein discrepancy but for its constant
//     spos          a mixture of the two
//     birth_death   langevin + Var E + 2 Cov(E, log p̂)
//
// Everything is differentiated, x⁻ through its drift too: with x⁻ frozen ‖∇E‖² would weigh half, and the model tend to the
// square of the density. negatives = "frozen" is right in another way, one step for q itself of which only the energies
// are differentiated: contrastive divergence with one step (CD-1). Its gradient is the same on average; what it reports
// tends to 2‖∇E‖² - 2ΔE, which is no loss.
//
// The limit is the default: at one random direction it costs about what the difference does, has half its variance or less
// with Rademacher directions, no bias, and no difference of nearly equal energies, which takes 1e-7 |E|·2/ε in float32
// (docs/experiments/mvl-bias-variance.md).
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/objective/objective.h>
#include <gibbsite/objective/projection.h>

namespace gibbsite {

struct MinimumVelocityOptions : ProjectionOptions {
  std::string dynamics = "langevin";
  std::string form = "limit";
  double epsilon = 1e-3;
  bool control_variate = true;
  bool adaptive = false;
  std::string negatives = "moved";
  std::string derivative = "jet";
  bool exact = false;
  double mix = 0.5;
  std::string noise_law = "flow";
  double bandwidth = 0;
  std::string scale = "paper";
  double magnitude = 0;
  void declare(OptionVisitor& o) {
    o.option("dynamics", dynamics, "the sampler whose velocity is minimised",
             {"langevin", "svgd", "spos", "birth_death"});
    o.option("form", form, "the exact limit of small steps, or the difference over one step", {"limit", "difference"});
    const bool difference = form == "difference", diffuses = dynamics != "svgd", langevin = dynamics == "langevin";
    o.only_if(difference).option("epsilon", epsilon, "ε of the step; below 1e-4 use float64", positive());
    o.only_if(difference && diffuses).option("control_variate", control_variate, "subtract ⟨score, ξ⟩");
    o.only_if(difference && langevin)
        .option("adaptive", adaptive, "ε of an example is divided by max(1, ‖grad E‖²), as in MVL's code");
    o.only_if(difference && langevin)
        .option("negatives", negatives, "moved: differentiated through the step; frozen: CD-1", {"moved", "frozen"});
    const bool curved = !difference && diffuses;
    o.only_if(curved).option("derivative", derivative, "how the second derivative is taken", {"jet", "autograd"});
    o.only_if(curved).option("exact", exact, "ΔE from all directions instead of random ones");
    ProjectionOptions::declare(o, curved && !exact);
    o.only_if(dynamics == "spos").option("mix", mix, "share α of Stein's direction", between(0, 1));
    o.only_if(dynamics == "spos")
        .option("noise_law", noise_law, "√(2(1 - α)ε), the flow's, or (1 - α)√(2ε) as in MVL's code",
                {"flow", "published"});
    o.only_if(!langevin).option("bandwidth", bandwidth,
                                "b of the kernel exp(-‖x - y‖²/(2b)), held constant; 0: from the "
                                "median distance",
                                non_negative());
    o.option("scale", scale, "paper: 2/ε; hyvarinen: 1/ε, half of it", {"paper", "hyvarinen"});
    o.option("magnitude", magnitude,
             "weight of mean E(x)² + mean E(x⁻)², which holds the level of the energy (at x twice "
             "in the limit)",
             non_negative());
  }
};

/// The terms of every example on x ([B, *event]), [B], whose mean is the loss (without the penalty), with graph. `manifold`
/// may be null. `log_density` [B] stands in for the kernel density of birth_death where it is given.
Tensor minimum_velocity_terms(const MinimumVelocityOptions& options, const ScalarFunction& energy,
                              const std::shared_ptr<const Manifold>& manifold, const Tensor& x, Rng& rng,
                              const Tensor& log_density = {}, Tensor* moved = nullptr);

/// The mean of the terms and the penalty on the level of the energy.
Tensor minimum_velocity_loss(const MinimumVelocityOptions& options, const ScalarFunction& energy,
                             const std::shared_ptr<const Manifold>& manifold, const Tensor& x, Rng& rng);

/// Needs an energy.
std::unique_ptr<Objective> make_minimum_velocity(const MinimumVelocityOptions& options, const ObjectiveParts& parts);

/// The same of the codes of an encoder, one per example, drawn anew and frozen, for a score of codes that is the gradient of
/// an energy; on the manifold of the prior (section 5, Eqs. 20 and 21). Needs all three, and trains the score.
std::unique_ptr<Objective> make_latent_minimum_velocity(const MinimumVelocityOptions& options,
                                                        const ObjectiveParts& parts);

}  // namespace gibbsite
