// Nodes of autograd graphs that know more than the operations they stand for.
#pragma once

#include <gibbsite/core/error.h>
#include <gibbsite/core/tensor.h>
#include <torch/csrc/autograd/function.h>
#include <torch/types.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace gibbsite {

template <class Made, class... Arguments>
std::shared_ptr<torch::autograd::Node> make_node(Arguments&&... arguments) {
  return {new Made(std::forward<Arguments>(arguments)...), torch::autograd::deleteNode};
}

/// Whether what is made of these inputs now belongs to a graph.
inline bool wants_graph(const std::vector<Tensor>& inputs) {
  return at::GradMode::is_enabled() &&
         std::any_of(inputs.begin(), inputs.end(), [](const Tensor& input) { return input.requires_grad(); });
}

/// `value` as what the node computed from the inputs: a tensor of its own, which the node may hold as `value` without a cycle.
inline Tensor connect(const Tensor& value, const std::shared_ptr<torch::autograd::Node>& node,
                      const std::vector<Tensor>& inputs) {
  Tensor out = value.detach();
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  torch::autograd::create_gradient_edge(out, node);
  return out;
}

/// What a node was made of, which nobody may change in place before its reverse pass.
class GraphInputs {
 public:
  GraphInputs() = default;
  explicit GraphInputs(std::vector<Tensor> tensors) : tensors_(std::move(tensors)), versions_(versions()) {}

  const std::vector<Tensor>& tensors() const { return tensors_; }
  /// Throws WorkError if one was changed.
  void check() const {
    if (versions() != versions_)
      throw WorkError("gradient", "a parameter or the input was changed in place after the forward pass");
  }
  /// Which of them the engine asks the node for, whose argument `first` the first of them is.
  std::vector<bool> asked(const torch::autograd::Node& node, std::size_t first) const {
    std::vector<bool> wanted;
    for (std::size_t i = 0; i < tensors_.size(); ++i)
      wanted.push_back(tensors_[i].requires_grad() && node.task_should_compute_output(first + i));
    return wanted;
  }

 private:
  std::vector<Tensor> tensors_;
  std::vector<std::int64_t> versions_;

  std::vector<std::int64_t> versions() const {
    std::vector<std::int64_t> now;
    for (const Tensor& tensor : tensors_) now.push_back(tensor._version());
    return now;
  }
};

/// Gradients of Σ seed · output in those of `tensors` that are wanted, the others undefined.
std::vector<Tensor> gradients_where(const Tensor& output, const Tensor& seed, const std::vector<Tensor>& tensors,
                                    const std::vector<bool>& wanted, bool graph);

}  // namespace gibbsite
