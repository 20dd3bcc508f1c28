#include <gibbsite/core/error.h>
#include <gibbsite/manifold/sphere.h>
#include <gibbsite/manifold/vmf_family.h>
#include <gibbsite/model/conjugate_energy.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

// A head of one's own: anything.
class Own : public ConjugateEnergy {
 public:
  using Network = std::function<Tensor(const Tensor&)>;
  Own(std::shared_ptr<const ExponentialFamily> family, const BiasOptions& options, Network network)
      : ConjugateEnergy(std::move(family), options, Parameters(Rng(5, "init"), at::kDouble, at::kCPU), {2}),
        network_(std::move(network)) {}
  using ConjugateEnergy::raw_statistics;
  Tensor raw_statistics(const Tensor& x) const override { return network_(x); }

 private:
  Network network_;
};

Own::Network waves(std::int64_t outputs) {
  const Tensor weight = Rng(6, "weight").normal({2, outputs}, at::kDouble);
  return [weight](const Tensor& x) { return 1.2 * x.mm(weight).sin(); };
}

struct Rule {
  const char* name;
  std::shared_ptr<const ExponentialFamily> family;
  Tensor z, weight;
};

Tensor line(double low, double high, std::int64_t points) { return torch::linspace(low, high, points, at::kDouble); }

std::vector<Rule> rules() {
  const Tensor x = line(-10, 10, 161), plane = at::cartesian_prod({x, x});
  const double cell = std::pow(20.0 / 160, 2);
  const Tensor bit = torch::tensor({0.0, 1.0}, at::kDouble), states = at::cartesian_prod({bit, bit, bit});
  const Tensor one_hot = torch::eye(4, at::kDouble).narrow(1, 0, 3);
  const Tensor t = line(-60, 60, 6001).unsqueeze(1), share = t.sigmoid(), rest = (-t).sigmoid();
  const Cubature sphere = make_sphere({2})->cubature(120, 0);
  return {{"gaussian", make_gaussian_family(2), plane, torch::full({plane.size(0)}, cell, at::kDouble)},
          {"bernoulli", make_bernoulli_family(3), states, torch::ones({8}, at::kDouble)},
          {"categorical", make_categorical_family(3), one_hot, torch::ones({4}, at::kDouble)},
          {"dirichlet", make_dirichlet_family(2), at::cat({share, rest}, 1), (0.02 * share * rest).squeeze(1)},
          {"von_mises_fisher", make_von_mises_fisher_family(3), sphere.points, sphere.weights}};
}

// Everything by integration over z of exp(-E(x, z)), with E written out as the sheet has it.
TEST(ConjugateEnergy, MarginalAndPosteriorAreThoseOfIntegration) {
  const Tensor x = Rng(1, "x").normal({4, 2}, at::kDouble);
  for (const Rule& rule : rules())
    for (const std::int64_t components : {1, 3}) {
      BiasOptions options;
      options.components = components;
      options.learn_bias = true;
      options.spread = 0.7;
      const ExponentialFamily& family = *rule.family;
      const Own model(rule.family, options, waves(family.statistics()));
      const std::string what = rule.name + std::to_string(components);
      const Tensor lambda = model.bias(), t = family.updated(lambda[0], model.raw_statistics(x)) - lambda[0];
      const Tensor eta = family.statistic(rule.z);  // [N, S]
      // exp(-E(x, z)) = 1/L Σ_l h(z) exp(⟨λ_l + t, η(z)⟩ - B(λ_l)).
      const Tensor natural = lambda.unsqueeze(0) + t.unsqueeze(1);  // [B, L, S]
      const Tensor terms = at::einsum("ns,bls->nbl", {eta, natural}) - family.log_normaliser(lambda) +
                           family.log_base(rule.z).view({-1, 1, 1}) - std::log(static_cast<double>(components));
      const Tensor log_joint = terms.logsumexp(2);  // [N, B]
      const Tensor weight = rule.weight.unsqueeze(1), marginal = (weight * log_joint.exp()).sum(0);
      EXPECT_TRUE(at::allclose(model.energy(x), -marginal.log(), 1e-8, 1e-9)) << what;
      const Tensor z = rule.z.unsqueeze(1).expand({-1, 4, -1});
      EXPECT_TRUE(at::allclose(model.joint(x, z), -log_joint, 1e-9, 1e-9)) << what;
      const Tensor log_posterior = model.log_posterior(x, z);
      EXPECT_TRUE(at::allclose(model.joint(x, z), model.energy(x) - log_posterior, 1e-10, 1e-10)) << what;
      const Tensor p = weight * (log_joint - marginal.log()).exp();
      EXPECT_TRUE(at::allclose(weight * log_posterior.exp(), p, 1e-8, 1e-9)) << what;
      const auto mean_of = [&](const Tensor& f) { return (p.unsqueeze(2) * f).sum(0); };
      const Tensor mean = mean_of(z);
      EXPECT_TRUE(at::allclose(model.posterior_mean(x), mean, 1e-8, 1e-9)) << what;
      EXPECT_TRUE(at::allclose(model.posterior_variance(x), mean_of((z - mean).square()), 1e-8, 1e-9)) << what;
      const Tensor shares = (weight.unsqueeze(2) * terms.exp()).sum(0) / marginal.unsqueeze(1);
      EXPECT_TRUE(at::allclose(model.responsibilities(x), shares, 1e-8, 1e-9)) << what;
      EXPECT_NEAR((rule.weight * model.log_bias(rule.z).exp()).sum().item<double>(), 1, 1e-8) << what;
      if (components == 1) {
        const Tensor log_ratio = log_posterior - model.log_bias(rule.z).unsqueeze(1);
        EXPECT_TRUE(at::allclose(model.divergence_from_bias(x), (p * log_ratio).sum(0), 1e-8, 1e-9)) << what;
        EXPECT_TRUE(at::allclose(model.posterior_entropy(x), -(p * log_posterior).sum(0), 1e-8, 1e-9)) << what;
        EXPECT_TRUE(torch::equal(model.representation(x), model.posterior_mean(x)));
        // Eq. 25: the joint energy by the divergence of the statistics from the posterior's mean parameters.
        const Tensor mu = family.mean_parameters(natural.squeeze(1));
        const Tensor by_divergence =
            dual_divergence_less_bias(family, family.statistic(z), mu) + model.energy(x) - family.log_base(z);
        EXPECT_TRUE(at::allclose(model.joint(x, z), by_divergence, 1e-9, 1e-9)) << what;
      } else {
        EXPECT_THROW(model.posterior_entropy(x), RequestError);
        EXPECT_THROW(model.divergence_from_bias(x), RequestError);
      }
      Rng rng(2, "draws");
      const Tensor draws = model.sample_posterior(x, 3000, rng);
      const Tensor error = (model.posterior_variance(x) / 3000).sqrt() + 1e-12;
      EXPECT_LT(((draws.mean(0) - mean).abs() / error).max().item<double>(), 4.5) << what;
    }
}

