#include <gibbsite/core/error.h>
#include <gibbsite/manifold/geodesic_jet.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {

Jet seed_geodesic(const Manifold* manifold, const Tensor& x, const Tensor& v) {
  if (!manifold) return seed_jet(x, v, 2);
  return {torch::cat({x, v, 0.5 * manifold->acceleration(x, v)}), 2, 1};
}

Tensor geodesic_curvature(const ScalarFunction& f, const Manifold* manifold, const Tensor& x, const Tensor& v,
                          DerivativeMethod method) {
  if (method == DerivativeMethod::kJet) {
    if (!f.jet) throw WorkError("geodesic_curvature", "the function has no jet");
    return f.jet(seed_geodesic(manifold, x, v)).derivative(2);
  }
  if (method != DerivativeMethod::kAutograd) throw WorkError("geodesic_curvature", "only by jets or autograd");
  const torch::AutoGradMode record(true);
  const Tensor at = x.detach().requires_grad_();
  const Tensor gradient = torch::autograd::grad({f.value(at).sum()}, {at}, {}, true, true)[0];
  // Undefined where f is linear.
  const Tensor turned = torch::autograd::grad({(gradient * v).sum()}, {at}, {}, true, true, /*allow_unused=*/true)[0];
  const Tensor straight = turned.defined() ? sum_event(turned * v) : torch::zeros({x.size(0)}, x.options());
  return manifold ? straight + sum_event(gradient * manifold->acceleration(x, v)) : straight;
}

ValueGradientLaplacian laplace_beltrami(const ScalarFunction& f, const Manifold* manifold, const Tensor& x,
                                        bool create_graph) {
  if (!manifold) return laplacian(f, x, create_graph);
  const torch::AutoGradMode record(create_graph || !f.jet);
  const std::int64_t d = manifold->dimension();
  std::vector<Tensor> slices = {x.detach()};
  Tensor bend = torch::zeros_like(slices[0]);
  for (std::int64_t k = 0; k < d; ++k) {
    Tensor unit = torch::zeros({x.size(0), d}, x.options());
    unit.select(1, k).fill_(1);
    slices.push_back(manifold->lift(slices[0], unit));
    bend = bend + 0.5 * manifold->acceleration(slices[0], slices.back());
  }
  ValueGradientLaplacian result;
  if (f.jet) {
    slices.push_back(bend);
    const Jet jet = f.jet({torch::cat(slices), 2, d});
    result.value = jet.slice(0);
    std::vector<Tensor> slopes;
    for (std::int64_t k = 0; k < d; ++k) slopes.push_back(jet.slice(1 + k));
    result.gradient = manifold->lift(slices[0], torch::stack(slopes, 1));
    result.laplacian = jet.derivative(2);
    return result;
  }
  const Tensor at = x.detach().requires_grad_();
  result.value = f.value(at);
  const Tensor ambient = torch::autograd::grad({result.value.sum()}, {at}, {}, true, true)[0];
  result.gradient = manifold->gradient(slices[0], ambient);
  result.laplacian = sum_event(ambient * (2 * bend));
  for (std::int64_t k = 0; k < d; ++k) {
    const Tensor& e = slices[static_cast<std::size_t>(k) + 1];
    const Tensor turned =
        torch::autograd::grad({(ambient * e).sum()}, {at}, {}, true, create_graph, /*allow_unused=*/true)[0];
    if (turned.defined()) result.laplacian = result.laplacian + sum_event(turned * e);
  }
  if (!create_graph) return {result.value.detach(), result.gradient.detach(), result.laplacian.detach()};
  return result;
}

Tensor riemannian_loss_terms(const ScalarFunction& energy, const Manifold* manifold, const Tensor& x,
                             std::int64_t chunk) {
  std::vector<Tensor> parts;
  for (std::int64_t begin = 0; begin < x.size(0); begin += chunk) {
    const Tensor rows = x.slice(0, begin, std::min(begin + chunk, x.size(0)));
    const ValueGradientLaplacian d = laplace_beltrami(energy, manifold, rows);
    const Tensor squared = manifold ? manifold->inner(rows, d.gradient, d.gradient) : sum_event(d.gradient.square());
    parts.push_back((0.5 * squared - d.laplacian).detach().to(torch::kCPU, torch::kDouble));
  }
  return torch::cat(parts);
}

}  // namespace gibbsite
