// Directional derivatives of any order, Hessian-vector products and Laplacians of a function of one example.
//
// f maps [B, *event] -> [B] without mixing examples. Exact by Taylor mode where the function takes jets; nested reverse
// passes and finite differences (paper: finite-difference score matching, Theorem 1 and Lemma 1) are there by name.
#pragma once

#include <gibbsite/calculus/jet.h>
#include <gibbsite/core/options.h>
#include <gibbsite/core/tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace gibbsite {

/// A function in the forms it is available in; `jet` may be empty.
struct ScalarFunction {
  EnergyFn value;                      ///< [B, *event] -> [B]
  std::function<Jet(const Jet&)> jet;  ///< jet of [B, *event] -> jet of [B]
};

enum class DerivativeMethod { kJet, kAutograd, kFiniteDifference };

const Choices& derivative_method_names();  ///< jet, autograd, finite_difference
DerivativeMethod derivative_method_from_name(const std::string& name);

struct FiniteDifference {
  double epsilon = 0.1;  ///< step: points are x + multiplier * epsilon * v / ‖v‖
  /// Theorem 1: distinct positive multipliers of symmetric pairs, at least ceil(T/2); empty means 1, 2, 3, … as `accuracy`
  /// needs. Lemma 1 (`one_sided`): any T + 1 distinct multipliers; empty means 0, 1, …, T.
  std::vector<double> multipliers;
  std::int64_t accuracy = 2;  ///< the error is O(epsilon^accuracy), even; more pairs of points for more than 2
  bool one_sided = false;     ///< Lemma 1, error o(1)
  bool batched = true;        ///< all points in one evaluation
};

/// (v·∇)^T f at every row of x: [B]. v: [B, *event]; the derivative is along v itself, not along the unit direction.
/// With `create_graph` the result can be differentiated in the parameters of f. Throws WorkError if `method` is jet and f
/// has no jet, or if the finite-difference multipliers do not fit the order.
Tensor directional_derivative(const ScalarFunction& f, const Tensor& x, const Tensor& v, std::int64_t order,
                              DerivativeMethod method = DerivativeMethod::kJet, bool create_graph = false,
                              const FiniteDifference& difference = {});

/// f, v·∇f and vᵀ∇²f v in one go, each [B], with graph: what sliced score matching needs.
struct SecondOrder {
  Tensor value, first, second;
};
SecondOrder second_order(const ScalarFunction& f, const Tensor& x, const Tensor& v, DerivativeMethod method,
                         const FiniteDifference& difference = {});

/// Weights w of the stencil Σ_i w_i f(x + points_i ε u) = ε^T ∂ᵀf/∂uᵀ + error.
struct Stencil {
  std::vector<double> points, weights;
};
Stencil finite_difference_stencil(std::int64_t order, const FiniteDifference& difference);

/// ∇²f(x) v, [B, *event].
Tensor hessian_vector_product(const EnergyFn& f, const Tensor& x, const Tensor& v, bool create_graph = false);

struct ValueGradientLaplacian {
  Tensor value;      ///< [B]
  Tensor gradient;   ///< [B, *event]
  Tensor laplacian;  ///< [B]
};
/// Exact: by jets one pass carries all first-order tangents and the summed second-order term, `chunk` coordinates at a time;
/// without a jet, one reverse pass per coordinate. With `create_graph` everything can be differentiated.
ValueGradientLaplacian laplacian(const ScalarFunction& f, const Tensor& x, bool create_graph = false,
                                 std::int64_t chunk = 64);

}  // namespace gibbsite
