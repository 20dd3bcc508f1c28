#include <ATen/Parallel.h>
#include <gibbsite/core/clones.h>
#include <gibbsite/core/error.h>
#include <gibbsite/nn/slice_products.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <algorithm>
#include <vector>

namespace gibbsite {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr std::int64_t kLanes = 16;
constexpr std::int64_t kPixelsAtOnce = 32;  // of all slices, so that they stay in the first cache

// How the slices of one image lie: slice s at s * slice; inside, pixels of channels (last) or channels of pixels.
struct Plane {
  std::int64_t channels, pixels, slice;
  bool last;
};

template <class Scalar>
GIBBSITE_INLINE void add_rows(const Scalar* __restrict weight, const Scalar* __restrict x, Scalar* __restrict y,
                              std::int64_t rows, std::int64_t n) {
  for (std::int64_t k = 0; k < rows; ++k)
#pragma omp simd
    for (std::int64_t l = 0; l < n; ++l) y[k * n + l] += weight[l] * x[k * n + l];
}

template <class Scalar>
GIBBSITE_INLINE void add_scaled(Scalar weight, const Scalar* __restrict x, Scalar* __restrict y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t l = 0; l < n; ++l) y[l] += weight * x[l];
}

template <class Scalar>
GIBBSITE_INLINE void add_lanes(const Scalar* a, const Scalar* b, double* sums) {
  if (b != nullptr) {
#pragma omp simd
    for (std::int64_t l = 0; l < kLanes; ++l) sums[l] += static_cast<double>(a[l]) * static_cast<double>(b[l]);
  } else {
#pragma omp simd
    for (std::int64_t l = 0; l < kLanes; ++l) sums[l] += static_cast<double>(a[l]);
  }
}

// out[l] = Σ over k < rows of a[k, l] b[k, l], of a alone where b is null; rows are `stride` apart.
template <class Scalar>
GIBBSITE_INLINE void lane_products(const Scalar* a, const Scalar* b, std::int64_t rows, std::int64_t stride,
                                   double* out) {
  double even[kLanes] = {}, odd[kLanes] = {};
  std::int64_t k = 0;
  for (; k + 1 < rows; k += 2) {
    add_lanes(a + k * stride, b != nullptr ? b + k * stride : b, even);
    add_lanes(a + (k + 1) * stride, b != nullptr ? b + (k + 1) * stride : b, odd);
  }
  if (k < rows) add_lanes(a + k * stride, b != nullptr ? b + k * stride : b, even);
  for (std::int64_t l = 0; l < kLanes; ++l) out[l] = even[l] + odd[l];
}

template <class Scalar>
GIBBSITE_INLINE double product(const Scalar* a, const Scalar* b, std::int64_t n, std::int64_t stride) {
  double sum = 0;
  for (std::int64_t k = 0; k < n; ++k)
    sum += static_cast<double>(a[k * stride]) * (b != nullptr ? static_cast<double>(b[k * stride]) : 1.0);
  return sum;
}

template <class Scalar>
struct Image {
  // weight: [outputs, inputs + 1, channels], dense.
  GIBBSITE_CLONES static void combine(const Plane& plane, const Scalar* weight, const Scalar* x, std::int64_t inputs,
                                      Scalar* y, std::int64_t outputs) {
    const std::int64_t channels = plane.channels, block = plane.last ? kPixelsAtOnce : plane.pixels;
    for (std::int64_t first = 0; first < plane.pixels; first += block) {
      const std::int64_t n = std::min(block, plane.pixels - first);
      for (std::int64_t i = 0; i < outputs; ++i) {
        const Scalar *row = weight + i * (inputs + 1) * channels, *shift = row + inputs * channels;
        Scalar* out = y + i * plane.slice + first * channels;
        if (plane.last)
          for (std::int64_t p = 0; p < n; ++p) std::copy_n(shift, channels, out + p * channels);
        else
          for (std::int64_t c = 0; c < channels; ++c) std::fill_n(out + c * n, n, shift[c]);
        for (std::int64_t j = 0; j < inputs; ++j) {
          const Scalar *weights = row + j * channels, *from = x + j * plane.slice + first * channels;
          // Coefficients of a series do not depend on later ones, whatever those are.
          if (std::all_of(weights, weights + channels, [](Scalar w) { return w == 0; })) continue;
          if (plane.last)
            add_rows(weights, from, out, n, channels);
          else
            for (std::int64_t c = 0; c < channels; ++c) add_scaled(weights[c], from + c * n, out + c * n, n);
        }
      }
    }
  }

