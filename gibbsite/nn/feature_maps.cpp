#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/nn/feature_maps.h>

namespace gibbsite {

std::vector<FeatureMap> feature_maps(std::size_t count, const Shape& image, const std::string& key) {
  std::vector<FeatureMap> maps;
  std::int64_t height = image[1] + 2 * kFeaturePadding, width = image[2] + 2 * kFeaturePadding;
  for (std::size_t i = 0; i < count; ++i) {
    FeatureMap map = {i == 0 ? 3 : 4, feature_stride(i), 0, 0};
    if (height < map.side || width < map.side)
      throw RequestError(key, fmt::format("{} convolutions leave nothing of {}", count, format_shape(image)));
    map.height = (height - map.side) / map.stride + 1;
    map.width = (width - map.side) / map.stride + 1;
    maps.push_back(map);
    height = map.height + 2 * kFeaturePadding;
    width = map.width + 2 * kFeaturePadding;
  }
  return maps;
}

}  // namespace gibbsite
