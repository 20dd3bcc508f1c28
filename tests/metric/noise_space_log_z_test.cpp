#include <gibbsite/metric/noise_space_log_z.h>
#include <gibbsite/metric/quadrature.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

// x = W z + c + s ε_x.
class LinearGenerator : public Generator {
 public:
  LinearGenerator(Tensor weight, Tensor offset, double deviation)
      : weight_(std::move(weight)), offset_(std::move(offset)), deviation_(deviation) {}
  std::vector<Shape> groups() const override { return {{weight_.size(1)}}; }
  Shape event() const override { return {weight_.size(0)}; }
  Generated generate(const std::vector<Tensor>& noise) const override {
    return {noise, {}, noise[0].mm(weight_.t()) + offset_, torch::full({}, deviation_, torch::kDouble)};
  }
  std::vector<Tensor> noise_of(const std::vector<Tensor>& z) const override { return z; }
  Tensor covariance() const {
    return weight_.mm(weight_.t()) + deviation_ * deviation_ * torch::eye(weight_.size(0), torch::kDouble);
  }
  const Tensor& mean() const { return offset_; }

 private:
  Tensor weight_, offset_;
  double deviation_;
};

struct Problem {
  LinearGenerator generator;
  Tensor stiffness, centre;
  NoiseSpace space{generator, {}};

  EnergyFn energy() const {
    return [this](const Tensor& x) {
      const Tensor d = x - centre;
      return 0.5 * (d.mm(stiffness) * d).sum(1);
    };
  }
  // log ∫ N(x; c, S) exp(-½ (x - m)ᵀ K (x - m)).
  double log_z() const {
    const Tensor s = generator.covariance(), gap = generator.mean() - centre;
    const Tensor shrink = torch::eye(s.size(0), torch::kDouble) + s.mm(stiffness);
    const Tensor joint = s + stiffness.inverse();
    return (-0.5 * torch::logdet(shrink) - 0.5 * gap.dot(joint.inverse().mv(gap))).item<double>();
  }
};

Tensor doubles(const std::vector<double>& values, const Shape& sizes) {
  return torch::tensor(values, torch::kDouble).view(sizes);
}

void expect_both(const Problem& problem) {
  const Tensor like = torch::empty({0}, torch::kDouble);
  const LogMean weighted = noise_space_importance(problem.space, problem.energy(), 40000, like, Rng(1, "draws"));
  EXPECT_NEAR(weighted.log_mean.value, problem.log_z(), 4 * weighted.log_mean.standard_error);
  EXPECT_LT(weighted.log_mean.standard_error, 0.03);
  AisOptions options;
  options.temperatures = 60;
  options.step_size = 0.3;
  options.leapfrog_steps = 4;
  options.largest_step = 1;
  const AisResult annealed =
      noise_space_annealing(problem.space, problem.energy(), 1500, options, like, Rng(2, "chains"));
  const LogMean found = log_mean_weight(annealed.log_weights);
  EXPECT_NEAR(found.log_mean.value, problem.log_z(), 4 * found.log_mean.standard_error);
  EXPECT_LT(found.log_mean.standard_error, 0.03);
  EXPECT_GT(found.effective, 0.3 * 1500) << "annealing is worth its chains";
}

TEST(NoiseSpaceLogZ, ByDrawsAndAnnealingInClosedForm) {
  expect_both({{doubles({1.0, 0.5, -0.7, 0.4, 0.2, -1.1}, {3, 2}), doubles({0.5, -1.0, 0.3}, {3}), 0.6},
               doubles({1.5, 0.3, -0.2, 0.3, 1.0, 0.1, -0.2, 0.1, 0.8}, {3, 3}),
               doubles({-0.4, 0.8, 1.0}, {3})});
}

// On a line quadrature is a third opinion.
TEST(NoiseSpaceLogZ, ThreeMethodsAgreeOnALine) {
  const Problem problem = {
      {doubles({0.9}, {1, 1}), doubles({0.4}, {1}), 0.5}, doubles({2.0}, {1, 1}), doubles({-0.6}, {1})};
  const double variance = problem.generator.covariance().item<double>();
  const EnergyFn product = [&](const Tensor& x) {
    return problem.energy()(x) + (x.select(1, 0) - 0.4).square() / (2 * variance) + 0.5 * std::log(2 * M_PI * variance);
  };
  EXPECT_NEAR(quadrature(product, {{-1}, {1}}, torch::zeros({1, 1}, torch::kDouble)).log_z, problem.log_z(), 1e-8);
  expect_both(problem);
}

}  // namespace
}  // namespace gibbsite
