#include <ATen/Parallel.h>
#include <gibbsite/nn/channel_norms.h>
#include <gibbsite/nn/slice_products.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace gibbsite {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// A jet along one direction (or of order 0, a tensor) is normalised by one linear combination of its slices. The table of
// that, [J, J + 1, B, C], is a function of slice_products(x, x) and of the weights γ, α, β [B, C], all in float64.
bool combines(const Jet& x) { return x.directions == 1; }

// (x - mean) factor + shift for jets of numbers per channel, [J B, C].
Tensor table_of(const Jet& mean, const Jet& factor, const Jet& shift) {
  const std::int64_t slices = mean.slices();
  const Jet offset = shift - mean * factor;
  const Tensor zero = at::zeros_like(factor.slice(0));
  std::vector<Tensor> entries;
  for (std::int64_t k = 0; k < slices; ++k) {
    for (std::int64_t i = 0; i < slices; ++i) entries.push_back(i <= k ? factor.slice(k - i) : zero);
    entries.push_back(offset.slice(k));
  }
  return at::stack(entries).view({slices, slices + 1, zero.size(0), zero.size(1)});
}

struct ChannelMoments {
  Jet mean, inverse_deviation;  // [J B, C]
};

ChannelMoments moments_of(const Tensor& products, double pixels) {
  const std::int64_t slices = products.size(0);
  const Tensor means = products / pixels;
  ChannelMoments moments;
  moments.mean = {means.select(1, slices).flatten(0, 1), slices - 1, 1};
  // Coefficient k of the mean square: the products with i + j = k.
  std::vector<Tensor> squares;
  for (std::int64_t k = 0; k < slices; ++k) {
    squares.push_back(means[0][k]);
    for (std::int64_t i = 1; i <= k; ++i) squares.back() = squares.back() + means[i][k - i];
  }
  const Jet of_means = square(moments.mean);
  // Rounding can make the variance of pixels that are all alike less than 0.
  squares[0] = at::clamp_min(squares[0] - of_means.slice(0), 0);
  for (std::int64_t k = 1; k < slices; ++k) {
    Tensor& coefficient = squares[static_cast<std::size_t>(k)];
    coefficient = coefficient - of_means.slice(k);
  }
  const Jet variance = moments.mean.with(at::cat(squares));
  moments.inverse_deviation = reciprocal(sqrt(variance + kNormEpsilon));
  return moments;
}

Jet normalised_means(const Jet& means, std::int64_t channels) {
  const Jet between = means.with(means.c - mean(means, {1}, true).c);
  const Jet spread = sum(square(between), {1}, true) * (1 / static_cast<double>(channels - 1));
  return between * reciprocal(sqrt(spread + kNormEpsilon));
}

Tensor conditional_table(const Tensor& products, const Tensor& gamma, const Tensor& alpha, const Tensor& beta,
                         double pixels) {
  const ChannelMoments moments = moments_of(products, pixels);
  return table_of(moments.mean, moments.inverse_deviation * gamma,
                  normalised_means(moments.mean, gamma.size(1)) * (gamma * alpha) + beta);
}

// The same written out for jets of order 0 and 1, one image at a time, and its reverse pass; names are those of series:
// mean, variance (with ε), factor, between, spread (with ε) and its inverse root.
class ImageTable {
 public:
  ImageTable(std::int64_t slices, std::int64_t channels, double pixels)
      : slices_(slices),
        channels_(channels),
        pixels_(pixels),
        m_(2 * channels),
        v_(2 * channels),
        d_(2 * channels),
        rounded_(channels) {}

  // `plane`: how far apart entries of a table are.
  void forward(const double* products, std::int64_t plane, const double* gamma, const double* alpha, const double* beta,
               double* table) {
    moments(products, plane);
    for (std::int64_t c = 0; c < channels_; ++c) {
      const Factor f = factor(c, gamma[c]);
      const double k = gamma[c] * alpha[c];
      entry(table, plane, 0, 0)[c] = f.value;
      entry(table, plane, 0, slices_)[c] = k * d(0)[c] * root_ + beta[c] - f.value * m(0)[c];
      if (slices_ == 1) continue;
      entry(table, plane, 0, 1)[c] = 0;
      entry(table, plane, 1, 0)[c] = f.slope;
      entry(table, plane, 1, 1)[c] = f.value;
      entry(table, plane, 1, 2)[c] =
          k * (d(1)[c] * root_ + d(0)[c] * root_slope_) - f.value * m(1)[c] - f.slope * m(0)[c];
    }
  }

