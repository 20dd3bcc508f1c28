#include <gibbsite/core/error.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/langevin.h>
#include <sampler/gaussians.h>
#include <torch/csrc/autograd/autograd.h>

namespace gibbsite {
namespace {

using testing::kFloat64;
using testing::quartic;

// For U = ½xᵀAx the chain is x' = (I − ηA/2)x + √η ω. A stationary covariance Σ commutes with A and satisfies
// Σ = (I − ηA/2)Σ(I − ηA/2) + ηI, so Σ(ηA − η²A²/4) = ηI and Σ = (A − ηA²/4)⁻¹, which is not A⁻¹.
TEST(Langevin, LeavesItsOwnStationaryLaw) {
  for (const std::int64_t d : {2, 3, 5}) {
    const Tensor a = testing::precision_matrix(d), mean = torch::linspace(-1, 1, d, kFloat64);
    LangevinOptions options;
    options.step_size = 0.8 / torch::linalg_eigvalsh(a).max().item<double>();
    const Tensor own = torch::linalg_inv(a - a.mm(a) * (options.step_size / 4));
    ChainOptions run;
    run.steps = 150;
    const auto result = run_chain(std::make_shared<Langevin>(options), testing::gaussian(a, mean),
                                  torch::zeros({20000, d}, kFloat64), Rng(11, "langevin"), run);
    testing::expect_moments(result.last.x, mean, own, "langevin");
    // The comparison can tell this law from the target's: the largest eigenvalue is off by a quarter.
    const Tensor along = std::get<1>(torch::linalg_eigh(a)).select(1, d - 1);
    const double variance = (result.last.x - mean).mv(along).var().item<double>();
    const double wrong = 1 / torch::linalg_eigvalsh(a).max().item<double>();
    EXPECT_GT(variance / wrong - 1, 10 * std::sqrt(2.0 / 20000));
  }
}

TEST(Langevin, ReportsTheIncrementItUsed) {
  for (const bool noise_first : {false, true}) {
    LangevinOptions options;
    options.step_size = 0.09;
    options.noise_scale = 1.7;
    options.noise_first = noise_first;
    const Tensor x = Rng(1, "x").normal({5, 4}, torch::kDouble);
    Rng rng(2, "noise"), same(2, "noise");
    const Step step = Langevin(options).step(quartic(), x, rng);
    EXPECT_TRUE(torch::allclose(step.noise, same.normal({5, 4}, x) * (0.3 * 1.7), 1e-15, 0));
    const Tensor at = noise_first ? x + step.noise : x;
    EXPECT_TRUE(torch::allclose(step.x, x + step.noise + 0.045 * score_of(quartic(), at), 1e-14, 1e-14));
  }
}

TEST(Langevin, WithoutNoiseIsGradientDescent) {
  LangevinOptions options;
  options.step_size = 0.5;
  options.noise_scale = 0;
  Rng rng(3, "noise");
  const Step step = Langevin(options).step(testing::gaussian(torch::eye(2, kFloat64), torch::zeros({2}, kFloat64)),
                                           torch::ones({1, 2}, kFloat64), rng);
  EXPECT_TRUE(torch::equal(step.x, torch::full({1, 2}, 0.75, kFloat64)));
  EXPECT_TRUE(torch::equal(step.noise, torch::zeros({1, 2}, kFloat64)));
}

TEST(Langevin, LimitsTheGradientThenClampsTheState) {
  Target linear;
  linear.score = [](const Tensor& x) { return torch::tensor({{-4.0, 3.0}, {0.3, -0.4}}, torch::kDouble) + 0 * x; };
  LangevinOptions options;
  options.step_size = 2;
  options.noise_scale = 0;
  const Tensor x = torch::zeros({2, 2}, kFloat64);
  Rng rng(4, "noise");
  options.gradient_norm_limit = 1;
  EXPECT_TRUE(torch::allclose(Langevin(options).step(linear, x, rng).x,
                              torch::tensor({{-0.8, 0.6}, {0.3, -0.4}}, torch::kDouble)));
  options.gradient_norm_limit = 0;
  options.gradient_limit = 0.35;
  EXPECT_TRUE(torch::allclose(Langevin(options).step(linear, x, rng).x,
                              torch::tensor({{-0.35, 0.35}, {0.3, -0.35}}, torch::kDouble)));
  options.clamp = {-0.1, 0.32};
  EXPECT_TRUE(torch::allclose(Langevin(options).step(linear, x, rng).x,
                              torch::tensor({{-0.1, 0.32}, {0.3, -0.1}}, torch::kDouble)));
  for (const std::vector<double>& bad : {std::vector<double>{1.0}, {1.0, 0.0}, {0.0, 0.0}, {0.0, 1.0, 2.0}}) {
    options.clamp = bad;
    EXPECT_THROW(Langevin{options}, RequestError);
  }
  options = {};
  options.noise_scale = -1;
  EXPECT_THROW(Langevin{options}, RequestError);
}

TEST(Langevin, KeptGraphGivesTheDerivativeInAnEnergyParameter) {
  const Tensor x = Rng(5, "x").normal({6, 3}, torch::kDouble), weight = Rng(6, "w").normal({6, 3}, torch::kDouble);
  for (const int variant : {0, 1, 2, 3}) {
    LangevinOptions options;
    options.step_size = 0.2;
    options.noise_first = variant == 1;
    if (variant == 2) options.gradient_norm_limit = 0.8;
    if (variant == 3) options.clamp = {-0.9, 0.9};
    const Langevin kernel(options);
    const auto target = [](const Tensor& theta) {
      Target result;
      result.energy = [theta](const Tensor& y) { return ((y * theta).pow(4) * 0.25 + (y * theta).cos()).sum(1); };
      return result;
    };
    const auto moved = [&](const Tensor& theta, const Tensor& from, Graph graph) {
      Rng rng(7, "noise");
      return (kernel.step(target(theta), from, rng, graph).x * weight).sum();
    };
    const Tensor theta = torch::full({}, 1.1, kFloat64).requires_grad_();
    const Tensor start = x.clone().requires_grad_();
    const auto gradient = torch::autograd::grad({moved(theta, start, Graph::kKeep)}, {theta, start});
    const double h = 1e-5;
    const auto value = [&](double shift, const Tensor& from) {
      return moved(torch::full({}, 1.1 + shift, kFloat64), from, Graph::kDetach).item<double>();
    };
    EXPECT_NEAR(gradient[0].item<double>(), (value(h, x) - value(-h, x)) / (2 * h), 1e-8) << variant;
    Tensor unit = torch::zeros_like(x);
    unit[2][1] = h;
    EXPECT_NEAR(gradient[1][2][1].item<double>(), (value(0, x + unit) - value(0, x - unit)) / (2 * h), 1e-8) << variant;
    // A state that asks for no gradient still lets the parameter's through.
    EXPECT_NEAR(torch::autograd::grad({moved(theta, x, Graph::kKeep)}, {theta})[0].item<double>(),
                gradient[0].item<double>(), 1e-12);
  }
}

TEST(Langevin, UpdateRoundsAlikeInEveryForm) {
  const Tensor x = Rng(8, "x").normal({37, 5}), score = Rng(9, "s").normal({37, 5}),
               noise = Rng(10, "n").normal({37, 5});
  const Tensor whole = langevin_update(x, score, noise, 0.3);
  const Tensor strided = langevin_update(x.t().contiguous().t(), score, noise, 0.3);
  EXPECT_TRUE(torch::equal(whole, strided));
  EXPECT_TRUE(torch::equal(whole, langevin_update(x.clone().requires_grad_(), score, noise, 0.3)));
  EXPECT_TRUE(torch::equal(whole.slice(0, 3, 8),
                           langevin_update(x.slice(0, 3, 8), score.slice(0, 3, 8), noise.slice(0, 3, 8), 0.3)));
}

}  // namespace
}  // namespace gibbsite
