#include <gibbsite/core/error.h>
#include <gibbsite/model/mlp_decoder.h>
#include <gibbsite/model/noise_space.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/hmc.h>
#include <gibbsite/sampler/langevin.h>
#include <gibbsite/sampler/mala.h>
#include <gibbsite/sampler/tempering.h>
#include <gtest/gtest.h>
#include <sampler/gaussians.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

using testing::expect_moments;
using testing::kFloat64;

// x = W z + c + s ε_x with z ~ N(0, I): everything is Gaussian under a quadratic energy.
class LinearGenerator : public Generator {
 public:
  std::vector<Shape> groups() const override { return {{2}}; }
  Shape event() const override { return {3}; }
  Generated generate(const std::vector<Tensor>& noise) const override {
    return {noise, {}, noise[0].mm(weight.t()) + offset, torch::full({}, deviation, kFloat64)};
  }
  std::vector<Tensor> noise_of(const std::vector<Tensor>& z) const override { return z; }

  Tensor weight = torch::tensor({{1.0, 0.5}, {-0.7, 0.4}, {0.2, -1.1}}, kFloat64);
  Tensor offset = torch::tensor({0.5, -1.0, 0.3}, kFloat64);
  double deviation = 0.6;
};

struct LinearProblem {
  LinearGenerator generator;
  NoiseSpace space{generator, {}};
  Tensor stiffness = testing::precision_matrix(3);
  Tensor centre = torch::tensor({-0.4, 0.8, 1.0}, kFloat64);
  // x = G ε + c.
  Tensor map = torch::cat({generator.weight, generator.deviation* torch::eye(3, kFloat64)}, 1);
  Tensor hessian = torch::eye(5, kFloat64) + map.t().mm(stiffness).mm(map);  // of U

  Target target() const {
    return space.target([this](const Tensor& x) {
      const Tensor d = x - centre;
      return 0.5 * (d.mm(stiffness) * d).sum(1);
    });
  }
  // Of h(x) ∝ N(x; c, W Wᵀ + s² I) exp(-E(x)), from densities of x alone.
  Tensor covariance() const {
    const Tensor prior =
        generator.weight.mm(generator.weight.t()) + generator.deviation * generator.deviation * torch::eye(3, kFloat64);
    return (prior.inverse() + stiffness).inverse();
  }
  Tensor mean() const {
    const Tensor prior =
        generator.weight.mm(generator.weight.t()) + generator.deviation * generator.deviation * torch::eye(3, kFloat64);
    return covariance().mv(prior.inverse().mv(generator.offset) + stiffness.mv(centre));
  }
};

Tensor run(const LinearProblem& problem, std::shared_ptr<const Kernel> kernel, std::int64_t chains,
           std::int64_t steps) {
  ChainOptions options;
  options.burn_in = kernel->target_acceptance() > 0 ? 60 : 0;
  options.adapt = kernel->target_acceptance() > 0;
  options.steps = steps;
  const Tensor start = Rng(3, "start").normal({chains, problem.space.size()}, torch::kDouble);
  const Tensor last = run_chain(kernel, problem.target(), replicated(*kernel, start), Rng(4, "chain"), options).last.x;
  return problem.space.points(coldest(*kernel, last));
}

TEST(NoiseSpace, MetropolisChainsHaveTheClosedFormOfALinearGaussianModel) {
  const LinearProblem problem;
  HmcOptions hmc;
  hmc.leapfrog_steps = 6;
  TemperingOptions tempering;
  tempering.ladder = {1, 0.4, 0};
  const std::pair<const char*, std::shared_ptr<const Kernel>> kernels[] = {
      {"mala", std::make_shared<Mala>(MalaOptions{0.3})},
      {"hmc", std::make_shared<Hmc>(hmc)},
      {"tempering", std::make_shared<Tempering>(tempering)}};
  for (const auto& [name, kernel] : kernels)
    expect_moments(run(problem, kernel, 3000, 80), problem.mean(), problem.covariance(), name);
}

// x' = x - (η/2) H (x - m) + √η ω has covariance H⁻¹ (I - η H / 4)⁻¹.
TEST(NoiseSpace, UnadjustedLangevinHasItsOwnLaw) {
  const LinearProblem problem;
  const double eta = 0.25;
  LangevinOptions options;
  options.step_size = eta;
  const Tensor covariance =
      problem.hessian.inverse().mm((torch::eye(5, kFloat64) - problem.hessian * (eta / 4)).inverse());
  const Tensor of_x = problem.map.mm(covariance).mm(problem.map.t());
  EXPECT_GT((of_x - problem.covariance()).abs().max().item<double>(), 0.02);
  expect_moments(run(problem, std::make_shared<Langevin>(options), 8000, 120), problem.mean(), of_x, "langevin");
}

