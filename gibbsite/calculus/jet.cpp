#include <fmt/format.h>
#include <gibbsite/calculus/jet.h>
#include <gibbsite/core/error.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

using Series = std::vector<Tensor>;  // coefficients, each [B, ...]

Series series_of(const Jet& a) {
  if (a.slices() == 1) return {a.c};
  Series coefficients;
  for (std::int64_t k = 0; k <= a.order; ++k) coefficients.push_back(a.slice(k));
  return coefficients;
}

Jet jet_of(const Series& coefficients) {
  if (coefficients.size() == 1) return {coefficients[0], 0, 1};
  return {at::cat(coefficients), static_cast<std::int64_t>(coefficients.size()) - 1, 1};
}

// Coefficient k of the product of two series.
Tensor convolve(const Series& a, const Series& b, std::int64_t k, std::int64_t first = 0) {
  Tensor sum;
  for (std::int64_t j = first; j <= k - first; ++j) {
    const Tensor term = a[static_cast<std::size_t>(j)] * b[static_cast<std::size_t>(k - j)];
    sum = sum.defined() ? sum + term : term;
  }
  return sum;
}

// Coefficient k of the integral of w a': (1/k) Σ_{j=1..k} j a_j w_{k-j}.
Tensor integrate(const Series& a, const Series& w, std::int64_t k) {
  Tensor sum;
  for (std::int64_t j = 1; j <= k; ++j) {
    const Tensor term = (static_cast<double>(j) / static_cast<double>(k)) * a[static_cast<std::size_t>(j)] *
                        w[static_cast<std::size_t>(k - j)];
    sum = sum.defined() ? sum + term : term;
  }
  return sum;
}

Series exp_series(const Series& a) {
  Series e = {a[0].exp()};
  for (std::size_t k = 1; k < a.size(); ++k) e.push_back(integrate(a, e, static_cast<std::int64_t>(k)));
  return e;
}

Series log_series(const Series& a) {
  Series l = {a[0].log()};
  for (std::size_t k = 1; k < a.size(); ++k) {
    Tensor numerator = a[k];
    for (std::size_t j = 1; j < k; ++j)
      numerator = numerator - (static_cast<double>(j) / static_cast<double>(k)) * l[j] * a[k - j];
    l.push_back(numerator / a[0]);
  }
  return l;
}

Series sqrt_series(const Series& a) {
  Series r = {a[0].sqrt()};
  for (std::size_t k = 1; k < a.size(); ++k) {
    const Tensor inner = convolve(r, r, static_cast<std::int64_t>(k), 1);
    r.push_back((inner.defined() ? a[k] - inner : a[k]) / (2 * r[0]));
  }
  return r;
}

Series reciprocal_series(const Series& a) {
  Series q = {a[0].reciprocal()};
  for (std::size_t k = 1; k < a.size(); ++k) {
    Tensor sum;
    for (std::size_t j = 1; j <= k; ++j) sum = sum.defined() ? sum + a[j] * q[k - j] : a[j] * q[k - j];
    q.push_back(-sum * q[0]);
  }
  return q;
}

// sine and cosine together: s' = c a', c' = -s a'.
std::pair<Series, Series> sincos_series(const Series& a) {
  Series s = {a[0].sin()}, c = {a[0].cos()};
  for (std::size_t k = 1; k < a.size(); ++k) {
    const Tensor next_s = integrate(a, c, static_cast<std::int64_t>(k));
    const Tensor next_c = -integrate(a, s, static_cast<std::int64_t>(k));
    s.push_back(next_s);
    c.push_back(next_c);
  }
  return {s, c};
}

// y' = slope(y) a' with slope quadratic in y: sigmoid has y - y², tanh has 1 - y².
Series logistic_series(const Series& a, Tensor y0, double constant, double linear) {
  Series y = {std::move(y0)}, slope;
  for (std::size_t k = 0; k + 1 < a.size(); ++k) {
    Tensor w = -convolve(y, y, static_cast<std::int64_t>(k));
    if (linear != 0) w = w + linear * y[k];
    if (k == 0 && constant != 0) w = w + constant;
    slope.push_back(w);
    y.push_back(integrate(a, slope, static_cast<std::int64_t>(k) + 1));
  }
  return y;
}