  // out: [left, right + 1, channels], dense.
  GIBBSITE_CLONES static void products(const Plane& plane, const Scalar* a, std::int64_t left, const Scalar* b,
                                       std::int64_t right, double* out) {
    const std::int64_t channels = plane.channels, pixels = plane.pixels;
    double sums[kLanes];
    for (std::int64_t i = 0; i < left; ++i) {
      const Scalar* p = a + i * plane.slice;
      for (std::int64_t j = 0; j <= right; ++j) {
        const Scalar* q = j < right ? b + j * plane.slice : nullptr;
        double* made = out + (i * (right + 1) + j) * channels;
        if (plane.last) {
          std::int64_t c = 0;
          for (; c + kLanes <= channels; c += kLanes)
            lane_products(p + c, q != nullptr ? q + c : q, pixels, channels, made + c);
          for (; c < channels; ++c) made[c] = product(p + c, q != nullptr ? q + c : q, pixels, channels);
        } else {
          const std::int64_t whole = pixels / kLanes;
          for (std::int64_t c = 0; c < channels; ++c) {
            const std::int64_t from = c * pixels, rest = from + whole * kLanes;
            lane_products(p + from, q != nullptr ? q + from : q, whole, kLanes, sums);
            made[c] = product(p + rest, q != nullptr ? q + rest : q, pixels - whole * kLanes, 1);
            for (const double sum : sums) made[c] += sum;
          }
        }
      }
    }
  }
};

bool has_kernel(const Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble);
}

Plane plane_of(const Tensor& x, std::int64_t batch, at::MemoryFormat format) {
  return {x.size(1), x.size(2) * x.size(3), batch * x.size(1) * x.size(2) * x.size(3),
          format == at::MemoryFormat::ChannelsLast};
}

Tensor slices(const Tensor& x, std::int64_t batch) { return x.unflatten(0, {x.size(0) / batch, batch}); }

template <class Scalar>
void combine_images(const Tensor& x, const Tensor& weight, Tensor& y, const Plane& plane) {
  const std::int64_t outputs = weight.size(1), inputs = weight.size(2) - 1;
  const Scalar *from = x.data_ptr<Scalar>(), *weights = weight.data_ptr<Scalar>();
  Scalar* to = y.data_ptr<Scalar>();
  const std::int64_t image = plane.channels * plane.pixels, table = outputs * (inputs + 1) * plane.channels;
  at::parallel_for(0, weight.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b)
      Image<Scalar>::combine(plane, weights + b * table, from + b * image, inputs, to + b * image, outputs);
  });
}

Tensor combined(const Tensor& images, const Tensor& weight) {
  const std::int64_t outputs = weight.size(0), inputs = weight.size(1) - 1, batch = weight.size(2);
  Shape sizes = images.sizes().vec();
  sizes[0] = outputs * batch;
  const at::MemoryFormat format = images.suggest_memory_format();
  const Tensor x = images.contiguous(format);
  if (!has_kernel(x)) {
    const Tensor w = weight.to(x.scalar_type()).unsqueeze(-1).unsqueeze(-1), from = slices(x, batch);
    const Tensor y = at::empty(sizes, x.options(), format);
    Tensor to = slices(y, batch);
    to.copy_(w.select(1, inputs).expand_as(to));
    for (std::int64_t j = 0; j < inputs; ++j) to.addcmul_(w.select(1, j), from.select(0, j));
    return y;
  }
  // Image by image.
  const Tensor weights = weight.permute({2, 0, 1, 3}).to(x.scalar_type()).contiguous();
  Tensor y = at::empty(sizes, x.options(), format);
  const Plane plane = plane_of(x, batch, format);
  if (x.scalar_type() == at::kFloat)
    combine_images<float>(x, weights, y, plane);
  else
    combine_images<double>(x, weights, y, plane);
  return y;
}

