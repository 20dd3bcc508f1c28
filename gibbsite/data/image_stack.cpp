#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/image_stack.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {
namespace {

Tensor square_of(const Tensor& image, const ImageOptions& options, const std::string& where) {
  const std::int64_t height = image.size(1), width = image.size(2);
  const std::int64_t side = options.crop > 0 ? options.crop : std::min(height, width);
  if (side > std::min(height, width))
    throw WorkError(where,
                    fmt::format("is {} × {} pixels, smaller than data.image_crop = {}", width, height, options.crop));
  const std::int64_t top = options.top >= 0 ? options.top : (height - side) / 2;
  const std::int64_t left = options.left >= 0 ? options.left : (width - side) / 2;
  if (top > height - side || left > width - side)
    throw WorkError(where, fmt::format("is {} × {} pixels, the square of {} at left {}, top {} leaves it", width,
                                       height, side, left, top));
  return image.narrow(1, top, side).narrow(2, left, side);
}

}  // namespace

Tensor resize_images(const Tensor& images, std::int64_t size) {
  if (size == images.size(3)) return images.contiguous();
  std::vector<Tensor> chunks;
  for (const Tensor& chunk : images.split(256)) {
    const Tensor real = at::_upsample_bilinear2d_aa(chunk.to(at::kFloat), {size, size}, /*align_corners=*/false);
    chunks.push_back(real.round().clamp(0, 255).to(at::kByte));
  }
  return at::cat(chunks);
}

void ImageStack::add(Tensor image, const std::string& where) {
  if (options_.crop > 0 || options_.size > 0) image = square_of(image, options_, where).contiguous();
  if (options_.size > 0) image = resize_images(image.unsqueeze(0), options_.size)[0];
  if (!images_.empty() && image.sizes().slice(1) != images_.front().sizes().slice(1))
    throw WorkError(where,
                    fmt::format("is {} × {} pixels, others are {} × {}", image.size(2), image.size(1),
                                images_.front().size(2), images_.front().size(1)),
                    "data.image_size brings images to one size");
  grey_ = grey_ && image.size(0) == 1;
  images_.push_back(std::move(image));
}

Tensor ImageStack::images() const {
  if (grey_) return at::stack(images_);
  std::vector<Tensor> coloured;
  coloured.reserve(images_.size());
  for (const Tensor& image : images_) coloured.push_back(image.expand({3, -1, -1}));
  return at::stack(coloured);
}

}  // namespace gibbsite
