#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/dataset.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

std::int64_t rows_for(double size, std::int64_t total) {
  return static_cast<std::int64_t>(size >= 1 ? std::round(size) : std::floor(size * static_cast<double>(total)));
}

Dataset ordered(const Dataset& all, SplitOrder order, const Rng& rng) {
  return order == SplitOrder::kFile ? all : all.rows(rng.stream("split").permutation(all.size()));
}

[[noreturn]] void too_many(const Dataset& all, std::int64_t train, std::int64_t validation, std::int64_t test) {
  throw RequestError("data", fmt::format("train {} + validation {} + test {} exceed the {} rows of {}", train,
                                         validation, test, all.size(), all.source));
}

}  // namespace

Dataset Dataset::rows(const Tensor& index) const {
  Dataset part = *this;
  part.x = x.index_select(0, index);
  if (label.defined()) part.label = label.index_select(0, index);
  return part;
}

Dataset Dataset::rows(std::int64_t first, std::int64_t count) const {
  Dataset part = *this;
  part.x = x.slice(0, first, first + count);
  if (label.defined()) part.label = label.slice(0, first, first + count);
  return part;
}

Splits split(const Dataset& all, const SplitSizes& sizes, SplitOrder order, const Rng& rng) {
  const std::int64_t n = all.size();
  const std::int64_t validation = rows_for(sizes.validation, n), test = rows_for(sizes.test, n);
  const std::int64_t train =
      sizes.train > 0 ? rows_for(sizes.train, n) : std::max<std::int64_t>(0, n - validation - test);
  if (train + validation + test > n) too_many(all, train, validation, test);
  const Dataset rows = ordered(all, order, rng);
  return {rows.rows(0, train), rows.rows(train, validation), rows.rows(train + validation, test)};
}

Splits split_official(const Dataset& train, const Dataset& test, const SplitSizes& sizes, SplitOrder order,
                      const Rng& rng) {
  const std::int64_t n = train.size();
  const std::int64_t validation = rows_for(sizes.validation, n);
  const std::int64_t kept = sizes.train > 0 ? rows_for(sizes.train, n) : std::max<std::int64_t>(0, n - validation);
  if (kept + validation > n) too_many(train, kept, validation, 0);
  const std::int64_t tested = sizes.test >= 1 ? rows_for(sizes.test, test.size()) : test.size();
  if (tested > test.size())
    throw RequestError("data", fmt::format("test {} exceeds the {} test rows of {}", tested, test.size(), test.source));
  const Dataset rows = ordered(train, order, rng);
  return {rows.rows(0, kept), rows.rows(n - validation, validation), test.rows(0, tested)};
}

}  // namespace gibbsite
