// The free functions networks are written in: one template over `Tensor`, `Jet` and `Stock`, instantiated in the sources.
//
// Tensor: fast operations, differentiable to any order (score matching by double backward costs 6 forward passes).
// Jet:    exact Taylor mode, all coefficients in one library call per layer.
// Stock:  LibTorch's own operations, the baseline of the benchmarks.
//
// Biases and constants act on slice 0 of a jet only.
#pragma once

#include <gibbsite/calculus/activation.h>
#include <gibbsite/calculus/jet.h>
#include <gibbsite/core/tensor.h>

#include <vector>

namespace gibbsite {

/// A tensor computed with LibTorch's own operations.
struct Stock {
  Tensor t;
};

/// x: [B, in], weight: [out, in], bias: [out] or undefined -> [B, out].
Tensor lin(const Tensor& x, const Tensor& weight, const Tensor& bias);
Jet lin(const Jet& x, const Tensor& weight, const Tensor& bias);
Stock lin(const Stock& x, const Tensor& weight, const Tensor& bias);

/// Convolution without bias. x: [B, in, H, W], weight: [out, in, k, k] -> [B, out, H', W'].
Tensor conv(const Tensor& x, const Tensor& weight, std::int64_t stride, std::int64_t padding,
            std::int64_t dilation = 1);
Jet conv(const Jet& x, const Tensor& weight, std::int64_t stride, std::int64_t padding, std::int64_t dilation = 1);
Stock conv(const Stock& x, const Tensor& weight, std::int64_t stride, std::int64_t padding, std::int64_t dilation = 1);

/// Adjoint of conv without bias: the x' [B, in, height, width] with <x', u> = <x, conv(u, weight)> for all u. x: [B, out, H, W] where
/// conv makes H by W of height by width, weight: [out, in, k, k]. What LibTorch calls a transposed convolution, whose own reverse
/// pass on the CPU takes many times as long.
Tensor conv_transpose(const Tensor& x, const Tensor& weight, std::int64_t height, std::int64_t width,
                      std::int64_t stride, std::int64_t padding);

/// a + bias per channel (dimension 1), in place: a is consumed.
Tensor add_bias(Tensor a, const Tensor& bias);
Jet add_bias(Jet a, const Tensor& bias);
Stock add_bias(const Stock& a, const Tensor& bias);

/// Residual addition a + b + bias per channel, in place: a is consumed.
Tensor join(Tensor a, const Tensor& b, const Tensor& bias);
Jet join(Jet a, const Jet& b, const Tensor& bias);
Stock join(const Stock& a, const Stock& b, const Tensor& bias);

Tensor act(Activation kind, const Tensor& x);
Jet act(Activation kind, const Jet& x);
Stock act(Activation kind, const Stock& x);

/// 2x2 average pool.
Tensor pool(const Tensor& x);
Jet pool(const Jet& x);
Stock pool(const Stock& x);

/// 5x5 average at every pixel; beyond the edge zeros are counted.
Tensor smooth(const Tensor& x);
Jet smooth(const Jet& x);
Stock smooth(const Stock& x);

/// Bilinear, corners aligned; the identity where the size is right.
Tensor resize(const Tensor& x, std::int64_t height, std::int64_t width);
Jet resize(const Jet& x, std::int64_t height, std::int64_t width);
Stock resize(const Stock& x, std::int64_t height, std::int64_t width);

/// [B, ...] -> [B, n].
Tensor flattened(const Tensor& x);
Jet flattened(const Jet& x);
Stock flattened(const Stock& x);

/// Along dimension 1.
Tensor concatenate(const Tensor& a, const Tensor& b);
Jet concatenate(const Jet& a, const Jet& b);
Stock concatenate(const Stock& a, const Stock& b);

/// Times a number.
Tensor scaled(const Tensor& x, double factor);
Jet scaled(const Jet& x, double factor);
Stock scaled(const Stock& x, double factor);

/// Elementwise sum, product, square; a constant added to slice 0.
Tensor plus(const Tensor& a, const Tensor& b);
Jet plus(const Jet& a, const Jet& b);
Stock plus(const Stock& a, const Stock& b);
Tensor times(const Tensor& a, const Tensor& b);
Jet times(const Jet& a, const Jet& b);
Stock times(const Stock& a, const Stock& b);
Tensor squared(const Tensor& a);
Jet squared(const Jet& a);
Stock squared(const Stock& a);

/// Sum over everything but the batch: [B, ...] -> [B].
Tensor total(const Tensor& x);
Jet total(const Jet& x);
Stock total(const Stock& x);

/// [B, 1] -> [B].
Tensor column(const Tensor& x);
Jet column(const Jet& x);
Stock column(const Stock& x);

/// What norms add to a variance.
constexpr double kNormEpsilon = 1e-5;

/// (x - mean) / sqrt(variance + kNormEpsilon) * weight + bias over everything but the batch, composite: LibTorch's own LayerNorm and
/// InstanceNorm have wrong third derivatives. weight, bias: one event, or undefined.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias);
Jet layer_norm(const Jet& x, const Tensor& weight, const Tensor& bias);
Stock layer_norm(const Stock& x, const Tensor& weight, const Tensor& bias);

}  // namespace gibbsite
