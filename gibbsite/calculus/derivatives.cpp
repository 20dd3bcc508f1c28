#include <fmt/format.h>
#include <gibbsite/calculus/derivatives.h>
#include <gibbsite/core/error.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

Tensor grad(const Tensor& y, const Tensor& x, bool create_graph) {
  return torch::autograd::grad({y}, {x}, {}, true, create_graph, true)[0];
}

Tensor grad_or_zero(const Tensor& y, const Tensor& x, bool create_graph) {
  if (!y.requires_grad()) return at::zeros_like(x);
  const Tensor g = grad(y, x, create_graph);
  return g.defined() ? g : at::zeros_like(x);
}

Tensor leaf(const Tensor& x) { return x.detach().requires_grad_(true); }

Tensor row_norm(const Tensor& v) { return v.flatten(1).norm(2, 1); }

Tensor by_jet(const ScalarFunction& f, const Tensor& x, const Tensor& v, std::int64_t order) {
  if (!f.jet) throw WorkError("derivative", "this function has no jet form", "use derivative = \"autograd\"");
  return f.jet(seed_jet(x, v, order)).derivative(order);
}

Tensor by_autograd(const ScalarFunction& f, const Tensor& x, const Tensor& v, std::int64_t order, bool create_graph) {
  const at::AutoGradMode enabled(true);
  const Tensor point = leaf(x);
  Tensor value = f.value(point);
  for (std::int64_t t = 1; t <= order; ++t)
    value = sum_event(grad_or_zero(value.sum(), point, create_graph || t < order) * v);
  return value;
}

Tensor by_finite_difference(const ScalarFunction& f, const Tensor& x, const Tensor& v, std::int64_t order,
                            const FiniteDifference& difference) {
  const Stencil stencil = finite_difference_stencil(order, difference);
  const Tensor norm = row_norm(v);
  const Tensor step = scale_rows(v, difference.epsilon / norm);
  Tensor sum;
  const auto n = static_cast<std::int64_t>(stencil.points.size());
  if (difference.batched) {
    std::vector<Tensor> points;
    for (const double p : stencil.points) points.push_back(p == 0 ? x : x + p * step);
    const Tensor values = f.value(at::cat(points)).view({n, x.size(0)});
    const Tensor weights = at::tensor(stencil.weights, values.options());
    sum = (values * weights.unsqueeze(1)).sum(0);
  } else {
    for (std::int64_t i = 0; i < n; ++i) {
      const double p = stencil.points[static_cast<std::size_t>(i)];
      const Tensor term = stencil.weights[static_cast<std::size_t>(i)] * f.value(p == 0 ? x : x + p * step);
      sum = sum.defined() ? sum + term : term;
    }
  }
  return sum * (norm / difference.epsilon).pow(static_cast<double>(order));
}

// Solves Vᵀ beta = e_last for V_ij = base_i^j, i.e. Σ_i beta_i base_i^j = [j == index].
std::vector<double> vandermonde(const std::vector<double>& base, std::size_t index) {
  const auto n = static_cast<std::int64_t>(base.size());
  Tensor powers = torch::empty({n, n}, torch::kDouble), right = torch::zeros({n}, torch::kDouble);
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = 0; i < n; ++i)
      powers[j][i] = std::pow(base[static_cast<std::size_t>(i)], static_cast<double>(j));
  right[static_cast<std::int64_t>(index)] = 1.0;
  const Tensor solution = at::linalg_solve(powers, right);
  return {solution.data_ptr<double>(), solution.data_ptr<double>() + n};
}

}  // namespace

const Choices& derivative_method_names() {
  static const Choices names = {"jet", "autograd", "finite_difference"};
  return names;
}

DerivativeMethod derivative_method_from_name(const std::string& name) {
  const Choices& names = derivative_method_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) throw RequestError("", fmt::format("unknown derivative method '{}'", name));
  return static_cast<DerivativeMethod>(found - names.begin());
}

Stencil finite_difference_stencil(std::int64_t order, const FiniteDifference& difference) {
  if (order < 1) throw WorkError("finite difference", fmt::format("order is {}, expected at least 1", order));
  if (!(difference.epsilon > 0)) throw RequestError("finite difference", "epsilon must be positive");
  double factorial = 1;
  for (std::int64_t j = 2; j <= order; ++j) factorial *= static_cast<double>(j);
  std::vector<double> alpha = difference.multipliers;
  Stencil stencil;
  if (difference.one_sided) {
    if (alpha.empty())
      for (std::int64_t i = 0; i <= order; ++i) alpha.push_back(static_cast<double>(i));
    if (static_cast<std::int64_t>(alpha.size()) != order + 1)
      throw RequestError("finite difference", fmt::format("order {} needs {} multipliers", order, order + 1));
    stencil.points = alpha;
    for (const double beta : vandermonde(alpha, static_cast<std::size_t>(order)))
      stencil.weights.push_back(factorial * beta);
    return stencil;
  }
  const std::int64_t pairs = (order + 1) / 2;
  if (difference.accuracy < 2 || difference.accuracy % 2 != 0)
    throw RequestError("finite difference",
                       fmt::format("accuracy is {}, expected an even number", difference.accuracy));
  if (alpha.empty())
    for (std::int64_t k = 1; k <= pairs + difference.accuracy / 2 - 1; ++k) alpha.push_back(static_cast<double>(k));
  if (static_cast<std::int64_t>(alpha.size()) < pairs)
    throw RequestError("finite difference", fmt::format("order {} needs at least {} multipliers", order, pairs));
  std::vector<double> squares;
  for (const double a : alpha) {
    if (!(a > 0)) throw RequestError("finite difference", "multipliers must be positive");
    squares.push_back(a * a);
  }
  const std::vector<double> beta = vandermonde(squares, static_cast<std::size_t>(pairs - 1));
  const bool even = order % 2 == 0;
  double centre = 0;
  for (std::size_t k = 0; k < alpha.size(); ++k) {
    const double weight = factorial / 2 * beta[k] / (even ? squares[k] : alpha[k]);
    stencil.points.push_back(alpha[k]);
    stencil.weights.push_back(weight);
    stencil.points.push_back(-alpha[k]);
    stencil.weights.push_back(even ? weight : -weight);
    centre -= 2 * weight;
  }
  if (even) {
    stencil.points.push_back(0);
    stencil.weights.push_back(centre);
  }
  return stencil;
}

