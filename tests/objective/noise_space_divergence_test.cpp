#include <gibbsite/core/error.h>
#include <gibbsite/model/noise_space.h>
#include <gibbsite/model/spectral_energy.h>
#include <gibbsite/objective/objective.h>
#include <gtest/gtest.h>
#include <objective/objective_helpers.h>

#include <cmath>

namespace gibbsite {
namespace {

constexpr double kSlope = 0.8, kDeviation = 0.5, kVariance = kSlope * kSlope + kDeviation * kDeviation;

// p(x) = N(0, kVariance I) in two dimensions.
class Line : public Generator {
 public:
  std::vector<Shape> groups() const override { return {{2}}; }
  Shape event() const override { return {2}; }
  Generated generate(const std::vector<Tensor>& noise) const override {
    return {noise, {}, kSlope * noise[0], torch::full({}, kDeviation, at::kDouble)};
  }
  std::vector<Tensor> noise_of(const std::vector<Tensor>& z) const override { return z; }
};

struct Problem {
  Line generator;
  NoiseSpace space{generator, {}};
  std::unique_ptr<Energy> energy;
  std::unique_ptr<Objective> objective;
  Batch batch;

  Problem(double stiffness, const Config& options, const std::string& kernel = "mala",
          Config kernel_options = Config::table({{"step_size", Config(0.8)}})) {
    energy = make_energy("quadratic", {2}, Config::table({{"stiffness", Config(stiffness)}}));
    batch.x = Rng(1, "data").normal({2000, 2}, at::kDouble) * 0.6;
    ObjectiveParts parts;
    parts.energy = energy.get();
    parts.noise_space = &space;
    parts.data_example = batch.x.narrow(0, 0, 1);
    parts.kernel = [kernel, kernel_options] {
      return find_entry(kernel_table(), "sampler", kernel, "").make(kernel_options);
    };
    objective = find_entry(objective_table(), "objective", "vaebm", "").make(options, parts);
  }
  Loss at(std::uint64_t step) const {
    Rng rng = Rng(2, "vaebm").at_step(step);
    return (*objective)(batch, rng);
  }
  double gradient(std::uint64_t step) const {
    return torch::autograd::grad({at(step).backward}, energy->module().parameters())[0].item<double>();
  }
  // E_data ‖x‖²/2 on this batch, and E_h ‖x‖²/2 with h ∝ N(0, v) exp(-k ‖x‖²/2).
  double data() const { return batch.x.square().sum(1).mean().item<double>() / 2; }
  static double model(double k) { return 1 / (1 / kVariance + k); }
};

double logged(const Loss& loss, const std::string& name) {
  for (const auto& [key, value] : loss.log)
    if (key == name) return value.item<double>();
  ADD_FAILURE() << name << " is not logged";
  return 0;
}

Config chain_options(std::initializer_list<std::pair<std::string, Config>> more = {}) {
  return with(Config::table({{"capacity", Config(2000)},
                             {"ramp", Config(0)},
                             {"probability", Config(1.0)},
                             {"keep", Config("all")},
                             {"steps", Config(3)}}),
              more);
}

// The derivative in k is E_data ‖x‖²/2 - E_h ‖x‖²/2 once chains have mixed; ‖x‖²/2 is exponential under h.
TEST(NoiseSpaceDivergence, GradientIsThatOfTheLikelihood) {
  const Config hmc = Config::table({{"step_size", Config(0.5)}, {"leapfrog_steps", Config(3)}});
  const Config tempering =
      Config::table({{"step_size", Config(0.8)}, {"ladder", Config::array({Config(1.0), Config(0.3), Config(0.0)})}});
  const std::pair<const char*, Config> kernels[] = {
      {"mala", Config::table({{"step_size", Config(0.8)}})}, {"hmc", hmc}, {"tempering", tempering}};
  for (const auto& [name, options] : kernels)
    for (const double k : {0.0, 1.5}) {
      const Problem problem(k, chain_options(), name, options);
      for (std::uint64_t step = 0; step < 15; ++step) problem.at(step);
      double sum = 0;
      const int repeats = 8;
      for (std::uint64_t step = 15; step < 15 + repeats; ++step) sum += problem.gradient(step);
      const double error = Problem::model(k) / std::sqrt(2000.0);
      EXPECT_NEAR(sum / repeats, problem.data() - Problem::model(k), 4 * error) << name << " " << k;
    }
}

// With the noise of x new every time the chains still mix in one update of many steps.
TEST(NoiseSpaceDivergence, KeepsTheNoiseOfLatentVariablesOnly) {
  const Problem problem(1.5, chain_options({{"keep", Config("latent")}, {"steps", Config(25)}, {"ramp", Config(4)}}));
  for (std::uint64_t step = 0; step < 4; ++step) problem.at(step);
  EXPECT_NEAR(problem.gradient(4), problem.data() - Problem::model(1.5), 4 * Problem::model(1.5) / std::sqrt(2000.0));
  for (const auto& [name, value] : problem.objective->state())
    if (name == "states") {
      EXPECT_EQ(value.sizes(), (Shape{2000, 1, 2}));
    }
}

// Fresh chains that make no move worth the name are draws of the auto-encoder: reuse shows in the energies they keep.
TEST(NoiseSpaceDivergence, ReuseRisesOverTheRamp) {
  const Config still = Config::table({{"step_size", Config(1e-16)}});
  const Problem problem(
      1, chain_options({{"ramp", Config(4)}, {"probability", Config(0.5)}, {"capacity", Config(100000)}}), "mala",
      still);
  std::vector<double> shares;
  for (std::uint64_t step = 0; step < 7; ++step) {
    Tensor before, after;
    for (const auto& [name, value] : problem.objective->state())
      if (name == "states") before = value;
    problem.at(step);
    for (const auto& [name, value] : problem.objective->state())
      if (name == "states") after = value;
    const Tensor added = after.narrow(0, before.size(0), 2000).select(2, 0).flatten().contiguous();
    const Tensor old =
        before.size(0) > 0 ? std::get<0>(before.select(2, 0).flatten().sort()) : torch::empty({0}, at::kDouble);
    if (old.numel() == 0) {
      shares.push_back(0);
      continue;
    }
    const Tensor place = torch::searchsorted(old, added).clamp_max(old.numel() - 1);
    const Tensor near = torch::minimum((old.index_select(0, place) - added).abs(),
                                       (old.index_select(0, (place - 1).clamp_min(0)) - added).abs());
    // A chain that goes on moves by 1e-8 a step; two fresh ones are further apart but for one in a thousand.
    shares.push_back(near.lt(1e-7).to(at::kDouble).mean().item<double>());
  }
  for (std::size_t i = 1; i < shares.size(); ++i) {
    const double p = 0.5 * std::min(1.0, static_cast<double>(i) / 4);
    EXPECT_NEAR(shares[i], p, 4 * std::sqrt(p * (1 - p) / 2000) + 0.002) << i;
  }
}

TEST(NoiseSpaceDivergence, StateRestoresTheSameNegatives) {
  const Config options = chain_options({{"adaptation", Config(0.1)}});
  const Problem one(1, options), two(1, options);
  for (std::uint64_t step = 0; step < 3; ++step) one.at(step);
  two.objective->restore(one.objective->state());
  EXPECT_EQ(one.gradient(3), two.gradient(3));
}

TEST(NoiseSpaceDivergence, AdaptationBringsTheAcceptanceToItsAim) {
  const Problem problem(4, chain_options({{"adaptation", Config(0.1)}}), "mala",
                        Config::table({{"step_size", Config(20.0)}}));
  double sum = 0;
  for (std::uint64_t step = 0; step < 120; ++step) {
    const Loss loss = problem.at(step);
    if (step >= 90) sum += logged(loss, "acceptance") / 30;
  }
  EXPECT_NEAR(sum, 0.574, 0.03);
}

// log mean exp(-k ‖x‖²/2) under N(0, v I) is -log(1 + k v) in two dimensions.
TEST(NoiseSpaceDivergence, ImportanceIsTheNegativeLogLikelihoodRatio) {
  const double k = 1.5;
  const Problem problem(k, Config::table({{"negatives", Config("importance")}, {"draws", Config(100000)}}));
  const Loss loss = problem.at(0);
  // Var of exp(-k‖x‖²/2)/mean: (1 + k v)²/(1 + 2 k v) - 1.
  const double spread = std::sqrt((std::pow(1 + k * kVariance, 2) / (1 + 2 * k * kVariance) - 1) / 1e5);
  EXPECT_NEAR(loss.backward.item<double>(), k * problem.data() - std::log(1 + k * kVariance), 4 * spread);
  EXPECT_NEAR(problem.gradient(0), problem.data() - Problem::model(k), 5 * Problem::model(k) * std::sqrt(1e-5));
  const double effective = 1e5 * (1 + 2 * k * kVariance) / std::pow(1 + k * kVariance, 2);
  EXPECT_NEAR(logged(loss, "effective"), effective, 0.02 * effective);
}

// A two-dimensional image has no spectral norms unless its energy says so.
class Spectral : public SpectralEnergy {
 public:
  explicit Spectral(Energy& energy) : energy_(energy) {}
  using Energy::energy;
  Tensor energy(const Tensor& x) const override { return energy_.energy(x); }
  torch::nn::Module& module() override { return energy_.module(); }
  Shape event() const override { return energy_.event(); }
  Tensor spectral_norms() const override { return 7 * energy_.module().parameters()[0].square(); }

