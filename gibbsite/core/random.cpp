#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/random.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include <gibbsite/core/clones.h>

namespace gibbsite {
namespace {

std::uint64_t mix(std::uint64_t z) {  // SplitMix64 finaliser
  z += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::uint64_t hash_name(std::string_view name) {  // FNV-1a
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

GIBBSITE_INLINE float unit_interval(std::uint32_t word) {
  return static_cast<float>((word >> 8) + 1) * 5.9604644775390625e-8f;
}

// -2 log u for u = k / 2^24 in (0, 1], by u = m 2^e with m in [sqrt(1/2), sqrt(2)) and a polynomial in m - 1.
GIBBSITE_INLINE float minus_two_log(float u) {
  std::int32_t bits;
  std::memcpy(&bits, &u, sizeof bits);
  std::int32_t exponent = ((bits >> 23) & 0xff) - 126;
  bits = (bits & 0x007fffff) | 0x3f000000;
  float m;
  std::memcpy(&m, &bits, sizeof m);
  const bool low = m < 0.70710678f;
  exponent -= low ? 1 : 0;
  m = low ? m + m - 1.0f : m - 1.0f;
  const float z = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  const float e = static_cast<float>(exponent);
  float tail = p * m * z;
  tail = tail + e * -2.12194440e-4f;
  tail = tail - 0.5f * z;
  const float log_u = (m + tail) + e * 0.693359375f;
  return std::max(-2.0f * log_u, 0.0f);
}

// sin and cos of 2 pi k / 2^24: the quadrant comes exactly from the integer, the rest from polynomials on [-pi/4, pi/4].
GIBBSITE_INLINE void sincos_turn(std::uint32_t word, float& sine, float& cosine) {
  const std::int32_t k = static_cast<std::int32_t>(word >> 8);
  const std::int32_t quadrant = (k + (1 << 21)) >> 22;
  const float t = static_cast<float>(k - (quadrant << 22)) * 3.74507028e-7f;  // 2 pi / 2^24
  const float z = t * t;
  const float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * t + t;
  const float c =
      ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - 0.5f * z + 1.0f;
  const bool swap = (quadrant & 1) != 0;
  const float a = swap ? c : s;
  const float b = swap ? s : c;
  sine = (quadrant & 2) != 0 ? -a : a;
  cosine = ((quadrant + 1) & 2) != 0 ? -b : b;
}

GIBBSITE_CLONES void fill_uniform(const std::uint32_t* words, float* out, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) out[i] = unit_interval(words[i]);
}

GIBBSITE_CLONES void fill_sign(const std::uint32_t* words, float* out, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) out[i] = (words[i] >> 31) != 0 ? -1.0f : 1.0f;
}

// Counters that are worked on together.
constexpr std::int64_t kCounters = 256;

// Philox4x32-10 (Salmon et al. 2011) of counters (block, row, low and high word of step), `blocks` of them for every row from
// (block, row) on; the first `kept` words of each, 2 or 4.
GIBBSITE_CLONES void philox(std::uint32_t block, std::uint32_t row, std::uint32_t blocks, std::uint64_t step,
                            std::uint64_t key, std::uint32_t* out, std::int64_t n, std::int64_t kept) {
  std::uint32_t x0[kCounters], x1[kCounters], x2[kCounters], x3[kCounters];
  if (blocks == 1) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) {
      x0[i] = block;
      x1[i] = row + static_cast<std::uint32_t>(i);
    }
  } else {
    std::uint32_t b = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      x0[i] = block + b;
      x1[i] = row;
      if (++b == blocks) {
        b = 0;
        ++row;
      }
    }
  }
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    std::uint32_t c0 = x0[i], c1 = x1[i], c2 = static_cast<std::uint32_t>(step),
                  c3 = static_cast<std::uint32_t>(step >> 32);
    std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t a = std::uint64_t{0xD2511F53U} * c0, b = std::uint64_t{0xCD9E8D57U} * c2;
      c0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ k0;
      c1 = static_cast<std::uint32_t>(b);
      c2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ k1;
      c3 = static_cast<std::uint32_t>(a);
      k0 += 0x9E3779B9U;
      k1 += 0xBB67AE85U;
    }
    x0[i] = c0;
    x1[i] = c1;
    x2[i] = c2;
    x3[i] = c3;
  }
  if (kept == 2) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) {
      out[2 * i] = x0[i];
      out[2 * i + 1] = x1[i];
    }
    return;
  }
  for (std::int64_t i = 0; i < n; ++i) {
    out[4 * i] = x0[i];
    out[4 * i + 1] = x1[i];
    out[4 * i + 2] = x2[i];
    out[4 * i + 3] = x3[i];
  }
}

