// The Fisher divergence by a critic: its formula, its best critic, what it trains.
#include <gibbsite/core/error.h>
#include <gibbsite/objective/fisher_critic.h>
#include <gibbsite/posterior/bernoulli.h>
#include <gtest/gtest.h>

#include "objective/objective_helpers.h"
#include "posterior/latent_models.h"

namespace gibbsite {
namespace {

// f(v) = A v + b.
class AffineCritic : public ScoreNetwork {
 public:
  AffineCritic(const Tensor& a, const Tensor& b) {
    a_ = module_.register_parameter("a", a.clone());
    b_ = module_.register_parameter("b", b.clone());
  }
  ScoreEval at(const Tensor& x, Rng&) const override {
    const Tensor value = at::linear(x, a_, b_);
    return {value.detach(), [value](const Tensor& z) { return (value * z).sum(); }};
  }
  std::optional<Jet> at(const Jet& x, Rng&) const override { return x.with(at::linear(x.c, a_)) + b_; }
  bool has_jet() const override { return true; }
  torch::nn::Module& module() override { return module_; }
  Shape event() const override { return {a_.size(0)}; }

 private:
  torch::nn::Module module_;
  Tensor a_, b_;
};

std::unique_ptr<Objective> make(const ObjectiveParts& parts, const Config& options = Config::table()) {
  return find_entry(objective_table(), "objective", "fisher_critic", "").make(options, parts);
}

// Data N(0, I) and the model N(0, I/k): the divergence is ½ (k - 1)² d, its critic (1 - k) v.
struct Scaled {
  double stiffness = 1.6;
  std::int64_t size = 3;
  std::unique_ptr<Energy> energy = make_energy("quadratic", {size}, Config::table({{"stiffness", Config(stiffness)}}));
  Tensor x = Rng(1, "data").normal({40000, size}, at::kDouble);

  Evaluated at(double slope) const {
    AffineCritic critic(slope * torch::eye(size, at::kDouble), torch::zeros({size}, at::kDouble));
    ObjectiveParts parts;
    parts.energy = energy.get();
    parts.score = &critic;
    return evaluate(*make(parts), critic, x);
  }
};

TEST(FisherCritic, ReachesTheDivergenceAtTheBestCriticAndOnlyThere) {
  const Scaled problem;
  const double best = 1 - problem.stiffness, divergence = 0.5 * best * best * 3, error = 3 / std::sqrt(40000.0);
  const Evaluated there = problem.at(best);
  EXPECT_NEAR(there.value, -divergence, 4 * error);
  for (const Tensor& gradient : there.gradients) EXPECT_LT(gradient.abs().max().item<double>(), 4 * error);
  // A multiple m of it gives (2 m - m²) of the divergence, more than which no critic gives.
  for (const double multiple : {-1.0, 0.0, 0.5, 1.5})
    EXPECT_NEAR(problem.at(multiple * best).value, -divergence * (2 * multiple - multiple * multiple), 4 * error);
  // The loss falls towards it from either side: the trace of its gradient in A changes sign.
  EXPECT_LT(best * problem.at(0.5 * best).gradients[0].trace().item<double>(), 0);
  EXPECT_GT(best * problem.at(1.5 * best).gradients[0].trace().item<double>(), 0);
}

// Against the Jacobian of a network by reverse passes.
TEST(FisherCritic, IsItsFormula) {
  const auto critic = make_score(
      {3}, Config::table({{"hidden", Config::array({Config(5), Config(5)})}, {"activation", Config("elu")}}));
  auto grbm = test_grbm();
  const Tensor x = Rng(7, "x").normal({6, 3}, at::kDouble);
  const Tensor score = make_energy_score(*grbm)->at(x, *std::make_unique<Rng>(1, "none")).value;
  const Tensor directions = Rng(8, "directions").normal({2, 6, 3}, at::kDouble);
  const CriticTerms terms = critic_terms(*critic, x, score, directions);
  for (std::int64_t b = 0; b < 6; ++b) {
    const Tensor v = x.narrow(0, b, 1).clone().requires_grad_(true);
    Rng rng(1, "none");
    Tensor divergence = torch::zeros({}, at::kDouble), linear = torch::zeros({}, at::kDouble), square = linear;
    for (std::int64_t i = 0; i < 3; ++i) {
      Tensor unit = torch::zeros({1, 3}, at::kDouble);
      unit[0][i] = 1;
      const Tensor f_i = critic->at(v, rng).pullback(unit);
      const Tensor row = torch::autograd::grad({f_i}, {v})[0];
      for (std::int64_t p = 0; p < 2; ++p)
        divergence = divergence + 0.5 * directions[p][b][i] * (row[0] * directions[p][b]).sum();
      linear = linear + score[b][i] * f_i.detach();
      square = square + f_i.detach().square();
    }
    EXPECT_NEAR(terms.linear[b].item<double>(), (linear + divergence).item<double>(), 1e-12);
    EXPECT_NEAR(terms.square[b].item<double>(), square.item<double>(), 1e-12);
  }
}

// With draws of the exact posterior the critic's mean gradient is that with the exact score; model and encoder get none.
TEST(FisherCritic, TakesTheScoreByDrawsAndTrainsTheCriticAlone) {
  auto grbm = test_grbm();
  BernoulliDrawOptions hard;
  hard.draw = "hard";
  const auto posterior = make_exact_posterior(*grbm, hard);
  const auto critic =
      make_score({3}, Config::table({{"hidden", Config::array({Config(5)})}, {"activation", Config("elu")}}));
  ObjectiveParts exact, latent;
  exact.score = latent.score = critic.get();
  exact.energy = grbm.get();
  latent.latent.joint = grbm.get();
  latent.latent.encoder = posterior.get();
  const auto by_score = make(exact), by_draws = make(latent);
  const Tensor x = Rng(7, "x").normal({8, 3}, at::kDouble).repeat({100, 1});
  std::vector<Tensor> differences;
  for (std::uint64_t step = 0; step < 200; ++step) {
    Batch batch;
    batch.x = x;
    // The directions follow the latent draws, so they are no common ones.
    Rng one = Rng(9, "one").at_step(step), other = Rng(9, "other").at_step(step);
    const Tensor drawn = flat(gradients((*by_draws)(batch, one).backward, critic->module()));
    differences.push_back(drawn - flat(gradients((*by_score)(batch, other).backward, critic->module())));
  }
  EXPECT_LT(worst_deviation(differences, torch::zeros_like(differences[0])), 4);
  const Tensor error = at::stack(differences).std(0) / std::sqrt(200.0);
  const Tensor truth = flat(gradients(*by_score, *critic, x));
  EXPECT_GT((truth.norm() / error.norm()).item<double>(), 20);
  loss_at(*by_draws, x).backward.backward();
  for (const Tensor& p : grbm->module().parameters()) EXPECT_FALSE(p.grad().defined());
  for (const Tensor& p : critic->module().parameters()) EXPECT_TRUE(p.grad().defined());
}

TEST(FisherCritic, NeedsACriticAndAModel) {
  auto grbm = test_grbm();
  const auto critic = make_score({3}, Config::table({{"hidden", Config::array({Config(5)})}}));
  ObjectiveParts parts;
  parts.energy = grbm.get();
  EXPECT_THROW(make(parts), RequestError);
  parts.energy = nullptr;
  parts.score = critic.get();
  EXPECT_THROW(make(parts), RequestError);
  parts.latent.joint = grbm.get();
  EXPECT_THROW(make(parts), RequestError);
}

}  // namespace
}  // namespace gibbsite
