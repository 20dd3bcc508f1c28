#include <gibbsite/core/error.h>
#include <gibbsite/model/hierarchical_vae.h>
#include <gibbsite/model/noise_space.h>
#include <gibbsite/nn/nvae_cells.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

ModelContext context_for(const Shape& event, at::ScalarType dtype = at::kDouble) {
  ModelContext context;
  context.event = event;
  context.init = Rng(3, "init");
  context.dtype = dtype;
  return context;
}

std::int64_t parameters(torch::nn::Module& module) {
  std::int64_t sum = 0;
  for (const Tensor& p : module.parameters()) sum += p.numel();
  return sum;
}

// Gradients of a sum in the input and in every parameter against central differences.
TEST(NvaeCells, GradientsInFloat64) {
  for (const bool training : {true, false})
    for (const CellKind kind : {CellKind::kNormal, CellKind::kDown, CellKind::kUp})
      for (const bool encoder : {true, false}) {
        if (kind == (encoder ? CellKind::kUp : CellKind::kDown)) continue;
        Parameters parameters(Rng(1, "init"), at::kDouble, at::kCPU);
        const auto cell = encoder ? make_encoder_cell(parameters, Rng(1, "init"), "cell", 4, kind)
                                  : make_decoder_cell(parameters, Rng(1, "init"), "cell", 4, kind, 2);
        parameters.module().train(training);
        const Tensor x = Rng(2, "x").normal({3, 4, 4, 4}, at::kDouble).requires_grad_(true);
        const Tensor weight = Rng(3, "w").normal(cell->forward(x).sizes(), at::kDouble);
        const auto value = [&] { return (cell->forward(x) * weight).sum(); };
        std::vector<Tensor> inputs = parameters.module().parameters();
        inputs.push_back(x);
        const std::vector<Tensor> gradients = torch::autograd::grad({value()}, inputs);
        for (std::size_t i = 0; i < inputs.size(); ++i) {
          Tensor moved = inputs[i].detach();
          const Tensor direction = Rng(4, "v").normal(moved.sizes(), at::kDouble);
          const double epsilon = 1e-5;
          const torch::NoGradGuard no_graph;
          moved.add_(direction, epsilon);
          const double above = value().item<double>();
          moved.add_(direction, -2 * epsilon);
          const double below = value().item<double>();
          moved.add_(direction, epsilon);
          const double slope = (above - below) / (2 * epsilon);
          EXPECT_NEAR((gradients[i] * direction).sum().item<double>(), slope, 1e-6 * (1 + std::abs(slope)))
              << "parameter " << i << " encoder " << encoder << " kind " << static_cast<int>(kind);
        }
      }
}

// The running statistics move by 0.05 towards those of the batch, and rule where the module does not train.
TEST(NvaeCells, BatchNormOfTheBatchAndOfThePast) {
  Parameters parameters(Rng(1, "init"), at::kDouble, at::kCPU);
  const BatchNorm norm(parameters, "norm", 2);
  const Tensor x = Rng(2, "x").normal({50, 2, 3, 3}, at::kDouble) * 2 + 1;
  parameters.module().train(true);
  const Tensor y = norm.forward(x);
  EXPECT_LT(y.mean({0, 2, 3}).abs().max().item<double>(), 1e-10);
  const auto buffers = parameters.module().named_buffers();
  EXPECT_TRUE(torch::allclose(buffers["norm_mean"], 0.05 * x.mean({0, 2, 3}), 1e-10, 1e-10));
  parameters.module().eval();
  const Tensor mean = buffers["norm_mean"].view({1, 2, 1, 1}), variance = buffers["norm_variance"].view({1, 2, 1, 1});
  EXPECT_TRUE(torch::allclose(norm.forward(x), (x - mean) / (variance + 1e-5).sqrt(), 1e-10, 1e-10));
}

