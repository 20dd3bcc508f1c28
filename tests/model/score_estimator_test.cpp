#include <gibbsite/core/error.h>
#include <gibbsite/core/random.h>
#include <gibbsite/model/score_estimator.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace gibbsite {
namespace {

std::unique_ptr<ScoreEstimator> make(const char* name, const Config& options = Config::table()) {
  return find_entry(score_estimator_table(), "score estimator", name, "").make(options);
}

TEST(ScoreEstimator, WidthIsTheMiddleOfAllDistances) {
  // Distances 0 three times, 3, 4 and 5 twice each: the fourth largest of nine is 4.
  const Tensor squared = torch::tensor({{0.0, 9.0, 16.0}, {9.0, 0.0, 25.0}, {16.0, 25.0, 0.0}}, at::kDouble);
  EXPECT_DOUBLE_EQ(median_distance(squared.unsqueeze(0))[0].item<double>(), 4);
}

// The formulas of the sheet (4.7) entry by entry: pairs of samples, then eigenfunctions and their coefficients.
TEST(ScoreEstimator, EqualsThePublishedFormulasByLoops) {
  const std::int64_t m = 7, d = 2;
  const Tensor x = Rng(1, "x").normal({m, d}, at::kDouble);
  std::vector<double> distances;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < m; ++j) distances.push_back((x[i] - x[j]).norm().item<double>());
  std::sort(distances.rbegin(), distances.rend());
  const double h = distances[static_cast<std::size_t>(m * m / 2 - 1)];
  Tensor k = torch::zeros({m, m}, at::kDouble);
  // Gradients of k(x_i, x_j) in its first argument.
  Tensor first = torch::zeros({m, m, d}, at::kDouble);
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < m; ++j) {
      k[i][j] = std::exp(-(x[i] - x[j]).square().sum().item<double>() / (2 * h * h));
      first[i][j] = -k[i][j] * (x[i] - x[j]) / (h * h);
    }
  const double eta = 1e-3;
  Tensor steins = torch::zeros({m, d}, at::kDouble);
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < m; ++j) steins[i] -= first[i][j];  // the gradient in the second is the negative
  steins = -torch::linalg_inv(k + eta * torch::eye(m, at::kDouble)).mm(steins);
  EXPECT_TRUE(at::allclose(make("stein")->at(x), steins, 1e-8, 1e-9));

  const auto [values, vectors] = torch::linalg_eigh(k);
  for (const std::int64_t fixed : {0, 3}) {
    Tensor score = torch::zeros({m, d}, at::kDouble);
    double cumulative = 0;
    for (std::int64_t j = 0; j < m; ++j) {
      const double lambda = values[m - 1 - j].item<double>();
      const Tensor u = vectors.select(1, m - 1 - j);
      cumulative += lambda / values.sum().item<double>();
      if (fixed > 0 ? j >= fixed : j > 0 && cumulative >= 0.99) break;
      Tensor beta = torch::zeros({d}, at::kDouble);
      for (std::int64_t n = 0; n < m; ++n) beta -= std::sqrt(double(m)) / lambda * u[n] * first.select(1, n).mean(0);
      for (std::int64_t i = 0; i < m; ++i) {
        const Tensor psi = std::sqrt(double(m)) / lambda * k[i].dot(u);
        score[i] += psi * beta;
      }
    }
    const Config options = Config::table({{"eigenvectors", Config(fixed)}});
    EXPECT_TRUE(at::allclose(make("spectral", options)->at(x), score, 1e-8, 1e-9)) << fixed;
  }
}

// N(m, S) in two dimensions has the score -S⁻¹(x - m). Errors are relative, over all samples; they sit in the tails, where a
// ridge pulls Stein's estimate to zero.
TEST(ScoreEstimator, ApproachesTheScoreOfAGaussian) {
  const Tensor root = torch::tensor({{1.0, 0.0}, {0.6, 0.8}}, at::kDouble);
  const Tensor precision = torch::linalg_inv(root.mm(root.t()));
  const auto error = [&](const char* name, std::int64_t samples) {
    const Tensor centred = Rng(5, "x").normal({samples, 2}, at::kDouble).mm(root.t());
    const Tensor exact = -centred.mm(precision);
    const Tensor estimate = make(name)->at(centred + 3);
    return ((estimate - exact).norm() / exact.norm()).item<double>();
  };
  const std::pair<const char*, double> tolerances[] = {{"stein", 0.55}, {"spectral", 0.25}};
  for (const auto& [name, tolerance] : tolerances) {
    const double few = error(name, 100), many = error(name, 1000);
    EXPECT_LT(many, tolerance) << name;
    EXPECT_LT(many, few) << name;
  }
}

TEST(ScoreEstimator, GroupsAreLawsOfTheirOwnAndGradientsStop) {
  Tensor groups = Rng(6, "x").normal({3, 20, 2}, at::kFloat);
  groups[1] *= 5;
  for (const Entry<MakeScoreEstimator>& entry : score_estimator_table()) {
    const auto estimator = entry.make(entry.smallest);
    const Tensor together = estimator->at(groups.clone().requires_grad_(true));
    EXPECT_FALSE(together.requires_grad());
    for (std::int64_t g = 0; g < 3; ++g)
      EXPECT_TRUE(at::allclose(together[g], estimator->at(groups[g]), 1e-3, 1e-4)) << entry.name;
    EXPECT_THROW(estimator->at(torch::ones({4, 2})), WorkError) << entry.name;
    EXPECT_THROW(estimator->at(torch::ones({1, 2})), WorkError) << entry.name;
  }
}

}  // namespace
}  // namespace gibbsite
