#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/mode_coverage.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

ModeCoverage mode_coverage(const Tensor& kind, std::int64_t kinds, const Tensor& reference) {
  if (kind.numel() == 0) throw WorkError("mode coverage", "there are no samples");
  if (kind.min().item<std::int64_t>() < 0 || kind.max().item<std::int64_t>() >= kinds)
    throw WorkError("mode coverage", fmt::format("a sample's kind is not in 0 … {}", kinds - 1));
  const auto n = static_cast<double>(kind.numel());
  const Tensor share = torch::bincount(kind, {}, kinds).to(torch::kDouble) / n;
  const Tensor of = reference.defined() ? reference.to(torch::kDouble)
                                        : torch::full({kinds}, 1.0 / static_cast<double>(kinds), torch::kDouble);
  const Tensor hit = share > 0;
  const Tensor p = share.masked_select(hit), ratio = (p / of.masked_select(hit)).log();
  ModeCoverage found;
  found.modes = p.numel();
  found.divergence.value = (p * ratio).sum().item<double>();
  const double square = (p * ratio.square()).sum().item<double>();
  found.divergence.standard_error =
      std::sqrt(std::max(0.0, square - found.divergence.value * found.divergence.value) / n);
  found.divergence.count = kind.numel();
  return found;
}

}  // namespace gibbsite
