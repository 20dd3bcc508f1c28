// Pictures of many files brought to one size and laid on top of each other.
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>
#include <vector>

namespace gibbsite {

struct ImageOptions {
  std::int64_t crop = 0;   ///< side of the square that is kept, in pixels of the file; 0: the largest
  std::int64_t size = 0;   ///< side that it is brought to; 0: as it is
  std::int64_t left = -1;  ///< columns left of the square; -1: it is centred
  std::int64_t top = -1;   ///< rows above it; -1: it is centred
};

/// Images [N, C, side, side] of bytes brought to size × size bilinearly with antialiasing.
Tensor resize_images(const Tensor& images, std::int64_t size);

class ImageStack {
 public:
  explicit ImageStack(const ImageOptions& options) : options_(options) {}
  /// [1 or 3, H, W] bytes. Throws WorkError naming `where` for an image that does not hold the square, or without crop and size
  /// has another size than those before.
  void add(Tensor image, const std::string& where);
  std::int64_t size() const { return static_cast<std::int64_t>(images_.size()); }
  /// [N, C, H, W] bytes, C = 1 where all are grey, else 3.
  Tensor images() const;

 private:
  ImageOptions options_;
  std::vector<Tensor> images_;
  bool grey_ = true;
};

}  // namespace gibbsite
