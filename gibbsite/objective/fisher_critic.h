// The Fisher divergence of a model from its data by a critic f, without the data's score (VaGES, Eqs. 22 to 24; Hu et al. 2018;
// Grathwohl et al. 2020):
//
//   ½ E ‖∇log p_data - s‖² = max_f E[s·f + ∇·f - ½‖f‖²],   ∇·f = E[εᵀ∇(f·ε)],   best f = s - ∇log p_data
//
// A critic that is not the best gives less, in expectation. The score s of the model is exact, or VaES of a latent-variable
// energy, which enters as a constant: one draw will do, and nothing is trained but the critic.
#pragma once

#include <gibbsite/objective/objective.h>
#include <gibbsite/objective/projection.h>

namespace gibbsite {

struct FisherCriticOptions : ProjectionOptions {
  std::int64_t particles = 1;
  void declare(OptionVisitor& o) {
    o.option("particles", particles, "L, draws of the latent variables per example; counts with an encoder",
             at_least(1));
    ProjectionOptions::declare(o);
  }
};

/// Takes the score network as the critic, and the energy or else the latent energy with an encoder as the model; RequestError
/// without. Minimises minus the divergence, which it logs as "divergence".
std::unique_ptr<Objective> make_fisher_critic(const FisherCriticOptions& options, const ObjectiveParts& parts);

/// What a critic says at every row of v, [B] each, differentiable in its parameters: s·f + Σ_p ε_p·∇(f·ε_p)/P with directions
/// [P, B, *event], and ‖f‖². The critic has jets.
struct CriticTerms {
  Tensor linear, square;
};
CriticTerms critic_terms(const ScoreNetwork& critic, const Tensor& v, const Tensor& score, const Tensor& directions);

}  // namespace gibbsite
