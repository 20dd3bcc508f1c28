#include <gibbsite/core/error.h>
#include <gibbsite/data/data.h>
#include <gibbsite/data/density.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

struct Case {
  std::string name;
  Config options;
};

// Every entry with its smallest configuration, and what else changes a formula.
std::vector<Case> cases() {
  std::vector<Case> list;
  for (const auto& entry : density_table()) {
    list.push_back({entry.name, entry.smallest});
    Config noisy = entry.smallest;
    noisy.set("noise", 0.05);
    list.push_back({entry.name, noisy});
  }
  list.push_back({"gaussian-mixture", Config::table({{"means", Config::array({0.0, 0.0, 1.5, -1.0, -2.0, 0.5})},
                                                     {"sigma", Config::array({0.5, 0.3, 0.2})},
                                                     {"weights", Config::array({1.0, 2.0, 3.0})},
                                                     {"noise", 0.1}})});
  list.push_back(
      {"ring", Config::table({{"radius", 0.3}, {"sigma", 0.4}})});  // mass at the origin: the edge terms count
  return list;
}

std::unique_ptr<Density> make(const Case& c) {
  return find_entry(density_table(), "data set", c.name, "test").make(c.options);
}

TEST(Densities, OptionsDoNotClashWithThoseOfAllData) {
  for (const auto& entry : density_table())
    for (const OptionDescription& own : entry.options())
      for (const OptionDescription& common : describe_options<DataOptions>())
        EXPECT_TRUE(own.name != common.name || own.name == "noise") << entry.name << ": " << own.name;
}

TEST(Densities, RepeatFromASeedAndSplitByRows) {
  for (const Case& c : cases()) {
    const auto density = make(c);
    Rng first(3, "a"), again(3, "a"), tail = Rng(3, "a").at_row(7), other(4, "a");
    const Tensor x = density->sample(20, first);
    EXPECT_EQ(x.sizes(), (Shape{20, density->dimension()})) << c.name;
    EXPECT_EQ(x.scalar_type(), torch::kFloat);
    EXPECT_TRUE(torch::equal(x, density->sample(20, again))) << c.name;
    EXPECT_TRUE(torch::equal(x.slice(0, 7), density->sample(13, tail))) << c.name;
    EXPECT_FALSE(torch::equal(x, density->sample(20, other))) << c.name;
    Rng wide(3, "a");
    const Tensor precise = density->sample(20, wide, torch::kDouble);
    EXPECT_TRUE(torch::allclose(x.to(torch::kDouble), precise, 1e-5, 1e-5)) << c.name;
  }
}

// Quadrature that does not share a grid with integrate_plane: midpoints of 400 x 400 cells.
TEST(Densities, IntegrateToOneAndAgreeWithTheirSamples) {
  for (const Case& c : cases()) {
    const auto density = make(c);
    if (!density->has_log_density() || density->dimension() != 2 || density->has_jumps() || density->manifold())
      continue;
    const Box box = density->box();
    const int n = 400;
    const double h1 = (box.high[0] - box.low[0]) / n, h2 = (box.high[1] - box.low[1]) / n;
    const Tensor x1 = box.low[0] + h1 * (torch::arange(n, torch::kDouble) + 0.5);
    const Tensor x2 = box.low[1] + h2 * (torch::arange(n, torch::kDouble) + 0.5);
    const Tensor grid = torch::stack({x1.repeat_interleave(n), x2.repeat({n})}, 1);
    const Tensor p = density->log_density(grid).exp() * (h1 * h2);
    EXPECT_NEAR(p.sum().item<double>(), 1, 1e-6) << c.name;

    const auto monomials = [](const Tensor& x) {
      const Tensor a = x.select(1, 0), b = x.select(1, 1);
      return torch::stack({a, b, a * a, b * b, a * b, a * a * b, (3 * a).cos(), (5 * a * b).sin()}, 1);
    };
    const Tensor exact = (monomials(grid) * p.unsqueeze(1)).sum(0);
    Rng rng(11, "moments");
    const Tensor samples = monomials(density->sample(40000, rng, torch::kDouble));
    const Tensor error = samples.std(0) / 200;  // sqrt(40000)
    const Tensor off = (samples.mean(0) - exact).abs() / error;
    EXPECT_LT(off.max().item<double>(), 4) << c.name << off;

    if (const auto entropy = density->entropy()) {
      const Tensor log_p = density->log_density(grid);
      EXPECT_NEAR(*entropy, -(p * log_p).sum().item<double>(), 1e-5) << c.name;
    }
    if (const auto fisher = density->fisher_information()) {
      const double quadrature = (p * density->score(grid).square().sum(1)).sum().item<double>();
      EXPECT_NEAR(*fisher / quadrature, 1, 1e-3) << c.name;  // the midpoint grid is coarse for the ring's cusp
    }
  }
}

