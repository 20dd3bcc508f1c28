#include <gibbsite/core/clones.h>
#include <gibbsite/nn/plan_kernels.h>

#include <cstring>

namespace gibbsite::kernels {

GIBBSITE_CLONES void expand(const float* s, const float* w, float* out, std::int64_t rows, std::int64_t narrow,
                            std::int64_t wide, bool add) {
  for (std::int64_t m = 0; m < rows; ++m) {
    float* __restrict to = out + m * wide;
    for (std::int64_t j = 0; j < narrow; ++j) {
      const float factor = s[m * narrow + j];
      const float* __restrict from = w + j * wide;
      if (j == 0 && !add) {
#pragma omp simd
        for (std::int64_t i = 0; i < wide; ++i) to[i] = factor * from[i];
      } else {
#pragma omp simd
        for (std::int64_t i = 0; i < wide; ++i) to[i] += factor * from[i];
      }
    }
  }
}

GIBBSITE_CLONES void contract(const float* x, const float* w, float* out, std::int64_t rows, std::int64_t narrow,
                              std::int64_t wide, bool add) {
  for (std::int64_t m = 0; m < rows; ++m)
    for (std::int64_t j = 0; j < narrow; ++j) {
      const float* __restrict a = x + m * wide, * __restrict b = w + j * wide;
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t i = 0; i < wide; ++i) sum += a[i] * b[i];
      float& to = out[m * narrow + j];
      to = add ? to + sum : sum;
    }
}

GIBBSITE_CLONES void gather(const float* s, const float* x, float* w, std::int64_t rows, std::int64_t narrow,
                            std::int64_t wide) {
  for (std::int64_t m = 0; m < rows; ++m)
    for (std::int64_t j = 0; j < narrow; ++j) {
      const float factor = s[m * narrow + j];
      const float* __restrict from = x + m * wide;
      float* __restrict to = w + j * wide;
#pragma omp simd
      for (std::int64_t i = 0; i < wide; ++i) to[i] += factor * from[i];
    }
}

GIBBSITE_CLONES void add_row(float* x, const float* row, std::int64_t rows, std::int64_t wide) {
  for (std::int64_t m = 0; m < rows; ++m) {
    float* __restrict to = x + m * wide;
    const float* __restrict from = row;
#pragma omp simd
    for (std::int64_t i = 0; i < wide; ++i) to[i] += from[i];
  }
}

GIBBSITE_CLONES void add_columns(const float* x, float* row, std::int64_t rows, std::int64_t wide) {
  for (std::int64_t m = 0; m < rows; ++m) {
    float* __restrict to = row;
    const float* __restrict from = x + m * wide;
#pragma omp simd
    for (std::int64_t i = 0; i < wide; ++i) to[i] += from[i];
  }
}

GIBBSITE_CLONES void add_product(const float* a, const float* b, float factor, float* out, std::int64_t n, bool add) {
  const auto each = [&](auto term) {
    if (add) {
#pragma omp simd
      for (std::int64_t i = 0; i < n; ++i) out[i] += term(i);
    } else {
#pragma omp simd
      for (std::int64_t i = 0; i < n; ++i) out[i] = term(i);
    }
  };
  if (b)
    each([&](std::int64_t i) { return factor * a[i] * b[i]; });
  else
    each([&](std::int64_t i) { return factor * a[i]; });
}

GIBBSITE_CLONES void sum_rows(const float* x, float* out, std::int64_t rows, std::int64_t wide) {
  for (std::int64_t m = 0; m < rows; ++m) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = 0; i < wide; ++i) sum += x[m * wide + i];
    out[m] = sum;
  }
}

GIBBSITE_CLONES void spread_rows(const float* s, float* out, std::int64_t rows, std::int64_t wide, bool add) {
  for (std::int64_t m = 0; m < rows; ++m)
    for (std::int64_t i = 0; i < wide; ++i) {
      float& to = out[m * wide + i];
      to = add ? to + s[m] : s[m];
    }
}

GIBBSITE_CLONES void to_bfloat16(const float* x, std::uint16_t* out, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    out[i] = static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
  }
}

}  // namespace gibbsite::kernels
