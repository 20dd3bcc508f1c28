// Decoders, scores of codes, priors.
#include <gibbsite/core/error.h>
#include <gibbsite/manifold/euclidean.h>
#include <gibbsite/manifold/sphere.h>
#include <gibbsite/model/conv_decoder.h>
#include <gibbsite/model/conv_latent_score.h>
#include <gibbsite/model/decoder.h>
#include <gibbsite/model/latent_energy.h>
#include <gibbsite/model/latent_score.h>
#include <gibbsite/model/mirrored_decoder.h>
#include <gibbsite/model/mlp_decoder.h>
#include <gibbsite/model/mlp_latent_score.h>
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

std::int64_t parameters(torch::nn::Module& module) {
  std::int64_t sum = 0;
  for (const Tensor& p : module.parameters()) sum += p.numel();
  return sum;
}

// 784+32-256-256-32, 32-256-256-784 and 32-256-256-32 with biases (protocol sheet 5.9 and 6.2: 283 k, 276 k, 82 k).
TEST(PublishedSizes, OfTheNetworksOfMnist) {
  const LatentContext context = context_for({28, 28}, 32, at::kFloat);
  EXPECT_EQ(parameters(make_conditional_mlp_score({}, context)->module()), 283168);
  EXPECT_EQ(parameters(make_mlp_decoder({}, context)->module()), 275728);
  EXPECT_EQ(parameters(make_aggregate_mlp_score({}, context)->module()), 82464);
}

// 64x64 colour images (8.7 M, 4.6 M, 8.7 M).
TEST(PublishedSizes, OfTheNetworksOfCelebA) {
  const LatentContext context = context_for({3, 64, 64}, 32, at::kFloat);
  auto score = make_conditional_conv_score({}, context);
  EXPECT_EQ(parameters(score->module()), 8654560);
  EXPECT_EQ(parameters(make_aggregate_conv_score({}, context)->module()), 8654560 - 3 * 64 * 25);
  auto decoder = make_conv_decoder({}, context);
  EXPECT_EQ(parameters(decoder->module()), 4576387);
  const torch::NoGradGuard no_grad;
  Rng rng(1, "h");
  const Tensor h = rng.normal({1, 32}, at::kFloat), v = decoder->mean(h);
  EXPECT_EQ(v.sizes(), (Shape{1, 3, 64, 64}));
  EXPECT_EQ(score->given(v)->at(h, rng).value.sizes(), h.sizes());
  EXPECT_THROW(make_conv_decoder({}, context_for({3, 60, 64}, 32)), RequestError);
}

// Contract over the table: v [B, *event] and h [L, B, K] -> [L, B], particles and examples apart, densities normalised.
TEST(DecoderTable, Contract) {
  for (const Entry<MakeDecoder>& entry : decoder_table()) {
    auto decoder = entry.make(entry.smallest, context_for({1, 2, 2}, 3));
    EXPECT_EQ(decoder->latent_size(), 3);
    EXPECT_EQ(decoder->event(), (Shape{1, 2, 2}));
    const Tensor v = Rng(1, "v").uniform({4, 1, 2, 2}, at::kDouble).gt(0.5).to(at::kDouble);
    const Tensor h = Rng(1, "h").normal({5, 4, 3}, at::kDouble);
    const Tensor log_prob = decoder->log_prob(v, h);
    ASSERT_EQ(log_prob.sizes(), (Shape{5, 4}));
    EXPECT_EQ(decoder->mean(h[0]).sizes(), (Shape{4, 1, 2, 2}));
    Tensor changed = h.clone();
    changed[2][1] += 1;
    const Tensor difference = (decoder->log_prob(v, changed) - log_prob).abs();
    EXPECT_GT(difference[2][1].item<double>(), 0);
    EXPECT_EQ(difference.sum().item<double>(), difference[2][1].item<double>());
  }
}

