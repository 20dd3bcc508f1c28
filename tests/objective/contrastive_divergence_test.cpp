#include <gibbsite/core/error.h>
#include <gibbsite/objective/objective.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

struct Problem {
  std::unique_ptr<Energy> energy;
  std::unique_ptr<Objective> objective;
  Tensor data;

  explicit Problem(double stiffness, const Config& more = Config::table()) {
    ModelContext context;
    context.event = {2};
    context.dtype = at::kDouble;
    energy = find_entry(energy_table(), "model", "quadratic", "")
                 .make(Config::table({{"stiffness", Config(stiffness)}}), context);
    data = Rng(1, "data").normal({4000, 2}, at::kDouble);
    ObjectiveParts parts;
    parts.energy = energy.get();
    parts.kernel = [] {
      return find_entry(kernel_table(), "sampler", "mala", "").make(Config::table({{"step_size", Config(0.8)}}));
    };
    parts.data_example = data.narrow(0, 0, 1);
    Config options = Config::table({{"capacity", Config(4000)}, {"steps", Config(5)}});
    options.merge(more);
    objective = find_entry(objective_table(), "objective", "pcd", "").make(options, parts);
  }

  double stiffness() const { return energy->module().parameters()[0].item<double>(); }

  double gradient(std::uint64_t step) const {
    Rng rng = Rng(2, "pcd").at_step(step);
    Batch batch;
    batch.x = data;
    return torch::autograd::grad({(*objective)(batch, rng).backward}, energy->module().parameters())[0].item<double>();
  }
};

// The gradient in k is E_data ‖x‖²/2 - E_model ‖x‖²/2 = 1 - 1/k in two dimensions once the chains have mixed.
TEST(PersistentContrastiveDivergence, GradientIsThatOfTheLikelihood) {
  for (const double k : {0.5, 1.0, 2.0}) {
    const Problem problem(k);
    for (std::uint64_t step = 0; step < 20; ++step) problem.gradient(step);
    double sum = 0;
    const int repeats = 10;
    for (std::uint64_t step = 20; step < 20 + repeats; ++step) sum += problem.gradient(step);
    // ‖x‖²/2 is exponential with mean 1 (data) and 1/k (model); chains of ten batches overlap, so only one counts.
    const double error = std::sqrt((1 + 1 / (k * k)) / 4000);
    EXPECT_NEAR(sum / repeats, 1 - 1 / k, 4 * error) << k;
  }
}

TEST(PersistentContrastiveDivergence, TrainsAGaussianFromBothSides) {
  for (const double start : {0.4, 2.5}) {
    const Problem problem(start);
    const at::NoGradGuard guard;
    Tensor parameter = problem.energy->module().parameters()[0];
    for (std::uint64_t step = 0; step < 150; ++step) {
      const at::AutoGradMode on(true);
      const double slope = problem.gradient(step);
      const at::NoGradGuard off;
      parameter -= 0.1 * slope;
    }
    EXPECT_NEAR(problem.stiffness(), 1, 4 * std::sqrt(2.0 / 4000)) << start;
  }
}

TEST(PersistentContrastiveDivergence, MagnitudePenaltyIsTheMeanOfSquares) {
  const Problem plain(1), penalised(1, Config::table({{"magnitude", Config(0.25)}}));
  Rng one = Rng(2, "pcd").at_step(0), two = Rng(2, "pcd").at_step(0);
  Batch batch;
  batch.x = plain.data;
  const Loss without = (*plain.objective)(batch, one), with = (*penalised.objective)(batch, two);
  EXPECT_EQ(without.log[1].second.item<double>(), with.log[1].second.item<double>());
  // The chains are the same, so the difference is the penalty; both laws are N(0, I) up to mixing: E (‖x‖²/2)² = 2.
  EXPECT_NEAR(with.backward.item<double>() - without.backward.item<double>(), 0.25 * 4, 0.25 * 4 * 0.15);
}

TEST(PersistentContrastiveDivergence, StateRestoresTheSameNegatives) {
  const Problem one(1);
  for (std::uint64_t step = 0; step < 3; ++step) one.gradient(step);
  const Problem two(1);
  two.objective->restore(one.objective->state());
  EXPECT_EQ(one.gradient(3), two.gradient(3));
}

TEST(PersistentContrastiveDivergence, NeedsASampler) {
  ObjectiveParts parts;
  const Problem problem(1);
  parts.energy = problem.energy.get();
  parts.data_example = problem.data;
  EXPECT_THROW(find_entry(objective_table(), "objective", "pcd", "").make(Config::table(), parts), RequestError);
}

TEST(CrossEntropy, EqualsTheHandComputedLoss) {
  ModelContext context;
  context.event = {1, 8, 8};
  context.dtype = at::kDouble;
  auto energy =
      find_entry(energy_table(), "model", "classifier", "")
          .make(Config::table({{"filters", Config(2)}, {"features", Config(4)}, {"classes", Config(3)}}), context);
  ObjectiveParts parts;
  parts.energy = energy.get();
  auto objective = find_entry(objective_table(), "objective", "cross_entropy", "")
                       .make(Config::table({{"label_smoothing", Config(0.3)}}), parts);
  Batch batch;
  batch.x = Rng(1, "x").normal({5, 1, 8, 8}, at::kDouble);
  batch.label = torch::tensor({0, 2, 1, 1, 0}, torch::kLong);
  Rng rng(1, "ce");
  const Loss loss = (*objective)(batch, rng);
  // -log p of the label and the mean over classes, from energies of one class at a time.
  const Tensor weight = energy->module().named_parameters()["logits_weight"];
  EXPECT_EQ(weight.size(0), 3);
  double expected = 0;
  {
    const at::NoGradGuard guard;
    const Tensor total = -energy->energy(batch.x);
    const Tensor bias = energy->module().named_parameters()["logits_bias"];
    const Tensor saved = bias.clone();
    Tensor logits = torch::empty({5, 3}, torch::kDouble);
    for (int c = 0; c < 3; ++c) {  // a huge bias on one class leaves its logit plus the bias
      bias.copy_(saved);
      bias[c] += 1e3;
      logits.select(1, c).copy_(-energy->energy(batch.x) - 1e3);
    }
    bias.copy_(saved);
    for (int b = 0; b < 5; ++b)
      for (int c = 0; c < 3; ++c) {
        const double log_p = (logits[b][c] - total[b]).item<double>();
        expected -= (0.3 / 3 + (c == batch.label[b].item<std::int64_t>() ? 0.7 : 0)) * log_p / 5;
      }
  }
  EXPECT_NEAR(loss.backward.item<double>(), expected, 1e-9);
  Batch unlabelled;
  unlabelled.x = batch.x;
  EXPECT_THROW((*objective)(unlabelled, rng), WorkError);
}

}  // namespace
}  // namespace gibbsite
