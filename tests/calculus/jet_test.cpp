#include <gibbsite/calculus/activation.h>
#include <gibbsite/calculus/jet.h>
#include <gibbsite/core/random.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <functional>

namespace gibbsite {
namespace {

using JetRule = std::function<Jet(const Jet&)>;
using PlainRule = std::function<Tensor(const Tensor&)>;

Tensor grad(const Tensor& y, const Tensor& x) {
  if (!y.requires_grad()) return torch::zeros_like(x);
  const Tensor g = torch::autograd::grad({y}, {x}, {}, true, true, true)[0];
  return g.defined() ? g : torch::zeros_like(x);
}

// Derivatives 0…order of t -> f(x + t v) elementwise, by nested reverse passes through LibTorch's own operations.
std::vector<Tensor> nested(const PlainRule& f, const Tensor& x, const Tensor& v, int order) {
  const Tensor t = torch::zeros_like(x).requires_grad_(true);
  std::vector<Tensor> all = {f(x + t * v)};
  for (int k = 1; k <= order; ++k) all.push_back(grad(all.back().sum(), t));
  return all;
}

void expect_close(const Tensor& a, const Tensor& b, double relative, const std::string& what) {
  const double scale = std::max(1.0, b.abs().max().item<double>());
  EXPECT_LE((a - b).abs().max().item<double>() / scale, relative) << what;
}

struct Rule {
  const char* name;
  JetRule jet;
  PlainRule plain;
  bool positive = false;
};

std::vector<Rule> rules() {
  return {
      {"exp", [](const Jet& a) { return exp(a); }, [](const Tensor& a) { return a.exp(); }},
      {"log", [](const Jet& a) { return log(a); }, [](const Tensor& a) { return a.log(); }, true},
      {"sqrt", [](const Jet& a) { return sqrt(a); }, [](const Tensor& a) { return a.sqrt(); }, true},
      {"sin", [](const Jet& a) { return sin(a); }, [](const Tensor& a) { return a.sin(); }},
      {"cos", [](const Jet& a) { return cos(a); }, [](const Tensor& a) { return a.cos(); }},
      {"reciprocal", [](const Jet& a) { return reciprocal(a); }, [](const Tensor& a) { return 1 / a; }, true},
      {"square", [](const Jet& a) { return square(a); }, [](const Tensor& a) { return a * a; }},
      {"sigmoid", [](const Jet& a) { return sigmoid(a); }, [](const Tensor& a) { return 1 / (1 + (-a).exp()); }},
      {"tanh", [](const Jet& a) { return tanh(a); }, [](const Tensor& a) { return a.tanh(); }},
      {"softplus", [](const Jet& a) { return softplus(a); }, [](const Tensor& a) { return (1 + a.exp()).log(); }},
      {"silu", [](const Jet& a) { return silu(a); }, [](const Tensor& a) { return a / (1 + (-a).exp()); }},
      {"elu", [](const Jet& a) { return elu(a); },
       [](const Tensor& a) { return at::where(a > 0, a, a.clamp_max(0).exp() - 1); }},
      {"product", [](const Jet& a) { return a * sin(a); }, [](const Tensor& a) { return a * a.sin(); }},
  };
}

TEST(Jet, ElementwiseFunctionsEqualNestedAutogradToOrderSix) {
  Rng rng(1, "jet");
  for (const Rule& rule : rules()) {
    Tensor x = rng.normal({5, 3}, at::kDouble);
    if (rule.positive) x = x.abs() + 0.7;
    const Tensor v = rng.normal({5, 3}, at::kDouble);
    const std::vector<Tensor> truth = nested(rule.plain, x, v, 6);
    for (const int order : {1, 2, 6}) {
      const Jet y = rule.jet(seed_jet(x, v, order));
      for (int k = 0; k <= order; ++k)
        expect_close(y.derivative(k), truth[static_cast<std::size_t>(k)], 1e-10, rule.name);
    }
  }
}

TEST(Jet, SeveralDirectionsGiveTangentsAndSummedSecondDerivatives) {
  Rng rng(2, "jet");
  for (const Rule& rule : rules()) {
    Tensor x = rng.normal({4, 3}, at::kDouble);
    if (rule.positive) x = x.abs() + 0.7;
    const Tensor v = rng.normal({3, 4, 3}, at::kDouble);
    const Jet y = rule.jet(seed_laplacian(x, v));
    Tensor sum = torch::zeros_like(x);
    for (int d = 0; d < 3; ++d) {
      const std::vector<Tensor> truth = nested(rule.plain, x, v[d], 2);
      expect_close(y.slice(0), truth[0], 1e-12, rule.name);
      expect_close(y.derivative(1)[d], truth[1], 1e-12, rule.name);
      sum = sum + truth[2];
    }
    expect_close(y.derivative(2), sum, 1e-11, rule.name);
  }
}

TEST(Jet, LogSumExp) {
  Rng rng(3, "jet");
  const Tensor x = rng.normal({4, 5}, at::kDouble) * 30, v = rng.normal({4, 5}, at::kDouble);
  const Jet y = logsumexp(seed_jet(x, v, 4), 1);
  const Tensor t = torch::zeros({4, 1}, at::kDouble).requires_grad_(true);
  Tensor truth = (x + t * v).logsumexp(1);
  for (int k = 0; k <= 4; ++k) {
    expect_close(y.derivative(k), truth, 1e-9, "logsumexp");
    truth = grad(truth.sum(), t).squeeze(1);
  }
}

Tensor plain_activation(Activation kind, const Tensor& z) {
  switch (kind) {
    case Activation::kSilu: return z / (1 + (-z).exp());
    case Activation::kSoftplus: return (1 + z.exp()).log();
    case Activation::kNormalisedSoftplus: return (1 + z.exp()).log() - std::log(2.0);
    case Activation::kTanh: return z.tanh();
    case Activation::kSigmoid: return 1 / (1 + (-z).exp());
    case Activation::kElu: return at::where(z > 0, z, z.clamp_max(0).exp() - 1);
    case Activation::kRelu: return at::where(z > 0, z, torch::zeros_like(z));
    case Activation::kLeakyRelu: return at::where(z > 0, z, 0.2 * z);
    case Activation::kIdentity: break;
  }
  return z;
}

TEST(Activation, ValuesAndFiveDerivativesEqualElementaryOperations) {
  for (const std::string& name : activation_names()) {
    const Activation kind = activation_from_name(name);
    const Tensor z = (Rng(4, name).normal({7, 11}, at::kDouble) * 3).requires_grad_(true);
    Tensor fast = activate(kind, z), slow = plain_activation(kind, z);
    for (int k = 0; k <= 5; ++k) {
      expect_close(fast, slow, 1e-10, name + " derivative " + std::to_string(k));
      if (k == 5 || !slow.requires_grad() || kind == Activation::kIdentity) break;
      const Tensor next = torch::autograd::grad({slow.sum()}, {z}, {}, true, true, true)[0];
      fast = torch::autograd::grad({fast.sum()}, {z}, {}, true, true, true)[0];
      slow = next.defined() ? next : torch::zeros_like(z);
      if (!fast.defined()) fast = torch::zeros_like(z);
    }
    expect_close(activate_stock(kind, z), plain_activation(kind, z), 1e-9, name);
  }
}

TEST(Activation, FloatKernelsKeepTheirDigits) {
  const Tensor z = torch::linspace(-30, 30, 20001, torch::kDouble).view({-1, 1});
  for (const std::string& name : activation_names()) {
    const Activation kind = activation_from_name(name);
    const Tensor exact = plain_activation(kind, z), single = activate(kind, z.to(torch::kFloat)).to(torch::kDouble);
    const Tensor scale = exact.abs() + (kind == Activation::kNormalisedSoftplus ? 1 : 1e-6);
    EXPECT_LE(((single - exact) / scale).abs().max().item<double>(), 2e-6) << name;
  }
}

// Jets of order 1 and 2 and of several directions by the fused kernel against elementwise nested autograd, and the reverse
// pass of the kernel against autograd through that truth, with and without a graph of the backward.
TEST(Activation, FusedJetsAndTheirReversePasses) {
  for (const std::string& name : activation_names()) {
    const Activation kind = activation_from_name(name);
    if (kind == Activation::kRelu || kind == Activation::kLeakyRelu || kind == Activation::kIdentity) continue;
    for (const int variant : {1, 2, 3}) {  // order 1; order 2; order 2 with three directions
      const int order = variant == 1 ? 1 : 2, directions = variant == 3 ? 3 : 1;
      Rng rng(5, name + std::to_string(variant));
      const int slices = order + directions;
      const Tensor c = rng.normal({slices * 4, 3}, at::kDouble).requires_grad_(true);
      const Tensor weight = rng.normal({slices * 4, 3}, at::kDouble);
      const Tensor probe = rng.normal({slices * 4, 3}, at::kDouble);
      const auto truth = [&](const Tensor& stack) {
        const Tensor z = stack.view({slices, 4, 3});
        const Tensor t = torch::zeros({4, 3}, at::kDouble).requires_grad_(true);
        const Tensor f0 = plain_activation(kind, z[0] + t), f1 = grad(f0.sum(), t);
        std::vector<Tensor> parts = {f0};
        for (int d = 0; d < directions; ++d) parts.push_back(f1 * z[1 + d]);
        if (order == 2) {
          const Tensor f2 = grad(f1.sum(), t);
          parts.push_back(f1 * z[1 + directions] + 0.5 * f2 * z.narrow(0, 1, directions).square().sum(0));
        }
        return torch::cat(parts);
      };
      const Tensor fast = activate(kind, Jet{c, order, directions}).c, slow = truth(c);
      expect_close(fast, slow, 1e-12, name);
      const Tensor slow_grad = grad((slow * weight).sum(), c);
      expect_close(torch::autograd::grad({(fast * weight).sum()}, {c}, {}, true, false)[0], slow_grad, 1e-11, name);
      const Tensor fast_grad = grad((fast * weight).sum(), c);
      expect_close(fast_grad, slow_grad, 1e-11, name + " with graph");
      expect_close(grad((fast_grad * probe).sum(), c), grad((slow_grad * probe).sum(), c), 1e-10, name + " second");
    }
  }
}

}  // namespace
}  // namespace gibbsite