// Sheet, 1.2: closed forms for the standard normal bias, a = t₁, t₂ = -b².
TEST(ConjugateEnergy, GaussianClosedForms) {
  const auto network = waves(4);
  const Own model(make_gaussian_family(2), {}, network);
  const Tensor x = Rng(1, "x").normal({5, 2}, at::kDouble), raw = network(x);
  const Tensor a = raw.narrow(1, 0, 2), b2 = raw.narrow(1, 2, 2).square();
  const Tensor variance = 1 / (1 + 2 * b2), mean = a * variance;
  EXPECT_TRUE(at::allclose(model.posterior_variance(x), variance, 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(model.posterior_mean(x), mean, 1e-12, 1e-12));
  EXPECT_TRUE(
      at::allclose(-model.energy(x), (a.square() / (2 + 4 * b2) - 0.5 * (1 + 2 * b2).log()).sum(1), 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(model.divergence_from_bias(x), 0.5 * (mean.square() + variance - 1 - variance.log()).sum(1),
                           1e-11, 1e-11));
}

// Eq. 28: minus the log density of a decoder's likelihood by the divergence of x from its mean.
TEST(ConjugateEnergy, LikelihoodsOfDecodersAreDivergences) {
  const Tensor eta = Rng(1, "eta").normal({5, 3}, at::kDouble), u = Rng(2, "x").normal({5, 3}, at::kDouble);
  const auto normal = make_normal_family(3);
  const auto by_divergence = [&](const ExponentialFamily& family, const Tensor& x) {
    return dual_divergence_less_bias(family, x, family.mean_parameters(eta)) - family.log_base(x);
  };
  EXPECT_TRUE(
      at::allclose(by_divergence(*normal, u), 0.5 * ((u - eta).square() + std::log(2 * M_PI)).sum(1), 1e-10, 1e-10));
  EXPECT_TRUE(at::allclose(dual_divergence(*normal, u, eta) - dual(*normal, u),
                           dual_divergence_less_bias(*normal, u, eta), 1e-10, 1e-10));
  const Tensor bits = (u > 0).to(at::kDouble), p = eta.sigmoid();
  EXPECT_TRUE(at::allclose(by_divergence(*make_bernoulli_family(3), bits),
                           -(bits * p.log() + (1 - bits) * (1 - p).log()).sum(1), 1e-10, 1e-10));
}

// Whatever a network gives, the posterior is a law.
TEST(ConjugateEnergy, NoNetworkLeavesTheFamily) {
  const Tensor x = Rng(1, "x").normal({20, 2}, at::kDouble);
  for (const Rule& rule : rules())
    for (int trial = 0; trial < 20; ++trial) {
      const std::int64_t s = rule.family->statistics();
      const double size = std::pow(10.0, trial % 5 - 2);
      const auto wild = [&](const Tensor& at) {
        const Tensor weight = Rng(static_cast<std::uint64_t>(trial), "wild").normal({2, s}, at::kDouble);
        const Tensor h = at.mm(weight);
        return size * (trial % 3 == 0 ? h : trial % 3 == 1 ? h.sinh().clamp(-1e3, 1e3) : h.pow(3));
      };
      BiasOptions options;
      options.components = 1 + trial % 2;
      const Own model(rule.family, options, wild);
      EXPECT_TRUE(model.energy(x).isfinite().all().item<bool>()) << rule.name << trial;
      const Tensor variance = model.posterior_variance(x);
      EXPECT_TRUE(variance.isfinite().all().item<bool>()) << rule.name << trial;
      EXPECT_GE(variance.min().item<double>(), -1e-10) << rule.name << trial;
      if (std::string(rule.name) == "gaussian" && options.components == 1)
        EXPECT_LE(variance.max().item<double>(), 1) << trial;
    }
}

// Jets of the network energies, single and mixture, for families that have them; none for the others.
TEST(ConjugateEnergy, JetsAreDerivatives) {
  ModelContext context;
  context.event = {1, 8, 8};
  context.dtype = at::kDouble;
  context.init = Rng(3, "init");
  const Tensor x = Rng(1, "x").normal({3, 1, 8, 8}, at::kDouble), v = Rng(2, "v").normal(x.sizes(), x);
  for (const char* family : {"gaussian", "bernoulli", "categorical", "dirichlet", "von_mises_fisher"})
    for (const std::int64_t components : {1, 3}) {
      ConjugateEnergyOptions options;
      options.family = family;
      options.latent_size = 3;
      options.components = components;
      options.channels = {2, 3};
      options.hidden = {5};
      const auto model = make_conjugate_energy(options, context);
      const bool has = std::string(family) != "dirichlet" && std::string(family) != "von_mises_fisher";
      EXPECT_EQ(model->has_jet(), has) << family;
      EXPECT_EQ(model->energy(seed_jet(x, v, 2)).has_value(), has);
      if (!has) continue;
      const ScalarFunction f = scalar_function(*model);
      const Tensor truth = sum_event(hessian_vector_product(f.value, x, v) * v);
      EXPECT_TRUE(at::allclose(directional_derivative(f, x, v, 2), truth, 1e-9, 1e-10)) << family << components;
    }
}

TEST(ConjugateEnergy, RefusesLawsOfASinglePoint) {
  ModelContext context;
  context.event = {1, 8, 8};
  ConjugateEnergyOptions options;
  options.latent_size = 1;
  for (const char* family : {"dirichlet", "von_mises_fisher"}) {
    options.family = family;
    EXPECT_THROW(make_conjugate_energy(options, context), RequestError) << family;
  }
}

// Sheet, 1.4: parameters of the encoder with one hidden layer of 256.
TEST(ConjugateEnergy, SizesOfTheSheet) {
  ModelContext context;
  context.event = {1, 28, 28};
  context.init = Rng(3, "init");
  const auto count = [](torch::nn::Module& module) {
    std::int64_t sum = 0;
    for (const Tensor& p : module.parameters())
      if (p.requires_grad()) sum += p.numel();
    return sum;
  };
  ConjugateEnergyOptions options;
  EXPECT_EQ(count(make_conjugate_energy(options, context)->module()), 328672);
  options.hidden = {};
  EXPECT_EQ(count(make_conjugate_energy(options, context)->module()), 262880);
  options.channels = {16, 16, 32, 32};
  EXPECT_EQ(count(make_conjugate_energy(options, context)->module()), 102896);
  context.event = {5};
  EXPECT_THROW(make_conjugate_energy(options, context), RequestError);
}

// The energy is the last layer's map of the activated features.
TEST(FeatureEnergy, FeaturesAreWhatTheLastLayerActivates) {
  FeatureEnergyOptions options;
  options.channels = {2, 3};
  options.hidden = {5, 4};
  ModelContext context;
  context.event = {1, 6, 6};
  context.init = Rng(3, "init");
  context.dtype = at::kDouble;
  const auto energy = make_feature_energy(options, context);
  const auto* featured = dynamic_cast<const FeatureEnergy*>(energy.get());
  ASSERT_NE(featured, nullptr);
  const Tensor x = Rng(1, "x").normal({7, 1, 6, 6}, at::kDouble), features = featured->features(x);
  ASSERT_EQ(features.sizes(), (Shape{7, 4}));
  const auto parameters = energy->module().named_parameters();
  const Tensor expected =
      at::linear(at::silu(features), parameters["body_layer3_weight"], parameters["body_layer3_bias"]);
  EXPECT_TRUE(at::allclose(energy->energy(x), expected.squeeze(1), 1e-12, 1e-12));
}

}  // namespace
}  // namespace gibbsite