TEST(Densities, ScoreIsTheDifferenceOfLogDensity) {
  for (const Case& c : cases()) {
    const auto density = make(c);
    if (!density->has_log_density()) {
      EXPECT_THROW(density->log_density(torch::zeros({1, 2})), RequestError) << c.name;
      continue;
    }
    if (density->has_jumps()) continue;
    Rng rng(5, "points");
    const Tensor x = density->sample(50, rng, torch::kDouble);
    const Tensor score = density->score(x);
    const double h = 1e-5;
    for (std::int64_t i = 0; i < density->dimension(); ++i) {
      Tensor up = x.clone(), down = x.clone();
      up.select(1, i) += h;
      down.select(1, i) -= h;
      const Tensor slope = (density->log_density(up) - density->log_density(down)) / (2 * h);
      EXPECT_TRUE(torch::allclose(score.select(1, i), slope, 1e-5, 1e-5)) << c.name;
    }
  }
}

TEST(Checkerboard, JitteredBoundsOfTheMainJob) {
  const auto density = make({"checkerboard", Config::table({{"noise", 0.05}})});
  EXPECT_NEAR(-*density->entropy(), 0.3445, 5e-5);
  // The law is a sum of two products, so a table of each one-dimensional factor, by the library's erfc, gives the same
  // integral on a finer grid.
  const double noise = 0.05, h = noise / 16;
  std::vector<double> low, high, low_slope, high_slope;
  for (double x = -9 * noise; x < 1 + 9 * noise; x += h) {
    const auto tail = [&](double distance) { return 0.5 * std::erfc(distance / (noise * std::sqrt(2.0))); };
    const auto mass = [&](double from, double to) {  // from the side where the tails are small
      return 2 * x > from + to ? tail(x - to) - tail(x - from) : tail(from - x) - tail(to - x);
    };
    const auto bell = [&](double edge) {
      return std::exp(-0.5 * std::pow((x - edge) / noise, 2)) / (noise * std::sqrt(2 * M_PI));
    };
    low.push_back(mass(0, 0.5));
    high.push_back(mass(0.5, 1));
    low_slope.push_back(bell(0) - bell(0.5));
    high_slope.push_back(bell(0.5) - bell(1));
  }
  double floor = 0;  // both coordinates share it, hence no factor 1/2
  for (std::size_t i = 0; i < low.size(); ++i)
    for (std::size_t j = 0; j < low.size(); ++j) {
      const double p = 2 * (low[i] * low[j] + high[i] * high[j]);
      const double slope = 2 * (low_slope[i] * low[j] + high_slope[i] * high[j]);
      if (p > 0) floor -= slope * slope / p * h * h;
    }
  EXPECT_NEAR(-0.5 * *density->fisher_information(), floor, 1e-6);
  EXPECT_NEAR(floor, -67.2213, 1e-4);
  EXPECT_NEAR(*density->entropy(), integrate_plane(*density, 14)->entropy, 1e-9);
  EXPECT_NEAR(integrate_plane(*density)->mass, 1, 1e-10);
}

TEST(Checkerboard, CleanLawIsTheTwoSquares) {
  const auto density = make({"checkerboard", Config::table()});
  const Tensor x =
      torch::tensor({{0.1, 0.4}, {0.6, 0.9}, {0.1, 0.9}, {0.9, 0.1}, {-0.1, 0.2}, {1.1, 0.9}}, torch::kDouble);
  const Tensor log_p = density->log_density(x);
  for (int i = 0; i < 2; ++i) EXPECT_NEAR(log_p[i].item<double>(), std::log(2), 1e-15);
  for (int i = 2; i < 6; ++i) EXPECT_EQ(log_p[i].item<double>(), -INFINITY);
  EXPECT_TRUE(density->has_jumps());
  EXPECT_DOUBLE_EQ(*density->entropy(), -std::log(2));
  Rng rng(1, "x");
  const Tensor samples = density->sample(2000, rng);
  EXPECT_NEAR(density->log_density(samples).min().item<double>(), std::log(2), 1e-6);
}

// log of the integral of 2 N(x - u, noise^2 I) over the two squares, each side by Simpson's rule in log space.
double log_mass(double x, double low, double high, double noise) {
  // Only the part of the interval within 60 noise^2/distance of the near end matters far away.
  const double near = x < low ? low : high;
  const double outside = std::max({low - x, x - high, 0.0});
  const double width = outside > 0 ? std::min(high - low, 60 * noise * noise / outside) : high - low;
  const double begin = outside > 0 ? (x < low ? near : near - width) : low;
  const int n = 20000;
  const Tensor u = begin + width / n * torch::arange(n + 1, torch::kDouble);
  Tensor weight = torch::full({n + 1}, 2.0, torch::kDouble);
  weight.slice(0, 1, n, 2).fill_(4);
  weight[0] = weight[n] = 1;
  const Tensor terms = -0.5 * ((x - u) / noise).square() + (weight * (width / n / 3)).log();
  return torch::logsumexp(terms, 0).item<double>() - std::log(noise * std::sqrt(2 * M_PI));
}