  // g: gradient in the table. Gradients in products, γ, α and β are written.
  void backward(const double* g, const double* products, std::int64_t plane, const double* gamma, const double* alpha,
                double* of_products, double* of_gamma, double* of_alpha, double* of_beta) {
    moments(products, plane);
    const bool first_order = slices_ == 2;
    const double share = 1 / static_cast<double>(channels_ - 1);
    std::vector<double> of_m(2 * channels_), of_d(2 * channels_);
    double *gm0 = of_m.data(), *gm1 = gm0 + channels_, *gd0 = of_d.data(), *gd1 = gd0 + channels_;
    double of_root = 0, of_root_slope = 0;
    for (std::int64_t c = 0; c < channels_; ++c) {
      const Factor f = factor(c, gamma[c]);
      const double m0 = m(0)[c], m1 = m(1)[c], d0 = d(0)[c], d1 = d(1)[c], k = gamma[c] * alpha[c];
      const double go0 = entry(g, plane, 0, slices_)[c], go1 = first_order ? entry(g, plane, 1, 2)[c] : 0;
      double gf0 = entry(g, plane, 0, 0)[c] - go0 * m0 - go1 * m1, gf1 = -go1 * m0;
      if (first_order) {
        gf0 += entry(g, plane, 1, 1)[c];
        gf1 += entry(g, plane, 1, 0)[c];
      }
      gm0[c] = -go0 * f.value - go1 * f.slope;
      gm1[c] = -go1 * f.value;
      // The share of the normalised means.
      gd0[c] = k * (go0 * root_ + go1 * root_slope_);
      gd1[c] = k * go1 * root_;
      of_root += k * (go0 * d0 + go1 * d1);
      of_root_slope += k * go1 * d0;
      const double gk = go0 * d0 * root_ + go1 * (d1 * root_ + d0 * root_slope_);
      of_beta[c] = go0;
      of_alpha[c] = gk * gamma[c];
      // factor = γ variance^(-1/2), its slope -γ/2 variance^(-3/2) variance'.
      const double v1 = v(1)[c], r = f.inverse_root, r3 = r * r * r;
      of_gamma[c] = gk * alpha[c] + gf0 * r - 0.5 * gf1 * r3 * v1;
      const double gr = gamma[c] * (gf0 - 1.5 * gf1 * r * r * v1);
      const double gv0 = rounded_[static_cast<std::size_t>(c)] ? 0 : -0.5 * r3 * gr, gv1 = -0.5 * gf1 * gamma[c] * r3;
      gm0[c] -= 2 * (m0 * gv0 + m1 * gv1);
      gm1[c] -= 2 * m0 * gv1;
      entry(of_products, plane, 0, 0)[c] = gv0 / pixels_;
      if (first_order) {
        entry(of_products, plane, 0, 1)[c] = entry(of_products, plane, 1, 0)[c] = gv1 / pixels_;
        entry(of_products, plane, 1, 1)[c] = 0;
      }
    }
    const double root3 = root_ * root_ * root_;
    of_root -= 1.5 * root_ * root_ * spread_slope_ * of_root_slope;
    const double of_spread = -0.5 * root3 * of_root, of_spread_slope = -0.5 * root3 * of_root_slope;
    double sum0 = 0, sum1 = 0;
    for (std::int64_t c = 0; c < channels_; ++c) {
      gd0[c] += 2 * share * (of_spread * d(0)[c] + of_spread_slope * d(1)[c]);
      gd1[c] += 2 * share * of_spread_slope * d(0)[c];
      sum0 += gd0[c];
      sum1 += gd1[c];
    }
    const double count = static_cast<double>(channels_);
    for (std::int64_t c = 0; c < channels_; ++c) {
      entry(of_products, plane, 0, slices_)[c] = (gm0[c] + gd0[c] - sum0 / count) / pixels_;
      if (first_order) entry(of_products, plane, 1, 2)[c] = (gm1[c] + gd1[c] - sum1 / count) / pixels_;
    }
  }

 private:
  struct Factor {
    double inverse_root, value, slope;
  };

