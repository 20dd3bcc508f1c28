#include <gibbsite/calculus/graph_node.h>
#include <gibbsite/calculus/known_gradient.h>
#include <gibbsite/core/error.h>
#include <torch/csrc/autograd/function.h>
#include <torch/types.h>

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
Tensor result(const Tensor& value, const GraphNode& node, const std::vector<Tensor>& inputs) {
  return wants_graph(inputs) ? connect(value, node, inputs) : value.detach();
}

}  // namespace

Tensor known_gradient(const Tensor& value, const std::vector<Tensor>& inputs, KnownPullback pullback) {
  return result(value, make_node<KnownGradient>(std::move(pullback)), inputs);
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
  return result(value, make_node<PassedOn>(), {surrogate});
}

}  // namespace gibbsite