// Along one direction of codes and all parameters.
void expect_derivative(const std::string& name, Decoder& decoder) {
  Shape batch = decoder.event();
  batch.insert(batch.begin(), 4);
  const Tensor v = Rng(1, "v").uniform(batch, at::kDouble).gt(0.5).to(at::kDouble);
  std::vector<Tensor> at = decoder.module().parameters();
  at.push_back(Rng(1, "h").normal({2, 4, decoder.latent_size()}, at::kDouble).requires_grad_());
  const Tensor& h = at.back();
  const auto value = [&] { return decoder.log_prob(v, h).sin().sum(); };
  const std::vector<Tensor> gradients = torch::autograd::grad({value()}, at, {}, {}, false, /*allow_unused=*/true);
  const torch::NoGradGuard no_grad;
  Rng rng(1, "directions");
  std::vector<Tensor> directions;
  for (const Tensor& part : at) directions.push_back(rng.normal(part.sizes(), at::kDouble));
  double derivative = 0;
  for (std::size_t i = 0; i < at.size(); ++i)
    if (gradients[i].defined()) derivative += (gradients[i] * directions[i]).sum().item<double>();
  constexpr double kStep = 1e-6;
  const auto moved = [&](double by) {
    for (std::size_t i = 0; i < at.size(); ++i) at[i].add_(directions[i], by);
    return value().item<double>();
  };
  const double above = moved(kStep), below = moved(-2 * kStep);
  EXPECT_NEAR((above - below) / (2 * kStep), derivative, 1e-6 * (1 + std::abs(derivative))) << name;
}

TEST(DecoderTable, DerivativesOfCodesAndParameters) {
  for (const Entry<MakeDecoder>& entry : decoder_table())
    expect_derivative(entry.name, *entry.make(entry.smallest, context_for({1, 2, 2}, 3)));
  MirroredDecoderOptions mirrored;
  mirrored.channels = {3, 2, 2};
  mirrored.hidden = {5};
  expect_derivative("mirrored", *make_mirrored_decoder(mirrored, context_for({1, 14, 10}, 3)));
  ConvDecoderOptions conv;
  conv.filters = 2;
  conv.stages = 2;
  expect_derivative("conv", *make_conv_decoder(conv, context_for({2, 8, 4}, 3)));
}

TEST(MlpDecoder, BernoulliProbabilitiesSumToOneAndClampBounds) {
  MlpDecoderOptions options;
  options.hidden = {4};
  auto decoder = make_mlp_decoder(options, context_for({3}, 2));
  const Tensor h = Rng(1, "h").normal({1, 1, 2}, at::kDouble);
  double total = 0;
  Tensor mean = torch::zeros({3}, at::kDouble);
  for (int bits = 0; bits < 8; ++bits) {
    const Tensor v = torch::tensor({double(bits & 1), double(bits >> 1 & 1), double(bits >> 2)}, at::kDouble);
    const double p = std::exp(decoder->log_prob(v.unsqueeze(0), h).item<double>());
    total += p;
    mean += p * v;
  }
  EXPECT_NEAR(total, 1, 1e-12);
  EXPECT_TRUE(at::allclose(decoder->mean(h[0])[0], mean, 1e-12, 1e-12));

  options.clamp = 0.1;
  auto clamped = make_mlp_decoder(options, context_for({3}, 2));
  const Tensor far = 1000 * h;
  EXPECT_GE(clamped->log_prob(torch::zeros({1, 3}, at::kDouble), far).item<double>(), 3 * std::log(0.1) - 1e-9);
}

TEST(MlpDecoder, GaussianLawIsThatOfItsMean) {
  MlpDecoderOptions options;
  options.hidden = {4};
  options.law = "gaussian";
  options.log_deviation = -0.602;
  options.squash = "tanh";
  auto decoder = make_mlp_decoder(options, context_for({3}, 2));
  const Tensor h = Rng(1, "h").normal({2, 5, 2}, at::kDouble), v = Rng(1, "v").normal({5, 3}, at::kDouble);
  const double deviation = std::exp(-0.602);
  for (std::int64_t l = 0; l < 2; ++l) {
    const Tensor mean = decoder->mean(h[l]);
    EXPECT_LT(mean.abs().max().item<double>(), 1);
    const Tensor expected =
        -0.5 * ((v - mean) / deviation).square().sum(1) - 3 * std::log(deviation * std::sqrt(2 * M_PI));
    EXPECT_TRUE(at::allclose(decoder->log_prob(v, h)[l], expected, 1e-10, 1e-10));
  }
}