// z_1 = 0.2 + 1.01 ε_1, z_2 and x with deviations that depend on what came before.
class TwoGroups : public Generator {
 public:
  static Tensor mean_2(const Tensor& z) { return 0.8 * z.sin(); }
  static Tensor sigma_2(const Tensor& z) { return 0.25 + 0.8 * torch::sigmoid(2 * z); }
  static Tensor mean_x(const Tensor& a, const Tensor& b) { return 0.5 * a + b; }
  static Tensor sigma_x(const Tensor& b) { return 0.2 + 0.5 * torch::sigmoid(-2 * b); }

  std::vector<Shape> groups() const override { return {{1}, {1}}; }
  Shape event() const override { return {1}; }
  Generated generate(const std::vector<Tensor>& noise) const override {
    const Tensor a = 0.2 + 1.01 * noise[0], sigma = sigma_2(a), b = mean_2(a) + sigma * noise[1];
    return {{a, b}, sigma.log().squeeze(1) + std::log(1.01), mean_x(a, b), sigma_x(b)};
  }
  std::vector<Tensor> noise_of(const std::vector<Tensor>& z) const override {
    return {(z[0] - 0.2) / 1.01, (z[1] - mean_2(z[0])) / sigma_2(z[0])};
  }
};

Tensor well(const Tensor& x) { return 0.5 * (x.squeeze(1).square() - 1).square(); }

// E[x], E[x²], P(x < 0) of the marginal in x of p(z) p(x | z) exp(-E(x)), times 1/∏σ where the law is that of the published
// potential, by a grid over z_1, z_2 and x.
std::vector<double> marginal_moments(bool published) {
  const Tensor a = torch::linspace(-5, 5.4, 121, kFloat64).view({-1, 1, 1});
  const Tensor b = torch::linspace(-6, 6, 151, kFloat64).view({1, -1, 1});
  const Tensor x = torch::linspace(-3.96, 3.96, 100, kFloat64).view({1, 1, -1});
  const auto log_normal = [](const Tensor& v, const Tensor& m, const Tensor& s) {
    return -0.5 * ((v - m) / s).square() - s.log();
  };
  const Tensor s2 = TwoGroups::sigma_2(a), sx = TwoGroups::sigma_x(b);
  Tensor log_z = log_normal(a, torch::full({}, 0.2, kFloat64), torch::full({}, 1.01, kFloat64)) +
                 log_normal(b, TwoGroups::mean_2(a), s2);
  if (published) log_z = log_z - s2.log() - sx.log();
  const Tensor p = (log_z + log_normal(x, TwoGroups::mean_x(a, b), sx)).exp();
  const Tensor h = p.sum(0).sum(0) * (-well(x.view({-1, 1}))).exp(), flat = x.flatten();
  const double total = h.sum().item<double>();
  const auto mean = [&](const Tensor& f) { return (h * f).sum().item<double>() / total; };
  return {mean(flat), mean(flat.square()), mean(flat.lt(0).to(torch::kDouble))};
}

// Largest distance of the chains' moments from the given ones, in standard errors.
double worst(const Tensor& x, const std::vector<double>& truth) {
  const Tensor terms[] = {x, x.square(), x.lt(0).to(torch::kDouble)};
  double worst = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const double error = terms[i].std().item<double>() / std::sqrt(static_cast<double>(x.numel()));
    worst = std::max(worst, std::abs(terms[i].mean().item<double>() - truth[i]) / error);
  }
  return worst;
}

