#include <gibbsite/data/swiss_roll.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

class SwissRoll : public Density {
 public:
  std::int64_t dimension() const override { return 2; }
  Tensor sample(std::int64_t n, Rng& rng, at::ScalarType dtype) const override {
    const Tensor t = 1.5 * M_PI * (1 + 2 * rng.uniform({n}, dtype));
    return torch::stack({t * t.cos(), t * t.sin()}, 1) / 5;
  }
  Box box() const override {
    const double reach = 4.5 * M_PI / 5;
    return {{-reach, -reach}, {reach, reach}};
  }
  double length_scale() const override { return 0; }
};

}  // namespace

std::unique_ptr<Density> make_swiss_roll(const Config& options) {
  const auto settings = read_options<SwissRollOptions>(options, "data");
  return jittered(std::make_unique<SwissRoll>(), settings.noise);
}

}  // namespace gibbsite
