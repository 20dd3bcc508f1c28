// Contract of every kernel in the table.
#include <gibbsite/core/error.h>
#include <gibbsite/sampler/kernel.h>
#include <sampler/gaussians.h>
#include <torch/csrc/autograd/autograd.h>

namespace gibbsite {
namespace {

using testing::kFloat64;
using testing::quartic;

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const RequestError& error) {
    return error.what();
  }
  return "";
}

TEST(Kernels, KeepShapeTypeAndTheirArgument) {
  for (const auto& entry : kernel_table()) {
    const auto kernel = entry.make(entry.smallest);
    for (const auto dtype : {torch::kFloat, torch::kDouble})
      for (const Shape& event : {Shape{3}, Shape{2, 2, 3}}) {
        Shape sizes = event;
        sizes.insert(sizes.begin(), 6);
        const Tensor x = Rng(1, "start").normal(sizes, dtype), before = x.clone();
        Target target;
        target.energy = [](const Tensor& y) { return sum_event(y.square()) * 0.5; };
        Rng rng(2, "noise");
        const Step step = kernel->step(target, x, rng);
        EXPECT_TRUE(torch::equal(x, before)) << entry.name;
        EXPECT_EQ(step.x.sizes(), x.sizes()) << entry.name;
        EXPECT_EQ(step.noise.sizes(), x.sizes()) << entry.name;
        EXPECT_EQ(step.x.scalar_type(), dtype) << entry.name;
        EXPECT_FALSE(step.x.requires_grad()) << entry.name;
        EXPECT_EQ(step.accepted.defined(), kernel->target_acceptance() > 0) << entry.name;
        if (step.energy.defined()) {
          EXPECT_TRUE(torch::allclose(step.energy, target.energy(step.x))) << entry.name;
        }
        if (step.score.defined()) {
          EXPECT_TRUE(torch::allclose(step.score, -step.x)) << entry.name;
        }
      }
  }
}

// The tensors of LibTorch's meta device have no numbers: a kernel that makes a tensor on the CPU, or loops over memory
// without asking where it is, fails on it as it would on a GPU.
TEST(Kernels, StayOnTheDeviceOfTheState) {
  const Tensor x = torch::zeros({6, 3}, torch::dtype(torch::kFloat).device(torch::kMeta));
  for (const auto& entry : kernel_table()) {
    const auto kernel = entry.make(entry.smallest);
    // The device lacks what replaces NaN in an acceptance test, and the numbers that a bandwidth is taken from.
    if (kernel->target_acceptance() > 0 || kernel->interacts()) continue;
    Rng rng(2, "noise");
    const Step first = kernel->step(quartic(), x, rng);
    const Step second = kernel->step(quartic(), first.x, rng, Graph::kDetach, &first);
    EXPECT_TRUE(second.x.is_meta() && second.noise.is_meta()) << entry.name;
  }
}

TEST(Kernels, MetropolisOnesRefuseATargetWithoutEnergyAndAKeptGraphByName) {
  Target score_only;
  score_only.score = [](const Tensor& x) { return -x; };
  const Tensor x = torch::ones({2, 3});
  for (const auto& entry : kernel_table()) {
    const auto kernel = entry.make(entry.smallest);
    Rng rng(0, "noise");
    const std::string no_energy = refusal([&] { kernel->step(score_only, x, rng); });
    const std::string kept = refusal([&] { kernel->step(quartic(), x, rng, Graph::kKeep); });
    if (kernel->target_acceptance() > 0 || entry.name == "birth_death") {
      EXPECT_NE(no_energy.find(entry.name), std::string::npos) << no_energy;
      EXPECT_NE(kept.find(entry.name), std::string::npos) << kept;
    } else {
      EXPECT_EQ(no_energy + kept, "") << entry.name;
    }
  }
}

TEST(Kernels, RefuseStepSizesThatAreNotPositive) {
  for (const auto& entry : kernel_table()) {
    for (const double bad : {0.0, -0.1}) {
      Config options = entry.smallest;
      options.set("step_size", bad);
      EXPECT_NE(refusal([&] { entry.make(options); }).find("step_size"), std::string::npos) << entry.name;
      EXPECT_NE(refusal([&] { entry.make(entry.smallest)->with_step_size(bad); }), "") << entry.name;
    }
    Config options = entry.smallest;
    options.set("step_size", 0.125);
    EXPECT_EQ(entry.make(options)->step_size(), 0.125);
    EXPECT_EQ(entry.make(options)->with_step_size(0.25)->step_size(), 0.25);
    EXPECT_FALSE(entry.summary.empty() || entry.paper.empty() || entry.options().empty()) << entry.name;
  }
}

