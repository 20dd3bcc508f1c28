// p(v | h) by a multi-layer perceptron.
#pragma once

#include <gibbsite/calculus/activation.h>
#include <gibbsite/model/decoder.h>
#include <gibbsite/model/observation.h>

namespace gibbsite {

struct MlpDecoderOptions : ObservationOptions {
  std::vector<std::int64_t> hidden = {256, 256};
  std::string activation = "tanh";
  void declare(OptionVisitor& o) {
    o.option("hidden", hidden, "widths of the hidden layers", at_least(1));
    o.option("activation", activation, "nonlinearity of every hidden layer", activation_names());
    ObservationOptions::declare(o);
  }
};

std::unique_ptr<Decoder> make_mlp_decoder(const MlpDecoderOptions& options, const LatentContext& context);

}  // namespace gibbsite
