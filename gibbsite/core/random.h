// One counter-based generator (Philox4x32-10). A number is a function of (seed, stream name, step, global row, draw) and
// of nothing else: it does not depend on the thread count, on how a batch is split or on the number of ranks, and a
// checkpoint stores one step counter.
#pragma once

#include <gibbsite/core/tensor.h>

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gibbsite {

/// A stream of random numbers. Copies are independent cursors over the same numbers.
///
/// The first dimension of every drawn tensor is the row. Row r of a tensor drawn by a generator with first_row f uses
/// global row f + r, so a shard of a batch draws exactly its rows of the whole batch. Consecutive calls within one step
/// continue at the next free draw of every row. Uniforms have 24 bits and lie in (0, 1]; normals come from Box-Muller in
/// float32 arithmetic that is identical in scalar and vector form, and are then converted to the dtype asked for.
class Rng {
 public:
  Rng(std::uint64_t seed, std::string_view stream);

  /// The same seed and step, stream "<stream>/<name>", draw 0.
  Rng stream(std::string_view name) const;
  /// The same stream at another step, draw 0. The step is the only state a checkpoint needs.
  Rng at_step(std::uint64_t step) const;
  /// The same stream for a batch whose first row is global row `first_row`.
  Rng at_row(std::int64_t first_row) const;

  /// A stream of its own at this step and row, another one for every call, for draws whose number is not known beforehand;
  /// takes one draw of this stream.
  Rng fork();

  std::uint64_t seed() const { return seed_; }
  std::uint64_t step() const { return step_; }
  std::int64_t first_row() const { return first_row_; }

  /// `like` gives dtype and device; `shape` is [rows, ...].
  Tensor uniform(at::IntArrayRef shape, const Tensor& like);
  Tensor normal(at::IntArrayRef shape, const Tensor& like);
  /// The same numbers in float32 to memory at hand, [rows, per_row]; without rows, draws are passed over.
  void normal(float* out, std::int64_t rows, std::int64_t per_row);
  /// ±1.
  Tensor rademacher(at::IntArrayRef shape, const Tensor& like);
  Tensor uniform(at::IntArrayRef shape, at::ScalarType dtype = at::kFloat);
  Tensor normal(at::IntArrayRef shape, at::ScalarType dtype = at::kFloat);
  /// shape [L, B, ...]: particle l of example b is row b, at draw offset l.
  Tensor normal_particles(at::IntArrayRef shape, const Tensor& like);
  Tensor uniform_particles(at::IntArrayRef shape, const Tensor& like);
  /// Integers in [0, n), int64, uniform without modulo bias above 2^-32.
  Tensor integers(at::IntArrayRef shape, std::int64_t n);
  /// A permutation of 0…n−1, int64 [n]. All draws come from the first row.
  Tensor permutation(std::int64_t n);

 private:
  std::uint64_t seed_ = 0;
  std::string name_;
  std::uint64_t key_ = 0;
  std::uint64_t step_ = 0;
  std::int64_t first_row_ = 0;
  std::uint32_t next_block_ = 0;  // first unused block of four draws in every row

  void words(std::uint32_t* out, std::int64_t rows, std::int64_t per_row);
  template <class Fill>
  void fill_rows(float* out, std::int64_t rows, std::int64_t used, std::int64_t pieces, Fill fill);
  template <class Fill>
  Tensor draw(at::IntArrayRef shape, at::ScalarType dtype, at::Device device, Fill fill, bool particles);
};

/// The key of the block function for a stream. Exposed for tests against Random123.
std::uint64_t stream_key(std::uint64_t seed, std::string_view stream);

/// Box-Muller on n pairs of 32-bit words: words[2i], words[2i+1] -> normals[2i], normals[2i+1]; and 24-bit uniforms in
/// (0, 1]. Exposed for the tests of bit identity between scalar and vector forms.
void box_muller(const std::uint32_t* words, float* normals, std::int64_t pairs);
float uniform24(std::uint32_t word);

}  // namespace gibbsite
