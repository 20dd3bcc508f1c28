#include <gibbsite/calculus/graph_node.h>
#include <gibbsite/core/error.h>
#include <gibbsite/nn/recompute.h>
#include <torch/csrc/autograd/function.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

using torch::autograd::Node;
using torch::autograd::variable_list;

// Inputs: x, parameters.
struct RecomputedNode : Node {
  RecomputedNode(std::function<Tensor(const Tensor&)> function, GraphInputs made_of)
      : f(std::move(function)), inputs(std::move(made_of)) {}
  std::function<Tensor(const Tensor&)> f;
  GraphInputs inputs;

  variable_list apply(variable_list&& seeds) override {
    if (!f) throw WorkError("gradient", "a second reverse pass needs a graph that the first one retained");
    inputs.check();
    const bool graph = at::GradMode::is_enabled();
    std::vector<Tensor> all = inputs.tensors();
    // A graph of gradients goes on to where x came from.
    if (!graph) all[0] = all[0].detach().requires_grad_(all[0].requires_grad());
    Tensor out;
    {
      const torch::AutoGradMode inside(true);
      out = f(all[0]);
    }
    return gradients_where(out, seeds[0], all, inputs.asked(*this, 0), graph);
  }
  void release_variables() override {
    f = nullptr;
    inputs = {};
  }
};

}  // namespace

Tensor recomputed(std::function<Tensor(const Tensor&)> f, const Tensor& x, const std::vector<Tensor>& parameters) {
  std::vector<Tensor> inputs = {x};
  inputs.insert(inputs.end(), parameters.begin(), parameters.end());
  if (!wants_graph(inputs)) return f(x);
  Tensor out;
  {
    const torch::NoGradGuard no_graph;
    out = f(x.detach());
  }
  return connect(out, make_node<RecomputedNode>(std::move(f), GraphInputs(inputs)), inputs);
}

Jet recomputed(std::function<Jet(const Jet&)> f, const Jet& x, const std::vector<Tensor>& parameters) {
  const Jet kind = x.with({});
  const auto of_stack = [f = std::move(f), kind](const Tensor& stack) { return f(kind.with(stack)).c; };
  return x.with(recomputed(std::function<Tensor(const Tensor&)>(of_stack), x.c, parameters));
}

}  // namespace gibbsite