Tensor directional_derivative(const ScalarFunction& f, const Tensor& x, const Tensor& v, std::int64_t order,
                              DerivativeMethod method, bool create_graph, const FiniteDifference& difference) {
  switch (method) {
    case DerivativeMethod::kJet: return create_graph ? by_jet(f, x, v, order) : by_jet(f, x, v, order).detach();
    case DerivativeMethod::kAutograd: {
      const Tensor value = by_autograd(f, x, v, order, create_graph);
      return create_graph ? value : value.detach();
    }
    case DerivativeMethod::kFiniteDifference: return by_finite_difference(f, x, v, order, difference);
  }
  return {};
}

SecondOrder second_order(const ScalarFunction& f, const Tensor& x, const Tensor& v, DerivativeMethod method,
                         const FiniteDifference& difference) {
  if (method == DerivativeMethod::kJet) {
    if (!f.jet) throw WorkError("derivative", "this function has no jet form", "use derivative = \"autograd\"");
    const Jet jet = f.jet(seed_jet(x, v, 2));
    return {jet.slice(0), jet.slice(1), jet.derivative(2)};
  }
  if (method == DerivativeMethod::kAutograd) {
    const Tensor point = leaf(x);
    const Tensor value = f.value(point);
    const Tensor first = sum_event(grad_or_zero(value.sum(), point, true) * v);
    return {value, first, sum_event(grad_or_zero(first.sum(), point, true) * v)};
  }
  const Tensor norm = row_norm(v);
  const Tensor step = scale_rows(v, difference.epsilon / norm);
  const Tensor scale = norm / difference.epsilon;
  Tensor centre, plus, minus;
  if (difference.batched) {
    // One preallocated batch in the order x, x + step, x - step.
    const std::int64_t batch = x.size(0);
    Shape sizes = x.sizes().vec();
    sizes[0] *= 3;
    Tensor points = at::empty(sizes, x.options(), x.suggest_memory_format());
    points.narrow(0, 0, batch).copy_(x);
    points.narrow(0, batch, batch).copy_(x).add_(step);
    points.narrow(0, 2 * batch, batch).copy_(x).sub_(step);
    const Tensor values = f.value(points).view({3, batch});
    centre = values[0];
    plus = values[1];
    minus = values[2];
  } else {
    centre = f.value(x);
    plus = f.value(x + step);
    minus = f.value(x - step);
  }
  return {centre, (plus - minus) * (0.5 * scale), (plus + minus - 2 * centre) * scale.square()};
}

Tensor hessian_vector_product(const EnergyFn& f, const Tensor& x, const Tensor& v, bool create_graph) {
  const at::AutoGradMode enabled(true);
  const Tensor point = leaf(x);
  const Tensor first = sum_event(grad_or_zero(f(point).sum(), point, true) * v);
  const Tensor product = grad_or_zero(first.sum(), point, create_graph);
  return create_graph ? product : product.detach();
}

ValueGradientLaplacian laplacian(const ScalarFunction& f, const Tensor& x, bool create_graph, std::int64_t chunk) {
  const std::int64_t batch = x.size(0), d = x.numel() / std::max<std::int64_t>(batch, 1);
  if (!f.jet) {
    const at::AutoGradMode enabled(true);
    const Tensor point = leaf(x);
    const Tensor value = f.value(point);
    const Tensor gradient = grad_or_zero(value.sum(), point, true);
    const Tensor flat = gradient.flatten(1);
    Tensor trace = at::zeros_like(value);
    for (std::int64_t i = 0; i < d; ++i) {
      const Tensor column = flat.select(1, i).sum();
      const Tensor term = grad_or_zero(column, point, create_graph).flatten(1).select(1, i);
      trace = trace + (create_graph ? term : term.detach());
    }
    return create_graph ? ValueGradientLaplacian{value, gradient, trace}
                        : ValueGradientLaplacian{value.detach(), gradient.detach(), trace.detach()};
  }
  const at::AutoGradMode mode(create_graph && at::GradMode::is_enabled());
  Tensor value, trace;
  std::vector<Tensor> gradients;
  for (std::int64_t begin = 0; begin < d; begin += chunk) {
    const std::int64_t count = std::min(chunk, d - begin);
    Tensor basis = at::zeros({count, d}, x.options());
    basis.diagonal(begin).fill_(1);
    Shape sizes = x.sizes().vec();
    sizes.insert(sizes.begin(), count);
    const Tensor directions = basis.unsqueeze(1).expand({count, batch, d}).reshape(sizes);
    const Jet jet = f.jet(count == 1 ? seed_jet(x, directions[0], 2) : seed_laplacian(x, directions));
    value = jet.slice(0);
    gradients.push_back(jet.stacked().narrow(0, 1, count));
    trace = trace.defined() ? trace + jet.derivative(2) : jet.derivative(2);
  }
  return {value, at::cat(gradients).t().reshape(x.sizes()), trace};
}

}  // namespace gibbsite
