#include <gibbsite/core/error.h>
#include <gibbsite/manifold/sphere.h>
#include <gibbsite/manifold/von_mises_fisher.h>
#include <gibbsite/posterior/gaussian.h>
#include <gibbsite/posterior/implicit.h>
#include <gibbsite/posterior/posterior.h>
#include <gibbsite/posterior/von_mises_fisher.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

LatentContext context_for(const Shape& event, std::int64_t latent, at::ScalarType dtype = at::kDouble) {
  LatentContext context;
  context.event = event;
  context.latent_size = latent;
  context.init = Rng(3, "init");
  context.dtype = dtype;
  return context;
}

// Contract over the table: shapes, rows apart, fewer particles are the first of more, draws repeat, gradients of parameters.
TEST(PosteriorTable, Contract) {
  const Tensor v = Rng(1, "v").normal({4, 1, 2, 2}, at::kDouble);
  for (const Entry<MakePosterior>& entry : posterior_table()) {
    LatentContext context = context_for({1, 2, 2}, 3);
    const bool spherical = entry.name == "von_mises_fisher";
    if (spherical) {
      EXPECT_THROW(entry.make(entry.smallest, context), RequestError);
      context.manifold = make_sphere({2});
    }
    auto posterior = entry.make(entry.smallest, context);
    EXPECT_EQ(posterior->latent_size(), 3);
    const auto draw = [&](const Tensor& at, std::int64_t particles) {
      Rng rng(2, "draw");
      return posterior->sample(at, particles, rng);
    };
    const Tensor h = draw(v, 5);
    ASSERT_EQ(h.sizes(), (Shape{5, 4, 3})) << entry.name;
    EXPECT_TRUE(torch::equal(draw(v, 5), h)) << entry.name;
    EXPECT_TRUE(at::allclose(draw(v, 2), h.narrow(0, 0, 2), 1e-12, 1e-12)) << entry.name;
    EXPECT_GT((h[0] - h[1]).abs().min().item<double>(), 0) << entry.name;
    Tensor changed = v.clone();
    changed[2] += 1;
    const Tensor difference = (draw(changed, 5) - h).abs().amax({0, 2});
    EXPECT_GT(difference[2].item<double>(), 0) << entry.name;
    for (const int row : {0, 1, 3}) EXPECT_EQ(difference[row].item<double>(), 0) << entry.name;
    const Tensor weight = torch::tensor({1.0, 2.0, 3.0}, at::kDouble);
    for (const Tensor& g : torch::autograd::grad({(weight * h.square()).sum()}, posterior->module().parameters()))
      EXPECT_GT(g.abs().max().item<double>(), 0) << entry.name;
    if (!posterior->has_log_prob()) {
      EXPECT_THROW(posterior->log_prob(v, h), RequestError) << entry.name;
      continue;
    }
    Rng same(2, "draw");
    const DrawWithLogProb drawn = posterior->sample_with_log_prob(v, 5, same);
    EXPECT_TRUE(torch::equal(drawn.h, h)) << entry.name;
    EXPECT_TRUE(torch::equal(drawn.log_prob, posterior->log_prob(v, h))) << entry.name;
    const std::vector<Tensor> parameters = posterior->module().parameters();
    const auto at_once = torch::autograd::grad({(drawn.h.sum(-1) + drawn.log_prob).sum()}, parameters);
    const Tensor again = draw(v, 5), log_q = posterior->log_prob(v, again);
    const auto apart = torch::autograd::grad({(again.sum(-1) + log_q).sum()}, parameters);
    for (std::size_t i = 0; i < apart.size(); ++i)
      EXPECT_TRUE(at::allclose(at_once[i], apart[i], 1e-10, 1e-12)) << entry.name;
    // As a function of its parameters it is the same, and the gradient goes to what was given.
    NamedTensors given;
    for (const auto& item : posterior->module().named_parameters())
      given.emplace_back(item.key(), item.value().detach().clone().requires_grad_(true) * 1);
    const auto as_function = posterior->with(given);
    Rng rng(2, "draw");
    EXPECT_TRUE(torch::equal(as_function->sample(v, 5, rng), h)) << entry.name;
    EXPECT_TRUE(torch::equal(as_function->log_prob(v, h), posterior->log_prob(v, h))) << entry.name;
    std::vector<Tensor> values;
    for (const auto& item : given) values.push_back(item.second);
    for (const Tensor& g : torch::autograd::grad({as_function->log_prob(v, h.detach()).sum()}, values))
      EXPECT_GT(g.abs().max().item<double>(), 0) << entry.name;
    EXPECT_THROW(posterior->with({}), WorkError) << entry.name;
    const Tensor one = v.narrow(0, 0, 1);
    if (posterior->discrete()) {
      const Tensor bit = torch::tensor({0.0, 1.0}, at::kDouble);
      const Tensor states = at::cartesian_prod({bit, bit, bit}).unsqueeze(1);
      EXPECT_NEAR(posterior->log_prob(one, states).logsumexp(0).item<double>(), 0, 1e-12) << entry.name;
      continue;
    }
    // The density integrates to one, by importance sampling from N(0, 4 I) or from uniform points.
    const Tensor many = 2 * Rng(4, "many").normal({200000, 1, 3}, at::kDouble);
    const Tensor ratio =
        spherical ? (posterior->log_prob(one, many / many.norm(2, -1, true)) + log_sphere_area(3)).exp()
                  : (posterior->log_prob(one, many) + many.square().sum(-1) / 8 + 1.5 * std::log(2 * M_PI * 4)).exp();
    const double error = (ratio.std() / std::sqrt(200000.0)).item<double>();
    EXPECT_LT(error, 0.01) << entry.name;
    EXPECT_NEAR(ratio.mean().item<double>(), 1, 4 * error) << entry.name;
  }
}