TEST(Kernels, ReuseThePreviousStepWithoutChangingTheResult) {
  const Tensor start = Rng(3, "start").normal({8, 3}, torch::kDouble);
  for (const auto& entry : kernel_table()) {
    const auto kernel = entry.make(entry.smallest);
    std::int64_t calls = 0;
    Target counted;
    counted.energy = [&](const Tensor& x) { return ++calls, quartic().energy(x); };
    Rng first(4, "noise");
    const Step step = kernel->step(counted, start, first);
    const std::int64_t alone = calls;
    Rng again = first.at_step(1), fresh = first.at_step(1);
    const Step reused = kernel->step(counted, step.x, again, Graph::kDetach, &step);
    const std::int64_t with_previous = calls - alone;
    const Step plain = kernel->step(counted, step.x, fresh);
    EXPECT_TRUE(torch::equal(reused.x, plain.x)) << entry.name;
    if (kernel->target_acceptance() > 0) {
      EXPECT_EQ(with_previous, alone - 1) << entry.name;
    }
    if (entry.name != "hmc") {
      EXPECT_EQ(with_previous, 1) << entry.name;
    }
    // A state that the previous step did not make must not borrow its energy.
    Rng moved_rng = first.at_step(1), moved_again = first.at_step(1);
    const Tensor moved = step.x + 1;
    EXPECT_TRUE(torch::equal(kernel->step(counted, moved, moved_rng, Graph::kDetach, &step).x,
                             kernel->step(counted, moved, moved_again).x))
        << entry.name;
  }
}

TEST(Kernels, GivenScoresAndFusedTargetsAgreeWithAutograd) {
  const Tensor x = Rng(5, "start").normal({7, 3}, torch::kDouble);
  Target by_score = quartic(), fused;
  by_score.score = [](const Tensor& y) {  // by hand: −(y³ + y + 0.3 · the neighbours)
    Tensor pull = y.pow(3) + y;
    pull.slice(1, 0, -1).add_(y.slice(1, 1), 0.3);
    pull.slice(1, 1).add_(y.slice(1, 0, -1), 0.3);
    return -pull;
  };
  fused.both = [=](const Tensor& y) { return EnergyScore{by_score.energy(y), by_score.score(y)}; };
  fused.score = by_score.score;
  EXPECT_LT((score_of(quartic(), x) - by_score.score(x)).abs().max().item<double>(), 1e-13);
  for (const auto& entry : kernel_table()) {
    const auto kernel = entry.make(entry.smallest);
    Rng a(6, "noise"), b(6, "noise"), c(6, "noise");
    const Tensor automatic = kernel->step(quartic(), x, a).x;
    EXPECT_TRUE(torch::allclose(automatic, kernel->step(by_score, x, b).x, 1e-12, 1e-12)) << entry.name;
    EXPECT_TRUE(torch::allclose(automatic, kernel->step(fused, x, c).x, 1e-12, 1e-12)) << entry.name;
  }
}

TEST(Target, TemperedScalesEveryMember) {
  Target target = quartic();
  target.score = [](const Tensor& x) { return -x; };
  target.both = [](const Tensor& x) { return EnergyScore{x.sum(1), x}; };
  const Target half = tempered(target, 0.5);
  const Tensor x = Rng(7, "x").normal({4, 2}, torch::kDouble);
  EXPECT_TRUE(torch::equal(half.energy(x), target.energy(x) * 0.5));
  EXPECT_TRUE(torch::equal(half.score(x), x * -0.5));
  EXPECT_TRUE(torch::equal(half.both(x).energy, x.sum(1) * 0.5));
  EXPECT_TRUE(torch::equal(half.both(x).score, x * 0.5));
  EXPECT_FALSE(tempered(Target{}, 0.5).energy);
}

TEST(Target, AnEnergyWithoutAGraphIsAnErrorAndNotAZeroScore) {
  Target cut;
  cut.energy = [](const Tensor& x) { return x.detach().square().sum(1); };
  EXPECT_THROW(score_of(cut, torch::ones({2, 2})), WorkError);
  EXPECT_THROW(score_of(Target{}, torch::ones({2, 2})), RequestError);
  Target reduced;
  reduced.energy = [](const Tensor& x) { return x.square().sum(); };
  EXPECT_THROW(score_of(reduced, torch::ones({2, 2})), WorkError);
}

TEST(Target, KeptScoresDifferentiateInParametersAndInTheState) {
  const Tensor theta = torch::full({}, 0.7, kFloat64).requires_grad_();
  Target target;
  target.energy = [&](const Tensor& x) { return (x.pow(3) * theta).sum(1); };
  const Tensor x = torch::tensor({{0.5, -1.5}}, torch::kDouble).requires_grad_();
  torch::NoGradGuard off;  // keeping does not depend on the caller's mode
  const Tensor score = score_of(target, x, Graph::kKeep);
  torch::AutoGradMode on(true);
  const auto gradients = torch::autograd::grad({score.sum()}, {theta, x});
  EXPECT_NEAR(gradients[0].item<double>(), -3 * (0.25 + 2.25), 1e-13);
  EXPECT_NEAR(gradients[1][0][1].item<double>(), -6 * 0.7 * -1.5, 1e-13);
  EXPECT_FALSE(score_of(target, x).requires_grad());
}

}  // namespace
}  // namespace gibbsite
