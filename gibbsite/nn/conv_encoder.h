// Strided 5x5 convolutions that end in a vector, of an image v, a vector h, or both: h becomes one more channel by a dense
// layer of its own. What v adds to the first convolution is computed once however many h go with it.
#pragma once

#include <gibbsite/calculus/activation.h>
#include <gibbsite/calculus/jet.h>
#include <gibbsite/nn/parameters.h>

#include <vector>

namespace gibbsite {

struct ConvEncoderShape {
  Shape image;              ///< [C, H, W]; H and W divide by 2^stages. C = 0: of h alone
  std::int64_t vector = 0;  ///< size of h; 0: of v alone
  std::int64_t filters = 64;
  std::int64_t stages = 4;  ///< convolutions of stride 2; each doubles the filters of the one before
  std::int64_t features = 512;
  std::int64_t output = 0;
  Activation activation = Activation::kRelu;
  bool activate_last = true;  ///< whether the last convolution has the activation too
};

class ConvEncoder {
 public:
  /// Throws RequestError for an image that does not fit.
  ConvEncoder(Parameters& parameters, const std::string& name, const ConvEncoderShape& shape);

  /// What v, [B, C, H, W], adds to the first convolution.
  Tensor condition(const Tensor& v) const;
  /// h: [kB, vector], row i with the condition of row i mod B -> [kB, output]; without images the condition is undefined.
  /// T is Tensor or Jet.
  template <class T>
  T forward(const T& h, const Tensor& condition) const;
  /// Of v alone: [B, output].
  Tensor of_image(const Tensor& v) const;

 private:
  ConvEncoderShape shape_;
  Tensor channel_weight_, channel_bias_;
  std::vector<Tensor> weights_, biases_;
  Tensor dense_weight_, dense_bias_, output_weight_, output_bias_;

  template <class T>
  T rest(T x) const;
};

}  // namespace gibbsite
