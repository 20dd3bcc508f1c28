#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/manifold/manifold.h>
#include <torch/types.h>

namespace gibbsite {

Tensor Manifold::project(const Tensor& x) const {
  if (x.dim() != 2 || x.size(1) != ambient())
    throw WorkError("manifold", fmt::format("expected points of {} coordinates, got a tensor of {} dimensions and {} "
                                            "columns",
                                            ambient(), x.dim(), x.dim() > 1 ? x.size(1) : 0));
  const torch::NoGradGuard no_graph;
  const Tensor y = nearest(x.detach());
  const Tensor scale = std::isfinite(volume()) ? torch::ones({}, x.options()) : y.abs().amax(1).clamp_min(1);
  // A comparison that is false for what is not a number.
  const Tensor good = ((y - x).abs().amax(1) / scale).le(1e-3);
  if (!good.all().item<bool>()) {
    const auto row = good.logical_not().to(torch::kLong).argmax().item<std::int64_t>();
    throw WorkError("manifold",
                    fmt::format("row {} is {:.3g} from the manifold, more than 1e-3", row,
                                ((y - x).abs().amax(1) / scale)[row].item<double>()),
                    "points are given in ambient coordinates");
  }
  return y;
}

Tensor Manifold::inner(const Tensor& /*x*/, const Tensor& u, const Tensor& v) const { return (u * v).sum(1); }

Tensor Manifold::tangent_noise(const Tensor& x, Rng& rng) const {
  const torch::NoGradGuard no_graph;
  const Tensor at = x.detach();
  return lift(at, rng.normal({x.size(0), dimension()}, at));
}

Tensor sample_wrapped_normal(const Manifold& manifold, const Tensor& mean, double deviation, Rng& rng) {
  return manifold.exp(mean, deviation * manifold.tangent_noise(mean, rng));
}

Tensor rows_like(const Tensor& x, const Tensor& like) { return x.expand({like.size(0), x.size(1)}); }

}  // namespace gibbsite