  std::int64_t slices_, channels_;
  double pixels_;
  std::vector<double> m_, v_, d_;
  std::vector<char> rounded_;  // whether the variance was less than 0
  double root_ = 0, root_slope_ = 0, spread_slope_ = 0;

  template <class T>
  T* entry(T* table, std::int64_t plane, std::int64_t i, std::int64_t j) const {
    return table + (i * (slices_ + 1) + j) * plane;
  }
  double* m(std::int64_t k) { return m_.data() + k * channels_; }
  double* v(std::int64_t k) { return v_.data() + k * channels_; }
  double* d(std::int64_t k) { return d_.data() + k * channels_; }

  Factor factor(std::int64_t c, double gamma) {
    const double r = 1 / std::sqrt(v(0)[c]);
    return {r, gamma * r, -0.5 * gamma * r * r * r * v(1)[c]};
  }

  void moments(const double* products, std::int64_t plane) {
    double centre[2] = {0, 0};
    for (std::int64_t k = 0; k < slices_; ++k) {
      const double* sums = entry(products, plane, k, slices_);
      for (std::int64_t c = 0; c < channels_; ++c) {
        m(k)[c] = sums[c] / pixels_;
        centre[k] += m(k)[c] / static_cast<double>(channels_);
      }
    }
    double spread = 0;
    spread_slope_ = 0;
    for (std::int64_t c = 0; c < channels_; ++c) {
      const double variance = entry(products, plane, 0, 0)[c] / pixels_ - m(0)[c] * m(0)[c];
      v(0)[c] = std::max(variance, 0.0) + kNormEpsilon;
      rounded_[static_cast<std::size_t>(c)] = variance < 0;
      if (slices_ == 2)
        v(1)[c] = (entry(products, plane, 0, 1)[c] + entry(products, plane, 1, 0)[c]) / pixels_ - 2 * m(0)[c] * m(1)[c];
      d(0)[c] = m(0)[c] - centre[0];
      d(1)[c] = m(1)[c] - centre[1];
      spread += d(0)[c] * d(0)[c];
      spread_slope_ += 2 * d(0)[c] * d(1)[c];
    }
    const double share = 1 / static_cast<double>(channels_ - 1);
    spread_slope_ *= share;
    root_ = 1 / std::sqrt(spread * share + kNormEpsilon);
    root_slope_ = -0.5 * root_ * root_ * root_ * spread_slope_;
  }
};

// conditional_table in one node, where it has been written out.
struct ConditionalTable : Function<ConditionalTable> {
  static Tensor forward(AutogradContext* ctx, const Tensor& products, const Tensor& gamma, const Tensor& alpha,
                        const Tensor& beta, double pixels) {
    ctx->saved_data["pixels"] = pixels;
    ctx->save_for_backward({products, gamma, alpha, beta});
    const Tensor from = products.contiguous(), g = gamma.contiguous(), a = alpha.contiguous(), b = beta.contiguous();
    Tensor table = at::empty_like(from);
    const std::int64_t batch = g.size(0), channels = g.size(1), plane = batch * channels;
    ImageTable image(products.size(0), channels, pixels);
    for (std::int64_t n = 0; n < plane; n += channels)
      image.forward(from.data_ptr<double>() + n, plane, g.data_ptr<double>() + n, a.data_ptr<double>() + n,
                    b.data_ptr<double>() + n, table.data_ptr<double>() + n);
    return table;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const double pixels = ctx->saved_data["pixels"].toDouble();
    if (at::GradMode::is_enabled()) {
      variable_list inputs;
      for (std::size_t i = 0; i < saved.size(); ++i)
        if (ctx->needs_input_grad(i)) inputs.push_back(saved[i]);
      const Tensor table = conditional_table(saved[0], saved[1], saved[2], saved[3], pixels);
      const variable_list made =
          torch::autograd::grad({table}, inputs, {grads[0]}, /*retain_graph=*/true, /*create_graph=*/true);
      variable_list gradients(saved.size() + 1);
      for (std::size_t i = 0, next = 0; i < saved.size(); ++i)
        if (ctx->needs_input_grad(i)) gradients[i] = made[next++];
      return gradients;
    }
    const Tensor from = saved[0].contiguous(), g = saved[1].contiguous(), a = saved[2].contiguous(),
                 of_table = grads[0].contiguous();
    Tensor of_products = at::empty_like(from), of_gamma = at::empty_like(g), of_alpha = at::empty_like(g),
           of_beta = at::empty_like(g);
    const std::int64_t batch = g.size(0), channels = g.size(1), plane = batch * channels;
    ImageTable image(from.size(0), channels, pixels);
    for (std::int64_t n = 0; n < plane; n += channels)
      image.backward(of_table.data_ptr<double>() + n, from.data_ptr<double>() + n, plane, g.data_ptr<double>() + n,
                     a.data_ptr<double>() + n, of_products.data_ptr<double>() + n, of_gamma.data_ptr<double>() + n,
                     of_alpha.data_ptr<double>() + n, of_beta.data_ptr<double>() + n);
    return {of_products, of_gamma, of_alpha, of_beta, Tensor()};
  }
};

