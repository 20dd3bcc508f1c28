#include <gibbsite/core/error.h>
#include <gibbsite/objective/normaliser_gradient.h>
#include <gibbsite/sampler/hmc.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

constexpr double kDeviation = 0.7, kStiffness = 1.3;

// -log p(x, z) of z ~ N(0, I), x ~ N(W z + c, s² I), up to a constant without W and c.
struct Linear : LatentEnergy {
  Tensor weight = torch::tensor({{0.9, -0.4}, {0.3, 0.8}}, torch::kDouble).requires_grad_(true);
  Tensor offset = torch::tensor({0.6, -0.2}, torch::kDouble).requires_grad_(true);
  Tensor joint(const Tensor& v, const Tensor& h) const override {
    const Tensor gap = v.unsqueeze(0) - torch::matmul(h, weight.t()) - offset;
    return (gap.square().sum(2) / (kDeviation * kDeviation) + h.square().sum(2)) / 2;
  }
  Tensor covariance() const { return weight.mm(weight.t()) + kDeviation * kDeviation * torch::eye(2, torch::kDouble); }
};

// Of h ∝ p exp(-k ‖x‖²/2) by exact draws of x and posterior chains that begin far off, against the derivative of the closed form.
TEST(NormaliserGradient, IsThatOfTheClosedForm) {
  Linear joint;
  const Tensor identity = torch::eye(2, torch::kDouble);
  const Tensor s = joint.covariance();
  const Tensor log_z = -0.5 * torch::logdet(identity + kStiffness * s) -
                       0.5 * joint.offset.dot((s + identity / kStiffness).inverse().mv(joint.offset));
  const std::vector<Tensor> exact = torch::autograd::grad({log_z}, {joint.weight, joint.offset});

  const std::int64_t n = 20000;
  Tensor x;
  {
    const torch::NoGradGuard no_graph;
    const Tensor covariance = (s.inverse() + kStiffness * identity).inverse();
    const Tensor mean = covariance.mv(s.inverse().mv(joint.offset));
    x = Rng(1, "x").normal({n, 2}, torch::kDouble).mm(torch::linalg_cholesky(covariance).t()) + mean;
  }
  ChainOptions options;
  options.burn_in = 30;
  options.adapt = true;
  options.steps = 20;
  HmcOptions hmc;
  hmc.step_size = 0.3;
  const auto kernel = std::make_shared<Hmc>(hmc);
  // Standard errors from 20 parts.
  constexpr std::int64_t kParts = 20;
  std::vector<Tensor> of_weight, of_offset;
  for (std::int64_t part = 0; part < kParts; ++part) {
    const Tensor rows = x.narrow(0, part * n / kParts, n / kParts);
    const Tensor surrogate = normaliser_surrogate(joint, rows, torch::full({n / kParts, 2}, 3.0, torch::kDouble),
                                                  kernel, options, Rng(static_cast<std::uint64_t>(part), "posterior"));
    const std::vector<Tensor> gradients = torch::autograd::grad({surrogate}, {joint.weight, joint.offset});
    of_weight.push_back(gradients[0]);
    of_offset.push_back(gradients[1]);
  }
  const auto expect_near = [&](const std::vector<Tensor>& parts, const Tensor& truth) {
    const Tensor all = torch::stack(parts);
    const Tensor error = all.std(0) / std::sqrt(static_cast<double>(kParts));
    EXPECT_LT(error.max().item<double>(), 0.03);
    EXPECT_LT(((all.mean(0) - truth).abs() / error).max().item<double>(), 4) << all.mean(0) << truth;
  };
  expect_near(of_weight, exact[0]);
  expect_near(of_offset, exact[1]);
}

}  // namespace
}  // namespace gibbsite
