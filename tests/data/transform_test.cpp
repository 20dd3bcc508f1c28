#include <gibbsite/core/error.h>
#include <gibbsite/data/transform.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

struct Case {
  std::string name;
  Pipeline pipeline;
  Tensor x;
};

Tensor uniform(at::IntArrayRef sizes) { return Rng(4, "x").uniform(sizes, torch::kDouble) * 0.9 + 0.05; }

std::vector<Case> cases() {
  std::vector<Case> list;
  const auto add = [&](const std::string& name, const Tensor& x, const std::vector<TransformPointer>& transforms) {
    Case c{name, {}, x};
    for (const auto& transform : transforms) c.pipeline.append(transform);
    list.push_back(c);
  };
  const Tensor x = uniform({6, 3});
  const Tensor mixed = Rng(5, "x")
                           .normal({50, 3}, torch::kDouble)
                           .mm(torch::tensor({{2.0, 0.0, 0.1}, {1.0, 0.5, 0.0}, {0.0, -1.0, 3.0}}, torch::kDouble)) +
                       4;
  const Tensor image = uniform({3, 2, 2});
  add("empty", x, {});
  add("range", x, {make_range(-1, 3, false)});
  add("symmetric", x, {make_range(-1, 3, true)});
  add("standardise", mixed, {fit_standardise(mixed)});
  add("whiten", mixed, {fit_whiten(mixed)});
  add("logit", x, {make_logit(0.05)});
  add("clamp", x, {make_clamp(0.04, 0.96), make_logit(0)});
  add("noise", x, {make_dequantise(1), make_jitter(0.1)});
  add("reshape", image, {make_reshape({2, 2}, {4})});
  add("all", image,
      {make_dequantise(1), make_range(0, 2, false), make_logit(1e-3), fit_standardise(uniform({9, 2, 2})),
       make_reshape({2, 2}, {4}), fit_whiten(Rng(6, "x").normal({30, 4}, torch::kDouble)), make_jitter(0.1)});
  return list;
}

// Autograd of whole Jacobians, row by row: independent of every formula under test.
Tensor jacobian(const Pipeline& pipeline, const Tensor& row) {
  const Tensor x = row.unsqueeze(0).detach().requires_grad_(true);
  const Tensor y = pipeline.forward(x).flatten();
  std::vector<Tensor> rows;
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    const auto g = torch::autograd::grad({y[i]}, {x}, {}, true, false, true)[0];
    rows.push_back(g.defined() ? g.flatten() : torch::zeros({x.numel()}, x.options()));
  }
  return torch::stack(rows);
}

TEST(Transforms, InverseJacobianAndScoreAreExact) {
  for (const Case& c : cases()) {
    const Tensor y = c.pipeline.forward(c.x);
    EXPECT_EQ(event_shape(y), c.pipeline.output_event(event_shape(c.x))) << c.name;
    EXPECT_TRUE(torch::allclose(c.pipeline.inverse(y), c.x, 1e-10, 1e-10)) << c.name;
    const Tensor log_det = c.pipeline.log_abs_det(c.x);
    for (int r = 0; r < 3; ++r)
      EXPECT_NEAR(log_det[r].item<double>(),
                  std::get<1>(torch::linalg_slogdet(jacobian(c.pipeline, c.x[r]))).item<double>(), 1e-9)
          << c.name;
    // Score of a standard Gaussian in y, pulled back, against autograd of its density in original units.
    const Tensor at = c.x.detach().requires_grad_(true);
    const Tensor log_density = -0.5 * sum_event(c.pipeline.forward(at).square()) + c.pipeline.log_abs_det(at);
    const Tensor expected = torch::autograd::grad({log_density.sum()}, {at})[0];
    EXPECT_TRUE(torch::allclose(c.pipeline.pull_score(c.x, -y), expected, 1e-9, 1e-9)) << c.name;
  }
}

TEST(Transforms, ComeBackFromStoredSettings) {
  for (const Case& c : cases()) {
    const Pipeline again = Pipeline::restore(c.pipeline.config(), c.pipeline.state());
    EXPECT_TRUE(torch::equal(again.forward(c.x), c.pipeline.forward(c.x))) << c.name;
    EXPECT_TRUE(torch::equal(again.prepare(c.x, Rng(1, "n")), c.pipeline.prepare(c.x, Rng(1, "n")))) << c.name;
    EXPECT_TRUE(again.config() == c.pipeline.config()) << c.name;
  }
  Pipeline padded;
  padded.append(make_pad(2, -1));
  const Tensor x = torch::ones({2, 3, 3});
  EXPECT_TRUE(torch::equal(Pipeline::restore(padded.config(), padded.state()).forward(x), padded.forward(x)));
  EXPECT_THROW(Pipeline::restore(Config::array({Config::table({{"kind", "unheard-of"}})}), {}), WorkError);
  EXPECT_THROW(Pipeline::restore(Config::array({Config::table({{"kind", "affine"}})}), {}), WorkError);
}