TEST(NoiseSpace, TwoGroupsAgreeWithQuadratureAndThePublishedPotentialHasAnotherLaw) {
  const TwoGroups generator;
  HmcOptions hmc;
  hmc.step_size = 0.12;  // the wells are steep outside
  hmc.leapfrog_steps = 10;
  hmc.jitter = 0.3;
  ChainOptions options;
  options.steps = 60;
  const auto chains = [&](const char* potential) {
    NoiseSpaceOptions settings;
    settings.potential = potential;
    settings.deviation_floor = 0;
    const NoiseSpace space(generator, settings);
    const Tensor start = Rng(5, "start").normal({8000, 3}, torch::kDouble);
    return space
        .points(run_chain(std::make_shared<Hmc>(hmc), space.target(well), start, Rng(6, "chain"), options).last.x)
        .flatten();
  };
  const Tensor exact = chains("exact"), published = chains("published");
  EXPECT_LT(worst(exact, marginal_moments(false)), 4);
  EXPECT_GT(worst(published, marginal_moments(false)), 5);
  EXPECT_LT(worst(published, marginal_moments(true)), 4);
}

// Potentials by hand: clamp, floor and Jacobian.
TEST(NoiseSpace, PotentialsOfOneState) {
  const TwoGroups generator;
  const Tensor state = torch::tensor({{0.3, -0.8, 1.5}}, kFloat64);
  const double a = 0.2 + 1.01 * 0.3, s2 = 0.25 + 0.8 / (1 + std::exp(-2 * a)), b = 0.8 * std::sin(a) - 0.8 * s2;
  const double sx = 0.2 + 0.5 / (1 + std::exp(2 * b)), mean = 0.5 * a + b, x = mean + 1.5 * sx;
  const auto value = [&](const std::string& potential, double floor, std::vector<double> clamp) {
    NoiseSpaceOptions options;
    options.potential = potential;
    options.deviation_floor = floor;
    options.clamp = std::move(clamp);
    const NoiseSpace space(generator, options);
    const Target target = space.target([](const Tensor& v) { return 3 * v.squeeze(1); });
    const Tensor whole = target.energy(state), rest = target.reference(state);
    EXPECT_NEAR((whole - rest).item<double>(), 3 * space.points(state).item<double>(), 1e-12);
    return whole.item<double>();
  };
  EXPECT_NEAR(value("exact", 0, {}), 3 * x + 0.5 * (0.09 + 0.64 + 2.25), 1e-12);
  EXPECT_NEAR(value("exact", 0, {-1, 0.25}), 3 * std::min(x, 0.25) + 0.5 * (0.09 + 0.64 + 2.25), 1e-12);
  const double published = 0.5 * (0.09 + 0.64) + std::log(1.01) + std::log(s2);
  EXPECT_NEAR(value("published", 0, {}), 3 * x + published + 0.5 * 2.25 + std::log(sx), 1e-12);
  const double floor = 1.7, clamped = std::min(x, 0.25), z = (clamped - mean) / floor;
  EXPECT_NEAR(value("published", floor, {-1, 0.25}), 3 * clamped + published + 0.5 * z * z + std::log(floor), 1e-12);
  EXPECT_THROW(value("exact", 0, {1, 0}), RequestError);
}

TEST(NoiseSpace, PackUnpackAndEncodeAreInverse) {
  const TwoGroups generator;
  const NoiseSpace space(generator, {});
  const Tensor state = Rng(1, "state").normal({7, 3}, torch::kDouble);
  EXPECT_EQ(space.size(), 3);
  EXPECT_EQ(space.latent_size(), 2);
  EXPECT_TRUE(torch::equal(space.pack(space.unpack(state)), state));
  const Generated made = generator.generate(space.unpack(state).z);
  EXPECT_TRUE(torch::allclose(space.encode(space.points(state), made.z), state, 1e-10, 1e-10));
  EXPECT_THROW(space.unpack(state.narrow(1, 0, 2)), WorkError);
  EXPECT_THROW(space.pack({{state.narrow(1, 0, 1)}, state.narrow(1, 2, 1)}), WorkError);
}

