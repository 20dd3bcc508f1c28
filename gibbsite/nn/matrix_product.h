// Matrix products of one thread, by oneDNN: weights are put once into the order that the processor reads best.
//
// Everything here runs on the thread that calls it, whatever the number of threads of the process, and two threads may use the
// same PackedWeights at once.
#pragma once

#include <cstdint>
#include <memory>

namespace gibbsite {

/// What numbers enter products as; sums are float32.
enum class ProductPrecision { kFloat32, kBfloat16 };

/// Whether this processor multiplies bfloat16 numbers.
bool has_bfloat16_products();

/// A matrix W [outputs, inputs], row after row, as the right side of x Wᵀ or, `transposed`, of g W.
class PackedWeights {
 public:
  PackedWeights(std::int64_t outputs, std::int64_t inputs, bool transposed, ProductPrecision precision);
  ~PackedWeights();
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  /// Takes new numbers; no product may run meanwhile.
  void pack(const float* weight);

 private:
  friend class MatrixProduct;
  struct State;
  std::unique_ptr<State> state_;
};

/// What a product does on its way out.
enum class ProductEnd {
  kNothing,
  kAdd,     ///< adds to what is there
  kBias,    ///< adds a row, [right]
  kFactor,  ///< multiplies by numbers of its own, [rows, right]
};

/// x [rows, left] times packed weights -> out [rows, right]. Belongs to one thread.
class MatrixProduct {
 public:
  MatrixProduct(const PackedWeights& weights, std::int64_t rows, ProductEnd end);
  ~MatrixProduct();
  MatrixProduct(MatrixProduct&&) noexcept;
  MatrixProduct& operator=(MatrixProduct&&) noexcept;

  /// x in the weights' precision; `with` is the row or the factors.
  void operator()(const void* x, float* out, const float* with = nullptr);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// out [left, right] += aᵀ b, a [rows, left], b [rows, right]. Belongs to one thread.
class OuterProduct {
 public:
  OuterProduct(std::int64_t rows, std::int64_t left, std::int64_t right);
  ~OuterProduct();
  OuterProduct(OuterProduct&&) noexcept;
  OuterProduct& operator=(OuterProduct&&) noexcept;

  void operator()(const float* a, const float* b, float* out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// While it lives, libraries called from this thread use no other.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace gibbsite