TEST(LatentPrior, NormalDensityScoreAndSamples) {
  const auto prior = make_normal_prior(2);
  const Tensor h = Rng(1, "h").normal({4, 3, 2}, at::kDouble).requires_grad_(true);
  EXPECT_TRUE(at::allclose(prior->energy(h), 0.5 * h.square().sum(-1) + std::log(2 * M_PI), 1e-12, 1e-12));
  const Tensor score = -torch::autograd::grad({prior->energy(h).sum()}, {h})[0];
  EXPECT_TRUE(at::allclose(prior->score(h), score, 1e-12, 1e-12));
  Rng rng(2, "prior");
  const Tensor x = prior->sample(4000, h.detach(), rng);
  EXPECT_EQ(x.sizes(), (Shape{4000, 2}));
  EXPECT_NEAR(x.square().mean().item<double>(), 1, 4 * std::sqrt(2.0 / 8000));
}

TEST(LatentPrior, MixtureDensityScoreAndSamples) {
  MixturePriorOptions options;
  options.components = 3;
  options.learn_prior = true;
  options.spread = 2;
  const auto prior = make_mixture_prior(options, 2, context_for({1}, 2));
  {
    // Deviations of their own, one below the floor.
    const torch::NoGradGuard no_grad;
    Tensor log_deviation = prior->module()->named_parameters()["prior_log_deviation"];
    log_deviation.copy_(torch::tensor({{-0.3, 0.2}, {0.1, -0.5}, {-7.0, 0.0}}, at::kDouble));
  }
  Tensor mean = prior->module()->named_parameters()["prior_mean"].detach();
  // The thin component is one of deviation exp(-3), so the grid is finer than that.
  const Tensor axis = torch::arange(-12.0, 12.0, 0.02, at::kDouble);
  const Tensor grid = torch::stack(torch::meshgrid({axis, axis}, "ij"), -1).view({-1, 2});
  const Tensor density = (-prior->energy(grid)).exp().detach() * 0.02 * 0.02;
  EXPECT_NEAR(density.sum().item<double>(), 1, 1e-9);
  EXPECT_TRUE(at::allclose(mean.mean(0), (density.unsqueeze(1) * grid).sum(0), 1e-8, 1e-8));

  const Tensor h = Rng(1, "h").normal({4, 3, 2}, at::kDouble).requires_grad_(true);
  const Tensor score = -torch::autograd::grad({prior->energy(h).sum()}, {h})[0];
  EXPECT_TRUE(at::allclose(prior->score(h), score, 1e-10, 1e-10));

  Rng rng(2, "prior");
  const std::int64_t draws = 40000;
  const Tensor x = prior->sample(draws, h.detach(), rng);
  const auto moment = [&](const Tensor& of) { return (density.unsqueeze(1) * of).sum(0); };
  for (const Tensor& of : {x, x.square()}) {
    const Tensor truth = moment(of.is_same(x) ? grid : grid.square());
    EXPECT_LT(((of.mean(0) - truth).abs() / (of.std(0) / std::sqrt(double(draws)))).max().item<double>(), 4);
  }
  EXPECT_FALSE(prior->standard());
  options.learn_prior = false;
  const auto fixed = make_mixture_prior(options, 2, context_for({1}, 2));
  for (const Tensor& parameter : fixed->module()->parameters()) EXPECT_FALSE(parameter.requires_grad());
}

// 3 → 6 → 12 → 26... for the convolutions' own sizes 28 → 28 → 14 → 7 → 3, and 32 → 4.
TEST(MirroredDecoder, EndsAtTheImageWhateverTheConvolutionsRounded) {
  MirroredDecoderOptions options;
  const torch::NoGradGuard no_grad;
  const Tensor h = Rng(1, "h").normal({2, 16}, at::kDouble);
  for (const Shape& image : {Shape{1, 28, 28}, Shape{3, 32, 32}, Shape{1, 28, 20}}) {
    auto decoder = make_mirrored_decoder(options, context_for(image, 16));
    Shape expected = image;
    expected.insert(expected.begin(), 2);
    EXPECT_EQ(decoder->mean(h).sizes(), expected);
  }
  auto decoder = make_mirrored_decoder(options, context_for({1, 28, 28}, 128));
  const std::int64_t dense = 2 * (128 * 128 + 128) + 128 * 576 + 576;
  const std::int64_t convolutions = (64 * 64 + 64 * 32 + 32 * 32) * 16 + 32 * 9 + 64 + 32 + 32 + 1;
  EXPECT_EQ(parameters(decoder->module()), dense + convolutions);
  EXPECT_THROW(make_mirrored_decoder(options, context_for({784}, 16)), RequestError);
  EXPECT_THROW(make_mirrored_decoder(options, context_for({1, 4, 4}, 16)), RequestError);
}