// The draws are those of sample(), and KL(q ‖ p) is the mean of log q - log p at them.
TEST(PosteriorTable, DivergencesAreMeansOfLogRatios) {
  const Tensor v = 3 * Rng(1, "v").normal({2, 1, 2, 2}, at::kDouble);
  int with = 0;
  for (const Entry<MakePosterior>& entry : posterior_table())
    for (const std::int64_t size : {2, 3, 5}) {
      LatentContext context = context_for({1, 2, 2}, size);
      const bool spherical = entry.name == "von_mises_fisher";
      if (spherical) context.manifold = make_sphere({size - 1});
      const auto posterior = entry.make(entry.smallest, context);
      if (!posterior->has_divergence()) {
        Rng rng(2, "draw");
        EXPECT_FALSE(posterior->sample_with_divergence(v, 1, rng)) << entry.name;
        continue;
      }
      ++with;
      Rng rng(2, "draw"), same(2, "draw");
      const std::int64_t draws = 1000;
      const DrawWithDivergence drawn = *posterior->sample_with_divergence(v, draws, rng);
      EXPECT_TRUE(torch::equal(drawn.h, posterior->sample(v, draws, same))) << entry.name;
      const Tensor prior = spherical ? torch::full({draws, 2}, -log_sphere_area(size), at::kDouble)
                                     : -0.5 * (drawn.h.square() + std::log(2 * M_PI)).sum(-1);
      const Tensor terms = posterior->log_prob(v, drawn.h) - prior;
      const Tensor error = terms.std(0) / std::sqrt(static_cast<double>(draws));
      EXPECT_LT(((terms.mean(0) - drawn.divergence).abs() / error).max().item<double>(), 4)
          << entry.name << " " << size << drawn.divergence;
      EXPECT_GT(drawn.divergence.min().item<double>(), 0.01);
    }
  EXPECT_EQ(with, 12);
}

// Codes on a sphere have unit length, an image of nothing too, and gradients stay finite.
TEST(ImplicitPosterior, PutsItsCodesOnTheManifold) {
  LatentContext context = context_for({3}, 4);
  context.manifold = make_sphere({3});
  for (const std::int64_t noise : {0, 2}) {
    ImplicitPosteriorOptions options;
    options.hidden = {5};
    options.noise = noise;
    options.initial = "glorot";
    const auto posterior = make_implicit_posterior(options, context);
    Tensor v = Rng(1, "v").normal({6, 3}, at::kDouble);
    v[2].zero_();
    Rng rng(1, "draw");
    const Tensor h = posterior->sample(v, 2, rng);
    EXPECT_LT((h.norm(2, -1) - 1).abs().max().item<double>(), 1e-12);
    for (const Tensor& g : torch::autograd::grad({h.select(-1, 0).sum()}, posterior->module().parameters(), {}, {},
                                                 false, /*allow_unused=*/true))
      if (g.defined()) EXPECT_TRUE(g.isfinite().all().item<bool>());
  }
  EXPECT_THROW(make_gaussian_posterior({}, context), RequestError);
}

// Protocol sheet of VaGES, 2.5: 0.78 and 2.0 million parameters.
TEST(ConvGaussianPosterior, ParameterCountsOfThePaper) {
  const auto millions = [](const Shape& event) {
    double sum = 0;
    for (const Tensor& p : make_conv_gaussian_posterior({}, context_for(event, 50, at::kFloat))->module().parameters())
      sum += static_cast<double>(p.numel()) / 1e6;
    return sum;
  };
  EXPECT_NEAR(millions({1, 32, 32}), 0.78, 0.005);
  EXPECT_NEAR(millions({3, 32, 32}), 0.78, 0.005);
  EXPECT_NEAR(millions({3, 64, 64}), 2.0, 0.05);
  EXPECT_THROW(make_conv_gaussian_posterior({}, context_for({1, 28, 28}, 50)), RequestError);
}

TEST(ImplicitPosterior, SizesOfMnistAndDeterministicCodes) {
  const LatentContext context = context_for({28, 28}, 32, at::kFloat);
  const auto count = [](torch::nn::Module& module) {
    std::int64_t sum = 0;
    for (const Tensor& p : module.parameters()) sum += p.numel();
    return sum;
  };
  ImplicitPosteriorOptions options;
  EXPECT_EQ(count(make_implicit_posterior(options, context)->module()), 283168);
  options.noise = 0;
  auto code = make_implicit_posterior(options, context);
  EXPECT_EQ(count(code->module()), 274976);
  Rng rng(1, "draw");
  const Tensor h = code->sample(Rng(1, "v").uniform({3, 28, 28}, at::kFloat), 2, rng);
  ASSERT_EQ(h.sizes(), (Shape{2, 3, 32}));
  EXPECT_TRUE(torch::equal(h[0], h[1]));
  const LatentContext faces = context_for({3, 64, 64}, 32, at::kFloat);
  ConvImplicitPosteriorOptions conv;
  EXPECT_EQ(count(make_conv_implicit_posterior(conv, faces)->module()), 8654560);
  conv.noise = 0;
  EXPECT_EQ(count(make_conv_implicit_posterior(conv, faces)->module()), 8654560 - 135168 - 64 * 25);
  options.hidden = {};
  EXPECT_THROW(make_implicit_posterior(options, context), RequestError);
}

}  // namespace
}  // namespace gibbsite
