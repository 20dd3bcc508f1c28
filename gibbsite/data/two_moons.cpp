#include <gibbsite/data/two_moons.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

class TwoMoons : public Density {
 public:
  std::int64_t dimension() const override { return 2; }
  Tensor sample(std::int64_t n, Rng& rng, at::ScalarType dtype) const override {
    const Tensor u = rng.uniform({n, 2}, dtype);
    const Tensor upper = u.select(1, 0) > 0.5;
    const Tensor angle = M_PI * u.select(1, 1);
    return torch::stack(
        {torch::where(upper, angle.cos(), 1 - angle.cos()), torch::where(upper, angle.sin(), 0.5 - angle.sin())}, 1);
  }
  Box box() const override { return {{-1, -0.5}, {2, 1}}; }
  double length_scale() const override { return 0; }
};

}  // namespace

std::unique_ptr<Density> make_two_moons(const Config& options) {
  const auto settings = read_options<TwoMoonsOptions>(options, "data");
  return jittered(std::make_unique<TwoMoons>(), settings.noise);
}

}  // namespace gibbsite
