#include <gibbsite/calculus/jet.h>
#include <gibbsite/core/error.h>
#include <gibbsite/nn/operations.h>
#include <gibbsite/nn/trace.h>
#include <torch/types.h>

#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace gibbsite {
namespace {

using Pointer = std::shared_ptr<const TraceNode>;

Tensor sum_of(const Tensor& a, const Tensor& b) {
  if (!a.defined()) return b;
  return b.defined() ? a + b : a;
}

template <class Map>
Tensor mapped(const Map& map, const Tensor& a) {
  return a.defined() ? map(a) : a;
}

// √a where a > 0, else 0, with the derivative 0 there and not infinite.
Tensor guarded_root(const Tensor& a) {
  const Tensor positive = a > 0;
  return torch::where(positive, torch::where(positive, a, torch::ones_like(a)).sqrt(), torch::zeros_like(a));
}

// The factors a bend with curvature `bend` adds: √bend, w real or imaginary as its sign says.
struct Factors {
  Tensor real, imaginary;
};
Factors bend_factors(const Tensor& bend, Rng& rng) {
  const Tensor w = rng.rademacher(bend.sizes(), bend);
  return {guarded_root(bend) * w, guarded_root(-bend) * w};
}

Traced made(Tensor value, std::vector<Pointer> inputs, std::function<std::vector<Adjoint>(const Adjoint&, Rng*)> pull) {
  auto node = std::make_shared<TraceNode>();
  node->inputs = std::move(inputs);
  node->pull = std::move(pull);
  return {std::move(value), std::move(node)};
}

// Inputs before what is made of them.
void order_nodes(const Pointer& node, std::unordered_set<const TraceNode*>& seen, std::vector<Pointer>& order) {
  if (!seen.insert(node.get()).second) return;
  for (const Pointer& input : node->inputs) order_nodes(input, seen, order);
  order.push_back(node);
}

Adjoint pull_back(const Traced& y, const Traced& x, const Tensor& seed, Rng* rng) {
  std::vector<Pointer> order;
  std::unordered_set<const TraceNode*> seen;
  order_nodes(y.node, seen, order);
  std::unordered_map<const TraceNode*, Adjoint> arrived;
  arrived[y.node.get()].gradient = seed;
  for (auto node = order.rbegin(); node != order.rend(); ++node) {
    if (!(*node)->pull) continue;
    const auto found = arrived.find(node->get());
    if (found == arrived.end()) continue;
    const std::vector<Adjoint> pulled = (*node)->pull(found->second, rng);
    for (std::size_t i = 0; i < pulled.size(); ++i) {
      Adjoint& at = arrived[(*node)->inputs[i].get()];
      at.gradient = sum_of(at.gradient, pulled[i].gradient);
      at.diagonal = sum_of(at.diagonal, pulled[i].diagonal);
      at.real = sum_of(at.real, pulled[i].real);
      at.imaginary = sum_of(at.imaginary, pulled[i].imaginary);
    }
  }
  return arrived[x.node.get()];
}

Tensor or_zero(const Tensor& a, const Tensor& like) { return a.defined() ? a : torch::zeros_like(like); }

Tensor same(const Tensor& a) { return a; }

// A transpose whose entries are 0 and 1.
TransposedMap pattern(const std::function<Tensor(const Tensor&)>& transpose) { return {transpose, transpose}; }

// a, [*lead, B, n] -> [*lead, B, *event].
Tensor unflattened(const Tensor& a, const Shape& event) {
  Shape sizes = a.sizes().vec();
  sizes.pop_back();
  sizes.insert(sizes.end(), event.begin(), event.end());
  return a.reshape(sizes);
}

}  // namespace

Traced start_trace(const Tensor& x) { return {x, std::make_shared<TraceNode>()}; }

Traced traced_linear(Tensor value, std::vector<Pointer> inputs, std::vector<TransposedMap> maps) {
  return made(std::move(value), std::move(inputs), [maps = std::move(maps)](const Adjoint& out, Rng*) {
    std::vector<Adjoint> pulled;
    for (const TransposedMap& map : maps)
      pulled.push_back({mapped(map.transpose, out.gradient), mapped(map.squared, out.diagonal),
                        mapped(map.transpose, out.real), mapped(map.transpose, out.imaginary)});
    return pulled;
  });
}