// Parameters of every layer of the list in protocol sheet 6, c channels in and out.
struct Count {
  std::int64_t expansion, latent;
  static std::int64_t conv(std::int64_t in, std::int64_t out, std::int64_t side) {
    return in * out * side * side + 2 * out;
  }
  static std::int64_t attention(std::int64_t c) {
    const std::int64_t h = std::max<std::int64_t>(c / 16, 4);
    return 2 * c * h + h + c;
  }
  static std::int64_t encoder(std::int64_t in, std::int64_t out) {
    const std::int64_t skip = in == out ? 0 : in * out + 2 * out;
    return 2 * in + conv(in, out, 3) + 2 * out + conv(out, out, 3) + attention(out) + skip;
  }
  static std::int64_t decoder(std::int64_t in, std::int64_t out, std::int64_t e) {
    const std::int64_t wide = in * e, skip = in == out ? 0 : conv(in, out, 1);
    return 2 * in + in * wide + 2 * wide + 25 * wide + 2 * wide + wide * out + 2 * out + attention(out) + skip;
  }
  std::int64_t total(std::int64_t colours, std::int64_t c, const std::vector<std::int64_t>& groups,
                     std::int64_t side) const {
    const auto scales = static_cast<std::int64_t>(groups.size());
    std::int64_t sum = conv(colours, c, 3) + encoder(c, c) + encoder(c, 2 * c);
    for (std::int64_t s = 0; s < scales; ++s) {
      const std::int64_t w = c << (scales - s), n = groups[static_cast<std::size_t>(s)];
      sum += n * (2 * encoder(w, w) + 2 * decoder(w, w, expansion) + conv(w, 2 * latent, 3) + conv(w, 2 * latent, 1) +
                  conv(w, w, 1) + conv(w + latent, w, 1));
      if (s + 1 < scales) sum += encoder(w / 2, w) + decoder(w, w / 2, expansion);
    }
    const std::int64_t w = c << scales;
    sum -= 2 * decoder(w, w, expansion) + conv(w, 2 * latent, 1) + conv(w, w, 1);  // the first group has none
    const std::int64_t least = side >> scales;
    sum += conv(w, w, 1) + w * least * least;
    return sum + decoder(2 * c, c, 3) + decoder(c, c, 3) + conv(c, 2 * colours, 3);
  }
};

TEST(HierarchicalVae, HasTheParametersOfItsLayers) {
  HierarchicalVaeOptions options;
  options.channels = 4;
  options.groups = {2, 1, 3};
  options.latent_channels = 3;
  auto small = make_hierarchical_vae(options, context_for({1, 16, 16}));
  EXPECT_EQ(parameters(small->module()), (Count{6, 3}.total(1, 4, {2, 1, 3}, 16)));
  EXPECT_EQ(small->groups(), (std::vector<Shape>{{3, 2, 2}, {3, 2, 2}, {3, 4, 4}, {3, 8, 8}, {3, 8, 8}, {3, 8, 8}}));
  // 1/2, 4/1 and 16/3 over the least.
  const std::vector<double> balance = small->balance(), expected = {1, 1, 8, 32.0 / 3, 32.0 / 3, 32.0 / 3};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(balance[i], expected[i], 1e-12);
}

// The paper's 30 groups of CIFAR-10, one step at batch 2: 153 600 latent variables.
TEST(HierarchicalVae, ThirtyGroupsMakeAStep) {
  HierarchicalVaeOptions options;
  options.channels = 16;  // the width is the recipe's; 128 takes gigabytes
  options.groups = {30};
  auto vae = make_hierarchical_vae(options, context_for({3, 32, 32}, at::kFloat));
  const NoiseSpace space(*vae, {});
  EXPECT_EQ(space.latent_size(), 153600);
  EXPECT_EQ(parameters(vae->module()), (Count{6, 20}.total(3, 16, {30}, 32)));
  vae->module().train();
  Rng rng(1, "q");
  const Tensor x = Rng(2, "x").uniform({2, 3, 32, 32}, at::kFloat) * 2 - 1;
  const Evidence found = vae->evidence(x, rng);
  Tensor loss = -found.log_prob.mean() + 0.1 * vae->penalty();
  for (const Tensor& divergence : found.divergence) loss = loss + divergence.mean();
  const std::vector<Tensor> gradients =
      torch::autograd::grad({loss}, vae->module().parameters(), {}, {}, false, /*allow_unused=*/true);
  for (const Tensor& gradient : gradients) {
    ASSERT_TRUE(gradient.defined());
    EXPECT_TRUE(gradient.isfinite().all().item<bool>());
  }
}

