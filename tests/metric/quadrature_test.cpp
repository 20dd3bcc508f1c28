#include <gibbsite/core/error.h>
#include <gibbsite/core/random.h>
#include <gibbsite/manifold/hyperbolic.h>
#include <gibbsite/manifold/product.h>
#include <gibbsite/manifold/sphere.h>
#include <gibbsite/metric/quadrature.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

const double pi = 3.14159265358979323846;
const at::TensorOptions doubles = at::TensorOptions().dtype(at::kDouble);

// Mixture of isotropic Gaussians with weights 0.3 and 0.7, times exp(constant): log Z is the constant.
struct Mixture {
  Tensor centres = at::tensor({-1.0, 0.5, 2.0, -1.5}, doubles).view({2, 2});
  double deviation = 0.6, constant = 1.7;
  Tensor energy(const Tensor& x) const {
    const Tensor c = centres.narrow(1, 0, x.size(1)).to(x.scalar_type());
    const Tensor squares = (x.unsqueeze(1) - c).square().sum(2);
    const Tensor log_weights = at::tensor({std::log(0.3), std::log(0.7)}, doubles).to(x.scalar_type());
    const double normaliser = static_cast<double>(x.size(1)) / 2 * std::log(2 * pi * deviation * deviation);
    return -(log_weights - squares / (2 * deviation * deviation)).logsumexp(1) + normaliser - constant;
  }
};

TEST(Quadrature, GaussianMixtureInOneAndTwoDimensions) {
  const Mixture mixture;
  const EnergyFn energy = [&](const Tensor& x) { return mixture.energy(x); };
  QuadratureSettings settings;
  settings.cells = 256;
  settings.outside = 1e-13;
  for (const std::int64_t d : {1, 2}) {
    // Starts far too small and off centre, so that the box has to grow.
    const Box start{std::vector<double>(d, 0.0), std::vector<double>(d, 1.0)};
    const Quadrature result = quadrature(energy, start, at::zeros({1, d}, doubles), settings);
    EXPECT_NEAR(result.log_z, 1.7, 1e-8) << d;
    EXPECT_LT(result.log_z_error, 1e-8);
    EXPECT_LE(result.outside, 1e-13);
    const Tensor mean = 0.3 * mixture.centres[0] + 0.7 * mixture.centres[1];
    const Tensor difference = mixture.centres[1] - mixture.centres[0];
    const Tensor covariance = 0.36 * at::eye(2, doubles) + 0.21 * at::outer(difference, difference);
    EXPECT_LT((result.mean - mean.narrow(0, 0, d)).abs().max().item<double>(), 1e-8);
    EXPECT_LT((result.covariance - covariance.narrow(0, 0, d).narrow(1, 0, d)).abs().max().item<double>(), 1e-8);
    // The picture's orientation: y in rows, x in columns.
    if (d == 2) {
      const Tensor density = result.log_density.exp();
      const std::int64_t top = density.argmax().item<std::int64_t>();
      const double step_x = (result.box.high[0] - result.box.low[0]) / 256;
      const double step_y = (result.box.high[1] - result.box.low[1]) / 256;
      const std::int64_t whole_rows = top / 257;
      const auto column = static_cast<double>(top % 257), row = static_cast<double>(whole_rows);
      EXPECT_NEAR(result.box.low[0] + step_x * column, 2.0, 2 * step_x);
      EXPECT_NEAR(result.box.low[1] + step_y * row, -1.5, 2 * step_y);
    }
  }
}

TEST(Quadrature, SinglePrecisionAndChunks) {
  const Mixture mixture;
  std::int64_t largest = 0;
  const EnergyFn energy = [&](const Tensor& x) {
    EXPECT_EQ(x.scalar_type(), at::kFloat);
    largest = std::max(largest, x.size(0));
    return mixture.energy(x);
  };
  QuadratureSettings settings;
  settings.cells = 128;
  settings.chunk = 1000;
  const Quadrature result = quadrature(energy, Box{{-3, -3}, {4, 3}}, at::zeros({1, 2}), settings);
  EXPECT_NEAR(result.log_z, 1.7, 1e-6);
  EXPECT_GT(result.log_z_error, 1e-8);
  EXPECT_LE(largest, 1000);
}

TEST(Quadrature, ErrorEstimateCoversTheErrorOfACoarseGrid) {
  // exp(-|x|) has a kink, so that the rule is of second order only: the error is h^2 / 12 of the integral 2.
  const EnergyFn energy = [](const Tensor& x) { return x.abs().sum(1); };
  QuadratureSettings settings;
  settings.cells = 200;
  settings.enlargements = 0;
  const Quadrature result = quadrature(energy, Box{{-30}, {30}}, at::zeros({1, 1}, doubles), settings);
  const double error = std::abs(result.log_z - std::log(2.0));
  EXPECT_NEAR(error, 0.3 * 0.3 / 12, 2e-4);
  EXPECT_GE(result.log_z_error, error);
  EXPECT_LT(result.log_z_error, 6 * error);
}

TEST(Quadrature, LinearTailsAreFollowedAndAHardBorderCountsAsZero) {
  const EnergyFn tails = [](const Tensor& x) { return (1 + x.square().sum(1)).sqrt() * 3; };
  // 2 pi times the integral of r exp(-3 sqrt(1 + r^2)) = 2 pi exp(-3) (1/3 + 1/9).
  const Quadrature result = quadrature(tails, Box{{-1, -1}, {1, 1}}, at::zeros({1, 2}, doubles));
  EXPECT_NEAR(result.log_z, std::log(2 * pi * std::exp(-3.0) * (1.0 / 3 + 1.0 / 9)), 1e-7);

  const EnergyFn square = [](const Tensor& x) {
    return at::where(x.abs().amax(1) < 1, at::zeros({x.size(0)}, x.options()),
                     at::full({x.size(0)}, HUGE_VAL, x.options()));
  };
  EXPECT_NEAR(quadrature(square, Box{{-1, -1}, {1, 1}}, at::zeros({1, 2}, doubles)).log_z, std::log(4.0), 0.03);
}