 private:
  Energy& energy_;
};

TEST(NoiseSpaceDivergence, PenaltiesAddToTheLoss) {
  const Problem plain(1, chain_options());
  const Loss without = plain.at(0);
  Spectral energy(*plain.energy);
  ObjectiveParts parts;
  parts.energy = &energy;
  parts.noise_space = &plain.space;
  parts.data_example = plain.batch.x.narrow(0, 0, 1);
  parts.kernel = [] {
    return find_entry(kernel_table(), "sampler", "mala", "").make(Config::table({{"step_size", Config(0.8)}}));
  };
  const auto penalised = find_entry(objective_table(), "objective", "vaebm", "")
                             .make(chain_options({{"magnitude", Config(0.25)}, {"spectral", Config(0.2)}}), parts);
  Rng rng = Rng(2, "vaebm").at_step(0);
  const Loss with_penalties = (*penalised)(plain.batch, rng);
  const double data_square = energy.energy(plain.batch.x).square().mean().item<double>();
  const double rest =
      with_penalties.backward.item<double>() - without.backward.item<double>() - 0.2 * 7 - 0.25 * data_square;
  // What is left is the penalty on the negatives, E (‖x‖²/2)² = 2 m² with mean m once mixed; here after three steps.
  EXPECT_GT(rest, 0.8 * 0.25 * 2 * std::pow(Problem::model(1), 2));
  EXPECT_LT(rest, 0.25 * 2 * kVariance * kVariance);
  EXPECT_EQ(logged(without, "energy_gap"), logged(with_penalties, "energy_gap"));
}

// Draws of p(x) as they are, or the means given z alone: the derivative in k is E_data ‖x‖²/2 less theirs.
TEST(NoiseSpaceDivergence, DrawsOfTheGeneratorAreTakenAsTheyAre) {
  for (const auto& [image, variance] :
       {std::pair<const char*, double>{"sample", kVariance}, {"mean", kSlope * kSlope}}) {
    const Problem problem(
        1.5, Config::table({{"negatives", Config("generator")}, {"draws", Config(20000)}, {"image", Config(image)}}));
    EXPECT_NEAR(problem.gradient(0), problem.data() - variance, 4 * variance / std::sqrt(20000.0)) << image;
  }
}

// Energies of the mean see data as the posterior's draws make them: of z | x ~ N(a x / v, d² / v) with v = a² + d² the derivative
// in k of the evidence bound is E ‖a z‖²/2 under these less that under p(z) exp(-k ‖a z‖²/2).
TEST(NoiseSpaceDivergence, EnergyOfMeansSeesReconstructions) {
  constexpr double kStiffness = 1.5, kSpread = kDeviation * kDeviation / kVariance;
  const auto energy = make_energy("quadratic", {2}, Config::table({{"stiffness", Config(kStiffness)}}));
  const Line generator;
  NoiseSpaceOptions of_means;
  of_means.points = "mean";
  const NoiseSpace space(generator, of_means);
  Batch batch;
  batch.x = Rng(1, "data").normal({2000, 2}, at::kDouble) * 1.3;
  ObjectiveParts parts;
  parts.energy = energy.get();
  parts.noise_space = &space;
  parts.data_example = batch.x.narrow(0, 0, 1);
  parts.kernel = [] {
    return find_entry(kernel_table(), "sampler", "mala", "").make(Config::table({{"step_size", Config(0.8)}}));
  };
  const auto make = [&] {
    return find_entry(objective_table(), "objective", "vaebm", "").make(chain_options(), parts);
  };
  EXPECT_THROW(make(), RequestError);
  parts.reconstruct = [](const Tensor& x, const Rng& rng) {
    Rng draws = rng;
    return kSlope * (kSlope / kVariance * x + std::sqrt(kSpread) * draws.normal(x.sizes(), x));
  };
  const auto objective = make();
  const double positive =
      kSlope * kSlope * (std::pow(kSlope / kVariance, 2) * batch.x.square().sum(1).mean().item<double>() / 2 + kSpread);
  const double negative = kSlope * kSlope / (1 + kStiffness * kSlope * kSlope);
  const int warm_up = 15, repeats = 8;
  double sum = 0;
  for (int step = 0; step < warm_up + repeats; ++step) {
    Rng rng = Rng(2, "vaebm").at_step(step);
    const double gradient =
        torch::autograd::grad({(*objective)(batch, rng).backward}, energy->module().parameters())[0].item<double>();
    if (step >= warm_up) sum += gradient;
  }
  EXPECT_NEAR(sum / repeats, positive - negative, 4 * (positive + negative) / std::sqrt(2000.0));
}

// x = a z + d ε: mean k ‖x‖²/2 = k (a² + d²) in two dimensions.
class Slope : public Generator {
 public:
  std::vector<Shape> groups() const override { return {{2}}; }
  Shape event() const override { return {2}; }
  Generated generate(const std::vector<Tensor>& noise) const override {
    return {noise, {}, slope * noise[0], torch::full({}, kDeviation, at::kDouble)};
  }
  std::vector<Tensor> noise_of(const std::vector<Tensor>& z) const override { return z; }
  Tensor slope = torch::full({}, kSlope, at::kDouble).requires_grad_(true);
};

TEST(GeneratorEnergy, MovesTheGeneratorDownTheEnergy) {
  constexpr double kStiffness = 1.5;
  constexpr std::int64_t kDraws = 40000;
  const auto energy = make_energy("quadratic", {2}, Config::table({{"stiffness", Config(kStiffness)}}));
  const Slope generator;
  const NoiseSpace space(generator, {});
  ObjectiveParts parts;
  parts.energy = energy.get();
  parts.noise_space = &space;
  Batch batch;
  batch.x = torch::zeros({3, 2}, at::kDouble);
  parts.data_example = batch.x.narrow(0, 0, 1);
  for (const bool mean : {false, true}) {
    const auto objective =
        find_entry(objective_table(), "objective", "generator_energy", "")
            .make(Config::table({{"draws", Config(kDraws)}, {"image", Config(mean ? "mean" : "sample")}}), parts);
    Rng rng(3, "generator");
    const Loss loss = (*objective)(batch, rng);
    // Of one draw k ‖x‖²/2 is exponential, and its derivative k z·x has at most the deviation 2 k √(a² + d²).
    const double variance = kSlope * kSlope + (mean ? 0 : kDeviation * kDeviation);
    EXPECT_NEAR(loss.backward.item<double>(), kStiffness * variance, 4 * kStiffness * variance / std::sqrt(kDraws));
    EXPECT_NEAR(torch::autograd::grad({loss.backward}, {generator.slope})[0].item<double>(), 2 * kStiffness * kSlope,
                4 * 2 * kStiffness * std::sqrt(kVariance) / std::sqrt(kDraws));
  }
  parts.noise_space = nullptr;
  EXPECT_THROW(find_entry(objective_table(), "objective", "generator_energy", "").make(Config::table(), parts),
               RequestError);
}

TEST(NoiseSpaceDivergence, RefusesWhatItCannotTrain) {
  const auto refused = [](const Config& options, const std::string& kernel, bool space) {
    const Problem problem(1, chain_options());
    ObjectiveParts parts;
    parts.energy = problem.energy.get();
    if (space) parts.noise_space = &problem.space;
    parts.data_example = problem.batch.x.narrow(0, 0, 1);
    if (!kernel.empty())
      parts.kernel = [kernel] { return find_entry(kernel_table(), "sampler", kernel, "").make(Config::table()); };
    try {
      find_entry(objective_table(), "objective", "vaebm", "").make(options, parts);
    } catch (const RequestError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(refused(chain_options(), "langevin", true), "");
  EXPECT_NE(refused(chain_options(), "langevin", false).find("[vae]"), std::string::npos);
  EXPECT_NE(refused(chain_options(), "", true).find("[sampler]"), std::string::npos);
  EXPECT_NE(refused(chain_options(), "svgd", true).find("independent"), std::string::npos);
  EXPECT_NE(refused(chain_options({{"adaptation", Config(0.1)}}), "langevin", true).find("acceptance"),
            std::string::npos);
  EXPECT_NE(refused(chain_options({{"spectral", Config(0.2)}}), "langevin", true).find("spectral"), std::string::npos);
}

}  // namespace
}  // namespace gibbsite
