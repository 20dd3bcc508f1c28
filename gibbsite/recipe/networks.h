// The networks of a recipe, from the tables that describe them:
//
//   [model]                        an energy
//   [score]                        a network that is a score
//   [model] [encoder]              a latent-variable energy and q(h | v) of its latent variables; [variational_score] makes
//                                  draws of q a score of v, after the steps of [corrector] where that is given
//   [encoder] [decoder] [latent]   an auto-encoder with the prior N(0, I), a mixture, or uniform on a sphere, and the score of its codes: the network of
//                                  [score], or the kernel estimator of [estimator]
//   [generator]                    a hierarchical auto-encoder
//
// Tables with parameters are parts of the same name: what phases train, and what checkpoints hold.
#pragma once

#include <gibbsite/core/config.h>
#include <gibbsite/model/decoder.h>
#include <gibbsite/model/energy.h>
#include <gibbsite/model/hierarchical_vae.h>
#include <gibbsite/model/latent_energy.h>
#include <gibbsite/model/latent_prior.h>
#include <gibbsite/model/latent_score.h>
#include <gibbsite/model/score.h>
#include <gibbsite/model/score_estimator.h>
#include <gibbsite/objective/objective.h>
#include <gibbsite/posterior/posterior.h>
#include <gibbsite/train/trainer.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gibbsite {

/// Null members are absent.
struct Networks {
  std::string model_name;               ///< of the first table above that the recipe has
  std::shared_ptr<Energy> energy;       ///< of [model]; of a latent-variable energy its marginal, where it has one
  std::shared_ptr<ScoreNetwork> score;  ///< of [score] alone
  std::shared_ptr<LatentModel> latent_model;  ///< of [model] beside [encoder]
  std::shared_ptr<Posterior> encoder;
  std::shared_ptr<Posterior> corrected;            ///< the encoder's draws after the steps of [corrector]
  std::shared_ptr<const Score> variational_score;  ///< of [variational_score]
  std::shared_ptr<Decoder> decoder;
  std::shared_ptr<LatentPrior> prior;         ///< of a decoder
  std::shared_ptr<Decoder> vae_decoder;       ///< of [vae], where it is trained further
  std::shared_ptr<LatentScore> code_score;    ///< of [score] beside [decoder]
  std::shared_ptr<ScoreEstimator> estimator;  ///< of [estimator]

  std::shared_ptr<HierarchicalVae> generator;  ///< of [generator]

  std::vector<Part> named_parts() const;
  /// No parameter wants a gradient any more.
  void freeze() const;
  /// What objectives may be built from, all that is here.
  ObjectiveParts objective_parts() const;
  /// Throws RequestError naming `who` where there is no energy of v.
  void require_energy(const std::string& who) const;
};

/// The tables of a recipe that describe networks.
Config network_tables(const Config& recipe);

/// What a network is built from; its parameters draw from the stream of the name.
using MakeContext = std::function<ModelContext(const std::string& stream)>;

/// Builds them; tables with every default written out go to `resolved`. Throws RequestError for what the recipe gets wrong.
Networks make_networks(const Config& recipe, const MakeContext& context, Config& resolved);

}  // namespace gibbsite