void fill_normal(const std::uint32_t* words, float* out, std::int64_t n) { box_muller(words, out, n / 2); }

}  // namespace

std::uint64_t stream_key(std::uint64_t seed, std::string_view stream) { return mix(hash_name(stream) ^ mix(seed)); }

float uniform24(std::uint32_t word) { return unit_interval(word); }

GIBBSITE_CLONES void box_muller(const std::uint32_t* words, float* normals, std::int64_t pairs) {
#pragma omp simd
  for (std::int64_t i = 0; i < pairs; ++i) {
    const float radius = std::sqrt(minus_two_log(unit_interval(words[2 * i])));
    float sine, cosine;
    sincos_turn(words[2 * i + 1], sine, cosine);
    normals[2 * i] = radius * cosine;
    normals[2 * i + 1] = radius * sine;
  }
}

Rng::Rng(std::uint64_t seed, std::string_view stream) : seed_(seed), name_(stream), key_(stream_key(seed, stream)) {}

Rng Rng::stream(std::string_view name) const {
  Rng child(seed_, name_ + "/" + std::string(name));
  child.step_ = step_;
  child.first_row_ = first_row_;
  return child;
}

Rng Rng::fork() { return stream("fork" + std::to_string(next_block_++)); }

Rng Rng::at_step(std::uint64_t step) const {
  Rng other = *this;
  other.step_ = step;
  other.next_block_ = 0;
  return other;
}

Rng Rng::at_row(std::int64_t first_row) const {
  Rng other = *this;
  other.first_row_ = first_row;
  return other;
}

// `per_row` is a multiple of four, or 2; row r of the result starts at out[r * per_row].
void Rng::words(std::uint32_t* out, std::int64_t rows, std::int64_t per_row) {
  if (first_row_ < 0 || first_row_ + rows > (std::int64_t{1} << 32))
    throw WorkError("random", fmt::format("row {} is beyond the 2^32 rows of a stream", first_row_ + rows));
  const std::int64_t blocks = (per_row + 3) / 4, kept = per_row == 2 ? 2 : 4;
  // Whole rows together, or parts of one.
  const std::int64_t at_once = blocks > kCounters ? 1 : kCounters / blocks;
  for (std::int64_t r = 0; r < rows; r += at_once) {
    const auto row = static_cast<std::uint32_t>(first_row_ + r);
    const std::int64_t count = std::min(at_once, rows - r);
    for (std::int64_t b = 0; b < blocks; b += kCounters) {
      const std::int64_t part = std::min(kCounters, blocks - b);
      philox(next_block_ + static_cast<std::uint32_t>(b), row, static_cast<std::uint32_t>(part), step_, key_,
             out + r * per_row + 4 * b, count * part, kept);
    }
  }
  next_block_ += static_cast<std::uint32_t>(blocks);
}

// `used` numbers of every row, which go to `pieces` places, [pieces, rows, used / pieces].
template <class Fill>
void Rng::fill_rows(float* out, std::int64_t rows, std::int64_t used, std::int64_t pieces, Fill fill) {
  // Numbers come in pairs, words in blocks of four; of a block for two numbers the others are not even stored.
  const std::int64_t per_row = used <= 2 ? 2 : (used + 3) / 4 * 4, piece = used / pieces;
  // Rows are drawn in chunks so that the words stay in cache.
  const std::int64_t chunk = std::max<std::int64_t>(1, 8192 / per_row);
  const std::size_t size = static_cast<std::size_t>(std::min(chunk, rows) * per_row);
  static thread_local std::vector<std::uint32_t> words_buffer;
  static thread_local std::vector<float> float_buffer;
  if (words_buffer.size() < size) words_buffer.resize(size);
  const bool direct = per_row == used && pieces == 1;
  if (!direct && float_buffer.size() < size) float_buffer.resize(size);
  const std::uint32_t first_block = next_block_;
  const std::int64_t first_row = first_row_;
  for (std::int64_t begin = 0; begin < rows; begin += chunk) {
    const std::int64_t count = std::min(chunk, rows - begin);
    next_block_ = first_block;
    first_row_ = first_row + begin;
    words(words_buffer.data(), count, per_row);
    if (direct) {
      fill(words_buffer.data(), out + begin * used, count * per_row);
      continue;
    }
    fill(words_buffer.data(), float_buffer.data(), count * per_row);
    for (std::int64_t p = 0; p < pieces; ++p)
      for (std::int64_t r = 0; r < count; ++r)
        std::copy_n(float_buffer.data() + r * per_row + p * piece, piece, out + (p * rows + begin + r) * piece);
  }
  first_row_ = first_row;
  next_block_ = first_block + static_cast<std::uint32_t>((per_row + 3) / 4);
}

