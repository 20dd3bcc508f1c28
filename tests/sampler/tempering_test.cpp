#include <gibbsite/core/error.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/tempering.h>
#include <sampler/gaussians.h>

#include <cmath>

namespace gibbsite {
namespace {

using testing::kFloat64;

// Two narrow modes far apart, of weights 0.3 and 0.7, under the reference N(0, 9): one energy for quadrature and chains.
Tensor reference(const Tensor& x) { return x.square().sum(1) / 18; }
Tensor two_modes(const Tensor& x) {
  const Tensor left = std::log(0.3) - (x + 2).square().sum(1) / (2 * 0.09);
  const Tensor right = std::log(0.7) - (x - 3).square().sum(1) / (2 * 0.16) - std::log(0.4 / 0.3);
  return reference(x) - torch::logaddexp(left, right);
}

Target bimodal() {
  Target target;
  target.energy = two_modes;
  target.reference = reference;
  return target;
}
Target bimodal_with_draws() {
  Target target = bimodal();
  target.draw_reference = [](const Tensor& like, Rng& rng) { return rng.normal(like.sizes(), like) * 3; };
  return target;
}

// Moments E[x], E[x²], P(x < 0) of exp(-U_0 - β (U - U_0)) by the trapezoidal rule.
std::vector<double> moments(double beta) {
  const Tensor x = torch::linspace(-15, 15, 30001, kFloat64).unsqueeze(1);
  const Tensor log_p = -reference(x) - beta * (two_modes(x) - reference(x));
  const Tensor p = (log_p - log_p.max()).exp(), flat = x.squeeze(1);
  const double z = p.sum().item<double>();
  const auto mean = [&](const Tensor& f) { return (p * f).sum().item<double>() / z; };
  return {mean(flat), mean(flat.square()), mean(flat.lt(0).to(torch::kDouble))};
}

TemperingOptions options_for(const std::string& kernel) {
  TemperingOptions options;
  options.kernel = kernel;
  options.ladder = {1, 0.5, 0.2, 0.06, 0};
  options.step_size = kernel == "mala" ? 0.06 : 0.12;
  options.leapfrog_steps = 5;
  options.stretch = kernel == "mala" ? 40 : 6;
  return options;
}

// All chains begin in the left mode, which a chain at 1 alone never leaves.
class EveryReplicaHasItsLaw : public ::testing::TestWithParam<bool> {};
TEST_P(EveryReplicaHasItsLaw, WhereAChainAloneStaysInItsMode) {
  for (const char* name : {"mala", "hmc"}) {
    const auto kernel = std::make_shared<Tempering>(options_for(name));
    const std::int64_t chains = 1500, levels = kernel->replicas();
    const Tensor start = torch::full({chains, 1}, -2.0, kFloat64);
    ChainOptions options;
    options.steps = GetParam() ? 100 : 250;
    const Target target = GetParam() ? bimodal_with_draws() : bimodal();
    const ChainResult result = run_chain(kernel, target, replicated(*kernel, start), Rng(5, name), options);
    const Tensor states = result.last.x.view({chains, levels});
    for (std::int64_t r = 0; r < levels; ++r) {
      const Tensor x = states.select(1, r);
      const std::vector<double> truth = moments(options_for(name).ladder[static_cast<std::size_t>(r)]);
      const Tensor terms[] = {x, x.square(), x.lt(0).to(torch::kDouble)};
      for (int i = 0; i < 3; ++i) {
        const double error = terms[i].std().item<double>() / std::sqrt(static_cast<double>(chains));
        EXPECT_NEAR(terms[i].mean().item<double>(), truth[static_cast<std::size_t>(i)], 4 * error)
            << name << " replica " << r << " moment " << i;
      }
    }
    EXPECT_TRUE(torch::equal(coldest(*kernel, result.last.x).squeeze(1), states.select(1, 0)));

    TemperingOptions alone = options_for(name);
    alone.ladder = {1};
    const ChainResult stuck = run_chain(std::make_shared<Tempering>(alone), bimodal(), start, Rng(5, name), options);
    EXPECT_GT(stuck.last.x.lt(0).to(torch::kDouble).mean().item<double>(), 0.99) << name;
  }
}
INSTANTIATE_TEST_SUITE_P(Tempering, EveryReplicaHasItsLaw, ::testing::Bool());

// One step from one point: the last replica is a draw of the reference, whatever the size of a move, and what the step says of
// energies is so of the states it gives.
TEST(Tempering, DrawsTheLastReplicaAnewWhereTheTargetKnowsHow) {
  TemperingOptions options;
  options.ladder = {1, 0};
  options.step_size = 1e-16;
  const std::int64_t chains = 40000;
  const auto heat = [](const Tensor& at) { return 0.5 * (at - 1).square().sum(1); };
  Target target = bimodal_with_draws();
  target.energy = [&](const Tensor& at) { return reference(at) + heat(at); };
  const Tensor begin = torch::full({1, 1}, 0.0, kFloat64);
  Rng rng(9, "anew");
  const Step step = Tempering(options).step(target, begin.repeat({2 * chains, 1}), rng);
  // A row that was exchanged has its neighbour's state.
  const Tensor pair = step.x.view({chains, 2});
  const Tensor swapped = step.exchanged.view({chains, 2}).select(1, 0).gt(0);
  const Tensor fresh = torch::where(swapped, pair.select(1, 0), pair.select(1, 1));
  const double error = 1 / std::sqrt(static_cast<double>(chains));
  EXPECT_NEAR(fresh.mean().item<double>(), 0, 4 * 3 * error);
  EXPECT_NEAR(fresh.square().mean().item<double>(), 9, 4 * 9 * std::sqrt(2.0) * error);
  // With probability ½ the pair is offered an exchange, accepted with min(1, exp(V(0) - V(x))) over x ~ N(0, 9).
  const Tensor grid = torch::linspace(-15, 15, 30001, kFloat64).unsqueeze(1);
  const Tensor p = torch::softmax(-reference(grid), 0);
  const double expected = 0.5 * (p * (heat(begin) - heat(grid)).clamp_max(0).exp()).sum().item<double>();
  EXPECT_NEAR(swapped.to(torch::kDouble).mean().item<double>(), expected,
              4 * std::sqrt(expected * (1 - expected)) * error);
  EXPECT_TRUE(torch::allclose(step.energy, target.energy(step.x), 0, 1e-12));
}

// Two replicas, the move so small that nothing but the exchange counts: its probability by hand.
TEST(Tempering, ExchangesWithTheProbabilityOfTheirEnergies) {
  TemperingOptions options;
  options.ladder = {1, 0.25};
  options.step_size = 1e-16;
  Target target;
  target.energy = [](const Tensor& x) { return x.squeeze(1).square() * 0.5; };
  const std::int64_t chains = 40000;
  const Tensor x = torch::tensor({1.2, 2.0}, kFloat64).repeat({chains}).unsqueeze(1);
  Rng rng(8, "exchange");
  const Step step = Tempering(options).step(target, x, rng);
  const Tensor moved = step.x.view({chains, 2}).select(1, 0).gt(1.6).to(torch::kDouble);
  // (1 - 0.25)(0.72 - 2) = -0.96; one parity of two offers the only pair.
  const double expected = 0.5 * std::exp(-0.96);
  EXPECT_NEAR(moved.mean().item<double>(), expected, 4 * std::sqrt(expected * (1 - expected) / chains));
  EXPECT_TRUE(torch::equal(step.exchanged.view({chains, 2}).select(1, 0), moved));
  EXPECT_TRUE(torch::equal(step.exchanged.view({chains, 2}).select(1, 1), moved));
  EXPECT_TRUE(torch::allclose(step.energy, target.energy(step.x), 0, 1e-12));
  EXPECT_TRUE(torch::allclose(step.score, -step.x, 0, 1e-12));
}

// The reuse of energies through exchanges and temperatures changes nothing.
TEST(Tempering, PreviousStepIsReusedAndChainsAreWhatTheyAreAlone) {
  for (const char* name : {"mala", "hmc"}) {
    const Tempering kernel(options_for(name));
    std::int64_t calls = 0;
    Target counted = bimodal_with_draws();
    counted.energy = [&](const Tensor& x) { return ++calls, two_modes(x); };
    const Tensor start = Rng(3, "start").normal({8 * 5, 1}, torch::kDouble) * 2;
    Rng first(4, "noise");
    const Step step = kernel.step(counted, start, first);
    const std::int64_t alone = calls;
    Rng again = first.at_step(1), fresh = first.at_step(1);
    const Step reused = kernel.step(counted, step.x, again, Graph::kDetach, &step);
    EXPECT_EQ(calls - alone, alone - 1) << name;
    EXPECT_TRUE(torch::allclose(reused.x, kernel.step(counted, step.x, fresh).x, 1e-12, 1e-12)) << name;
    Rng part = first.at_step(1).at_row(3 * 5);
    const Step some = kernel.step(bimodal_with_draws(), step.x.narrow(0, 15, 10), part);
    EXPECT_TRUE(torch::allclose(some.x, reused.x.narrow(0, 15, 10), 1e-12, 1e-12)) << name;
  }
}

TEST(Tempering, DualAveragingReachesTheAcceptanceAimedAt) {
  TemperingOptions options = options_for("hmc");
  options.step_size = 0.5;
  const auto kernel = std::make_shared<Tempering>(options);
  ChainOptions chain;
  chain.burn_in = 150;
  chain.steps = 50;
  chain.adapt = true;
  const Tensor start = torch::full({200, 1}, -2.0, kFloat64);
  const ChainResult result = run_chain(kernel, bimodal(), replicated(*kernel, start), Rng(6, "adapt"), chain);
  EXPECT_NEAR(result.acceptance.mean().item<double>(), 0.8, 0.05);
}

TEST(Tempering, RefusesLaddersAndStatesThatDoNotFit) {
  const auto refused = [](const std::vector<double>& ladder, std::int64_t rows, bool with_reference) {
    TemperingOptions options;
    options.ladder = ladder;
    Target target = bimodal();
    if (!with_reference) target.reference = {};
    Rng rng(0, "none");
    try {
      Tempering(options).step(target, torch::zeros({rows, 1}, kFloat64), rng);
    } catch (const RequestError&) {
      return true;
    }
    return false;
  };
  EXPECT_FALSE(refused({1, 0.5, 0}, 6, true));
  EXPECT_TRUE(refused({1, 0.5, 0}, 6, false));
  EXPECT_TRUE(refused({1, 0.5, 0}, 4, true));
  EXPECT_TRUE(refused({0.9, 0.5}, 2, true));
  EXPECT_TRUE(refused({1, 0.5, 0.5}, 3, true));
  EXPECT_TRUE(refused({}, 2, true));
}

}  // namespace
}  // namespace gibbsite
