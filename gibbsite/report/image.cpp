#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/report/image.h>
#include <png.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <csetjmp>

namespace gibbsite {
namespace {

Tensor upscaled(const Tensor& x, std::int64_t scale) {
  return scale == 1 ? x : x.repeat_interleave(scale, 1).repeat_interleave(scale, 2);
}

void append(png_structp png, png_bytep data, png_size_t size) {
  static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<const char*>(data), size);
}

void nothing_to_flush(png_structp) {}

// libpng reports errors by a jump, which must not pass over destructors: everything lives outside.
bool encode(png_structp png, png_infop info, std::string& bytes, png_bytepp rows, png_uint_32 width, png_uint_32 height,
            bool color) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_write_fn(png, &bytes, append, nothing_to_flush);
  png_set_IHDR(png, info, width, height, 8, color ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  png_write_image(png, rows);
  png_write_end(png, nullptr);
  return true;
}

}  // namespace

Tensor image_grid(const Tensor& images, const GridStyle& style) {
  if (images.dim() != 3 && images.dim() != 4) throw WorkError("image grid", "needs images [B, H, W] or [B, C, H, W]");
  Tensor x = images.dim() == 3 ? images.unsqueeze(1) : images;
  const std::int64_t count = x.size(0), channels = x.size(1), height = x.size(2) * style.scale,
                     width = x.size(3) * style.scale;
  if (count == 0) throw WorkError("image grid", "no images");
  if (channels != 1 && channels != 3) {
    throw WorkError("image grid", fmt::format("needs 1 or 3 channels, not {}", channels));
  }
  x = x.detach().to(at::kCPU, at::kDouble).nan_to_num(0, 1, 0).clamp(0, 1).mul(255).round().to(at::kByte);
  const std::int64_t columns =
      std::min(count, style.columns > 0 ? style.columns
                                        : static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(count)))));
  const std::int64_t rows = (count + columns - 1) / columns;
  const Tensor grid = at::full(
      {channels, style.padding + rows * (height + style.padding), style.padding + columns * (width + style.padding)},
      std::lround(255 * std::clamp(style.background, 0.0, 1.0)), at::TensorOptions().dtype(at::kByte));
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t top = style.padding + i / columns * (height + style.padding);
    const std::int64_t left = style.padding + i % columns * (width + style.padding);
    grid.narrow(1, top, height).narrow(2, left, width).copy_(upscaled(x[i], style.scale));
  }
  return grid.permute({1, 2, 0}).contiguous();
}

std::string png_bytes(const Tensor& pixels) {
  const Tensor image = pixels.to(at::kCPU).contiguous();
  const bool color = image.dim() == 3 && image.size(2) == 3;
  if (image.scalar_type() != at::kByte || !(image.dim() == 2 || color || (image.dim() == 3 && image.size(2) == 1)) ||
      image.numel() == 0) {
    throw WorkError("png", "needs uint8 [H, W], [H, W, 1] or [H, W, 3]");
  }
  const std::int64_t height = image.size(0), width = image.size(1);
  std::vector<png_bytep> rows;
  for (std::int64_t y = 0; y < height; ++y)
    rows.push_back(image.data_ptr<std::uint8_t>() + y * width * (color ? 3 : 1));
  std::string bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  const bool done = info != nullptr && encode(png, info, bytes, rows.data(), static_cast<png_uint_32>(width),
                                              static_cast<png_uint_32>(height), color);
  png_destroy_write_struct(&png, &info);
  if (!done) throw WorkError("png", fmt::format("cannot encode {} x {} pixels", width, height));
  return bytes;
}

void write_image_grid(const std::string& path, const Tensor& images, const GridStyle& style) {
  write_file(path, png_bytes(image_grid(images, style)));
}

}  // namespace gibbsite