template <class Fill>
Tensor Rng::draw(at::IntArrayRef shape, at::ScalarType dtype, at::Device device, Fill fill, bool particles) {
  const std::size_t row_dimension = particles ? 1 : 0;
  const std::int64_t rows = shape.size() > row_dimension ? shape[row_dimension] : 1;
  const std::int64_t total = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  if (total == 0) return torch::empty(shape, torch::TensorOptions().dtype(dtype).device(device));
  Tensor numbers = torch::empty(shape, torch::kFloat);
  fill_rows(numbers.data_ptr<float>(), rows, total / rows, particles ? shape[0] : 1, fill);
  return device.is_cpu() && dtype == torch::kFloat ? numbers : numbers.to(device, dtype);
}

void Rng::normal(float* out, std::int64_t rows, std::int64_t per_row) {
  if (per_row > 0) fill_rows(out, rows, per_row, 1, fill_normal);
}

Tensor Rng::uniform(at::IntArrayRef shape, const Tensor& like) {
  return draw(shape, like.scalar_type(), like.device(), fill_uniform, false);
}
Tensor Rng::normal(at::IntArrayRef shape, const Tensor& like) {
  return draw(shape, like.scalar_type(), like.device(), fill_normal, false);
}
Tensor Rng::rademacher(at::IntArrayRef shape, const Tensor& like) {
  return draw(shape, like.scalar_type(), like.device(), fill_sign, false);
}
Tensor Rng::uniform(at::IntArrayRef shape, at::ScalarType dtype) {
  return draw(shape, dtype, at::kCPU, fill_uniform, false);
}
Tensor Rng::normal(at::IntArrayRef shape, at::ScalarType dtype) {
  return draw(shape, dtype, at::kCPU, fill_normal, false);
}
Tensor Rng::normal_particles(at::IntArrayRef shape, const Tensor& like) {
  return draw(shape, like.scalar_type(), like.device(), fill_normal, true);
}
Tensor Rng::uniform_particles(at::IntArrayRef shape, const Tensor& like) {
  return draw(shape, like.scalar_type(), like.device(), fill_uniform, true);
}

Tensor Rng::integers(at::IntArrayRef shape, std::int64_t n) {
  if (n <= 0 || n > (std::int64_t{1} << 32))
    throw WorkError("random", fmt::format("integers below {} are not available", n));
  const std::int64_t rows = shape.empty() ? 1 : shape[0];
  const std::int64_t total = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  Tensor out = torch::empty(shape, torch::kLong);
  if (total == 0) return out;
  const std::int64_t used = total / rows, per_row = (used + 3) / 4 * 4;
  std::vector<std::uint32_t> buffer(static_cast<std::size_t>(rows * per_row));
  words(buffer.data(), rows, per_row);
  std::int64_t* numbers = out.data_ptr<std::int64_t>();
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < used; ++i)
      numbers[r * used + i] =
          static_cast<std::int64_t>((static_cast<std::uint64_t>(buffer[static_cast<std::size_t>(r * per_row + i)]) *
                                     static_cast<std::uint64_t>(n)) >>
                                    32);
  return out;
}

Tensor Rng::permutation(std::int64_t n) {
  const std::int64_t per_row = (n + 3) / 4 * 4;
  std::vector<std::uint32_t> keys(static_cast<std::size_t>(per_row));
  if (n > 0) words(keys.data(), 1, per_row);
  Tensor out = torch::arange(n, torch::kLong);
  std::int64_t* order = out.data_ptr<std::int64_t>();
  std::sort(order, order + n, [&](std::int64_t a, std::int64_t b) {
    const std::uint32_t ka = keys[static_cast<std::size_t>(a)], kb = keys[static_cast<std::size_t>(b)];
    return ka != kb ? ka < kb : a < b;
  });
  return out;
}

}  // namespace gibbsite
