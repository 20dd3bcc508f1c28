// Raw loops of plans, compiled for several instruction sets. Matrices are rows of `wide` numbers; `narrow` ones have few columns.
#pragma once

#include <cstdint>

namespace gibbsite::kernels {

/// out[m, i] = (add ? out[m, i] : 0) + Σ_j s[m, j] w[j, i]; s [rows, narrow], w [narrow, wide].
void expand(const float* s, const float* w, float* out, std::int64_t rows, std::int64_t narrow, std::int64_t wide,
            bool add);
/// out[m, j] = (add ? out[m, j] : 0) + Σ_i x[m, i] w[j, i].
void contract(const float* x, const float* w, float* out, std::int64_t rows, std::int64_t narrow, std::int64_t wide,
              bool add);
/// w[j, i] += Σ_m s[m, j] x[m, i].
void gather(const float* s, const float* x, float* w, std::int64_t rows, std::int64_t narrow, std::int64_t wide);

/// x[m, i] += row[i].
void add_row(float* x, const float* row, std::int64_t rows, std::int64_t wide);
/// row[i] += Σ_m x[m, i].
void add_columns(const float* x, float* row, std::int64_t rows, std::int64_t wide);

/// out[i] = (add ? out[i] : 0) + factor a[i] b[i]; b null: factor a[i].
void add_product(const float* a, const float* b, float factor, float* out, std::int64_t n, bool add);

/// out[m] = Σ_i x[m, i].
void sum_rows(const float* x, float* out, std::int64_t rows, std::int64_t wide);
/// out[m, i] = (add ? out[m, i] : 0) + s[m].
void spread_rows(const float* s, float* out, std::int64_t rows, std::int64_t wide, bool add);

/// Rounds to the nearest bfloat16, ties to even; the halves of the float32 words that carry them.
void to_bfloat16(const float* x, std::uint16_t* out, std::int64_t n);

}  // namespace gibbsite::kernels