// With energies of the mean a state is z alone, and the law of a linear-Gaussian model is N((I + Wᵀ S W)⁻¹ Wᵀ S (c - offset), ·).
TEST(NoiseSpace, EnergyOfMeansLeavesTheNoiseOfXAlone) {
  const LinearProblem problem;
  NoiseSpaceOptions options;
  options.points = "mean";
  const NoiseSpace space(problem.generator, options);
  EXPECT_TRUE(space.of_means());
  EXPECT_FALSE(problem.space.of_means());
  ASSERT_EQ(space.size(), 2);
  const Tensor& weight = problem.generator.weight;
  const Tensor precision = torch::eye(2, kFloat64) + weight.t().mm(problem.stiffness).mm(weight);
  const Tensor mean =
      precision.inverse().mv(weight.t().mv(problem.stiffness.mv(problem.centre - problem.generator.offset)));
  const Target target = space.target([&problem](const Tensor& x) {
    const Tensor d = x - problem.centre;
    return 0.5 * (d.mm(problem.stiffness) * d).sum(1);
  });
  HmcOptions hmc;
  hmc.leapfrog_steps = 6;
  ChainOptions chain;
  chain.burn_in = 60;
  chain.adapt = true;
  chain.steps = 20;
  const Tensor start = Rng(3, "start").normal({4000, 2}, torch::kDouble);
  const Tensor last = run_chain(std::make_shared<Hmc>(hmc), target, start, Rng(4, "chain"), chain).last.x;
  expect_moments(last, mean, precision.inverse(), "hmc");
  EXPECT_TRUE(torch::equal(space.points(last), space.means(last)));
  EXPECT_TRUE(torch::equal(space.encode(space.points(last), {last}), last));
  EXPECT_TRUE(torch::equal(space.pack(space.unpack(last)), last));
  options.potential = "published";
  EXPECT_THROW(NoiseSpace(problem.generator, options), RequestError);
}

// A step η of the noise of x is one of σ² η of x, with the same normal numbers (VAEBM, appendix B.1).
TEST(NoiseSpace, StepsOfNoiseAreStepsOfTheCoordinateScaledByItsVariance) {
  const double mu = 0.7, sigma = 0.4, eta = 0.05;
  const auto energy = [](const Tensor& c) { return (c.pow(4) / 4 + c.sin()).squeeze(1); };
  Target of_noise, of_coordinate;
  of_noise.energy = [&](const Tensor& e) { return energy(mu + sigma * e) + 0.5 * e.square().squeeze(1); };
  of_coordinate.energy = [&](const Tensor& c) { return energy(c) + 0.5 * ((c - mu) / sigma).square().squeeze(1); };
  Tensor noise = Rng(1, "start").normal({20, 1}, torch::kDouble), c = mu + sigma * noise;
  Rng one(2, "omega"), two(2, "omega");
  for (int t = 0; t < 10; ++t) {
    LangevinOptions options;
    options.step_size = eta;
    noise = Langevin(options).step(of_noise, noise, one).x;
    options.step_size = sigma * sigma * eta;
    c = Langevin(options).step(of_coordinate, c, two).x;
  }
  EXPECT_TRUE(torch::allclose(mu + sigma * noise, c, 1e-12, 1e-12));
}

LatentContext context_for(const Shape& event, std::int64_t latent) {
  LatentContext context;
  context.event = event;
  context.latent_size = latent;
  context.init = Rng(3, "init");
  context.dtype = at::kDouble;
  return context;
}

TEST(DecoderGenerator, IsTheDecodersLawAndRefusesDiscreteOnes) {
  MlpDecoderOptions options;
  options.hidden = {5};
  EXPECT_THROW(make_decoder_generator(*make_mlp_decoder(options, context_for({2}, 3))), RequestError);
  options.law = "gaussian";
  options.deviation = "network";
  options.log_deviation_low = -0.2;
  options.log_deviation_high = 0.1;
  options.squash = "tanh";
  options.stretch = 1.05;
  const auto decoder = make_mlp_decoder(options, context_for({2}, 3));
  const auto generator = make_decoder_generator(*decoder);
  const NoiseSpace space(*generator, {});
  const Tensor state = Rng(1, "state").normal({6, 5}, torch::kDouble) * 2;
  const Tensor z = state.narrow(1, 0, 3), x = space.points(state);
  EXPECT_TRUE(torch::equal(space.means(state), decoder->mean(z)));
  // -log p(x | z) is ½ ‖ε_x‖² with the normaliser, and its deviation differs over the batch within the bounds.
  const Tensor sigma = decoder->moments(z)->deviation;
  EXPECT_GT((sigma.max() - sigma.min()).item<double>(), 0.01);
  EXPECT_GE(sigma.min().item<double>(), std::exp(-0.2) - 1e-12);
  EXPECT_LE(sigma.max().item<double>(), std::exp(0.1) + 1e-12);
  const Tensor expected = -0.5 * state.narrow(1, 3, 2).square().sum(1) - sigma.log().sum(1) - std::log(2 * M_PI);
  EXPECT_TRUE(torch::allclose(decoder->log_prob(x, z.unsqueeze(0))[0], expected, 1e-10, 1e-10));
}

}  // namespace
}  // namespace gibbsite
