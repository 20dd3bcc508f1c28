// p(v | h) of images by the convolutions of nn/feature_net in reverse: dense layers, then transposed convolutions of kernels
// 4, 4, 4, 3 and strides 2, 2, 2, 1 (protocol sheet of CEBM, section 4.1).
#pragma once

#include <gibbsite/calculus/activation.h>
#include <gibbsite/model/decoder.h>
#include <gibbsite/model/observation.h>

#include <vector>

namespace gibbsite {

struct MirroredDecoderOptions : ObservationOptions {
  std::vector<std::int64_t> channels = {32, 32, 64, 64};
  std::vector<std::int64_t> hidden = {128, 128};
  std::string activation = "relu";
  void declare(OptionVisitor& o) {
    o.option("channels", channels, "filters of the maps, as in the encoder whose image this is: the last first",
             at_least(1));
    o.option("hidden", hidden, "widths of the dense layers before them", at_least(1));
    o.option("activation", activation, "nonlinearity of every layer but the last", activation_names());
    ObservationOptions::declare(o);
  }
};

/// Events are images [C, H, W]; RequestError where the convolutions would leave nothing of one.
std::unique_ptr<Decoder> make_mirrored_decoder(const MirroredDecoderOptions& options, const LatentContext& context);

}  // namespace gibbsite
