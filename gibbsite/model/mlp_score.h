// s(x) by a multi-layer perceptron on flattened points.
#pragma once

#include <gibbsite/model/network_score.h>

namespace gibbsite {

struct MlpScoreOptions : NetworkOptions {
  std::vector<std::int64_t> hidden = {128, 128, 128};
  bool skip = false;
  bool norm = false;
  void declare(OptionVisitor& o) {
    NetworkOptions::declare(o);
    o.option("hidden", hidden, "widths of the hidden layers", at_least(1));
    o.option("skip", skip, "adds a linear map of the input");
    o.option("norm", norm, "composite layer norm before every activation");
  }
};

/// Throws RequestError without hidden layers.
std::unique_ptr<ScoreNetwork> make_mlp_score(const MlpScoreOptions& options, const ModelContext& context);

}  // namespace gibbsite
