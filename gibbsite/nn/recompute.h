// Layers whose inside is not kept for reverse passes but made again there: memory for time.
#pragma once

#include <gibbsite/calculus/jet.h>

#include <functional>
#include <vector>

namespace gibbsite {

/// f(x), a function of x and `parameters` alone that draws nothing and changes neither. Until the reverse pass only x is kept; the
/// reverse pass runs f once more. Differentiable to any order, where x itself is made without these parameters (a graph of
/// gradients would count what goes through x twice). `f` must be callable as long as the graph lives. A second reverse pass
/// through the same graph throws WorkError unless the first one retained it.
Tensor recomputed(std::function<Tensor(const Tensor&)> f, const Tensor& x, const std::vector<Tensor>& parameters);
Jet recomputed(std::function<Jet(const Jet&)> f, const Jet& x, const std::vector<Tensor>& parameters);

}  // namespace gibbsite
