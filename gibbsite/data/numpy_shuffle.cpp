#include <gibbsite/data/numpy_shuffle.h>
#include <torch/types.h>

#include <random>
#include <utility>

namespace gibbsite {
namespace {

// Uniform on 0…largest: words cut to the bits of `largest` until one fits.
std::int64_t draw(std::mt19937& words, std::uint32_t largest) {
  std::uint32_t mask = largest;
  for (unsigned shift = 1; shift < 32; shift *= 2) mask |= mask >> shift;
  for (;;) {
    const auto word = static_cast<std::uint32_t>(words()) & mask;
    if (word <= largest) return word;
  }
}

}  // namespace

Tensor numpy_shuffle(std::uint32_t seed, std::int64_t n) {
  Tensor order = torch::arange(n, torch::kLong);
  auto* row = order.data_ptr<std::int64_t>();
  std::mt19937 words(seed);
  for (std::int64_t i = n - 1; i > 0; --i) std::swap(row[i], row[draw(words, static_cast<std::uint32_t>(i))]);
  return order;
}

}  // namespace gibbsite
