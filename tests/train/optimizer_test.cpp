#include <gibbsite/core/error.h>
#include <gibbsite/train/optimizer.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

constexpr int kSteps = 5;
// The gradient of step t (from 1) at p, for a function that has curvature and changes sign.
double gradient_at(double p, int t) { return 1.5 * p - std::sin(3.0 * t) + 0.2 * p * p; }
double rate_at(int t) { return 0.05 / t; }

// The published update formulas on one number.
double by_hand(const OptimizerOptions& o, double p) {
  double m = 0, v = o.name == "rmsprop" && o.variant == "tensorflow" ? 1 : 0, u = 0;
  for (int t = 1; t <= kSteps; ++t) {
    const double lr = rate_at(t);
    double g = gradient_at(p, t);
    if (o.name == "adamw")
      p -= lr * o.weight_decay * p;
    else
      g += o.weight_decay * p;
    if (o.name == "adam" || o.name == "adamw") {
      m = o.beta1 * m + (1 - o.beta1) * g;
      v = o.beta2 * v + (1 - o.beta2) * g * g;
      const double mean = m / (1 - std::pow(o.beta1, t)), square = v / (1 - std::pow(o.beta2, t));
      p -= lr * mean / (std::sqrt(square) + o.epsilon);
    } else if (o.name == "adamax") {
      m = o.beta1 * m + (1 - o.beta1) * g;
      v = std::max(o.beta2 * v, std::abs(g) + o.epsilon);
      p -= lr / (1 - std::pow(o.beta1, t)) * m / v;
    } else if (o.name == "sgd") {
      u = o.momentum * u + g;
      p -= lr * (o.nesterov ? g + o.momentum * u : u);
    } else {
      v = o.alpha * v + (1 - o.alpha) * g * g;
      if (o.variant == "tensorflow") {
        u = o.momentum * u + lr * g / std::sqrt(v + o.epsilon);
        p -= u;
      } else {
        u = o.momentum * u + g / (std::sqrt(v) + o.epsilon);
        p -= lr * u;
      }
    }
  }
  return p;
}

Tensor gradient_of(const Tensor& p, int t) { return p * 1.5 - std::sin(3.0 * t) + p * p * 0.2; }

void take_steps(Optimizer& optimizer, const Tensor& p, int from, int to) {
  const torch::NoGradGuard no_grad;
  for (int t = from; t <= to; ++t) optimizer.step({gradient_of(p, t)}, rate_at(t));
}

struct Case {
  const char* label;
  OptimizerOptions options;
};

std::vector<Case> cases() {
  const auto make = [](const char* name, auto change) {
    OptimizerOptions options;
    options.name = name;
    change(options);
    return options;
  };
  return {
      {"adam", make("adam", [](auto& o) { o.epsilon = 1e-3; })},
      {"adam_l2", make("adam", [](auto& o) { o.beta1 = 0.5, o.beta2 = 0.95, o.weight_decay = 0.1; })},
      {"adam_without_mean", make("adam", [](auto& o) { o.beta1 = 0; })},
      {"adamw", make("adamw", [](auto& o) { o.weight_decay = 0.2; })},
      {"adamax", make("adamax", [](auto& o) { o.epsilon = 1e-3, o.beta2 = 0.9, o.weight_decay = 3e-2; })},
      {"sgd", make("sgd", [](auto& o) { o.weight_decay = 0.1; })},
      {"sgd_momentum", make("sgd", [](auto& o) { o.momentum = 0.9; })},
      {"sgd_nesterov", make("sgd", [](auto& o) { o.momentum = 0.8, o.nesterov = true, o.weight_decay = 0.1; })},
      {"rmsprop", make("rmsprop", [](auto& o) { o.epsilon = 1e-2, o.weight_decay = 0.1; })},
      {"rmsprop_momentum", make("rmsprop", [](auto& o) { o.momentum = 0.7; })},
      {"rmsprop_tensorflow",
       make("rmsprop", [](auto& o) { o.variant = "tensorflow", o.alpha = 0.9, o.epsilon = 1e-2; })},
      {"rmsprop_tensorflow_momentum",
       make("rmsprop", [](auto& o) { o.variant = "tensorflow", o.alpha = 0.9, o.epsilon = 1e-2, o.momentum = 0.6; })},
  };
}