Series sigmoid_series(const Series& a) { return logistic_series(a, a[0].sigmoid(), 0, 1); }
Series tanh_series(const Series& a) { return logistic_series(a, a[0].tanh(), 1, 0); }

// log(1 + exp a) without overflow and differentiable to any order (LibTorch's softplus switches to the identity at 20).
Tensor softplus_value(const Tensor& a) { return at::log1p(at::exp(-a.abs())) + a.clamp_min(0); }

Series softplus_series(const Series& a) {
  const Series s = sigmoid_series(a);
  Series p = {softplus_value(a[0])};
  for (std::size_t k = 1; k < a.size(); ++k) p.push_back(integrate(a, s, static_cast<std::int64_t>(k)));
  return p;
}

Series product_series(const Series& a, const Series& b) {
  Series product;
  for (std::size_t k = 0; k < a.size(); ++k) product.push_back(convolve(a, b, static_cast<std::int64_t>(k)));
  return product;
}

Series silu_series(const Series& a) { return product_series(a, sigmoid_series(a)); }

Series elu_series(const Series& a) {
  const Tensor positive = a[0] > 0;
  Series shifted = a;
  shifted[0] = a[0].clamp_max(0);  // keeps exp finite where it is not used
  Series e = exp_series(shifted);
  e[0] = at::expm1(shifted[0]);
  for (std::size_t k = 0; k < a.size(); ++k) e[k] = at::where(positive, a[k], e[k]);
  return e;
}

// Applies a univariate series rule. For several directions the rule runs once on the series z + t, which gives f, f' and
// f''/2, and the chain rule does the rest.
template <class Rule>
Jet elementwise(const Jet& a, Rule rule) {
  if (a.directions == 1) return jet_of(rule(series_of(a)));
  const Tensor z = a.slice(0);
  const Series f = rule(Series{z, at::ones_like(z), at::zeros_like(z)});
  const Tensor tangents = a.stacked().narrow(0, 1, a.directions);
  const Tensor first = (tangents * f[1]).flatten(0, 1);
  const Tensor second = f[1] * a.slice(1 + a.directions) + f[2] * tangents.square().sum(0);
  return a.with(at::cat({f[0], first, second}));
}

void require_same_kind(const Jet& a, const Jet& b) {
  if (a.order != b.order || a.directions != b.directions)
    throw WorkError("jet", fmt::format("orders {} and {} with {} and {} directions do not combine", a.order, b.order,
                                       a.directions, b.directions));
}

// Dimensions of one slice as dimensions of the stacked view.
Shape shifted(const Jet& a, at::IntArrayRef dimensions) {
  Shape out;
  for (const std::int64_t d : dimensions) {
    const std::int64_t positive = d < 0 ? d + a.c.dim() : d;
    if (positive <= 0) throw WorkError("jet", "a reduction may not run over the batch");
    out.push_back(positive);
  }
  return out;
}

template <class Constant>
Jet with_constant(const Jet& a, const Constant& constant) {
  if (a.slices() == 1) return a.with(a.c + constant);
  const std::int64_t batch = a.batch();
  return a.with(at::cat({a.slice(0) + constant, a.c.narrow(0, batch, a.c.size(0) - batch)}));
}

}  // namespace

Tensor Jet::stacked() const {
  Shape sizes = c.sizes().vec();
  sizes[0] = batch();
  sizes.insert(sizes.begin(), slices());
  return c.reshape(sizes);
}

Tensor Jet::derivative(std::int64_t k) const {
  if (k < 0 || k > order) throw WorkError("jet", fmt::format("order {} has no derivative {}", order, k));
  double factorial = 1;
  for (std::int64_t j = 2; j <= k; ++j) factorial *= static_cast<double>(j);
  if (directions > 1 && k == 1) return stacked().narrow(0, 1, directions);
  const Tensor coefficient = slice(k == 0 ? 0 : k + directions - 1);
  return factorial == 1 ? coefficient : coefficient * factorial;
}

