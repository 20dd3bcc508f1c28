// The sizes of the convolutions of nn/feature_net, for it and for decoders that go the other way.
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>
#include <vector>

namespace gibbsite {

constexpr std::int64_t kFeaturePadding = 1;  ///< on every side of every map

/// Kernel side × side of a stride, and the map it makes.
struct FeatureMap {
  std::int64_t side, stride, height, width;
};

/// Of convolution i: 1, then 2.
constexpr std::int64_t feature_stride(std::size_t i) { return i == 0 ? 1 : 2; }

/// Of `count` convolutions of an image [C, H, W]: a kernel of side 3, then of side 4. Throws RequestError at `key`
/// where they leave nothing of it.
std::vector<FeatureMap> feature_maps(std::size_t count, const Shape& image, const std::string& key);

}  // namespace gibbsite
