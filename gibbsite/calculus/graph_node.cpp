#include <gibbsite/calculus/graph_node.h>
#include <torch/csrc/autograd/autograd.h>

namespace gibbsite {

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
