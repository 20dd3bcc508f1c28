// The residual convolutional network of the deep energies of finite-difference score matching (protocol sheet 5.3).
#pragma once

#include <gibbsite/nn/operations.h>
#include <gibbsite/nn/parameters.h>

#include <string>
#include <vector>

namespace gibbsite {

struct ResidualShape {
  std::int64_t channels = 1;
  std::int64_t filters = 16;  ///< n: stages have n, 2n, 4n, 8n filters
  std::int64_t stages = 3;    ///< each halves the resolution
  std::int64_t blocks = 3;    ///< per stage, the first of them halves
  Activation activation = Activation::kNormalisedSoftplus;
  bool norm = false;       ///< instance norm before every activation
  bool recompute = false;  ///< reverse passes keep what enters a block alone, and make its inside again
};

/// Pre-activation blocks: f, 3x3 without bias, f, 3x3 with bias, 2x2 average pool where the resolution halves; the shortcut is
/// always a 1x1 convolution with bias (after the pool where it halves). No activation after the last block.
class ResidualNet {
 public:
  ResidualNet(Parameters& parameters, const std::string& name, const ResidualShape& shape);
  /// [B, channels, H, W] -> [B, n 2^stages, H / 2^stages, W / 2^stages].
  template <class T>
  T forward(const T& x) const;
  /// Number of features for images of this size.
  std::int64_t features(std::int64_t height, std::int64_t width) const;
  const ResidualShape& shape() const { return shape_; }

 private:
  struct Norm {
    Tensor weight, bias;
  };
  struct Block {
    Tensor first, second, second_bias, shortcut, shortcut_bias;
    Norm norms[2];
    bool halves = false;
    std::vector<Tensor> parameters() const;
  };
  ResidualShape shape_;
  Tensor stem_, stem_bias_;
  std::vector<Block> blocks_;
  template <class T>
  static T pre_activation(const ResidualShape& shape, const T& x, const Norm& norm);
  template <class T>
  static T through(const ResidualShape& shape, const Block& block, const T& h);
};

}  // namespace gibbsite
