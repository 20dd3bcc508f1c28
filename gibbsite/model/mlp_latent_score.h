// Scores of codes by multi-layer perceptrons: of (v, h), or of h alone.
#pragma once

#include <gibbsite/model/latent_score.h>
#include <gibbsite/model/network_energy.h>

namespace gibbsite {

struct MlpLatentScoreOptions : NetworkOptions {
  std::vector<std::int64_t> hidden = {256, 256};
  MlpLatentScoreOptions() { activation = "tanh"; }
  void declare(OptionVisitor& o) {
    NetworkOptions::declare(o);
    o.option("hidden", hidden, "widths of the hidden layers", at_least(1));
  }
};

/// [v, h] -> K; throws RequestError without hidden layers.
std::unique_ptr<LatentScore> make_conditional_mlp_score(const MlpLatentScoreOptions& options,
                                                        const LatentContext& context);
/// h -> K, whatever v.
std::unique_ptr<LatentScore> make_aggregate_mlp_score(const MlpLatentScoreOptions& options,
                                                      const LatentContext& context);

}  // namespace gibbsite
