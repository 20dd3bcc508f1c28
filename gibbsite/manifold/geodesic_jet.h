// Second derivatives along geodesics by jets: (f∘γ)''(0) = Hess f(v, v) for the geodesic γ from x with velocity v.
#pragma once

#include <gibbsite/calculus/derivatives.h>
#include <gibbsite/calculus/jet.h>
#include <gibbsite/manifold/manifold.h>

namespace gibbsite {

/// Order-2 jet of t -> exp_x(t v) in ambient coordinates; x and v: [B, D], or any event without a manifold, where geodesics
/// are straight.
Jet seed_geodesic(const Manifold* manifold, const Tensor& x, const Tensor& v);

/// Hess f(v, v), [B], with graph; by a jet of f where it has one, else by two reverse passes.
Tensor geodesic_curvature(const ScalarFunction& f, const Manifold* manifold, const Tensor& x, const Tensor& v,
                          DerivativeMethod method);

/// Value, Riemannian gradient and Laplace–Beltrami operator of f, from all directions of an orthonormal frame at once; the
/// Laplacian of calculus without a manifold. With `create_graph` everything can be differentiated.
ValueGradientLaplacian laplace_beltrami(const ScalarFunction& f, const Manifold* manifold, const Tensor& x,
                                        bool create_graph = false);

/// ½‖grad E‖² - ΔE of every row, [N] float64: Hyvärinen's loss on a manifold, without a graph.
Tensor riemannian_loss_terms(const ScalarFunction& energy, const Manifold* manifold, const Tensor& x,
                             std::int64_t chunk = 4096);

}  // namespace gibbsite