template <class Scalar>
void multiply_images(const Tensor& a, const Tensor& b, Tensor& out, const Plane& plane) {
  const std::int64_t left = out.size(1), right = out.size(2) - 1;
  const Scalar *p = a.data_ptr<Scalar>(), *q = b.data_ptr<Scalar>();
  double* made = out.data_ptr<double>();
  const std::int64_t image = plane.channels * plane.pixels, table = left * (right + 1) * plane.channels;
  at::parallel_for(0, out.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n)
      Image<Scalar>::products(plane, p + n * image, left, q + n * image, right, made + n * table);
  });
}

Tensor multiplied(const Tensor& left, const Tensor& right, std::int64_t batch) {
  const std::int64_t i = left.size(0) / batch, j = right.size(0) / batch, channels = right.size(1);
  if (!has_kernel(right)) {
    const Tensor a = slices(left, batch), b = slices(right, batch);
    std::vector<Tensor> entries;
    for (std::int64_t k = 0; k < i; ++k) {
      const Tensor row = a.select(0, k).to(at::kDouble);
      for (std::int64_t l = 0; l < j; ++l) entries.push_back((row * b.select(0, l)).sum({2, 3}));
      entries.push_back(row.sum({2, 3}));
    }
    return at::stack(entries).view({i, j + 1, batch, channels});
  }
  const at::MemoryFormat format = right.suggest_memory_format();
  const Tensor a = left.contiguous(format), b = right.contiguous(format);
  Tensor out = at::empty({batch, i, j + 1, channels}, b.options().dtype(at::kDouble));
  const Plane plane = plane_of(b, batch, format);
  if (b.scalar_type() == at::kFloat)
    multiply_images<float>(a, b, out, plane);
  else
    multiply_images<double>(a, b, out, plane);
  return out.permute({1, 2, 0, 3});
}

// The table that takes the other way: without shifts.
Tensor transposed(const Tensor& weight) {
  const std::int64_t inputs = weight.size(1) - 1;
  const Tensor linear = weight.narrow(1, 0, inputs).transpose(0, 1);
  return at::cat({linear, at::zeros_like(linear.narrow(1, 0, 1))}, 1);
}

struct Combine : Function<Combine> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight) {
    ctx->save_for_backward({x, weight});
    return combined(x, weight);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    return {ctx->needs_input_grad(0) ? combine_slices(grads[0], transposed(weight)) : Tensor(),
            ctx->needs_input_grad(1) ? slice_products(grads[0], x, weight.size(2)) : Tensor()};
  }
};

struct Multiply : Function<Multiply> {
  static Tensor forward(AutogradContext* ctx, const Tensor& a, const Tensor& b, std::int64_t batch) {
    ctx->save_for_backward({a, b});
    return multiplied(a, b, batch);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    return {ctx->needs_input_grad(0) ? combine_slices(saved[1], grads[0]) : Tensor(),
            ctx->needs_input_grad(1) ? combine_slices(saved[0], transposed(grads[0])) : Tensor(), Tensor()};
  }
};

}  // namespace

Tensor combine_slices(const Tensor& x, const Tensor& weight) { return Combine::apply(x, weight); }

Tensor slice_products(const Tensor& a, const Tensor& b, std::int64_t batch) {
  if (batch < 1) throw WorkError("slice_products", "there are no images");
  return Multiply::apply(a, b, batch);
}

}  // namespace gibbsite
