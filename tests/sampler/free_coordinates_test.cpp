#include <gibbsite/core/error.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/free_coordinates.h>
#include <gibbsite/sampler/hmc.h>
#include <gibbsite/sampler/mala.h>
#include <gibbsite/sampler/tempering.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <memory>

namespace gibbsite {
namespace {

// N(m, Σ) in four dimensions, and what is known of two coordinates given the others.
struct Gaussian {
  Tensor mean = torch::tensor({0.5, -1.0, 0.2, 0.0}, torch::kDouble);
  Tensor covariance = torch::tensor(
      {{1.0, 0.6, 0.3, 0.1}, {0.6, 1.5, 0.2, -0.4}, {0.3, 0.2, 0.8, 0.3}, {0.1, -0.4, 0.3, 1.2}}, torch::kDouble);
  Target target() const {
    Target made;
    made.energy = [precision = covariance.inverse(), mean = mean](const Tensor& x) {
      const Tensor d = x - mean;
      return 0.5 * (d.matmul(precision) * d).sum(1);
    };
    return made;
  }
  Tensor part(const Tensor& rows, const Tensor& columns) const {
    return covariance.index_select(0, rows).index_select(1, columns);
  }
  // Schur complement and regression.
  Tensor conditional_covariance(const Tensor& a, const Tensor& b) const {
    return part(a, a) - part(a, b).matmul(part(b, b).inverse()).matmul(part(b, a));
  }
  Tensor conditional_mean(const Tensor& a, const Tensor& b, const Tensor& x) const {
    return mean.index_select(0, a) +
           part(a, b).matmul(part(b, b).inverse()).matmul(x.index_select(0, b) - mean.index_select(0, b));
  }
};

// Largest differences of mean and covariance of independent rows, in standard errors.
double worst_z(const Tensor& rows, const Tensor& mean, const Tensor& covariance) {
  const auto n = static_cast<double>(rows.size(0));
  const Tensor centred = rows - mean;
  const Tensor z = centred.mean(0) / (covariance.diag() / n).sqrt();
  const Tensor products = centred.unsqueeze(2) * centred.unsqueeze(1);
  const Tensor variance = covariance.square() + torch::outer(covariance.diag(), covariance.diag());
  const Tensor z2 = (products.mean(0) - covariance) / (variance / n).sqrt();
  return std::max(z.abs().max().item<double>(), z2.abs().max().item<double>());
}

ChainOptions steps(std::int64_t n) {
  ChainOptions options;
  options.steps = n;
  return options;
}

TEST(FreeCoordinates, ChainsHaveTheConditionalLaw) {
  const Gaussian law;
  const Tensor x = torch::tensor({9.0, 0.4, -7.0, 1.1}, torch::kDouble);
  const Tensor a = torch::tensor({0, 2}), b = torch::tensor({1, 3});
  constexpr std::int64_t kChains = 4000;
  const Tensor held = x.repeat({kChains, 1});
  const Tensor free = torch::tensor({true, false, true, false}).expand({kChains, 4});
  const FreeCoordinates coordinates = FreeCoordinates::entries(held, free);
  ASSERT_EQ(coordinates.size(), 2);
  const Target target = coordinates.restricted(law.target());
  Rng start(1, "start");
  const Tensor u0 = start.normal({kChains, 2}, torch::kDouble) * 2;
  TemperingOptions ladder;
  ladder.ladder = {1, 0.5};
  ladder.step_size = 0.5;
  const std::vector<std::shared_ptr<const Kernel>> kernels = {std::make_shared<Hmc>(HmcOptions{0.3, 4}),
                                                              std::make_shared<Mala>(MalaOptions{0.6}),
                                                              std::make_shared<Tempering>(ladder)};
  for (const auto& kernel : kernels) {
    const ChainResult result =
        run_chain(kernel, target, replicated(*kernel, u0), Rng(2, "chain"), steps(kernel == kernels[0] ? 20 : 60));
    const Tensor whole = coordinates.embed(coldest(*kernel, result.last.x).contiguous());
    EXPECT_TRUE(torch::equal(whole.index_select(1, b), held.index_select(1, b)));
    EXPECT_LT(worst_z(whole.index_select(1, a), law.conditional_mean(a, b, x), law.conditional_covariance(a, b)), 4);
  }
}

TEST(FreeCoordinates, RowsMayFreeDifferentEntries) {
  const Gaussian law;
  const Tensor held = torch::tensor({{1.0, 2.0, 3.0, 4.0}, {5.0, 6.0, 7.0, 8.0}}, torch::kDouble);
  const Tensor free = torch::tensor({{0, 1, 1, 0}, {0, 0, 0, 1}});
  const FreeCoordinates coordinates = FreeCoordinates::entries(held, free);
  const Tensor u = torch::tensor({{-1.0, -2.0}, {-3.0, 0.7}}, torch::kDouble);
  EXPECT_TRUE(torch::equal(coordinates.embed(u),
                           torch::tensor({{1.0, -1.0, -2.0, 4.0}, {5.0, 6.0, 7.0, -3.0}}, torch::kDouble)));
  EXPECT_TRUE(torch::equal(coordinates.project(held), torch::tensor({{2.0, 3.0}, {8.0, 0.0}}, torch::kDouble)));
  // The number without a place is standard normal and nothing else.
  const Target target = coordinates.restricted(law.target());
  const Tensor expected = law.target().energy(coordinates.embed(u)) + torch::tensor({0.0, 0.5 * 0.49}, torch::kDouble);
  EXPECT_TRUE(torch::allclose(target.energy(u), expected));
  Target by_score;
  by_score.score = [&](const Tensor& x) { return score_of(law.target(), x); };
  EXPECT_TRUE(torch::allclose(coordinates.restricted(by_score).score(u), score_of(target, u)));
}

TEST(FreeCoordinates, DirectionsAreAFrame) {
  const Gaussian law;
  const Tensor held = torch::tensor({{1.0, 2.0, 3.0, 4.0}}, torch::kDouble);
  const Tensor direction = torch::tensor({1.0, 1.0, 0.0, -1.0}, torch::kDouble) / std::sqrt(3.0);
  const FreeCoordinates coordinates = FreeCoordinates::directions(held, direction.view({1, 4, 1}));
  const Tensor u = torch::tensor({{0.3}}, torch::kDouble);
  EXPECT_TRUE(torch::allclose(coordinates.embed(u), held + 0.3 * direction));
  EXPECT_TRUE(torch::allclose(coordinates.project(coordinates.embed(u)), u));
  const Target target = coordinates.restricted(law.target());
  const double difference = (target.energy(u + 1e-5) - target.energy(u - 1e-5)).item<double>() / 2e-5;
  EXPECT_NEAR(score_of(target, u).item<double>(), -difference, 1e-8);
}

TEST(FreeCoordinates, RefusesWhatCannotMove) {
  const Tensor held = torch::zeros({2, 3});
  EXPECT_THROW(FreeCoordinates::entries(held, torch::zeros({2, 3})), RequestError);
  EXPECT_THROW(FreeCoordinates::entries(held, torch::ones({2, 2})), RequestError);
  EXPECT_THROW(FreeCoordinates::directions(held, torch::ones({1, 2, 1})), RequestError);
}

}  // namespace
}  // namespace gibbsite