Traced traced_elementwise(const Traced& x, Tensor value, const Tensor& slope, const Tensor& bend) {
  return made(std::move(value), {x.node}, [slope, bend](const Adjoint& out, Rng* rng) {
    const auto scale = [&](const Tensor& a) { return a.defined() ? a * slope : a; };
    Adjoint in;
    in.gradient = scale(out.gradient);
    const Tensor own = out.gradient * bend;
    if (rng == nullptr) {
      in.diagonal = sum_of(own, out.diagonal.defined() ? out.diagonal * slope.square() : out.diagonal);
      return std::vector<Adjoint>{in};
    }
    const Factors factors = bend_factors(own, *rng);
    in.real = sum_of(factors.real, scale(out.real));
    in.imaginary = sum_of(factors.imaginary, scale(out.imaginary));
    return std::vector<Adjoint>{in};
  });
}

DiagonalCurvature approximate_backprop(const Traced& y, const Traced& x, const Tensor& seed) {
  const Adjoint at_x = pull_back(y, x, seed, nullptr);
  const Tensor gradient = or_zero(at_x.gradient, x.value);
  return {gradient, or_zero(at_x.diagonal, gradient)};
}

DiagonalCurvature curvature_propagation(const Traced& y, const Traced& x, const Tensor& seed, Rng& rng) {
  const Adjoint at_x = pull_back(y, x, seed, &rng);
  const Tensor gradient = or_zero(at_x.gradient, x.value);
  return {gradient, or_zero(at_x.real, gradient).square() - or_zero(at_x.imaginary, gradient).square()};
}

Traced lin(const Traced& x, const Tensor& weight, const Tensor& bias) {
  return traced_linear(lin(x.value, weight, bias), {x.node},
                       {{[weight](const Tensor& a) { return at::matmul(a, weight); },
                         [weight](const Tensor& a) { return at::matmul(a, weight.square()); }}});
}

Traced act(Activation kind, const Traced& x) {
  // The series of f(z + t) has the derivatives of f, differentiable in z.
  Jet jet{at::cat({x.value, torch::ones_like(x.value), torch::zeros_like(x.value)}), 2, 1};
  jet = activate(kind, jet);
  return traced_elementwise(x, jet.slice(0), jet.slice(1), jet.derivative(2));
}

Traced scaled(const Traced& x, double factor) {
  return traced_linear(x.value * factor, {x.node},
                       {{[factor](const Tensor& a) { return a * factor; },
                         [factor](const Tensor& a) { return a * (factor * factor); }}});
}

Traced scaled(const Traced& x, const Tensor& factor) {
  return traced_linear(
      x.value * factor, {x.node},
      {{[factor](const Tensor& a) { return a * factor; }, [factor](const Tensor& a) { return a * factor.square(); }}});
}

Traced flattened(const Traced& x) {
  const Shape event = event_shape(x.value);
  return traced_linear(flattened(x.value), {x.node},
                       {pattern([event](const Tensor& a) { return unflattened(a, event); })});
}

Traced concatenate(const Traced& a, const Traced& b) {
  const std::int64_t left = a.value.size(1), right = b.value.size(1);
  return traced_linear(concatenate(a.value, b.value), {a.node, b.node},
                       {pattern([=](const Tensor& t) { return t.narrow(-1, 0, left); }),
                        pattern([=](const Tensor& t) { return t.narrow(-1, left, right); })});
}

Traced columns(const Traced& x, std::int64_t first, std::int64_t count) {
  const std::int64_t after = x.value.size(1) - first - count;
  return traced_linear(x.value.narrow(1, first, count), {x.node}, {pattern([=](const Tensor& t) {
                         return at::constant_pad_nd(t, {first, after});
                       })});
}

Traced plus(const Traced& a, const Traced& b) {
  return traced_linear(a.value + b.value, {a.node, b.node}, {pattern(same), pattern(same)});
}

