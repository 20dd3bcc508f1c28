#include <gibbsite/calculus/derivatives.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/random.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

// f(x) = exp(a·x) + sin(b·x): every directional derivative in closed form.
struct ClosedForm {
  Tensor a, b;
  ScalarFunction function() const {
    const Tensor a_copy = a, b_copy = b;
    return {[a_copy, b_copy](const Tensor& x) { return (x * a_copy).sum(1).exp() + (x * b_copy).sum(1).sin(); },
            [a_copy, b_copy](const Jet& x) { return exp(sum(x * a_copy, {1})) + sin(sum(x * b_copy, {1})); }};
  }
  Tensor derivative(const Tensor& x, const Tensor& v, int order) const {
    const Tensor p = (x * a).sum(1), q = (x * b).sum(1), va = (v * a).sum(1), vb = (v * b).sum(1);
    return va.pow(order) * p.exp() + vb.pow(order) * (q + order * M_PI / 2).sin();
  }
};

ClosedForm closed_form() {
  Rng rng(1, "f");
  return {rng.normal({4}, at::kDouble) * 0.5, rng.normal({4}, at::kDouble)};
}

TEST(DirectionalDerivative, JetAndAutogradAreExact) {
  const ClosedForm f = closed_form();
  Rng rng(2, "points");
  const Tensor x = rng.normal({6, 4}, at::kDouble), v = rng.normal({6, 4}, at::kDouble);
  for (int order = 1; order <= 6; ++order) {
    const Tensor truth = f.derivative(x, v, order);
    const double scale = truth.abs().max().item<double>();
    for (const DerivativeMethod method : {DerivativeMethod::kJet, DerivativeMethod::kAutograd}) {
      const Tensor value = directional_derivative(f.function(), x, v, order, method);
      EXPECT_LE((value - truth).abs().max().item<double>() / scale, 1e-12) << order;
    }
  }
}

TEST(DirectionalDerivative, FiniteDifferencesConvergeAtTheirOrder) {
  const ClosedForm f = closed_form();
  Rng rng(3, "points");
  const Tensor x = rng.normal({6, 4}, at::kDouble), v = rng.normal({6, 4}, at::kDouble);
  for (int order = 1; order <= 4; ++order)
    for (const int accuracy : {2, 4}) {
      std::vector<double> errors;
      for (const double epsilon : {0.2, 0.1}) {
        FiniteDifference difference;
        difference.epsilon = epsilon;
        difference.accuracy = accuracy;
        const Tensor batched =
            directional_derivative(f.function(), x, v, order, DerivativeMethod::kFiniteDifference, false, difference);
        difference.batched = false;
        const Tensor sequential =
            directional_derivative(f.function(), x, v, order, DerivativeMethod::kFiniteDifference, false, difference);
        EXPECT_LE((batched - sequential).abs().max().item<double>(),
                  1e-9 * std::max(1.0, batched.abs().max().item<double>()) / std::pow(epsilon, order));
        errors.push_back((batched - f.derivative(x, v, order)).abs().max().item<double>());
      }
      EXPECT_NEAR(std::log2(errors[0] / errors[1]), accuracy, 0.35) << order << " " << accuracy;
    }
}

TEST(DirectionalDerivative, StencilsOfTheSheet) {
  const double expected[6][3] = {{0.5, 0, 0}, {1, 0, 0}, {-1, 0.5, 0}, {-4, 1, 0}, {2.5, -2, 0.5}, {15, -6, 1}};
  for (int order = 1; order <= 6; ++order) {
    const Stencil stencil = finite_difference_stencil(order, {});
    const int pairs = (order + 1) / 2;
    for (int k = 0; k < pairs; ++k) {
      EXPECT_EQ(stencil.points[static_cast<std::size_t>(2 * k)], k + 1);
      EXPECT_NEAR(stencil.weights[static_cast<std::size_t>(2 * k)], expected[order - 1][k], 1e-12) << order;
      EXPECT_NEAR(stencil.weights[static_cast<std::size_t>(2 * k + 1)],
                  (order % 2 == 0 ? 1 : -1) * expected[order - 1][k], 1e-12);
    }
    EXPECT_EQ(stencil.points.size(), static_cast<std::size_t>(order % 2 == 0 ? 2 * pairs + 1 : 2 * pairs));
  }
  FiniteDifference one_sided;
  one_sided.one_sided = true;
  const Stencil forward = finite_difference_stencil(2, one_sided);  // f(0) - 2 f(1) + f(2)
  EXPECT_NEAR(forward.weights[0], 1, 1e-12);
  EXPECT_NEAR(forward.weights[1], -2, 1e-12);
  EXPECT_NEAR(forward.weights[2], 1, 1e-12);
  one_sided.multipliers = {0, 1};
  EXPECT_THROW(finite_difference_stencil(2, one_sided), RequestError);
}

