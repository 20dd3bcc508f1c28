#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/objective/noise_grid.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {

void NoiseGridOptions::check() const {
  if (sigma_max < sigma_min)
    throw RequestError("objective.sigma_max", fmt::format("{} is below sigma_min {}", sigma_max, sigma_min));
}

Tensor NoiseGridOptions::levels(const Batch& batch) const {
  const std::int64_t rows = batch.x.size(0), whole = batch.global_size > 0 ? batch.global_size : rows;
  const Tensor position =
      torch::arange(batch.first_row, batch.first_row + rows, batch.x.options().requires_grad(false));
  const auto last = static_cast<double>(std::max<std::int64_t>(whole - 1, 1));
  return spacing == "geometric" ? sigma_min * at::pow(sigma_max / sigma_min, position / last)
                                : sigma_min + (sigma_max - sigma_min) / last * position;
}

}  // namespace gibbsite
