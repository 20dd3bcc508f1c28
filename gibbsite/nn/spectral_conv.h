// Convolutions that know their spectral norm, with weight normalisation (Salimans and Kingma 2016; VAEBM, appendix E; protocol
// sheet 4.3 and 6.2): the filter of an output channel is exp(g) V / (‖V‖ + 1e-5), g and V trained.
#pragma once

#include <gibbsite/calculus/jet.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/nn/parameters.h>

#include <string>

namespace gibbsite {

/// `side` x `side` filters that keep the size of an image up to the stride.
struct ConvShape {
  std::int64_t in = 1, out = 1, side = 3;
  bool bias = true;
  std::int64_t stride = 1;
  bool depthwise = false;  ///< one filter per channel, in = out
  bool normalise = true;
};

class SpectralConv {
 public:
  /// g starts at the log of ‖V‖ + 0.01. The singular vectors start from stream "power/<name>" of `init` and are buffers of the
  /// module.
  SpectralConv(Parameters& parameters, const Rng& init, const std::string& name, const ConvShape& shape);

  /// [B, in, H, W] -> [B, out, H / stride, W / stride].
  Tensor forward(const Tensor& x) const;
  Jet forward(const Jet& x) const;
  /// Sets g and the bias so that every channel of forward(x) has this deviation and, where there is a bias, mean 0. Only with
  /// weight normalisation.
  void initialise(const Tensor& x, double deviation) const;
  /// [out, in, side, side], or [out, 1, side, side].
  Tensor weight() const;
  /// uᵀ W v of the weight as a matrix [out, in side side], u and v by 4 power iterations from those of the last call, 40 in the
  /// first; none where the module does not train. Differentiable with u and v fixed.
  Tensor spectral_norm() const;

 private:
  ConvShape shape_;
  Tensor direction_, log_norm_, bias_, left_, right_, started_;
  torch::nn::Module* module_;
  Tensor unit_weight() const;
  Tensor convolve(const Tensor& x, const Tensor& weight) const;
  Jet convolve(const Jet& x, const Tensor& weight) const;
  template <class T>
  T apply(const T& x) const;
};

}  // namespace gibbsite
