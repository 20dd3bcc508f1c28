// Colours of density maps: dark to light with evenly growing lightness, so that they survive grey printing and the common
// kinds of colour blindness.
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>
#include <vector>

namespace gibbsite {

/// "#rrggbb" at equal distances from 0 to the upper end of the scale; between them colours are linear.
const std::vector<std::string>& color_anchors();

/// [H, W] to uint8 [H, W, 3]: values are clamped to [0, high]; what is not finite is light grey.
Tensor colored(const Tensor& values, double high);

}  // namespace gibbsite
