// p(v | h) of images by transposed 5x5 convolutions (protocol sheet 5.9, CelebA).
#pragma once

#include <gibbsite/calculus/activation.h>
#include <gibbsite/model/decoder.h>
#include <gibbsite/model/observation.h>

namespace gibbsite {

struct ConvDecoderOptions : ObservationOptions {
  std::int64_t filters = 64;
  std::int64_t stages = 4;
  std::string activation = "relu";
  ConvDecoderOptions() {
    law = "gaussian";
    squash = "tanh";
    log_deviation = -0.602;
  }
  void declare(OptionVisitor& o) {
    o.option("filters", filters, "filters of the last hidden map; each before has twice those after it", at_least(1));
    o.option("stages", stages, "transposed convolutions of stride 2", between(1, 16));
    o.option("activation", activation, "nonlinearity of every hidden map but the first", activation_names());
    ObservationOptions::declare(o);
  }
};

/// Events are images [C, H, W] whose sides divide by 2^stages; RequestError for others.
std::unique_ptr<Decoder> make_conv_decoder(const ConvDecoderOptions& options, const LatentContext& context);

}  // namespace gibbsite
