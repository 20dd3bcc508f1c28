#include <ATen/Parallel.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/classification.h>
#include <gibbsite/metric/linear_probe.h>
#include <gtest/gtest.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

// Gaussian blobs around three of the axes.
Tensor blobs(const Tensor& labels, Rng& rng) {
  const Tensor at = torch::eye(5, torch::kDouble).narrow(0, 0, 3).index_select(0, labels);
  return 1.5 * at + 0.8 * rng.normal({labels.size(0), 5}, at);
}

TEST(LinearProbe, IsStationaryForItsObjective) {
  Rng rng(1, "probe");
  const Tensor labels = at::arange(90).remainder(3), x = blobs(labels, rng);
  for (const double cost : {0.1, 1.0, 10.0}) {
    LinearProbeOptions options;
    options.cost = cost;
    options.tolerance = 1e-10;
    const LinearProbe probe = fit_linear_probe(x, labels, 3, options);
    for (std::int64_t c = 0; c < 3; ++c) {
      const Tensor w = probe.weight[c].clone().requires_grad_(), b = probe.intercept[c].clone().requires_grad_();
      const Tensor y = at::where(labels == c, torch::ones({90}, torch::kDouble), -torch::ones({90}, torch::kDouble));
      const Tensor loss =
          0.5 * w.square().sum() + 0.5 * b.square() + cost * at::log1p((-y * (x.mv(w) + b)).exp()).sum();
      loss.backward();
      EXPECT_LT(w.grad().abs().max().item<double>(), 1e-6 * cost * 90) << "class " << c << ", cost " << cost;
      EXPECT_LT(b.grad().abs().item<double>(), 1e-6 * cost * 90);
    }
  }
}

TEST(LinearProbe, TellsSeparatedClassesWhateverTheFirstLabel) {
  Rng rng(2, "probe");
  for (const std::int64_t shift : {0, 1}) {
    const Tensor labels = (at::arange(40) + shift).remainder(2);
    const Tensor x = blobs(labels, rng) + 10 * at::one_hot(labels, 5);
    EXPECT_EQ(accuracy(fit_linear_probe(x, labels, 2).scores(x), labels).value, 1);
  }
}

TEST(LinearProbe, IsTheSameByAnyNumberOfThreads) {
  const Tensor labels = torch::arange(60) % 5;
  const Tensor features = Rng(3, "features").normal({60, 7}, torch::kDouble) + labels.unsqueeze(1);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const LinearProbe one = fit_linear_probe(features, labels, 5);
  at::set_num_threads(3);
  const LinearProbe three = fit_linear_probe(features, labels, 5);
  at::set_num_threads(threads);
  EXPECT_TRUE(one.weight.equal(three.weight));
  EXPECT_TRUE(one.intercept.equal(three.intercept));
}

TEST(LinearProbe, SaysWhatItCannotFit) {
  const Tensor x = torch::ones({4, 2}, torch::kDouble), labels = at::tensor({0, 0, 2, 2}, torch::kLong);
  EXPECT_THROW(fit_linear_probe(x, labels, 3), WorkError);
  EXPECT_THROW(fit_linear_probe(x, labels.narrow(0, 0, 3), 3), WorkError);
  EXPECT_THROW(fit_linear_probe(x * NAN, at::tensor({0, 1, 0, 1}, torch::kLong), 2), WorkError);
}

TEST(LabelledRows, AreSoManyOfEachClassAndRepeat) {
  const Tensor labels = at::arange(50).remainder(5), rows = draw_labelled_rows(labels, 5, 4, Rng(3, "draw"));
  EXPECT_TRUE(labels.index_select(0, rows).equal(at::arange(5).repeat_interleave(4)));
  EXPECT_EQ(std::get<0>(at::_unique(rows)).size(0), 20);
  EXPECT_TRUE(rows.equal(draw_labelled_rows(labels, 5, 4, Rng(3, "draw"))));
  // More of a class begins with fewer of it, so that a longer draw is a superset.
  const Tensor more = draw_labelled_rows(labels, 5, 6, Rng(3, "draw"));
  EXPECT_TRUE(more.narrow(0, 0, 4).equal(rows.narrow(0, 0, 4)));
  EXPECT_FALSE(rows.equal(draw_labelled_rows(labels, 5, 4, Rng(4, "draw"))));
  EXPECT_THROW(draw_labelled_rows(labels, 5, 11, Rng(3, "draw")), RequestError);
}

}  // namespace
}  // namespace gibbsite
