// Kernels on manifolds, and particles.
#include <gibbsite/core/error.h>
#include <gibbsite/manifold/von_mises_fisher.h>
#include <gibbsite/sampler/birth_death.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/hmc.h>
#include <gibbsite/sampler/langevin.h>
#include <gibbsite/sampler/mala.h>
#include <gibbsite/sampler/stein.h>
#include <sampler/gaussians.h>

#include <cmath>

namespace gibbsite {
namespace {

using testing::kFloat64;

std::shared_ptr<const Manifold> space(const char* name, std::int64_t dimension) {
  return find_entry(manifold_table(), "manifold", name, "").make(Config::table({{"dimension", Config(dimension)}}));
}

Target on(std::shared_ptr<const Manifold> manifold, const EnergyFn& energy) {
  Target target;
  target.energy = energy;
  target.manifold = std::move(manifold);
  return target;
}

Tensor direction(std::int64_t m) {
  const Tensor v = torch::linspace(1, 2, m, kFloat64);
  return v / v.norm();
}

Target von_mises_fisher(std::int64_t d, double kappa) {
  const Tensor mean = direction(d + 1);
  return on(space("sphere", d), [=](const Tensor& x) { return -kappa * x.mv(mean); });
}

Tensor uniform_points(const Target& target, std::int64_t n) {
  Rng rng(3, "start");
  return target.manifold->sample(n, rng, torch::empty({0}, kFloat64));
}

double mean_length(std::int64_t m, double kappa) {
  return vmf_mean_length(torch::full({1}, kappa, kFloat64), m).item<double>();
}

struct Mean {
  double value, error;
};
Mean mean_of(const Tensor& t) {
  return {t.mean().item<double>(), t.std().item<double>() / std::sqrt(static_cast<double>(t.numel()))};
}

// Mean and second moment of the height, and the mean across, against closed forms.
void expect_von_mises_fisher(const Tensor& x, double kappa, const std::string& what) {
  const std::int64_t m = x.size(1);
  const Tensor height = x.mv(direction(m));
  const double a = mean_length(m, kappa);
  const Mean first = mean_of(height), second = mean_of(height.square());
  EXPECT_NEAR(first.value, a, 4 * first.error) << what;
  EXPECT_NEAR(second.value, 1 - static_cast<double>(m - 1) * a / kappa, 4 * second.error) << what;
  const Tensor across = x - height.unsqueeze(1) * direction(m);
  EXPECT_LT((across.mean(0) / (across.std(0) / std::sqrt(static_cast<double>(x.size(0))))).abs().max().item<double>(),
            4)
      << what;
}

TEST(ManifoldKernels, LongChainsHaveTheMomentsOfAVonMisesFisherLaw) {
  const double kappa = 3;
  for (const std::int64_t d : {1, 2, 4}) {
    const Target target = von_mises_fisher(d, kappa);
    ChainOptions run;
    run.steps = 60;
    MalaOptions mala;
    mala.step_size = 0.5;
    const Tensor start = uniform_points(target, 8000);
    const ChainResult by_mala = run_chain(std::make_shared<Mala>(mala), target, start, Rng(1, "mala"), run);
    expect_von_mises_fisher(by_mala.last.x, kappa, "mala " + std::to_string(d));
    EXPECT_LT(by_mala.acceptance.mean().item<double>(), 0.99);
    EXPECT_GT(by_mala.acceptance.mean().item<double>(), 0.5);
    run.steps = 15;
    HmcOptions hmc;
    hmc.step_size = 0.5;
    hmc.leapfrog_steps = 3;
    const ChainResult by_hmc = run_chain(std::make_shared<Hmc>(hmc), target, start, Rng(2, "hmc"), run);
    expect_von_mises_fisher(by_hmc.last.x, kappa, "hmc " + std::to_string(d));
    EXPECT_LT(by_hmc.acceptance.mean().item<double>(), 0.995);
    EXPECT_GT(by_hmc.acceptance.mean().item<double>(), 0.5);
  }
}

// Without a force a diffusion leaves the uniform law alone, and a Markov chain of long steps forgets where it began.
TEST(ManifoldKernels, AConstantEnergyGivesAUniformLaw) {
  for (const char* name : {"sphere", "torus"}) {
    const Target target = on(space(name, 2), [](const Tensor& x) { return (x * 0).sum(1); });
    LangevinOptions options;
    options.step_size = 0.3;
    ChainOptions run;
    run.steps = 60;
    const Tensor start =
        target.manifold->origin(torch::empty({0}, kFloat64)).expand({8000, target.manifold->ambient()});
    const Tensor x = run_chain(std::make_shared<Langevin>(options), target, start, Rng(4, "langevin"), run).last.x;
    const double width = static_cast<double>(target.manifold->ambient());
    const Tensor second = (x.unsqueeze(2) * x.unsqueeze(1)).flatten(1);
    const Tensor expected = (torch::eye(x.size(1), kFloat64) / (std::string(name) == "torus" ? 2 : width)).flatten();
    const double root = std::sqrt(8000.0);
    EXPECT_LT((x.mean(0) / (x.std(0) / root)).abs().max().item<double>(), 4) << name;
    EXPECT_LT(((second.mean(0) - expected) / (second.std(0) / root)).abs().max().item<double>(), 4) << name;
  }
}

// The bias of the mean height at stationarity, by quadrature and not by chains: on the circle the transition is a matrix.
TEST(ManifoldKernels, LangevinBiasIsProportionalToTheStep) {
  const double kappa = 2;
  const std::int64_t n = 600;
  const Tensor angle = torch::arange(n, kFloat64) * (2 * M_PI / n);
  const Target target = von_mises_fisher(1, kappa);
  const Tensor x = torch::stack({angle.cos(), angle.sin()}, 1), height = x.mv(direction(2));
  const Tensor score = score_of(target, x);
  std::vector<double> steps, biases;
  for (const double eta : {0.02, 0.04, 0.08, 0.16}) {
    // Where the kernel goes without noise is the kernel's own doing; the Gaussian around it is the law of its noise.
    LangevinOptions options;
    options.step_size = eta;
    options.noise_scale = 0;
    Rng none(0, "none");
    const Tensor to = Langevin(options).step(target, x, none).x;
    const Tensor centre = torch::atan2(to.select(1, 1), to.select(1, 0));
    Tensor transition = torch::zeros({n, n}, kFloat64);
    for (int k = -2; k <= 2; ++k)
      transition += ((angle.unsqueeze(0) - centre.unsqueeze(1) + 2 * M_PI * k).square() / (-2 * eta)).exp();
    transition = transition / transition.sum(1, true);
    Tensor law = torch::full({1, n}, 1.0 / n, kFloat64);
    for (int power = 0; power < 14; ++power) transition = transition.mm(transition);
    law = law.mm(transition);
    steps.push_back(eta);
    biases.push_back(law.mv(height).item<double>() - mean_length(2, kappa));
  }
  double slope = 0;
  for (std::size_t i = 1; i < steps.size(); ++i)
    slope += std::log(biases[i] / biases[i - 1]) / std::log(steps[i] / steps[i - 1]) / 3;
  EXPECT_NEAR(slope, 1, 0.2);
  EXPECT_GT(std::abs(biases.back()), 1e-3);
  // And the kernel's noise is that Gaussian: chains agree with the matrix at the largest step.
  LangevinOptions options;
  options.step_size = 0.16;
  ChainOptions run;
  run.steps = 150;
  const Tensor end =
      run_chain(std::make_shared<Langevin>(options), target, uniform_points(target, 8000), Rng(6, "langevin"), run)
          .last.x.mv(direction(2));
  const Mean found = mean_of(end);
  EXPECT_NEAR(found.value, mean_length(2, kappa) + biases.back(), 4 * found.error);
}

TEST(ManifoldKernels, DetailedBalanceIsSymmetric) {
  const double eta = 0.4;
  for (const auto& [name, d] : {std::pair{"sphere", 2}, {"hyperbolic", 2}, {"torus", 3}}) {
    const auto m = space(name, d);
    const Tensor w = Rng(8, "w").normal({m->ambient()}, torch::kDouble) * 0.5;
    const Target target = on(m, [=](const Tensor& x) { return x.mv(w) + 0.3 * (2 * x).sin().sum(1); });
    Rng rng(7, "points");
    const Tensor x = m->sample(300, rng, torch::empty({0}, kFloat64));
    const Tensor y = m->exp(x, 0.8 * m->tangent_noise(x, rng));
    const EnergyScore at_x = energy_and_score(target, x, "test"), at_y = energy_and_score(target, y, "test");
    // The density of the proposal with respect to the volume, normaliser and volume factor and all.
    const auto log_q = [&](const Tensor& to, const Tensor& from, const Tensor& score) {
      const Tensor v = m->log(from, to), off = v - score * (eta / 2);
      return m->inner(from, off, off) / (-2 * eta) - m->log_volume_factor(from, v) -
             0.5 * static_cast<double>(m->dimension()) * std::log(2 * M_PI * eta);
    };
    const Tensor forward = log_q(y, x, at_x.score), backward = log_q(x, y, at_y.score);
    const Tensor ratio = mala_log_ratio(*m, x, at_x, y, at_y, eta), reverse = mala_log_ratio(*m, y, at_y, x, at_x, eta);
    const Tensor expected = at_x.energy - at_y.energy + backward - forward;
    EXPECT_LT((ratio - expected).abs().max().item<double>(), 1e-10) << name;
    EXPECT_LT((ratio + reverse).abs().max().item<double>(), 1e-12 * (1 + ratio.abs().max().item<double>())) << name;
    EXPECT_GT((forward - backward).abs().max().item<double>(), 0.1) << name;
  }
}

TEST(ManifoldKernels, HamiltonianTrajectoriesLeadBack) {
  for (const auto& [name, d] : {std::pair{"sphere", 3}, {"hyperbolic", 2}, {"torus", 2}}) {
    const auto m = space(name, d);
    const Target target =
        on(m, [](const Tensor& x) { return x.select(1, 0) + 0.5 * x.square().sum(1) - x.select(1, 1); });
    Rng rng(9, "phase");
    const Tensor x =
        m->exp(m->origin(torch::empty({0}, kFloat64)).expand({40, m->ambient()}),
               0.5 * m->tangent_noise(m->origin(torch::empty({0}, kFloat64)).expand({40, m->ambient()}), rng));
    const Tensor p = m->tangent_noise(x, rng);
    const EnergyScore at = energy_and_score(target, x, "test");
    const Tensor step = torch::full({}, 0.05, kFloat64);
    const Phase there = leapfrog(target, {x, p, at.energy, at.score}, step, 20);
    const Phase back = leapfrog(target, {there.x, -there.momentum, there.energy, there.score}, step, 20);
    EXPECT_GT((there.x - x).abs().max().item<double>(), 0.3) << name;
    EXPECT_LT((back.x - x).abs().max().item<double>(), 1e-10) << name;
    EXPECT_LT((back.momentum + p).abs().max().item<double>(), 1e-10) << name;
    // The Hamiltonian's error is of the second order in the step.
    const auto error = [&](double h, std::int64_t steps) {
      const Phase end = leapfrog(target, {x, p, at.energy, at.score}, torch::full({}, h, kFloat64), steps);
      return ((end.energy + 0.5 * m->inner(end.x, end.momentum, end.momentum)) - at.energy - 0.5 * m->inner(x, p, p))
          .abs()
          .mean()
          .item<double>();
    };
    EXPECT_NEAR(std::log2(error(0.05, 20) / error(0.025, 40)), 2, 0.2) << name;
  }
}

TEST(ManifoldKernels, RefuseWhatHasNoMeaningThere) {
  const Target target = von_mises_fisher(2, 1);
  const Tensor x = uniform_points(target, 4);
  for (const char* option : {"noise_first", "gradient_limit", "clamp"}) {
    LangevinOptions options;
    options.noise_first = std::string(option) == "noise_first";
    options.gradient_limit = std::string(option) == "gradient_limit" ? 1 : 0;
    if (std::string(option) == "clamp") options.clamp = {-1, 1};
    Rng rng(0, "noise");
    EXPECT_THROW(Langevin(options).step(target, x, rng), RequestError) << option;
  }
  Rng rng(0, "noise");
  const auto m = space("hyperbolic", 2);
  const Tensor y = m->sample(4, rng, x);
  EXPECT_THROW(Svgd(SvgdOptions{}).step(on(m, [](const Tensor& z) { return z.select(1, 0); }), y, rng), RequestError);
}

// The direction written out pair by pair, and its defining property: Stein's identity.
TEST(SteinDirection, IsTheMeanOverPairs) {
  const Tensor x = Rng(1, "x").normal({7, 3}, torch::kDouble), s = Rng(2, "s").normal({7, 3}, torch::kDouble);
  const double b = 0.8;
  Tensor expected = torch::zeros_like(x);
  for (std::int64_t i = 0; i < 7; ++i)
    for (std::int64_t j = 0; j < 7; ++j) {
      const Tensor k = ((x[i] - x[j]).square().sum() / (-2 * b)).exp();
      expected[i] += (k * s[j] + k * (x[i] - x[j]) / b) / 7;
    }
  EXPECT_TRUE(torch::allclose(stein_direction(x, s, b), expected, 1e-12, 1e-12));
  EXPECT_TRUE(torch::allclose(stein_direction(x, s, b, space("euclidean", 3).get()), expected, 1e-12, 1e-12));
  const Tensor median = std::get<0>(torch::cdist(x, x).square().flatten().sort())[24];
  EXPECT_NEAR(median_bandwidth(x), 0.5 * median.item<double>() / std::log(8.0), 1e-12);
}

// Over points of the law itself the direction vanishes, at any x; with cubature nodes as particles, weighted through s.
TEST(SteinDirection, VanishesOnTheLawOfTheScoreOnASphere) {
  const Target target = von_mises_fisher(2, 2);
  Rng rng(5, "vmf");
  const std::int64_t n = 1200;
  const Tensor x = vmf_sample(direction(3).expand({n, 3}), torch::full({n}, 2.0, kFloat64), rng);
  const Tensor phi = stein_direction(x, score_of(target, x), 0.3, target.manifold.get());
  const Tensor wrong = stein_direction(x, 2 * score_of(target, x), 0.3, target.manifold.get());
  EXPECT_LT((phi * x).sum(1).abs().max().item<double>(), 1e-13);
  // Each direction is a mean over n draws of vectors of length about 1.
  EXPECT_LT(phi.norm(2, 1).mean().item<double>(), 3 / std::sqrt(static_cast<double>(n)));
  EXPECT_GT(wrong.norm(2, 1).mean().item<double>(), 6 / std::sqrt(static_cast<double>(n)));
}

TEST(Particles, FindAGaussian) {
  const Tensor a = testing::precision_matrix(2), mean = torch::tensor({1.0, -0.5}, torch::kDouble);
  const Target target = testing::gaussian(a, mean);
  const Tensor covariance = torch::linalg_inv(a), start = Rng(1, "start").normal({500, 2}, torch::kDouble);
  ChainOptions run;
  run.steps = 300;
  SvgdOptions svgd;
  svgd.step_size = 0.4;
  const Tensor x = run_chain(std::make_shared<Svgd>(svgd), target, start, Rng(2, "svgd"), run).last.x;
  const Tensor error = (covariance.diagonal() / 500).sqrt();
  EXPECT_LT(((x.mean(0) - mean) / error).abs().max().item<double>(), 4);
  SposOptions spos;
  spos.step_size = 0.05;
  for (const double mix : {0.0, 0.5}) {
    spos.mix = mix;
    run.steps = 200;
    const Tensor y = run_chain(std::make_shared<Spos>(spos), target, start, Rng(3, "spos"), run).last.x;
    testing::expect_moments(y, mean, covariance, "spos");
  }
  BirthDeathOptions birth;
  birth.step_size = 0.05;
  birth.bandwidth = 0.02;
  const Tensor z = run_chain(std::make_shared<BirthDeath>(birth), target, start, Rng(4, "birth"), run).last.x;
  testing::expect_moments(z, mean, covariance, "birth_death");
}

TEST(BirthDeath, ResamplesByWeights) {
  const Tensor weights = torch::tensor({0.5, 2.25, 0.0, 1.25}, torch::kDouble);
  Tensor counts = torch::zeros({4}, kFloat64);
  const int trials = 400;
  for (int t = 0; t < trials; ++t) {
    const Tensor index = systematic_resampling(weights, (t + 1.0) / trials);
    const Tensor one = torch::bincount(index, {}, 4).to(torch::kDouble);
    EXPECT_TRUE(((one - weights).abs() < 1).all().item<bool>());
    counts += one;
  }
  EXPECT_TRUE(torch::allclose(counts / trials, weights, 0, 2.0 / trials));
  const Tensor w =
      birth_death_weights(torch::tensor({0.0, 1.0}, torch::kDouble), torch::tensor({1.0, 2.0}, torch::kDouble), 0.1);
  EXPECT_TRUE(torch::allclose(w, torch::tensor({1.1, 0.9}, torch::kDouble)));
  // A mass far in the tail of the target dies out faster than it can drift.
  const Tensor far = torch::cat({torch::full({20, 1}, 30.0, kFloat64), torch::zeros({180, 1}, kFloat64)});
  BirthDeathOptions options;
  options.step_size = 0.02;
  options.bandwidth = 1;
  ChainOptions run;
  run.steps = 60;
  const Target normal = testing::gaussian(torch::eye(1, kFloat64), torch::zeros({1}, kFloat64));
  const Tensor x = run_chain(std::make_shared<BirthDeath>(options), normal, far, Rng(5, "far"), run).last.x;
  EXPECT_LT(x.max().item<double>(), 10);
}

}  // namespace
}  // namespace gibbsite