TEST(Transforms, DensityInOriginalUnitsIntegratesToOne) {
  Pipeline pipeline;
  pipeline.append(make_range(-2, 6, false));
  pipeline.append(make_logit(0.01));
  pipeline.append(make_affine(torch::tensor({0.3}, torch::kDouble), torch::tensor({-1.7}, torch::kDouble)));
  // The logit with alpha > 0 reaches only part of the line: compare with the Gaussian's mass between the two ends.
  const int n = 200000;
  const Tensor x = -2 + 8.0 * (torch::arange(n, torch::kDouble).unsqueeze(1) + 0.5) / n;
  const Tensor log_density =
      -0.5 * pipeline.forward(x).square().sum(1) - 0.5 * std::log(2 * M_PI) + pipeline.log_abs_det(x);
  const double mass = log_density.exp().sum().item<double>() * 8 / n;
  const double end = std::log(0.99 / 0.01);
  const auto cdf = [](double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); };
  EXPECT_NEAR(mass, cdf(1.7 * (end + 0.3)) - cdf(1.7 * (-end + 0.3)), 1e-8);
}

TEST(Whitening, MakesUnitCovarianceWhereScalesDifferByMillions) {
  const Tensor z = Rng(7, "x").normal({400, 3}, torch::kDouble);
  const Tensor x = z.mm(torch::tensor({{1e6, 1.0, 0.0}, {0.0, 1e-2, 0.5}, {2e6, 0.0, 3e-6}}, torch::kDouble)) + 1e3;
  const Tensor y = fit_whiten(x)->forward(x);
  EXPECT_TRUE(torch::allclose(y.t().mm(y) / 400, torch::eye(3, torch::kDouble), 0, 1e-5));
  EXPECT_THROW(fit_whiten(torch::cat({z, z.slice(1, 0, 1)}, 1)), WorkError);
  EXPECT_THROW(fit_whiten(torch::full({5, 2}, NAN)), WorkError);
}

TEST(Standardise, LeavesConstantColumnsFinite) {
  Tensor x = Rng(7, "x").normal({100, 2}, torch::kDouble);
  x.select(1, 1).fill_(0.1);
  const Tensor y = fit_standardise(x)->forward(x);
  EXPECT_NEAR(y.select(1, 0).square().mean().item<double>(), 1, 1e-12);
  EXPECT_LT(y.select(1, 1).abs().max().item<double>(), 1e-12);
}

TEST(Pad, AddsAMarginAndCropsScores) {
  const auto pad = make_pad(2, -1);
  EXPECT_EQ(pad->output_event({28, 28}), (Shape{32, 32}));
  EXPECT_EQ(pad->output_event({3, 28, 28}), (Shape{3, 32, 32}));
  EXPECT_THROW(pad->output_event({784}), RequestError);
  const Tensor x = torch::arange(18, torch::kDouble).view({2, 3, 3});
  const Tensor y = pad->forward(x);
  EXPECT_EQ(y.sizes(), (Shape{2, 7, 7}));
  EXPECT_EQ(y[1][2][2].item<double>(), 9);
  EXPECT_EQ(y[1][1][2].item<double>(), -1);
  EXPECT_TRUE(torch::equal(pad->inverse(y), x));
  EXPECT_TRUE(torch::equal(pad->pull_score(x, 2 * y), 2 * x));
}

TEST(Noise, IsIndexedByRowAndHasTheStatedLaw) {
  Pipeline pipeline;
  pipeline.append(make_dequantise(2));
  pipeline.append(make_jitter(0.5));
  const Tensor x = torch::zeros({40000, 1}, torch::kByte);
  const Rng rng = Rng(3, "noise").at_step(5);
  const Tensor all = pipeline.prepare(x, rng);
  EXPECT_EQ(all.scalar_type(), torch::kFloat);
  EXPECT_TRUE(torch::equal(all.slice(0, 30000), pipeline.prepare(x.slice(0, 30000), rng.at_row(30000))));
  EXPECT_FALSE(torch::equal(all, pipeline.prepare(x, rng.at_step(6))));
  const double variance = 4.0 / 12 + 0.25;
  EXPECT_NEAR(all.mean().item<double>(), 1, 4 * std::sqrt(variance / 40000));
  // Fourth central moment: uniform 2^4/80, Gaussian 3/16, cross term 6 (1/3)(1/4).
  const double fourth = 16.0 / 80 + 3.0 / 16 + 0.5;
  EXPECT_NEAR(all.var().item<double>(), variance, 4 * std::sqrt((fourth - variance * variance) / 40000));
}

