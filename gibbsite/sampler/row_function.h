// Energies and scores of rows of float32 numbers on the CPU, without graph and without allocation: what loops over many steps ask
// for that divide chains among threads.
#pragma once

#include <cstdint>

namespace gibbsite {

class RowFunction {
 public:
  virtual ~RowFunction() = default;
  /// x: [rows, event]; energy: [rows], may be null; score: [rows, event], grad log p, may be null. Several threads may call at
  /// once. What a row gets depends on no other row.
  virtual void operator()(const float* x, std::int64_t rows, float* energy, float* score) const = 0;
  /// So many rows at once are best.
  virtual std::int64_t block() const = 0;
};

}  // namespace gibbsite
