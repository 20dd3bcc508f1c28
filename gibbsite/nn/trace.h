// Values that remember how they were made, for estimates of a Hessian's diagonal by one backward recursion:
//
//   approximate back-propagation (Kingma and LeCun 2010): gradient and diagonal go back side by side and whatever couples
//     two units is dropped. The gradient is exact; the diagonal is exact where nothing couples (one hidden layer).
//   curvature propagation (Martens, Sutskever and Swersky 2012, "S"): real and imaginary factors with
//     E[S_r S_rᵀ − S_i S_iᵀ] = Hessian go back, fresh signs enter at every bend. Unbiased.
//
// A network written as a template over the functions of <gibbsite/nn/operations.h> runs on Traced values as it is, and
// the recursion follows the graph that the forward pass made, so that branches and couplings cannot be routed wrongly.
#pragma once

#include <gibbsite/calculus/activation.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>

#include <functional>
#include <memory>
#include <vector>

namespace gibbsite {

/// What arrives at a value on the way back, [*lead, *value.sizes()] each; undefined means zero.
struct Adjoint {
  Tensor gradient;
  Tensor diagonal;         ///< approximate back-propagation
  Tensor real, imaginary;  ///< curvature propagation
};

struct TraceNode {
  std::vector<std::shared_ptr<const TraceNode>> inputs;
  /// From the adjoint of the value to one per input; `rng` is null in approximate back-propagation.
  std::function<std::vector<Adjoint>(const Adjoint& out, Rng* rng)> pull;
};

struct Traced {
  Tensor value;
  std::shared_ptr<const TraceNode> node;
};

/// Starts a trace at x.
Traced start_trace(const Tensor& x);

/// A linear map of one or more inputs: per input its transpose, and the transpose of its elementwise square.
struct TransposedMap {
  std::function<Tensor(const Tensor&)> transpose, squared;
};
Traced traced_linear(Tensor value, std::vector<std::shared_ptr<const TraceNode>> inputs,
                     std::vector<TransposedMap> maps);
/// An elementwise function: its value, first and second derivative at x.
Traced traced_elementwise(const Traced& x, Tensor value, const Tensor& slope, const Tensor& bend);

/// The derivatives of Σ seed · y at the start of the trace, differentiable in the parameters. seed: [*lead, *y.sizes()].
struct DiagonalCurvature {
  Tensor gradient;  ///< [*lead, *x.sizes()], exact
  Tensor diagonal;  ///< [*lead, *x.sizes()], an estimate of the Hessian's diagonal
};
DiagonalCurvature approximate_backprop(const Traced& y, const Traced& x, const Tensor& seed);
DiagonalCurvature curvature_propagation(const Traced& y, const Traced& x, const Tensor& seed, Rng& rng);

Traced lin(const Traced& x, const Tensor& weight, const Tensor& bias);
Traced act(Activation kind, const Traced& x);
Traced scaled(const Traced& x, double factor);
/// x times a constant that broadcasts against one event.
Traced scaled(const Traced& x, const Tensor& factor);
Traced flattened(const Traced& x);
Traced concatenate(const Traced& a, const Traced& b);
/// Columns first … first + count − 1 of [B, n].
Traced columns(const Traced& x, std::int64_t first, std::int64_t count);
Traced plus(const Traced& a, const Traced& b);
Traced times(const Traced& a, const Traced& b);
Traced squared(const Traced& a);
Traced total(const Traced& x);
Traced column(const Traced& x);
/// Throws RequestError: a norm couples every unit with every other.
Traced layer_norm(const Traced& x, const Tensor& weight, const Tensor& bias);
/// exp(−‖x − a_m‖² / (2 width)): x [B, F], anchors a [M, F], width 0-dim -> [B, M]. Approximate back-propagation takes it
/// as one function of each coordinate; curvature propagation as a scaled norm and an exponential.
Traced gaussian_kernel(const Traced& x, const Tensor& anchors, const Tensor& width);

}  // namespace gibbsite