TEST(DirectionalDerivative, OneSidedErrorIsFirstOrder) {
  const ClosedForm f = closed_form();
  Rng rng(4, "points");
  const Tensor x = rng.normal({6, 4}, at::kDouble), v = rng.normal({6, 4}, at::kDouble);
  std::vector<double> errors;
  for (const double epsilon : {1e-2, 5e-3}) {
    FiniteDifference difference;
    difference.epsilon = epsilon;
    difference.one_sided = true;
    errors.push_back(
        (directional_derivative(f.function(), x, v, 2, DerivativeMethod::kFiniteDifference, false, difference) -
         f.derivative(x, v, 2))
            .abs()
            .max()
            .item<double>());
  }
  EXPECT_NEAR(std::log2(errors[0] / errors[1]), 1, 0.15);
}

TEST(SecondOrder, ThreeMethodsAgree) {
  const ClosedForm f = closed_form();
  Rng rng(5, "points");
  const Tensor x = rng.normal({6, 4}, at::kDouble), v = rng.normal({6, 4}, at::kDouble);
  FiniteDifference difference;
  difference.epsilon = 1e-4;
  for (const DerivativeMethod method :
       {DerivativeMethod::kJet, DerivativeMethod::kAutograd, DerivativeMethod::kFiniteDifference}) {
    const double tolerance = method == DerivativeMethod::kFiniteDifference ? 1e-5 : 1e-12;
    const SecondOrder s = second_order(f.function(), x, v, method, difference);
    EXPECT_TRUE(at::allclose(s.value, f.derivative(x, v, 0), tolerance, tolerance));
    EXPECT_TRUE(at::allclose(s.first, f.derivative(x, v, 1), tolerance, tolerance));
    EXPECT_TRUE(at::allclose(s.second, f.derivative(x, v, 2), tolerance, tolerance));
  }
}

TEST(Laplacian, AgreesWithTheClosedFormForEveryChunk) {
  const ClosedForm f = closed_form();
  const Tensor x = Rng(6, "points").normal({6, 4}, at::kDouble);
  const Tensor p = (x * f.a).sum(1), q = (x * f.b).sum(1);
  const Tensor truth = f.a.square().sum() * p.exp() - f.b.square().sum() * q.sin();
  const Tensor gradient = p.exp().unsqueeze(1) * f.a + q.cos().unsqueeze(1) * f.b;
  ScalarFunction without_jet = f.function();
  without_jet.jet = nullptr;
  for (const int chunk : {1, 2, 3, 64})
    for (const ScalarFunction& function : {f.function(), without_jet}) {
      const ValueGradientLaplacian d = laplacian(function, x, false, chunk);
      EXPECT_TRUE(at::allclose(d.value, f.derivative(x, x, 0), 1e-12));
      EXPECT_TRUE(at::allclose(d.gradient, gradient, 1e-12));
      EXPECT_TRUE(at::allclose(d.laplacian, truth, 1e-12));
    }
}

TEST(HessianVectorProduct, AgreesWithTheClosedForm) {
  const ClosedForm f = closed_form();
  Rng rng(7, "points");
  const Tensor x = rng.normal({6, 4}, at::kDouble), v = rng.normal({6, 4}, at::kDouble);
  const Tensor p = (x * f.a).sum(1), q = (x * f.b).sum(1), va = (v * f.a).sum(1), vb = (v * f.b).sum(1);
  const Tensor truth = (va * p.exp()).unsqueeze(1) * f.a - (vb * q.sin()).unsqueeze(1) * f.b;
  EXPECT_TRUE(at::allclose(hessian_vector_product(f.function().value, x, v), truth, 1e-12));
}

}  // namespace
}  // namespace gibbsite
