// A manifold of one's own: the circle of radius r in the plane. Riemannian Langevin dynamics of E(x) = -x₀ on it is the von
// Mises law with concentration r, for which E cos φ = I₁(r)/I₀(r). Exits with 1 unless the chains agree.
#include <gibbsite/core/error.h>
#include <gibbsite/manifold/manifold.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/langevin.h>
#include <torch/types.h>
#include <cmath>
#include <cstdio>

using namespace gibbsite;
class Circle : public Manifold {
 public:
  explicit Circle(double radius) : r(radius) {}
  std::int64_t dimension() const override { return 1; }
  std::int64_t ambient() const override { return 2; }
  double volume() const override { return turn * r; }
  double injectivity_radius() const override { return turn / 2 * r; }
  Tensor nearest(const Tensor& x) const override { return x * (r / x.norm(2, 1, true)); }
  Tensor project_tangent(const Tensor& x, const Tensor& v) const override { return lift(x, lower(x, v)); }
  Tensor lift(const Tensor& x, const Tensor& c) const override { return unit(x) * c; }
  Tensor lower(const Tensor& x, const Tensor& v) const override { return (unit(x) * v).sum(1, true); }
  Geodesic flow(const Tensor& x, const Tensor& v) const override {
    const Tensor c = lower(x, v), u = unit(x), cos = (c / r).cos(), sin = (c / r).sin();
    return {x * cos + u * (r * sin), (u * cos - x * (sin / r)) * c};
  }
  Tensor log(const Tensor& x, const Tensor& y) const override { return lift(x, r * angle(x, y)); }
  Tensor distance(const Tensor& x, const Tensor& y) const override { return r * angle(x, y).abs().squeeze(1); }
  Tensor acceleration(const Tensor& x, const Tensor& v) const override { return -x * (v / r).square().sum(1, true); }
  Tensor log_volume_factor(const Tensor& x, const Tensor&) const override { return torch::zeros_like(x.select(1, 0)); }
  Tensor log_wrapped_normal(const Tensor& mean, const Tensor& x, double deviation) const override {
    const Tensor ways = r * (angle(mean.expand_as(x), x) + turn * torch::arange(-20, 21, x.options()));
    return (-0.5 * (ways / deviation).square()).logsumexp(1) - std::log(deviation * std::sqrt(turn));
  }
  Tensor origin(const Tensor& like) const override { return at(torch::zeros({1}, like.options())); }
  Tensor sample(std::int64_t n, Rng& g, const Tensor& like) const override { return at(turn * g.uniform({n}, like)); }
  Cubature cubature(std::int64_t, double) const override { throw RequestError("cubature", "this circle has no rule"); }

 private:
  const double turn = 6.283185307179586;
  double r;
  Tensor at(const Tensor& angle) const { return r * torch::stack({angle.cos(), angle.sin()}, 1); }
  Tensor unit(const Tensor& x) const { return torch::stack({-x.select(1, 1), x.select(1, 0)}, 1) / r; }
  Tensor angle(const Tensor& x, const Tensor& y) const { return at::atan2(lower(x, y), (x * y).sum(1, true) / r); }
};

int main() {
  Target target;
  target.manifold = std::make_shared<Circle>(2);
  target.energy = [](const Tensor& x) { return -x.select(1, 0); };
  LangevinOptions langevin;
  langevin.step_size = 0.05;
  Rng rng(1, "example");
  const Tensor start = target.manifold->sample(4000, rng, torch::empty({0}, torch::kDouble));
  const ChainResult result = run_chain(std::make_shared<Langevin>(langevin), target, start, rng.stream("chain"), {});
  const double found = result.last.x.select(1, 0).mean().item<double>() / 2, expected = 0.69777;
  std::printf("mean cosine %.3f, expected %.3f\n", found, expected);
  return std::abs(found - expected) < 0.03 ? 0 : 1;
}
