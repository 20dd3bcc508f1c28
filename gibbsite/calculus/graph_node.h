// Nodes of autograd graphs that know more than the operations they stand for.
#pragma once

#include <gibbsite/core/tensor.h>

#include <memory>
#include <utility>
#include <vector>

namespace torch::autograd {
struct Node;
}

namespace gibbsite {

using GraphNode = std::shared_ptr<torch::autograd::Node>;

/// With the end that LibTorch wants for its nodes.
GraphNode own_node(torch::autograd::Node* node);

template <class Made, class... Arguments>
GraphNode make_node(Arguments&&... arguments) {
  return own_node(new Made(std::forward<Arguments>(arguments)...));
}

/// Whether what is made of these inputs now belongs to a graph.
bool wants_graph(const std::vector<Tensor>& inputs);

/// `value` as what the node computed from the inputs: a tensor of its own, which the node may hold as `value` without a cycle.
Tensor connect(const Tensor& value, const GraphNode& node, const std::vector<Tensor>& inputs);

/// What a node was made of, which nobody may change in place before its reverse pass.
class GraphInputs {
 public:
  GraphInputs() = default;
  explicit GraphInputs(std::vector<Tensor> tensors);

  const std::vector<Tensor>& tensors() const { return tensors_; }
  /// Throws WorkError if one was changed.
  void check() const;
  /// Which of them the engine asks the node for, whose argument `first` the first of them is.
  std::vector<bool> asked(const torch::autograd::Node& node, std::size_t first) const;

 private:
  std::vector<Tensor> tensors_;
  std::vector<std::int64_t> versions_;

  std::vector<std::int64_t> versions() const;
};

/// Gradients of Σ seed · output in those of `tensors` that are wanted, the others undefined.
std::vector<Tensor> gradients_where(const Tensor& output, const Tensor& seed, const std::vector<Tensor>& tensors,
                                    const std::vector<bool>& wanted, bool graph);

}  // namespace gibbsite
