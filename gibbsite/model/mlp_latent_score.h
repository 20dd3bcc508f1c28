// Scores of codes by multi-layer perceptrons: of (v, h), or of h alone; the score itself, or an energy it is the gradient of.
#pragma once

#include <gibbsite/model/code_energy.h>
#include <gibbsite/model/latent_score.h>
#include <gibbsite/nn/mlp.h>

namespace gibbsite {

struct MlpLatentScoreOptions : MlpOptions {
  std::string form = "vector";
  std::string operations = "fast";
  void declare(OptionVisitor& o) {
    MlpOptions::declare(o);
    o.option("form", form, "what the network gives: the score, ψ of the energy ⟨h, ψ⟩, or the energy",
             code_score_forms());
    o.only_if(form == "vector")
        .option("operations", operations, "gibbsite's fast operations, or LibTorch's own as a baseline",
                {"fast", "stock"});
  }
};

/// Networks of [v, h]; RequestError without hidden layers.
std::unique_ptr<LatentScore> make_conditional_mlp_score(const MlpLatentScoreOptions& options,
                                                        const LatentContext& context);
/// Networks of h, whatever v; RequestError without hidden layers.
std::unique_ptr<LatentScore> make_aggregate_mlp_score(const MlpLatentScoreOptions& options,
                                                      const LatentContext& context);

}  // namespace gibbsite
