#include <ATen/Parallel.h>
#include <gibbsite/calculus/derivatives.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/memory.h>
#include <gibbsite/model/fits_score.h>
#include <gibbsite/model/mlp_energy.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/langevin.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace gibbsite {
namespace {

struct Case {
  std::string name;
  std::int64_t event;
  MlpEnergyOptions options;
};

std::vector<Case> cases() {
  std::vector<Case> made;
  const auto add = [&](const std::string& name, std::int64_t event, const std::vector<std::int64_t>& hidden) {
    Case one{name, event, {}};
    one.options.hidden = hidden;
    made.push_back(one);
    return &made.back().options;
  };
  add("wide", 2, {64, 48, 64});
  add("tanh", 20, {32, 40})->activation = "tanh";
  MlpEnergyOptions* all = add("all parts", 12, {24, 32});
  all->head = "quadratic";
  all->skip = true;
  all->confinement = 0.3;
  all->activation = "softplus";
  add("narrow", 3, {6, 5})->activation = "elu";
  return made;
}

std::unique_ptr<Energy> make(const Case& of, const std::string& operations, const std::string& precision = "float32") {
  MlpEnergyOptions options = of.options;
  options.operations = operations;
  options.precision = precision;
  ModelContext context;
  context.event = {of.event};
  context.init = Rng(3, "init");
  return make_mlp_energy(options, context);
}

// More rows than a block, and not a multiple of it.
constexpr std::int64_t kRows = 150;

Tensor points(const Case& of, const std::string& stream = "x") {
  Rng rng(5, stream);
  return rng.normal({kRows, of.event});
}

double distance(const Tensor& a, const Tensor& b) {
  return ((a - b).abs().max() / b.abs().max().clamp_min(1e-6)).item<double>();
}

std::vector<Tensor> parameters(Energy& energy) { return energy.module().parameters(); }

// Gradients in x and in all parameters, the two energies' beside one another.
void expect_same_gradients(const Case& of, const std::function<Tensor(const Energy&, const Tensor& x)>& loss,
                           double tolerance = 1e-5) {
  std::vector<std::vector<Tensor>> gradients;
  for (const std::string operations : {"fast", "eager"}) {
    const auto energy = make(of, operations);
    const Tensor x = points(of).requires_grad_();
    std::vector<Tensor> inputs = parameters(*energy);
    inputs.push_back(x);
    gradients.push_back(torch::autograd::grad({loss(*energy, x)}, inputs, {}, false, false, true));
  }
  for (std::size_t i = 0; i < gradients[0].size(); ++i) {
    // What does not matter has a gradient of zeros in a plan and none in the network.
    if (!gradients[0][i].defined()) continue;
    const Tensor expected = gradients[1][i].defined() ? gradients[1][i] : torch::zeros_like(gradients[0][i]);
    EXPECT_LT(distance(gradients[0][i], expected), tolerance) << of.name << " input " << i;
  }
}

Tensor gradient(const Energy& energy, const Tensor& x, bool graph) {
  return torch::autograd::grad({energy.energy(x).sum()}, {x}, {}, graph, graph)[0];
}

TEST(Plan, EnergiesAndFirstGradientsAreThoseOfTheNetwork) {
  for (const Case& of : cases()) {
    ASSERT_TRUE(make(of, "fast")->rows()) << of.name;
    EXPECT_FALSE(make(of, "eager")->rows());
    const Tensor x = points(of);
    EXPECT_LT(distance(make(of, "fast")->energy(x), make(of, "eager")->energy(x)), 1e-5) << of.name;
    expect_same_gradients(of, [](const Energy& energy, const Tensor& at) { return energy.energy(at).square().sum(); });
  }
}

TEST(Plan, TheGradientOfAGradientIsThatOfTheNetwork) {
  for (const Case& of : cases()) {
    const Tensor target = points(of, "target");
    // Rows with weights, so that the seed of the first pass matters.
    const Tensor weight = torch::linspace(0.5, 2, kRows);
    expect_same_gradients(of, [&](const Energy& energy, const Tensor& x) {
      const Tensor slope = torch::autograd::grad({(energy.energy(x) * weight).sum()}, {x}, {}, true, true)[0];
      return (slope - target).square().sum();
    });
  }
}

TEST(Plan, ASeedThatIsAFunctionOfTheEnergyGetsItsGradient) {
  const Case of = cases()[0];
  expect_same_gradients(of, [](const Energy& energy, const Tensor& x) {
    const Tensor slope = torch::autograd::grad({energy.energy(x).square().sum()}, {x}, {}, true, true)[0];
    return slope.square().sum();
  });
}

TEST(Plan, JetsAndTheirGradientsAreThoseOfTheNetwork) {
  for (const Case& of : cases()) {
    Rng rng(7, "v");
    const Tensor v = rng.rademacher({kRows, of.event}, points(of)), many = rng.normal({3, kRows, of.event}, points(of));
    const auto sum = [](const Jet& jet) {
      Tensor loss = 0.5 * jet.derivative(1).square().sum() + jet.slice(0).sum();
      if (jet.order == 2) loss = loss - jet.derivative(2).square().sum();
      return loss;
    };
    for (const std::int64_t order : {1, 2})
      expect_same_gradients(
          of, [&](const Energy& energy, const Tensor& x) { return sum(*energy.energy(seed_jet(x, v, order))); });
    expect_same_gradients(of, [&](const Energy& energy, const Tensor& x) {
      const Jet jet = *energy.energy(seed_laplacian(x, many));
      return jet.stacked().narrow(0, 1, 3).square().sum() + jet.derivative(2).square().sum();
    });
  }
}

TEST(Plan, WhatGoesBeyondItIsLeftToTheNetwork) {
  const Case of = cases()[0];
  Rng rng(7, "v");
  const Tensor v = rng.rademacher({kRows, of.event}, points(of));
  // Sliced score matching by nested passes: a third derivative.
  expect_same_gradients(
      of,
      [&](const Energy& energy, const Tensor& x) {
        const Tensor slope = (gradient(energy, x, true) * v).flatten(1).sum(1);
        const Tensor curve = torch::autograd::grad({slope.sum()}, {x}, {}, true, true)[0];
        return (0.5 * slope.square() - (curve * v).sum(1)).sum();
      },
      1e-4);
  // A gradient in the parameters with graph.
  expect_same_gradients(
      of,
      [&](const Energy& energy, const Tensor& x) {
        const Tensor weight = const_cast<Energy&>(energy).module().parameters()[0];
        return torch::autograd::grad({energy.energy(x).square().sum()}, {weight}, {}, true, true)[0].square().sum();
      },
      1e-4);
  // The gradient of a jet, with graph.
  expect_same_gradients(
      of,
      [&](const Energy& energy, const Tensor& x) {
        const Tensor slope = energy.energy(seed_jet(x, v, 1))->derivative(1);
        return torch::autograd::grad({slope.sum()}, {x}, {}, true, true)[0].square().sum();
      },
      1e-4);
}

TEST(Plan, FollowsItsParameters) {
  const Case of = cases()[0];
  const auto fast = make(of, "fast"), eager = make(of, "eager");
  const Tensor x = points(of);
  std::vector<float> energy(kRows);
  const auto by_rows = [&] {
    (*fast->rows())(x.data_ptr<float>(), kRows, energy.data(), nullptr);
    return torch::tensor(energy);
  };
  const Tensor before = by_rows();
  {
    const torch::NoGradGuard no_graph;
    for (Energy* each : {fast.get(), eager.get()})
      for (Tensor& parameter : parameters(*each)) parameter.mul_(1.5);
  }
  EXPECT_GT(distance(by_rows(), before), 1e-2);
  EXPECT_LT(distance(by_rows(), eager->energy(x)), 1e-5);
  EXPECT_LT(distance(fast->energy(x), eager->energy(x)), 1e-5);
}

TEST(Plan, AChangeBetweenForwardAndReverseIsRefused) {
  const auto energy = make(cases()[0], "fast");
  const Tensor loss = energy->energy(points(cases()[0])).sum();
  {
    const torch::NoGradGuard no_graph;
    parameters(*energy)[0].mul_(2);
  }
  EXPECT_THROW(loss.backward(), WorkError);
}

TEST(Plan, ChainsAreTheSameOneStepAtATimeInPartsAndOnTwoThreads) {
  const int threads = at::get_num_threads();
  for (const Case& of : cases()) {
    const auto energy = make(of, "fast");
    const Target target = target_of(*energy);
    LangevinOptions options;
    options.step_size = 0.05;
    options.noise_scale = 0.7;
    options.gradient_limit = 0.5;
    options.clamp = {-2, 2};
    const Langevin kernel(options);
    const Tensor x = points(of);
    const Rng rng(9, "chain");
    ChainOptions chain;
    chain.steps = 70;
    const auto run = [&](const Tensor& start, const Rng& draws) {
      return run_chain(std::make_shared<Langevin>(kernel), target, start, draws, chain).last.x;
    };
    at::set_num_threads(1);
    const Tensor one = run(x, rng);
    at::set_num_threads(2);
    EXPECT_TRUE(torch::equal(run(x, rng), one)) << of.name;
    at::set_num_threads(threads);
    EXPECT_TRUE(torch::equal(run(x.narrow(0, 70, 50), rng.at_row(70)), one.narrow(0, 70, 50))) << of.name;
    Tensor slow = x;
    for (std::int64_t t = 0; t < chain.steps; ++t) {
      Rng now = rng.at_step(static_cast<std::uint64_t>(t));
      slow = kernel.step(target, slow, now).x;
    }
    EXPECT_TRUE(torch::equal(slow, one)) << of.name;
    // Consecutive draws of one step, as in an objective, and what comes after them.
    Rng together = rng, apart = rng;
    const Tensor inner = iterate(kernel, target, x, 5, together).x;
    slow = x;
    for (int t = 0; t < 5; ++t) slow = kernel.step(target, slow, apart).x;
    EXPECT_TRUE(torch::equal(slow, inner)) << of.name;
    EXPECT_TRUE(torch::equal(together.normal({3, 5}), apart.normal({3, 5})));
  }
}

TEST(Plan, ScoresOfBfloat16ProductsAreNear) {
  if (!has_bfloat16_products()) GTEST_SKIP() << "this processor has no bfloat16 products";
  for (const Case& of : cases()) {
    const Tensor x = points(of);
    Tensor near = torch::empty_like(x), exact = torch::empty_like(x);
    (*make(of, "fast", "bfloat16")->rows())(x.data_ptr<float>(), kRows, nullptr, near.data_ptr<float>());
    (*make(of, "fast")->rows())(x.data_ptr<float>(), kRows, nullptr, exact.data_ptr<float>());
    EXPECT_LT(distance(near, exact), 1e-2) << of.name;
    // Energies decide over acceptance and are not rounded.
    Tensor rough = torch::empty({kRows}), energy = torch::empty({kRows});
    (*make(of, "fast", "bfloat16")->rows())(x.data_ptr<float>(), kRows, rough.data_ptr<float>(),
                                            near.data_ptr<float>());
    (*make(of, "fast")->rows())(x.data_ptr<float>(), kRows, energy.data_ptr<float>(), nullptr);
    EXPECT_TRUE(torch::equal(rough, energy)) << of.name;
    if (of.name == "narrow") continue;  // has no product of matrices
    EXPECT_GT(distance(near, exact), 1e-6) << of.name;
  }
}

TEST(Plan, ANetworkWithALayerThatItDoesNotKnowSaysSo) {
  Case of = cases()[0];
  of.options.norm = true;
  const auto energy = make(of, "fast");
  EXPECT_FALSE(energy->rows());
  EXPECT_NE(energy->plan_note().find("layer norm"), std::string::npos);
  EXPECT_EQ(make(cases()[0], "fast")->plan_note(), "");
}

// One pass for the loss of denoising objectives, beside the same by autograd in double.
TEST(Plan, FitsScores) {
  for (const Case& of : cases()) {
    const std::unique_ptr<Energy> fast = make(of, "fast"), plain = make(of, "eager");
    plain->module().to(torch::kDouble);
    const Tensor x = points(of), target = points(of, "target"), weight = points(of, "weight").select(1, 0).abs() + 0.1;
    const Tensor at = x.to(torch::kDouble).requires_grad_();
    const Tensor gradient = torch::autograd::grad({plain->energy(at).sum()}, {at}, {}, true, true)[0];
    const Tensor expected = (0.5 * weight.to(torch::kDouble) * (gradient + target).square().sum(1)).sum();
    const std::vector<Tensor> slopes =
        torch::autograd::grad({expected}, plain->module().parameters(), {}, {}, {}, true);
    for (const int threads : {1, 2}) {
      const int before = at::get_num_threads();
      at::set_num_threads(threads);
      const std::optional<Tensor> found = dynamic_cast<const FitsScore&>(*fast).score_distance(x, target, weight);
      ASSERT_TRUE(found.has_value());
      EXPECT_NEAR(found->item<double>(), expected.item<double>(), 1e-5 * expected.item<double>()) << of.name;
      const std::vector<Tensor> gradients =
          torch::autograd::grad({*found}, fast->module().parameters(), {}, {}, {}, true);
      at::set_num_threads(before);
      for (std::size_t i = 0; i < slopes.size(); ++i) {
        const Tensor other = gradients[i].to(torch::kDouble);
        const Tensor slope = slopes[i].defined() ? slopes[i] : torch::zeros_like(other);
        EXPECT_LT((other - slope).norm().item<double>(), 1e-5 * (slope.norm().item<double>() + 1)) << of.name << i;
      }
    }
  }
}

// A node that holds the tensor it belongs to would never go.
TEST(Plan, LeavesNothingBehind) {
  const Case of = cases().front();
  const std::unique_ptr<Energy> energy = make(of, "fast");
  const std::vector<Tensor> parameters = energy->module().parameters();
  const Tensor x = points(of), v = points(of, "v");
  const auto slope = [&](const Tensor& at) {
    return torch::autograd::grad({energy->energy(at).sum()}, {at}, {}, true, true)[0];
  };
  const std::vector<std::pair<std::string, std::function<void()>>> uses = {
      {"energies dropped", [&] { energy->energy(x); }},
      {"likelihood", [&] { torch::autograd::grad({energy->energy(x).sum()}, parameters); }},
      {"a gradient dropped", [&] { slope(x.detach().requires_grad_()); }},
      {"denoising",
       [&] {
         torch::autograd::grad({slope(x.detach().requires_grad_()).square().sum()}, parameters, {}, {}, {}, true);
       }},
      {"a score fitted",
       [&] {
         const Tensor weight = torch::ones({kRows});
         torch::autograd::grad({*dynamic_cast<const FitsScore&>(*energy).score_distance(x, v, weight)}, parameters, {},
                               {}, {}, true);
       }},
      {"a jet",
       [&] {
         torch::autograd::grad({energy->energy(seed_jet(x, v, 2))->derivative(2).sum()}, parameters, {}, {}, {}, true);
       }},
  };
  for (const auto& [name, use] : uses) {
    use();  // what is kept for next time
    const PeakMemory memory;
    for (int i = 0; i < 3; ++i) use();
    EXPECT_EQ(memory.current_bytes(), 0) << name;
  }
}

}  // namespace
}  // namespace gibbsite
