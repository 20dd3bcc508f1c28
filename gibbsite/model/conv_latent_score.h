// Scores of codes of images by strided convolutions, the code being a channel: of (v, h), or of h alone (protocol sheet 5.9,
// CelebA).
#pragma once

#include <gibbsite/model/code_energy.h>
#include <gibbsite/model/latent_score.h>

namespace gibbsite {

struct ConvLatentScoreOptions {
  std::int64_t filters = 64;
  std::int64_t stages = 4;
  std::int64_t features = 512;
  std::string activation = "softplus";
  std::string form = "vector";
  void declare(OptionVisitor& o) {
    o.option("filters", filters, "filters of the first convolution; each of the others doubles them", at_least(1));
    o.option("stages", stages, "convolutions of stride 2", between(1, 16));
    o.option("features", features, "width of the dense layer", at_least(1));
    o.option("activation", activation, "nonlinearity of every layer but the last", activation_names());
    o.option("form", form, "what the network gives: the score, ψ of the energy ⟨h, ψ⟩, or the energy",
             code_score_forms());
  }
};

/// Events are images [C, H, W] whose sides divide by 2^stages.
std::unique_ptr<LatentScore> make_conditional_conv_score(const ConvLatentScoreOptions& options,
                                                         const LatentContext& context);
std::unique_ptr<LatentScore> make_aggregate_conv_score(const ConvLatentScoreOptions& options,
                                                       const LatentContext& context);

}  // namespace gibbsite