// The Hessian of a·b is g (0 1; 1 0) = g/2 (1, 1)(1, 1)ᵀ − g/2 (1, −1)(1, −1)ᵀ for an incoming gradient g.
Traced times(const Traced& a, const Traced& b) {
  return made(a.value * b.value, {a.node, b.node}, [a = a.value, b = b.value](const Adjoint& out, Rng* rng) {
    const auto by = [](const Tensor& t, const Tensor& factor) { return t.defined() ? t * factor : t; };
    Adjoint to_a, to_b;
    to_a.gradient = out.gradient * b;
    to_b.gradient = out.gradient * a;
    if (rng == nullptr) {
      to_a.diagonal = by(out.diagonal, b.square());
      to_b.diagonal = by(out.diagonal, a.square());
      return std::vector<Adjoint>{to_a, to_b};
    }
    // Where g < 0 the two vectors change places.
    const Tensor w = rng->rademacher(out.gradient.sizes(), out.gradient);
    const Tensor rise = guarded_root(0.5 * out.gradient) * w, fall = guarded_root(-0.5 * out.gradient) * w;
    to_a.real = sum_of(rise + fall, by(out.real, b));
    to_b.real = sum_of(rise - fall, by(out.real, a));
    to_a.imaginary = sum_of(rise + fall, by(out.imaginary, b));
    to_b.imaginary = sum_of(fall - rise, by(out.imaginary, a));
    return std::vector<Adjoint>{to_a, to_b};
  });
}

Traced squared(const Traced& a) {
  return traced_elementwise(a, a.value.square(), 2 * a.value, torch::full_like(a.value, 2));
}

Traced total(const Traced& x) {
  const Shape event = event_shape(x.value);
  return traced_linear(total(x.value), {x.node}, {pattern([event](const Tensor& a) {
                         Shape ones = a.sizes().vec(), whole = ones;
                         ones.insert(ones.end(), event.size(), 1);
                         whole.insert(whole.end(), event.begin(), event.end());
                         return a.reshape(ones).expand(whole);
                       })});
}

Traced column(const Traced& x) {
  return traced_linear(column(x.value), {x.node}, {pattern([](const Tensor& a) { return a.unsqueeze(-1); })});
}

Traced layer_norm(const Traced&, const Tensor&, const Tensor&) {
  throw RequestError("objective", "estimates of the Hessian's diagonal have no rule for layer norm",
                     "use a network without norm, or ssm");
}

Traced gaussian_kernel(const Traced& x, const Tensor& anchors, const Tensor& width) {
  const Tensor distance = x.value.square().sum(1, true) + lin(x.value, -2 * anchors, anchors.square().sum(1));
  const Tensor k = (distance / (-2 * width)).exp();
  return made(k, {x.node}, [x = x.value, anchors, width, k](const Adjoint& out, Rng* rng) {
    // Σ_m a_m (x − anchor_m) and its square.
    const auto moment = [&](const Tensor& a) { return a.sum(-1, true) * x - at::matmul(a, anchors); };
    const auto second_moment = [&](const Tensor& a) {
      return a.sum(-1, true) * x.square() - 2 * x * at::matmul(a, anchors) + at::matmul(a, anchors.square());
    };
    const Tensor a = out.gradient * k;
    Adjoint in;
    in.gradient = moment(a) / -width;
    if (rng == nullptr) {
      in.diagonal = second_moment(a) / width.square() - a.sum(-1, true) / width;
      if (out.diagonal.defined()) in.diagonal = in.diagonal + second_moment(out.diagonal * k.square()) / width.square();
      return std::vector<Adjoint>{in};
    }
    // The exponential, then the norms of all anchors, whose Hessians in x are one multiple of the identity.
    const Factors inner = bend_factors(a, *rng);
    const Tensor real = sum_of(inner.real, out.real.defined() ? out.real * k : out.real);
    const Tensor imaginary = sum_of(inner.imaginary, out.imaginary.defined() ? out.imaginary * k : out.imaginary);
    const Factors outer = bend_factors((a.sum(-1, true) / -width).expand_as(in.gradient), *rng);
    in.real = outer.real + moment(real) / -width;
    in.imaginary = outer.imaginary + moment(imaginary) / -width;
    return std::vector<Adjoint>{in};
  });
}

}  // namespace gibbsite