TEST(Optimizer, FiveStepsMatchThePublishedFormulasInDouble) {
  for (const Case& c : cases()) {
    const Tensor p = torch::tensor({-2.0, -0.3, 0.0, 0.7, 5.0}, torch::kDouble);
    const Tensor start = p.clone();
    const auto optimizer = make_optimizer(c.options, {{"p", p}});
    take_steps(*optimizer, p, 1, kSteps);
    for (std::int64_t i = 0; i < p.numel(); ++i)
      EXPECT_NEAR(p[i].item<double>(), by_hand(c.options, start[i].item<double>()), 1e-12) << c.label;
  }
}

// Float rounding: 2^-24 relative per operation, some 20 operations per step on numbers up to 5.
TEST(Optimizer, FiveStepsMatchThePublishedFormulasInFloat) {
  for (const Case& c : cases()) {
    const Tensor p = torch::linspace(-3, 3, 1031, torch::kFloat);
    const Tensor start = p.to(torch::kDouble);
    const auto optimizer = make_optimizer(c.options, {{"p", p}});
    take_steps(*optimizer, p, 1, kSteps);
    double worst = 0;
    for (std::int64_t i = 0; i < p.numel(); ++i)
      worst = std::max(worst, std::abs(p[i].item<double>() - by_hand(c.options, start[i].item<double>())));
    EXPECT_LT(worst, 3e-5) << c.label;
  }
}

// One step that can be followed on paper: with g = 3 and rate 0.1, bias correction makes Adam's first step rate · sign(g).
// The tensors of LibTorch's meta device have no numbers: a loop over memory that does not ask where it is fails on it.
TEST(Optimizer, StaysOnTheDeviceOfItsParameters) {
  for (const Case& c : cases()) {
    if (c.options.name == "adamax") continue;  // the device lacks the absolute value
    const Tensor p = torch::zeros({3, 2}, torch::dtype(torch::kFloat).device(torch::kMeta));
    const auto optimizer = make_optimizer(c.options, {{"p", p}});
    take_steps(*optimizer, p, 1, 2);
    for (const auto& [name, tensor] : optimizer->state()) {
      EXPECT_EQ(tensor.is_meta(), name != "step") << c.label << ' ' << name;
    }
  }
}

TEST(Optimizer, FirstStepOnPaper) {
  const auto first = [](const OptimizerOptions& options) {
    const Tensor p = torch::ones({1}, torch::kDouble);
    make_optimizer(options, {{"p", p}})->step({torch::full({1}, 3.0, torch::kDouble)}, 0.1);
    return p.item<double>();
  };
  OptimizerOptions o;
  EXPECT_NEAR(first(o), 1 - 0.1, 1e-9);
  o.name = "adamax";
  EXPECT_NEAR(first(o), 1 - 0.1, 1e-9);
  o.name = "sgd";
  EXPECT_DOUBLE_EQ(first(o), 1 - 0.3);
  o.name = "rmsprop";  // v = 0.01 · 9, √v = 0.3
  EXPECT_NEAR(first(o), 1 - 0.1 * 3 / 0.3, 1e-7);
  o.variant = "tensorflow";  // v = 0.99 + 0.09
  o.epsilon = 0;
  EXPECT_NEAR(first(o), 1 - 0.3 / std::sqrt(1.08), 1e-12);
}

TEST(Optimizer, FusedAdamAgreesWithTensorOperations) {
  for (const char* name : {"adam", "adamw"}) {
    OptimizerOptions options;
    options.name = name;
    options.weight_decay = 0.05;
    const Tensor whole = torch::linspace(-2, 2, 4 * 999, torch::kFloat).view({999, 4});
    const Tensor dense = whole.clone();
    // A transposed gradient has other strides than its parameter, which is what the fused form turns down.
    const Tensor strided = whole.clone();
    const auto fused = make_optimizer(options, {{"p", dense}}), plain = make_optimizer(options, {{"p", strided}});
    for (int t = 1; t <= 20; ++t) {
      fused->step({gradient_of(dense, t)}, 0.01);
      plain->step({gradient_of(strided, t).t().contiguous().t()}, 0.01);
    }
    // 20 steps on numbers up to 2, each rounded to 2^-24 relative a few times.
    EXPECT_LT((dense - strided).abs().max().item<float>(), 5e-6f) << name;
    EXPECT_GT((dense - whole).abs().max().item<float>(), 0.1f) << name;
  }
}