TEST(Quadrature, RefusesWhatHasNoDensity) {
  const Tensor like = at::zeros({1, 2}, doubles);
  QuadratureSettings settings;
  settings.cells = 32;
  const EnergyFn flat = [](const Tensor& x) { return x.sum(1) * 0; };
  EXPECT_THROW(quadrature(flat, Box{{0, 0}, {1, 1}}, like, settings), WorkError);
  const EnergyFn broken = [](const Tensor& x) { return x.sum(1) * NAN; };
  EXPECT_THROW(quadrature(broken, Box{{0, 0}, {1, 1}}, like, settings), WorkError);
  EXPECT_THROW(quadrature(flat, Box{{0, 0, 0}, {1, 1, 1}}, like, settings), RequestError);
  EXPECT_THROW(quadrature(flat, Box{{0, 0}, {1, 0}}, like, settings), RequestError);
}

TEST(LogLikelihood, IsTheEntropyOfAGaussianAndDoesNotMoveWithTheEnergysConstant) {
  Rng rng(7, "test");
  const Tensor x = rng.normal({4000, 2}, at::kDouble);
  for (const double constant : {0.0, 5.0}) {
    const EnergyFn energy = [=](const Tensor& p) { return p.square().sum(1) / 2 + constant; };
    const LogLikelihood result = log_likelihood(energy, x, quadrature(energy, data_box(x), x), 999);
    const double expected = -std::log(2 * pi) - x.square().sum(1).mean().item<double>() / 2;
    EXPECT_NEAR(result.estimate.value, expected, 1e-8);
    // The variance of half a chi-squared variable with two degrees of freedom is one.
    EXPECT_NEAR(result.estimate.standard_error, 1 / std::sqrt(4000.0), 0.001);
    EXPECT_LT(std::abs(result.estimate.value + 1 + std::log(2 * pi)), 4 * result.estimate.standard_error);
    EXPECT_EQ(result.estimate.count, 4000);
  }
}

TEST(DensityGrid, SumsToOneAtCellCentres) {
  const EnergyFn energy = [](const Tensor& x) { return x.square().sum(1) / 2 + std::log(2 * pi); };
  const Tensor grid = density_grid(energy, Box{{-8, -6}, {8, 6}}, at::zeros({1, 2}, doubles), 60);
  EXPECT_NEAR(grid.sum().item<double>() * (16.0 / 60) * (12.0 / 60), 1, 1e-8);
  EXPECT_NEAR(grid[0][29].item<double>(), std::exp(-(5.9 * 5.9 + 0.1333333 * 0.1333333) / 2) / (2 * pi), 1e-11);
}

// exp(κ x·μ) on the circle and the sphere, against Bessel functions; the same on their product.
TEST(Quadrature, NormalisesOnSpheres) {
  const double kappa = 3;
  const auto circle = make_sphere({1}), sphere = make_sphere({2});
  const double on_circle = std::log(2 * pi * std::cyl_bessel_i(0, kappa)),
               on_sphere = std::log(4 * pi * std::sinh(kappa) / kappa);
  const EnergyFn first = [&](const Tensor& x) { return -kappa * x.select(1, 0); };
  const EnergyFn both = [&](const Tensor& x) { return -kappa * (x.select(1, 0) + x.select(1, 2)); };
  EXPECT_NEAR(log_normaliser(first, *circle, at::zeros({1, 2}, doubles)).log_z, on_circle, 1e-10);
  EXPECT_NEAR(log_normaliser(first, *sphere, at::zeros({1, 3}, doubles)).log_z, on_sphere, 1e-10);
  const LogNormaliser product = log_normaliser(both, *product_of({circle, sphere}), at::zeros({1, 5}, doubles));
  EXPECT_NEAR(product.log_z, on_circle + on_sphere, 1e-8);
  EXPECT_LT(product.log_z_error, 1e-6);
  const LogNormaliser rounded = log_normaliser(first, *sphere, at::zeros({1, 3}, at::kFloat));
  EXPECT_NEAR(rounded.log_z, on_sphere, rounded.log_z_error * 4);
}

// A normalised law far from the points that are given, and one without a normaliser.
TEST(Quadrature, NormalisesOnTheHyperbolicPlane) {
  const auto plane = make_hyperbolic({2});
  const Tensor origin = plane->origin(at::zeros({1, 3}, doubles));
  const EnergyFn wrapped = [&](const Tensor& x) {
    return -plane->log_wrapped_normal(origin.expand_as(x), x, 1.5) - 0.7;
  };
  const LogNormaliser found = log_normaliser(wrapped, *plane, origin);
  EXPECT_NEAR(found.log_z, 0.7, 1e-6);
  EXPECT_GE(found.log_z_error, std::abs(found.log_z - 0.7) / 10);
  const EnergyFn constant = [](const Tensor& x) { return at::zeros({x.size(0)}, x.options()); };
  EXPECT_THROW(log_normaliser(constant, *plane, origin), WorkError);
  EXPECT_THROW(log_normaliser(constant, *make_sphere({4}), at::zeros({1, 5}, doubles)), RequestError);
}

}  // namespace
}  // namespace gibbsite
