// p(v | h) by a multi-layer perceptron.
#pragma once

#include <gibbsite/model/decoder.h>
#include <gibbsite/model/observation.h>
#include <gibbsite/nn/mlp.h>

namespace gibbsite {

struct MlpDecoderOptions : MlpOptions, ObservationOptions {
  void declare(OptionVisitor& o) {
    MlpOptions::declare(o);
    ObservationOptions::declare(o);
  }
};

std::unique_ptr<Decoder> make_mlp_decoder(const MlpDecoderOptions& options, const LatentContext& context);

}  // namespace gibbsite