Jet seed_jet(const Tensor& x, const Tensor& v, std::int64_t order) {
  if (order < 1) throw WorkError("jet", fmt::format("order is {}, expected at least 1", order));
  Shape sizes = x.sizes().vec();
  sizes[0] *= order + 1;
  if (x.requires_grad() || v.requires_grad()) {
    Series coefficients = {x, v};
    while (static_cast<std::int64_t>(coefficients.size()) <= order) coefficients.push_back(at::zeros_like(x));
    return {at::cat(coefficients), order, 1};
  }
  Tensor c = at::empty(sizes, x.options(), x.suggest_memory_format());
  const std::int64_t batch = x.size(0);
  c.narrow(0, 0, batch).copy_(x);
  c.narrow(0, batch, batch).copy_(v);
  c.narrow(0, 2 * batch, (order - 1) * batch).zero_();
  return {c, order, 1};
}

Jet seed_laplacian(const Tensor& x, const Tensor& v) {
  return {at::cat({x, v.flatten(0, 1), at::zeros_like(x)}), 2, v.size(0)};
}

Jet constant_jet(const Tensor& x, const Jet& like) {
  Shape sizes = x.sizes().vec();
  sizes[0] *= like.slices() - 1;
  return like.with(at::cat({x, at::zeros(sizes, x.options())}));
}

Jet operator+(const Jet& a, const Jet& b) {
  require_same_kind(a, b);
  return a.with(a.c + b.c);
}
Jet operator-(const Jet& a, const Jet& b) {
  require_same_kind(a, b);
  return a.with(a.c - b.c);
}
Jet operator-(const Jet& a) { return a.with(-a.c); }
Jet operator*(const Jet& a, double factor) { return a.with(a.c * factor); }
Jet operator+(const Jet& a, const Tensor& constant) { return with_constant(a, constant); }
Jet operator+(const Jet& a, double constant) { return with_constant(a, constant); }
Jet operator*(const Jet& a, const Tensor& constant) {
  return a.with(a.slices() == 1 ? a.c * constant : (a.stacked() * constant).flatten(0, 1));
}

Jet sum(const Jet& a, at::IntArrayRef dimensions, bool keep) { return a.with(a.c.sum(shifted(a, dimensions), keep)); }
Jet mean(const Jet& a, at::IntArrayRef dimensions, bool keep) { return a.with(a.c.mean(shifted(a, dimensions), keep)); }

Jet operator*(const Jet& a, const Jet& b) {
  require_same_kind(a, b);
  if (a.directions == 1) {
    // A jet of one kind may broadcast against another (a mean that kept its dimensions, say).
    return jet_of(product_series(series_of(a), series_of(b)));
  }
  const std::int64_t d = a.directions;
  const Tensor a0 = a.slice(0), b0 = b.slice(0), a1 = a.stacked().narrow(0, 1, d), b1 = b.stacked().narrow(0, 1, d);
  return a.with(at::cat(
      {a0 * b0, (a0 * b1 + a1 * b0).flatten(0, 1), a0 * b.slice(1 + d) + a.slice(1 + d) * b0 + (a1 * b1).sum(0)}));
}

Jet square(const Jet& a) { return a * a; }
Jet reciprocal(const Jet& a) { return elementwise(a, reciprocal_series); }
Jet exp(const Jet& a) { return elementwise(a, exp_series); }
Jet log(const Jet& a) { return elementwise(a, log_series); }
Jet sqrt(const Jet& a) { return elementwise(a, sqrt_series); }
Jet sin(const Jet& a) {
  return elementwise(a, [](const Series& s) { return sincos_series(s).first; });
}
Jet cos(const Jet& a) {
  return elementwise(a, [](const Series& s) { return sincos_series(s).second; });
}
Jet sigmoid(const Jet& a) { return elementwise(a, sigmoid_series); }
Jet tanh(const Jet& a) { return elementwise(a, tanh_series); }
Jet softplus(const Jet& a) { return elementwise(a, softplus_series); }
Jet silu(const Jet& a) { return elementwise(a, silu_series); }
Jet elu(const Jet& a) { return elementwise(a, elu_series); }

Jet logsumexp(const Jet& a, std::int64_t dimension, bool keep) {
  const Shape d = shifted(a, {dimension});
  const Tensor largest = a.slice(0).detach().amax(d, true);
  const Jet log_sum = log(sum(exp(a + (-largest)), d, true)) + largest;
  return keep ? log_sum : log_sum.with(log_sum.c.squeeze(d[0]));
}

}  // namespace gibbsite
