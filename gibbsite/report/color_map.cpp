#include <gibbsite/report/color_map.h>
#include <torch/types.h>

namespace gibbsite {

const std::vector<std::string>& color_anchors() {
  // Of the viridis map.
  static const std::vector<std::string> anchors = {"#440154", "#472c7a", "#3b518b", "#2c718e", "#21908d",
                                                   "#27ad81", "#5cc863", "#aadc32", "#fde725"};
  return anchors;
}

Tensor colored(const Tensor& values, double high) {
  static const Tensor anchors = [] {
    std::vector<double> parts;
    for (const std::string& anchor : color_anchors())
      for (std::size_t i = 1; i < 7; i += 2) parts.push_back(std::stoi(anchor.substr(i, 2), nullptr, 16));
    return torch::tensor(parts, torch::kDouble).view({-1, 3});
  }();
  const Tensor v = values.detach().to(torch::kCPU, torch::kDouble), finite = v.isfinite();
  const Tensor place = (v.nan_to_num(0, 0, 0) / high).clamp(0, 1) * (anchors.size(0) - 1);
  const Tensor below = place.floor().clamp_max(anchors.size(0) - 2).to(torch::kLong);
  const Tensor share = (place - below).unsqueeze(-1);
  const auto at = [&](const Tensor& index) {
    return anchors.index_select(0, index.flatten()).view({v.size(0), v.size(1), 3});
  };
  const Tensor color = at(below) * (1 - share) + at(below + 1) * share;
  return torch::where(finite.unsqueeze(-1), color, torch::full_like(color, 221)).round().to(torch::kByte);
}

}  // namespace gibbsite
