// The conditional four-cascade RefineNet with dilations of noise-conditional score networks (Song and Ermon 2019; protocol
// sheet 5.8): a map of images to images of the same size, told a class (there: a noise level) for every example.
#pragma once

#include <gibbsite/nn/operations.h>
#include <gibbsite/nn/parameters.h>

#include <string>
#include <vector>

namespace gibbsite {

struct RefineShape {
  std::int64_t channels = 1;
  std::int64_t filters = 16;  ///< g >= 2: residual stages have g, 2g, 2g, 2g filters
  std::int64_t classes = 10;
  Activation activation = Activation::kElu;
};

/// Four stages of two residual blocks (the second halves the resolution, the third and fourth dilate by 2 and 4 instead),
/// then four refine blocks from the last stage back to the first: adapt units, fusion at the larger resolution, chained
/// pooling, output units. Every norm is the conditional instance norm of operations.h.
class RefineNet {
 public:
  RefineNet(Parameters& parameters, const std::string& name, const RefineShape& shape);
  /// x: [B, channels, H, W] with even H and W, labels: [B] int64 in [0, classes) -> [B, channels, H, W].
  template <class T>
  T forward(const T& x, const Tensor& labels) const;
  const RefineShape& shape() const { return shape_; }

 private:
  struct Norm {
    Tensor gamma, alpha, beta;  // [classes, C]
  };
  struct Convolution {
    Tensor weight, bias;  // bias may be undefined
    std::int64_t dilation = 1;
  };
  struct Residual {
    Norm norms[2];
    Convolution convolutions[2], shortcut;
    bool halves = false;
  };
  struct Stage {  // norm, activation, convolution
    Norm norm;
    Convolution convolution;
  };
  using Units = std::vector<std::vector<Stage>>;  // residual units of some stages each
  struct Refine {
    std::vector<Units> adapt;
    std::vector<Stage> fusion;
    std::vector<Stage> pooling;
    Units output;
  };

  RefineShape shape_;
  Convolution begin_, end_;
  Norm end_norm_;
  std::vector<Residual> stages_[4];
  Refine refines_[4];

  Norm make_norm(Parameters& parameters, const std::string& name, std::int64_t channels) const;
  Residual make_residual(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t out, bool down,
                         std::int64_t dilation) const;
  Units make_units(Parameters& parameters, const std::string& name, std::int64_t channels, std::int64_t units) const;
  Refine make_refine(Parameters& parameters, const std::string& name, const std::vector<std::int64_t>& in,
                     std::int64_t out, std::int64_t output_units) const;

  template <class T>
  T run(const T& x, const Convolution& convolution) const;
  template <class T>
  T run(const T& x, const Norm& norm, const Tensor& labels) const;
  template <class T>
  T run(const T& x, const Residual& block, const Tensor& labels) const;
  template <class T>
  T run(const T& x, const Units& units, const Tensor& labels) const;
  template <class T>
  T run(const std::vector<T>& inputs, const Refine& refine, const Tensor& labels) const;
};

}  // namespace gibbsite
