#include <gibbsite/calculus/known_gradient.h>
#include <gibbsite/core/error.h>
#include <torch/csrc/autograd/function.h>
#include <torch/types.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace gibbsite {
namespace {

using torch::autograd::Node;
using torch::autograd::variable_list;

struct KnownGradient : Node {
  explicit KnownGradient(KnownPullback known) : pullback(std::move(known)) {}
  KnownPullback pullback;

  variable_list apply(variable_list&& seeds) override {
    if (at::GradMode::is_enabled()) throw WorkError("gradient", "one that is known by formula has no graph");
    return pullback(seeds[0]);
  }
  void release_variables() override { pullback = nullptr; }
};

struct PassedOn : Node {
  variable_list apply(variable_list&& seeds) override { return std::move(seeds); }
};

// The value as what the node has computed from the inputs.
Tensor result(const Tensor& value, const std::shared_ptr<Node>& node, const std::vector<Tensor>& inputs) {
  Tensor out = value.detach();
  const bool wanted =
      std::any_of(inputs.begin(), inputs.end(), [](const Tensor& input) { return input.requires_grad(); });
  if (!wanted || !at::GradMode::is_enabled()) return out;
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  torch::autograd::create_gradient_edge(out, node);
  return out;
}

}  // namespace

Tensor known_gradient(const Tensor& value, const std::vector<Tensor>& inputs, KnownPullback pullback) {
  return result(value, {new KnownGradient(std::move(pullback)), torch::autograd::deleteNode}, inputs);
}

Tensor known_gradient(const Tensor& value, const std::vector<Tensor>& inputs, std::vector<Tensor> gradients) {
  return known_gradient(value, inputs, [gradients = std::move(gradients)](const Tensor& seed) {
    // The usual seed is 1, which the host sees without waiting where it holds it.
    if (seed.device().is_cpu() && seed.item<double>() == 1) return gradients;
    std::vector<Tensor> scaled;
    scaled.reserve(gradients.size());
    for (const Tensor& gradient : gradients) scaled.push_back(gradient * seed);
    return scaled;
  });
}

Tensor with_gradient_of(const Tensor& surrogate, const Tensor& value) {
  return result(value, {new PassedOn, torch::autograd::deleteNode}, {surrogate});
}

}  // namespace gibbsite
