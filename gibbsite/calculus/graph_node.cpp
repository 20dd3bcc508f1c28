#include <gibbsite/calculus/graph_node.h>
#include <gibbsite/core/error.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {

GraphNode own_node(torch::autograd::Node* node) { return {node, torch::autograd::deleteNode}; }

bool wants_graph(const std::vector<Tensor>& inputs) {
  return at::GradMode::is_enabled() &&
         std::any_of(inputs.begin(), inputs.end(), [](const Tensor& input) { return input.requires_grad(); });
}

Tensor connect(const Tensor& value, const GraphNode& node, const std::vector<Tensor>& inputs) {
  Tensor out = value.detach();
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  torch::autograd::create_gradient_edge(out, node);
  return out;
}

GraphInputs::GraphInputs(std::vector<Tensor> tensors) : tensors_(std::move(tensors)), versions_(versions()) {}

void GraphInputs::check() const {
  if (versions() != versions_)
    throw WorkError("gradient", "a parameter or the input was changed in place after the forward pass");
}

std::vector<bool> GraphInputs::asked(const torch::autograd::Node& node, std::size_t first) const {
  std::vector<bool> wanted;
  for (std::size_t i = 0; i < tensors_.size(); ++i)
    wanted.push_back(tensors_[i].requires_grad() && node.task_should_compute_output(first + i));
  return wanted;
}

std::vector<std::int64_t> GraphInputs::versions() const {
  std::vector<std::int64_t> now;
  for (const Tensor& tensor : tensors_) now.push_back(tensor._version());
  return now;
}

std::vector<Tensor> gradients_where(const Tensor& output, const Tensor& seed, const std::vector<Tensor>& tensors,
                                    const std::vector<bool>& wanted, bool graph) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (wanted[i]) inputs.push_back(tensors[i]);
  std::vector<Tensor> gradients(tensors.size());
  if (inputs.empty()) return gradients;
  const std::vector<Tensor> found =
      torch::autograd::grad({output}, inputs, {seed}, /*retain_graph=*/graph, graph, /*allow_unused=*/true);
  std::size_t next = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (wanted[i]) gradients[i] = found[next++];
  return gradients;
}

}  // namespace gibbsite
