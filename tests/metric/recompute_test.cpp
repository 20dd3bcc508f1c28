#include <gibbsite/calculus/derivatives.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/random.h>
#include <gibbsite/metric/cost.h>
#include <gibbsite/model/residual_energy.h>
#include <gibbsite/nn/recompute.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

Tensor gradient(const Tensor& of, const Tensor& in) {
  return torch::autograd::grad({of.sum()}, {in}, {}, true, true)[0];
}

TEST(Recompute, HasDerivativesOfEveryOrder) {
  const Tensor x = Rng(1, "x").normal({3, 4}, torch::kDouble).requires_grad_();
  const Tensor weight = Rng(2, "w").normal({4, 4}, torch::kDouble).requires_grad_();
  const auto f = [weight](const Tensor& at) { return torch::sin(at.matmul(weight)) * at; };
  std::vector<Tensor> found[2];
  for (const bool again : {false, true}) {
    // The function stands between others, through which derivatives have to go on.
    const Tensor h = x.square();
    const Tensor out = (again ? recomputed(std::function<Tensor(const Tensor&)>(f), h, {weight}) : f(h)).exp();
    const Tensor first = gradient(out, x), second = gradient(first.square(), x), third = gradient(second, weight);
    found[again ? 1 : 0] = {out, gradient(out, weight), first, second, third};
  }
  for (std::size_t i = 0; i < found[0].size(); ++i)
    EXPECT_TRUE(torch::allclose(found[0][i], found[1][i], 1e-12, 1e-12)) << i;
}

TEST(Recompute, RefusesASecondReversePass) {
  const Tensor weight = torch::ones({2}, torch::kDouble).requires_grad_();
  const auto f = [weight](const Tensor& at) { return at * weight; };
  const Tensor out = recomputed(std::function<Tensor(const Tensor&)>(f), torch::ones({2}, torch::kDouble), {weight});
  torch::autograd::grad({out}, {weight}, {torch::ones_like(out)});
  EXPECT_THROW(torch::autograd::grad({out}, {weight}, {torch::ones_like(out)}), WorkError);
}

TEST(Recompute, RefusesInputsChangedMeanwhile) {
  const Tensor weight = torch::ones({2}, torch::kDouble).requires_grad_();
  const auto f = [weight](const Tensor& at) { return at * weight; };
  const Tensor out = recomputed(std::function<Tensor(const Tensor&)>(f), torch::ones({2}, torch::kDouble), {weight});
  {
    const torch::NoGradGuard no_grad;
    weight.mul_(2);
  }
  EXPECT_THROW(gradient(out, weight), WorkError);
}

struct Sliced {
  Tensor loss;
  std::vector<Tensor> gradients;
  std::int64_t bytes;
};

// Sliced score matching of a deep energy by jets of order 2.
Sliced sliced(bool recompute, bool norm, std::int64_t blocks) {
  ModelContext context;
  context.event = {1, 16, 16};
  context.dtype = torch::kDouble;
  context.init = Rng(3, "init");
  ResidualEnergyOptions options;
  options.filters = 4;
  options.stages = 1;
  options.blocks = blocks;
  options.recompute = recompute;
  options.norm = norm;
  const std::unique_ptr<Energy> energy = make_residual_energy(options, context);
  const Tensor x = Rng(4, "x").normal({2, 1, 16, 16}, torch::kDouble), v = Rng(5, "v").normal(x.sizes(), x);
  const std::vector<Tensor> parameters = energy->module().parameters();
  Sliced result;
  const auto work = [&] {
    const Jet jet = *energy->energy(seed_jet(x, v, 2));
    result.loss = (0.5 * jet.derivative(1).square() - jet.derivative(2)).mean();
    result.gradients = torch::autograd::grad({result.loss}, parameters);
  };
  result.bytes = peak_bytes(work);
  return result;
}

TEST(Recompute, JetsOfDeepNetsTakeLessMemoryAndGiveTheSame) {
  for (const bool norm : {false, true}) {
    const Sliced kept = sliced(false, norm, 8), again = sliced(true, norm, 8);
    EXPECT_TRUE(torch::equal(kept.loss, again.loss));
    for (std::size_t i = 0; i < kept.gradients.size(); ++i)
      EXPECT_TRUE(torch::allclose(kept.gradients[i], again.gradients[i], 1e-12, 1e-12)) << i;
    // What another eight blocks add.
    const double more_kept = static_cast<double>(sliced(false, norm, 16).bytes - kept.bytes),
                 more_again = static_cast<double>(sliced(true, norm, 16).bytes - again.bytes);
    EXPECT_LT(more_again, 0.4 * more_kept)
        << more_again << " of " << more_kept << ", " << again.bytes << " of " << kept.bytes;
  }
}

}  // namespace
}  // namespace gibbsite