// The divergence in closed form against its own draws, and encode against generate.
TEST(HierarchicalVae, EvidenceNoiseAndMapsAgree) {
  HierarchicalVaeOptions options;
  options.channels = 4;
  options.groups = {1, 2};
  options.latent_channels = 2;
  options.cells = 1;
  options.expansion = 2;
  auto vae = make_hierarchical_vae(options, context_for({1, 8, 8}));
  vae->module().eval();
  const torch::NoGradGuard no_graph;
  const Tensor x = Rng(2, "x").uniform({3, 1, 8, 8}, at::kDouble) * 2 - 1;
  Rng rng(1, "q");
  const Evidence found = vae->evidence(x, rng);
  ASSERT_EQ(found.divergence.size(), 3U);
  const NoiseSpace space(*vae, {});
  const Tensor state = space.encode(x, found.z);
  EXPECT_TRUE(torch::allclose(space.points(state), x, 1e-9, 1e-9));
  EXPECT_TRUE(torch::allclose(space.means(state), found.mean, 1e-9, 1e-9));
  // log p(x | z) from the noise of x: its normaliser is the deviations' of that z.
  const Generated made = vae->generate(space.unpack(state).z);
  const Tensor normaliser = sum_event(made.deviation.log() + 0.5 * std::log(2 * M_PI));
  EXPECT_TRUE(
      torch::allclose(found.log_prob, -0.5 * sum_event(space.unpack(state).x.square()) - normaliser, 1e-9, 1e-9));
  for (std::size_t l = 0; l < 3; ++l) EXPECT_TRUE(torch::allclose(made.z[l], found.z[l], 1e-9, 1e-9));
  // Σ log σ is the log determinant of noise -> z.
  const Tensor noise = space.unpack(state).z[0].narrow(0, 0, 1).detach();
  double sum = 0;
  const Generated one =
      vae->generate({noise, space.unpack(state).z[1].narrow(0, 0, 1), space.unpack(state).z[2].narrow(0, 0, 1)});
  for (std::size_t l = 0; l < 3; ++l) {
    std::vector<Tensor> bumped = {noise, space.unpack(state).z[1].narrow(0, 0, 1).clone(),
                                  space.unpack(state).z[2].narrow(0, 0, 1).clone()};
    bumped[l] = bumped[l] + 1;
    // Within a group z is affine in its noise, its slope σ.
    sum += (vae->generate(bumped).z[l] - one.z[l]).log().sum().item<double>();
  }
  EXPECT_NEAR(one.log_deviation.item<double>(), sum, 1e-8 * std::abs(sum));
}

TEST(HierarchicalVae, RefusesSidesThatDoNotHalve) {
  HierarchicalVaeOptions options;
  options.groups = {1, 1};
  EXPECT_THROW(make_hierarchical_vae(options, context_for({1, 6, 8})), RequestError);
  EXPECT_THROW(make_hierarchical_vae(options, context_for({8})), RequestError);
}

// After many batches of cooled draws the running statistics make of the network what the statistics of one large batch of such
// draws make of it; before, they do not.
TEST(HierarchicalVae, BatchNormsTakeTheStatisticsOfCooledDraws) {
  HierarchicalVaeOptions options;
  options.channels = 4;
  options.groups = {2};
  options.latent_channels = 2;
  options.cells = 1;
  auto vae = make_hierarchical_vae(options, context_for({1, 8, 8}));
  const double temperature = 0.5;
  const Tensor like = torch::empty({0}, at::kDouble);
  Rng draws(6, "draws");
  const std::vector<Tensor> noise = prior_noise(*vae, 2000, temperature, like, draws);
  const torch::NoGradGuard no_graph;
  const auto means = [&](bool training) {
    vae->module().train(training);
    const Tensor mean = vae->generate(noise).mean;
    vae->module().eval();
    return mean;
  };
  const Tensor before = means(false);
  std::vector<Tensor> kept;
  for (const Tensor& buffer : vae->module().buffers()) kept.push_back(buffer.clone());
  const Tensor of_batch = means(true);
  for (std::size_t i = 0; i < kept.size(); ++i) vae->module().buffers()[i].copy_(kept[i]);
  readjust_batch_norms(*vae, temperature, 300, Rng(7, "readjust"));
  EXPECT_FALSE(vae->module().is_training());
  const double far = (before - of_batch).square().mean().sqrt().item<double>(),
               near = (means(false) - of_batch).square().mean().sqrt().item<double>();
  EXPECT_LT(near, 0.2 * far);
  // Rows of generated means are what they are alone.
  const Tensor many = generated_means(*vae, 70, 1, like, Rng(8, "many")),
               last = generated_means(*vae, 5, 1, like, Rng(8, "many").at_row(65));
  EXPECT_TRUE(torch::allclose(many.narrow(0, 65, 5), last, 1e-10, 1e-10));
}

}  // namespace
}  // namespace gibbsite