double pixels_of(const Jet& x) { return static_cast<double>(x.c.size(2) * x.c.size(3)); }

// [B or 1, C, 1, 1] -> float64 [B, C].
Tensor per_image(const Tensor& weight, const Jet& x) {
  return weight.flatten(1).to(at::kDouble).expand({x.batch(), x.c.size(1)});
}

// A jet along several directions at once goes through the definitions.
ChannelMoments many_moments(const Jet& x) {
  const Jet means = mean(x, {2, 3}, true), centred = x.with(x.c - means.c);
  return {means, reciprocal(sqrt(mean(square(centred), {2, 3}, true) + kNormEpsilon))};
}

Jet many_normalised(const Jet& x, const Jet& means, const Jet& factor) { return x.with(x.c - means.c) * factor; }

}  // namespace

Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return instance_norm(Jet{x, 0, 1}, weight, bias).c;
}
Jet instance_norm(const Jet& x, const Tensor& weight, const Tensor& bias) {
  if (x.batch() == 0) return x;
  if (combines(x)) {
    ChannelMoments moments = moments_of(slice_products(x.c, x.c, x.batch()), pixels_of(x));
    Jet shift = moments.mean * 0;
    if (weight.defined()) {
      moments.inverse_deviation = moments.inverse_deviation * weight;
      shift = shift + bias;
    }
    return x.with(combine_slices(x.c, table_of(moments.mean, moments.inverse_deviation, shift)));
  }
  const ChannelMoments moments = many_moments(x);
  const Jet normal = many_normalised(x, moments.mean, moments.inverse_deviation);
  return weight.defined() ? normal * weight.view({-1, 1, 1}) + bias.view({-1, 1, 1}) : normal;
}
Stock instance_norm(const Stock& x, const Tensor& weight, const Tensor& bias) {
  return {at::instance_norm(x.t, weight, bias, Tensor(), Tensor(), true, 0, kNormEpsilon, false)};
}

Tensor conditional_instance_norm(const Tensor& x, const Tensor& gamma, const Tensor& alpha, const Tensor& beta) {
  return conditional_instance_norm(Jet{x, 0, 1}, gamma, alpha, beta).c;
}
Jet conditional_instance_norm(const Jet& x, const Tensor& gamma, const Tensor& alpha, const Tensor& beta) {
  if (x.batch() == 0) return x;
  if (combines(x)) {
    const Tensor products = slice_products(x.c, x.c, x.batch());
    const Tensor g = per_image(gamma, x), a = per_image(alpha, x), b = per_image(beta, x);
    const bool written_out = x.slices() <= 2 && products.device().is_cpu();
    return x.with(combine_slices(x.c, written_out ? ConditionalTable::apply(products, g, a, b, pixels_of(x))
                                                  : conditional_table(products, g, a, b, pixels_of(x))));
  }
  const ChannelMoments moments = many_moments(x);
  const Jet shift = normalised_means(moments.mean, x.c.size(1)) * (gamma * alpha) + beta;
  const Jet product = many_normalised(x, moments.mean, moments.inverse_deviation * gamma);
  return product.with(product.c + shift.c);
}
Stock conditional_instance_norm(const Stock& x, const Tensor& gamma, const Tensor& alpha, const Tensor& beta) {
  const Tensor h = at::instance_norm(x.t, Tensor(), Tensor(), Tensor(), Tensor(), true, 0, kNormEpsilon, false);
  const Tensor mean = x.t.mean({2, 3}, true);
  const Tensor between = (mean - mean.mean(1, true)) / (mean.var(1, true, true) + kNormEpsilon).sqrt();
  return {gamma * (h + alpha * between) + beta};
}

}  // namespace gibbsite
