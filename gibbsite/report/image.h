// Grids of images as PNG files.
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>

namespace gibbsite {

struct GridStyle {
  std::int64_t columns = 0;  ///< 0: as square as possible
  std::int64_t padding = 2;  ///< pixels between images and around them, after scaling
  std::int64_t scale = 1;    ///< every pixel becomes scale x scale
  double background = 0.5;   ///< grey level of the padding
};

/// images in [0, 1] (clamped; NaN becomes 0): [B, H, W] or [B, C, H, W] with C in {1, 3}. Returns uint8 [H', W', C].
Tensor image_grid(const Tensor& images, const GridStyle& style = {});

/// uint8 [H, W], [H, W, 1] (grey) or [H, W, 3] (RGB) as the bytes of a PNG file.
std::string png_bytes(const Tensor& pixels);

/// Throws WorkError if the file cannot be written.
void write_image_grid(const std::string& path, const Tensor& images, const GridStyle& style = {});

}  // namespace gibbsite
