// The shuffle behind published data splits: NumPy's legacy generator (a 32-bit Mersenne twister) and its masked
// rejection. The same on every machine, and independent of the recipe's own seed.
#pragma once

#include <gibbsite/core/tensor.h>

#include <cstdint>

namespace gibbsite {

/// The rows 0…n−1 in the order in which numpy.random.seed(seed); numpy.random.shuffle leaves them, int64 [n].
Tensor numpy_shuffle(std::uint32_t seed, std::int64_t n);

}  // namespace gibbsite