TEST(Optimizer, FusedAdamDoesNotDependOnWhereItsBlockStarts) {
  constexpr std::int64_t n = 257;
  const Tensor g = torch::linspace(-1, 1, n, torch::kFloat);
  const auto run = [&](std::int64_t split) {
    const Tensor p = torch::linspace(2, 3, n, torch::kFloat), m = torch::full({n}, 0.1f), v = torch::full({n}, 0.2f);
    for (const auto& [begin, end] : {std::pair{std::int64_t{0}, split}, std::pair{split, n}})
      detail::adam_update(p.data_ptr<float>() + begin, g.data_ptr<float>() + begin, m.data_ptr<float>() + begin,
                          v.data_ptr<float>() + begin, end - begin, 0.9f, 0.999f, 1e-8f, 0.01f, 1.3f, 0.1f, 0.99f);
    return p;
  };
  const Tensor whole = run(0);
  for (const std::int64_t split : {1, 7, 100, 256}) EXPECT_TRUE(torch::equal(whole, run(split))) << split;
}

TEST(Optimizer, RestoredStateContinuesWithTheSameBits) {
  for (const Case& c : cases()) {
    const Tensor straight = torch::linspace(-3, 3, 37, torch::kFloat), halves = straight.clone();
    const auto one = make_optimizer(c.options, {{"p", straight}});
    take_steps(*one, straight, 1, 20);
    NamedTensors kept;
    {
      const auto first = make_optimizer(c.options, {{"p", halves}});
      take_steps(*first, halves, 1, 9);
      for (const auto& [name, tensor] : first->state()) kept.emplace_back(name, tensor.clone());
    }
    const auto second = make_optimizer(c.options, {{"p", halves}});
    second->restore(kept);
    take_steps(*second, halves, 10, 20);
    EXPECT_TRUE(torch::equal(straight, halves)) << c.label;
  }
}

TEST(Optimizer, UndefinedGradientLeavesItsParameterAlone) {
  OptimizerOptions options;
  options.weight_decay = 0.5;
  const Tensor a = torch::ones({3}), b = torch::ones({3});
  const auto optimizer = make_optimizer(options, {{"a", a}, {"b", b}});
  optimizer->step({torch::ones({3}), Tensor()}, 0.1);
  EXPECT_TRUE(torch::equal(b, torch::ones({3})));
  EXPECT_FALSE(torch::equal(a, torch::ones({3})));
  EXPECT_THROW(optimizer->step({torch::ones({3})}, 0.1), WorkError);
}

TEST(Optimizer, RefusesWhatHasNoMeaning) {
  OptimizerOptions options;
  options.name = "sgd";
  options.nesterov = true;
  EXPECT_THROW(make_optimizer(options, {}), RequestError);
  options = {};
  options.name = "adagrad";
  EXPECT_THROW(make_optimizer(options, {}), RequestError);
  EXPECT_THROW(read_options<OptimizerOptions>(Config::table({{"learning_rate", -0.1}}), "optimizer"), RequestError);
  const Tensor p = torch::ones({3});
  const auto optimizer = make_optimizer({}, {{"p", p}});
  EXPECT_THROW(optimizer->restore({{"step", torch::zeros({}, torch::kLong)}}), WorkError);
}

// v̂ after gradients g and h: ((1 - β) β g² + (1 - β) h²) / (1 - β²), by hand; nothing before the first step or for other rules.
TEST(SecondMoments, AreThoseOfAdamWithTheirBiasCorrected) {
  OptimizerOptions options;
  options.beta2 = 0.75;
  const Tensor parameter = torch::zeros({2}, torch::kDouble);
  const auto adam = make_optimizer(options, {{"p", parameter}});
  EXPECT_TRUE(adam->has_second_moments());
  EXPECT_TRUE(adam->second_moments().empty());
  adam->step({torch::tensor({2.0, 1.0}, torch::kDouble)}, 0.1);
  EXPECT_TRUE(torch::allclose(adam->second_moments()[0], torch::tensor({4.0, 1.0}, torch::kDouble), 1e-14));
  adam->step({torch::tensor({0.0, 3.0}, torch::kDouble)}, 0.1);
  const double both = 0.25 * 0.75 / (1 - 0.5625), last = 0.25 / (1 - 0.5625);
  EXPECT_TRUE(
      torch::allclose(adam->second_moments()[0], torch::tensor({4 * both, both + 9 * last}, torch::kDouble), 1e-14));
  options.name = "sgd";
  EXPECT_FALSE(make_optimizer(options, {{"p", parameter}})->has_second_moments());
}

}  // namespace
}  // namespace gibbsite