TEST(Binarise, MakesBitsWithTheValuesAsProbabilities) {
  Pipeline pipeline;
  pipeline.append(make_binarise());
  EXPECT_TRUE(pipeline.has_noise());
  const std::int64_t rows = 20000;
  const Tensor p = torch::tensor({0.0, 0.25, 0.9, 1.0}, torch::kDouble), x = p.expand({rows, 4}).contiguous();
  EXPECT_TRUE(torch::equal(pipeline.forward(x), x));
  const Tensor bits = pipeline.prepare(x, Rng(1, "bits"));
  EXPECT_TRUE(((bits == 0) | (bits == 1)).all().item<bool>());
  const Tensor share = bits.mean(0);
  for (const int sure : {0, 3}) EXPECT_EQ(share[sure].item<double>(), p[sure].item<double>());
  for (const int drawn : {1, 2}) {
    const double truth = p[drawn].item<double>();
    EXPECT_NEAR(share[drawn].item<double>(), truth, 4 * std::sqrt(truth * (1 - truth) / rows));
  }
  EXPECT_FALSE(torch::equal(bits, pipeline.prepare(x, Rng(1, "bits").at_step(1))));
  const Pipeline restored = Pipeline::restore(pipeline.config(), pipeline.state());
  EXPECT_TRUE(torch::equal(restored.prepare(x, Rng(1, "bits")), bits));
}

TEST(Dequantise, GapsAreMediansOfSortedDifferentValues) {
  // Gaps of the first column 1, 1, 4: median 1; of the second 0.5 and 2: 1.25; the third is constant.
  const Tensor x = torch::tensor({{0.0, 1.0, 7.0}, {2.0, 1.5, 7.0}, {1.0, 1.0, 7.0}, {6.0, 3.5, 7.0}, {6.0, 3.5, 7.0}},
                                 torch::kDouble);
  Pipeline pipeline;
  pipeline.append(fit_gap_dequantise(x));
  const Tensor many = x.repeat({2000, 1});
  const Tensor noise = pipeline.prepare(many, Rng(1, "noise")) - many;
  const double gaps[] = {1, 1.25, 0};
  for (std::int64_t j = 0; j < 3; ++j) {
    const Tensor column = noise.select(1, j);
    EXPECT_LE(column.abs().max().item<double>(), gaps[j]);
    EXPECT_NEAR(column.mean().item<double>(), 0, 4 * gaps[j] / std::sqrt(3 * 10000.0) + 1e-15);
    EXPECT_NEAR(column.square().mean().item<double>(), gaps[j] * gaps[j] / 3, 0.02);
  }
  const Pipeline again = Pipeline::restore(pipeline.config(), pipeline.state());
  EXPECT_TRUE(torch::equal(again.prepare(many, Rng(1, "noise")), pipeline.prepare(many, Rng(1, "noise"))));
}

TEST(Transforms, CentredUniformNoiseAndClampMakeTheLogitsOfTheSheet) {
  Pipeline pipeline;
  pipeline.append(make_range(0, 255, false));
  pipeline.append(make_dequantise(1.0 / 256, -1.0 / 512));
  pipeline.append(make_clamp(0.001, 0.999));
  pipeline.append(make_logit(0));
  const Tensor black = torch::zeros({20000, 1}, torch::kByte);
  const Tensor y = pipeline.prepare(black, Rng(1, "noise"));
  const double edge = std::log(0.001 / 0.999);
  // U(-1/512, 1/512) is below 0.001 with probability (0.001 + 1/512) * 256 = 0.756.
  const double share = (y <= edge + 1e-4).to(torch::kDouble).mean().item<double>();
  EXPECT_NEAR(share, 0.756, 4 * std::sqrt(0.756 * 0.244 / 20000));
  EXPECT_NEAR(y.min().item<double>(), edge, 1e-4);
  EXPECT_NEAR(y.max().item<double>(), std::log((1.0 / 512) / (1 - 1.0 / 512)), 2e-3);
  // Outside the clamp nothing of the score reaches the original value.
  EXPECT_EQ(
      make_clamp(0, 1)->pull_score(torch::tensor({{-1.0, 0.5}}), torch::tensor({{3.0, 4.0}})).sum().item<double>(), 4);
}

}  // namespace
}  // namespace gibbsite