TEST(LatentEnergy, OfADecoderIsBothTerms) {
  MlpDecoderOptions options;
  options.hidden = {4};
  auto decoder = make_mlp_decoder(options, context_for({3}, 2));
  const auto prior = make_normal_prior(2);
  const auto joint = make_decoder_energy(*decoder, *prior);
  const Tensor h = Rng(1, "h").normal({2, 5, 2}, at::kDouble), v = torch::ones({5, 3}, at::kDouble);
  const Tensor expected = -decoder->log_prob(v, h) + prior->energy(h);
  EXPECT_TRUE(at::allclose(joint->joint(v, h), expected, 1e-12, 1e-12));
}

// Contract over the table: v is fixed row by row and taken k times over, jets are along h, parameters have gradients.
TEST(LatentScoreTable, Contract) {
  for (const Entry<MakeLatentScore>& entry : latent_score_table()) {
    auto score = entry.make(entry.smallest, context_for({1, 2, 2}, 3));
    const Tensor v = Rng(1, "v").normal({4, 1, 2, 2}, at::kDouble), h = Rng(1, "h").normal({8, 3}, at::kDouble);
    Rng rng(1, "score");
    const auto given = score->given(v);
    const Tensor value = given->at(h, rng).value;
    ASSERT_EQ(value.sizes(), h.sizes());
    EXPECT_TRUE(at::allclose(value.narrow(0, 4, 4), given->at(h.narrow(0, 4, 4), rng).value, 1e-12, 1e-12));
    ASSERT_TRUE(score->has_jet() && given->has_jet());
    const Tensor u = Rng(2, "u").normal(h.sizes(), at::kDouble);
    const double step = 1e-5;
    const Tensor slope = (given->at(h + step * u, rng).value - given->at(h - step * u, rng).value) / (2 * step);
    EXPECT_TRUE(at::allclose(given->at(seed_jet(h, u, 1), rng)->slice(1), slope, 1e-6, 1e-7)) << entry.name;
    for (const Tensor& g : torch::autograd::grad({given->at(h, rng).pullback(u)}, score->module().parameters()))
      EXPECT_GT(g.abs().max().item<double>(), 0) << entry.name;
    EXPECT_FALSE(score->layers().empty());

    if (entry.name.find("mlp") == std::string::npos) continue;
    Config stock = entry.smallest;
    stock.set("operations", Config("stock"));
    const auto same = entry.make(stock, context_for({1, 2, 2}, 3));
    EXPECT_TRUE(at::allclose(same->given(v)->at(h, rng).value, value, 1e-12, 1e-12)) << entry.name;
  }
}

// In every form but "vector" the score is minus the gradient of an energy, whose jets are along h; parameters have gradients.
TEST(LatentScoreTable, EnergiesOfCodes) {
  for (const Entry<MakeLatentScore>& entry : latent_score_table())
    for (const char* form : {"inner_product", "scalar"}) {
      Config options = entry.smallest;
      options.set("form", Config(form));
      LatentContext context = context_for({1, 2, 2}, 3);
      context.code_scale = 1.5;
      auto score = entry.make(options, context);
      ASSERT_TRUE(score->has_energy() && !score->has_jet()) << entry.name;
      const Tensor v = Rng(1, "v").normal({4, 1, 2, 2}, at::kDouble), h = Rng(1, "h").normal({8, 3}, at::kDouble);
      const ScalarFunction energy = score->energy_given(v);
      const auto given = score->given(v);
      Rng rng(1, "score");
      const ScoreEval s = given->at(h, rng);
      const Tensor u = Rng(2, "u").normal(h.sizes(), at::kDouble);
      const double step = 1e-5;
      const Tensor slope = (energy.value(h + step * u) - energy.value(h - step * u)) / (2 * step);
      EXPECT_TRUE(at::allclose(-(s.value * u).sum(1), slope, 1e-6, 1e-8)) << entry.name << form;
      const Jet jet = energy.jet(seed_jet(h, u, 2));
      EXPECT_TRUE(at::allclose(jet.derivative(1), slope, 1e-6, 1e-8)) << entry.name << form;
      const Tensor bend = (energy.value(h + 1e-4 * u) + energy.value(h - 1e-4 * u) - 2 * energy.value(h)) / 1e-8;
      EXPECT_TRUE(at::allclose(jet.derivative(2), bend, 1e-5, 1e-6)) << entry.name << form;
      int moved = 0;
      for (const Tensor& g : torch::autograd::grad({s.pullback(u)}, score->module().parameters(), {}, {}, false, true))
        moved += g.defined() && g.abs().max().item<double>() > 0;
      EXPECT_GE(moved, 3) << entry.name << form;
      const torch::NoGradGuard no_grad;
      EXPECT_TRUE(torch::equal(score->given(v)->at(h, rng).value, s.value));
    }
  LatentContext context = context_for({1, 2, 2}, 3);
  context.manifold = make_sphere({2});
  EXPECT_THROW(make_conditional_mlp_score({}, context), RequestError);
  EXPECT_FALSE(make_conditional_mlp_score({}, context_for({1, 2, 2}, 3))->has_energy());
}

