#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/loader.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {

Loader::Loader(Dataset data, Pipeline pipeline, const Rng& rng, at::ScalarType dtype)
    : data_(std::move(data)),
      pipeline_(std::move(pipeline)),
      order_(rng.stream("loader/order")),
      noise_(rng.stream("loader/noise")),
      fresh_(rng.stream("loader/fresh")),
      dtype_(dtype) {
  if (data_.size() == 0) throw RequestError("data.name", fmt::format("{} has no training rows", data_.source));
}

Loader::Loader(std::shared_ptr<const Density> density, Pipeline pipeline, const Rng& rng, at::ScalarType dtype)
    : density_(std::move(density)),
      pipeline_(std::move(pipeline)),
      order_(rng.stream("loader/order")),
      noise_(rng.stream("loader/noise")),
      fresh_(rng.stream("loader/fresh")),
      dtype_(dtype) {}

Tensor Loader::order(std::int64_t epoch) const {
  if (epoch != cached_epoch_) {
    cached_order_ = order_.at_step(static_cast<std::uint64_t>(epoch)).permutation(data_.size());
    cached_epoch_ = epoch;
  }
  return cached_order_;
}

Minibatch Loader::batch(std::int64_t step, std::int64_t batch_size, std::int64_t first_row, std::int64_t rows) const {
  if (rows < 0) rows = batch_size - first_row;
  const Rng noise = noise_.at_step(static_cast<std::uint64_t>(step)).at_row(first_row);
  Minibatch batch;
  if (density_) {
    Rng rng = fresh_.at_step(static_cast<std::uint64_t>(step)).at_row(first_row);
    batch.x = pipeline_.prepare(density_->sample(rows, rng, dtype_), noise).to(dtype_);
    return batch;
  }
  const std::int64_t n = std::max<std::int64_t>(data_.size(), 1);  // never 0: the constructor refuses that
  std::vector<Tensor> pieces;
  for (std::int64_t at = step * batch_size + first_row, left = rows; left > 0;) {
    const std::int64_t within = at % n, count = std::min(left, n - within);
    pieces.push_back(order(at / n).slice(0, within, within + count));
    at += count;
    left -= count;
  }
  if (pieces.empty()) pieces.push_back(torch::empty({0}, torch::kLong));
  batch.index = pieces.size() == 1 ? pieces.front() : torch::cat(pieces);
  const Dataset chosen = data_.rows(batch.index);
  batch.x = pipeline_.prepare(chosen.x, noise).to(dtype_);
  batch.label = chosen.label;
  return batch;
}

Shape Loader::event() const { return pipeline_.output_event(density_ ? Shape{density_->dimension()} : data_.event()); }

}  // namespace gibbsite
