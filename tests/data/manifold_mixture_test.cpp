#include <gibbsite/data/density.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

struct Case {
  const char* name;
  double radius;
  std::int64_t per_axis;
};

const Case kCases[] = {{"circle-mixture", 0, 600},
                       {"sphere-mixture", 0, 160},
                       {"torus-mixture", 0, 120},
                       {"hyperbolic-mixture", 8, 160},
                       {"rotation-mixture", 0, 60}};

std::unique_ptr<Density> make(const char* name, double noise = 0) {
  return find_entry(density_table(), "data set", name, "").make(Config::table({{"noise", Config(noise)}}));
}

// The density integrates to 1 over the volume, and samples have its moments in every ambient coordinate.
TEST(ManifoldMixtures, DensitiesIntegrateAndSamplesFollow) {
  const std::int64_t n = 40000;
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const auto density = make(c.name);
    const auto manifold = manifold_of(*density);
    ASSERT_TRUE(manifold);
    const Cubature rule = manifold->cubature(c.per_axis, c.radius);
    const Tensor p = density->log_density(rule.points).exp() * rule.weights;
    EXPECT_NEAR(p.sum().item<double>(), 1, 1e-8);
    Rng rng(3, "samples");
    const Tensor x = density->sample(n, rng, torch::kDouble);
    EXPECT_LT((manifold->project(x) - x).abs().max().item<double>(), 1e-12);
    // Even functions of rotations, the coordinates themselves elsewhere; and the log density.
    const auto statistics = [&](const Tensor& t) {
      const Tensor own = manifold->antipodal() ? t.select(1, 0).unsqueeze(1) * t : t;
      return torch::cat({own, density->log_density(t).unsqueeze(1)}, 1);
    };
    const Tensor found = statistics(x), expected = (statistics(rule.points) * p.unsqueeze(1)).sum(0);
    const Tensor error = (found.mean(0) - expected) / (found.std(0) / std::sqrt(static_cast<double>(n)));
    EXPECT_LT(error.abs().max().item<double>(), 4) << error;
    EXPECT_NEAR(*density->entropy(), -expected[expected.size(0) - 1].item<double>(), 1e-6);
    // Jitter along geodesics stays on the manifold.
    Rng noisy(3, "samples");
    const Tensor y = make(c.name, 0.05)->sample(200, noisy, torch::kDouble);
    EXPECT_LT((manifold->project(y) - y).abs().max().item<double>(), 1e-12);
    EXPECT_THROW(make(c.name, 0.05)->log_density(y), RequestError);
  }
}

// The sheet's reference values (mvl.md, M3 and M4).
TEST(ManifoldMixtures, AgreeWithTheSheet) {
  const auto circle = make("circle-mixture"), sphere = make("sphere-mixture");
  EXPECT_NEAR(*circle->entropy(), 1.6173, 1e-4);
  EXPECT_NEAR(*sphere->entropy(), 1.9446, 1e-4);
  EXPECT_NEAR(-0.5 * *circle->fisher_information(), -0.5096, 1e-4);
  EXPECT_NEAR(-0.5 * *sphere->fisher_information(), -2.578, 3e-3);
  const Tensor at = torch::tensor({1.567, -2.459}, torch::kDouble);
  const Tensor p = circle->log_density(torch::stack({at.cos(), at.sin()}, 1)).exp();
  EXPECT_NEAR(p[0].item<double>(), 0.3623, 1e-4);
  EXPECT_NEAR(p[1].item<double>(), 0.0210, 1e-4);
  const Tensor log_p = sphere->log_density(manifold_of(*sphere)->cubature(400, 0).points);
  EXPECT_NEAR(log_p.max().item<double>(), -0.5549, 2e-3);
  EXPECT_NEAR(log_p.min().item<double>(), -6.108, 2e-3);
}

}  // namespace
}  // namespace gibbsite
