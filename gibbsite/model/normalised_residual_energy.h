// The energies of images of VAEBM (Table 7; protocol sheet 4): a 3x3 convolution, residual blocks with weight normalisation, a
// sum over the pixels and a linear head (beyond the paper a softplus or a square of it), with silu / 1.1 between. A block is
// 3x3, activation, 3x3, plus the shortcut (a 1x1 without bias where the channels change or the size halves), then a 2x2
// average pool where it halves, then the activation.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/model/spectral_energy.h>

#include <string>
#include <vector>

namespace gibbsite {

/// The defaults are the network of CIFAR-10.
struct NormalisedResidualOptions {
  std::int64_t stem = 128;
  std::vector<std::int64_t> blocks = {128, 128, 256, 256, 256, 256};
  std::vector<std::int64_t> halve = {1, 3, 5};
  std::int64_t initial_rows = 160;
  double initial_deviation = 0.2;
  bool halve_range = false;
  std::string head = "linear";
  void declare(OptionVisitor& o) {
    o.option("stem", stem, "channels of the first convolution", at_least(1));
    o.option("blocks", blocks, "channels that each residual block puts out", at_least(1));
    o.option("halve", halve, "numbers, from 1, of the blocks that halve the resolution", at_least(1));
    o.option("initial_rows", initial_rows,
             "training images on which the first weights are scaled, layer by layer; 0: as drawn", at_least(0));
    o.only_if(initial_rows > 0)
        .option("initial_deviation", initial_deviation, "deviation of every channel that they are scaled to",
                positive());
    o.option("halve_range", halve_range, "images come in [-1, 1] and the network takes x/2 + 1/2");
    o.option(
        "head", head,
        "the energy is what the linear head makes, or its softplus or square: never below 0, so that exp(-E) p has a "
        "normaliser of at most 1 for every density p",
        {"linear", "softplus", "square"});
  }
};

/// Events are images [C, H, W]; throws RequestError for others, for images too small and for blocks that there are not.
std::unique_ptr<Energy> make_normalised_residual_energy(const NormalisedResidualOptions& options,
                                                        const ModelContext& context);

}  // namespace gibbsite