// ⟨c, ψ(c)⟩ at c = scale · h, by hand for one hidden layer.
TEST(LatentScore, InnerProductOfScaledCodes) {
  LatentContext context = context_for({2}, 2);
  context.code_scale = 3;
  MlpLatentScoreOptions options;
  options.hidden = {4};
  options.form = "inner_product";
  options.initial = "glorot";
  const auto score = make_aggregate_mlp_score(options, context);
  std::map<std::string, Tensor> p;
  for (const auto& item : score->module().named_parameters()) p[item.key()] = item.value();
  const Tensor h = Rng(1, "h").normal({5, 2}, at::kDouble), c = 3 * h;
  EXPECT_EQ(p.at("body_layer1_bias").abs().max().item<double>(), 0);
  const Tensor psi = (c.mm(p.at("body_layer1_weight").t())).tanh().mm(p.at("body_layer2_weight").t());
  EXPECT_TRUE(at::allclose(score->energy_given(h).value(h), (c * psi).sum(1), 1e-12, 1e-12));
}

TEST(LatentPrior, UniformOnASphere) {
  const auto prior = make_uniform_prior(make_sphere({2}));
  EXPECT_EQ(prior->size(), 3);
  EXPECT_TRUE(prior->manifold());
  Rng rng(2, "prior");
  const Tensor h = prior->sample(4000, torch::empty({0}, at::kDouble), rng);
  EXPECT_TRUE(at::allclose(prior->energy(h), torch::full({4000}, std::log(4 * M_PI), at::kDouble), 1e-12, 1e-12));
  EXPECT_EQ(prior->score(h).abs().max().item<double>(), 0);
  // Each coordinate is uniform in [-1, 1].
  EXPECT_NEAR(h.select(1, 0).square().mean().item<double>(), 1.0 / 3, 4 * std::sqrt(4.0 / 45 / 4000));
  EXPECT_THROW(make_uniform_prior(make_euclidean({2})), RequestError);
}

// A decoder on a sphere takes codes of the size that its layers are made for.
TEST(MlpDecoder, ScalesCodes) {
  MlpDecoderOptions options;
  options.hidden = {4};
  LatentContext context = context_for({3}, 4);
  const auto plain = make_mlp_decoder(options, context);
  context.code_scale = 2;
  const auto scaled = make_mlp_decoder(options, context);
  const Tensor h = Rng(1, "h").normal({5, 4}, at::kDouble);
  EXPECT_TRUE(at::allclose(scaled->mean(h), plain->mean(2 * h), 1e-12, 1e-12));
}

TEST(LatentScore, ConditionalOnesDependOnV) {
  auto score = make_conditional_mlp_score({}, context_for({1, 2, 2}, 3));
  const Tensor v = Rng(1, "v").normal({4, 1, 2, 2}, at::kDouble), h = Rng(1, "h").normal({4, 3}, at::kDouble);
  Rng rng(1, "score");
  Tensor changed = v.clone();
  changed[2] += 1;
  const Tensor difference = (score->given(changed)->at(h, rng).value - score->given(v)->at(h, rng).value).abs().amax(1);
  EXPECT_GT(difference[2].item<double>(), 0);
  for (const int row : {0, 1, 3}) EXPECT_EQ(difference[row].item<double>(), 0);
}

}  // namespace
}  // namespace gibbsite