TEST(Checkerboard, LogDensityFarInTheTails) {
  const double noise = 0.05;
  const auto density = make({"checkerboard", Config::table({{"noise", noise}})});
  for (const auto& [a, b] : std::vector<std::pair<double, double>>{
           {0.25, 0.25}, {0.25, 0.75}, {0.5, 0.5}, {-0.2, 0.3}, {-3, 0.25}, {-20, 30}, {0.5, 12}, {1e3, -1e3}}) {
    const double low = log_mass(a, 0, 0.5, noise) + log_mass(b, 0, 0.5, noise);
    const double high = log_mass(a, 0.5, 1, noise) + log_mass(b, 0.5, 1, noise);
    const double expected = std::log(2) + std::max(low, high) + std::log1p(std::exp(-std::abs(low - high)));
    const Tensor x = torch::tensor({{a, b}}, torch::kDouble);
    const double unit = std::max(1.0, std::abs(expected));
    EXPECT_NEAR(density->log_density(x).item<double>(), expected, 1e-8 * unit) << a << " " << b;
    EXPECT_TRUE(density->score(x).isfinite().all().item<bool>()) << a << " " << b;
    EXPECT_NEAR(density->log_density(x.to(torch::kFloat)).item<double>(), expected, 3e-5 * unit) << a << " " << b;
  }
  // Far out the score is that of the nearest edge: (edge - x) / noise^2, and a little more.
  const Tensor score = density->score(torch::tensor({{-20.0, 0.25}}, torch::kDouble));
  EXPECT_NEAR(score[0][0].item<double>() * noise * noise / 20, 1, 1e-4);
}

TEST(GaussianMixture, ClosedFormsOfOneGaussianInFiveDimensions) {
  const auto density = make({"gaussian-mixture", Config::table({{"dimension", 5},
                                                                {"means", Config::array({1.0, 2.0, 3.0, 4.0, 5.0})},
                                                                {"sigma", Config::array({0.3})},
                                                                {"noise", 0.4}})});
  const Tensor x = torch::zeros({1, 5}, torch::kDouble);
  const double expected = -55 / (2 * 0.25) - 5 * std::log(0.5 * std::sqrt(2 * M_PI));
  EXPECT_NEAR(density->log_density(x).item<double>(), expected, 1e-12 * std::abs(expected));
  EXPECT_NEAR(*density->entropy(), 2.5 * std::log(2 * M_PI * M_E * 0.25), 1e-12);
  EXPECT_NEAR(*density->fisher_information(), 20, 1e-12);
}

TEST(GaussianMixture, RefusesArraysThatDoNotFit) {
  EXPECT_THROW(make({"gaussian-mixture", Config::table({{"means", Config::array({0.0, 1.0, 2.0})}})}), RequestError);
  EXPECT_THROW(make({"gaussian-mixture", Config::table({{"sigma", Config::array({1.0, 1.0})}})}), RequestError);
  EXPECT_THROW(make({"gaussian-mixture", Config::table({{"sigma", Config::array({-1.0})}})}), RequestError);
}

TEST(TwentyFiveGaussians, EntropyOfThePaper) {
  const auto density = make({"25-gaussians", Config::table()});
  // Well separated: log 25 plus the entropy of one Gaussian.
  EXPECT_NEAR(*density->entropy(), std::log(25) + std::log(2 * M_PI * M_E * 0.0839 * 0.0839), 1e-6);
  EXPECT_NEAR(*density->entropy(), 1.10, 0.01);
}

TEST(Banana, ScoreMatchingFloorOfTheSheet) {
  const auto density = make({"banana", Config::table()});
  EXPECT_NEAR(*density->fisher_information(), 1.89, 1e-12);
}

TEST(TwoMoonsAndSwissRoll, LieOnTheirCurvesWithoutJitter) {
  const Config clean = Config::table({{"noise", 0}});
  Rng rng(9, "x");
  const Tensor moons = make({"two-moons", clean})->sample(4000, rng, torch::kDouble);
  const Tensor x = moons.select(1, 0), y = moons.select(1, 1);
  const Tensor upper = ((x.square() + y.square()) - 1).abs() < 1e-9;
  const Tensor lower = (((1 - x).square() + (0.5 - y).square()) - 1).abs() < 1e-9;
  EXPECT_TRUE((upper | lower).all().item<bool>());
  EXPECT_NEAR(upper.to(torch::kDouble).mean().item<double>(), 0.5, 4 * 0.5 / std::sqrt(4000.0));
  const Tensor roll = make({"swiss-roll", clean})->sample(4000, rng, torch::kDouble);
  const Tensor t = 5 * roll.square().sum(1).sqrt();
  EXPECT_TRUE(torch::allclose(roll, torch::stack({t * t.cos(), t * t.sin()}, 1) / 5, 0, 1e-9));
  EXPECT_GE(t.min().item<double>(), 1.5 * M_PI);
  EXPECT_LE(t.max().item<double>(), 4.5 * M_PI + 1e-9);
}

}  // namespace
}  // namespace gibbsite
