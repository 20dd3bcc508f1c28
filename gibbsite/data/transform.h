// Invertible maps between the units of a data set and those a model sees, y = f(x), composed to a pipeline. A model's
// log density log q(y) becomes log q(f(x)) + log_abs_det(x) in original units, and its score the chain rule of that sum.
// A pipeline is stored in the run, so that samples come back in original units.
//
// Noise (dequantisation, jitter) is added by `prepare` only: `forward`, `inverse` and `log_abs_det` treat a noise
// transform as the identity, so a density in original units is the density of the noisy data.
#pragma once

#include <gibbsite/core/config.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gibbsite {

class Transform {
 public:
  virtual ~Transform() = default;
  /// Its name in transform_table().
  virtual std::string kind() const = 0;
  /// Event sizes of y for those of x. Throws RequestError where the event does not fit.
  virtual Shape output_event(const Shape& event) const { return event; }

  /// [B, *event] -> [B, *output_event]. Dtype and device follow x.
  virtual Tensor forward(const Tensor& x) const = 0;
  virtual Tensor inverse(const Tensor& y) const = 0;
  /// log |det df/dx| at x, [B]. An embedding (padding) has 0: its density is that on the image of the embedding.
  virtual Tensor log_abs_det(const Tensor& x) const = 0;
  /// From a score in y at f(x) to the score in x: (df/dx)^T score_y + grad log|det df/dx|.
  virtual Tensor pull_score(const Tensor& x, const Tensor& score_y) const = 0;
  /// forward with the transform's noise, if it has any: row r uses global row r of rng.
  virtual Tensor prepare(const Tensor& x, Rng& /*rng*/) const { return forward(x); }
  virtual bool is_noise() const { return false; }

  /// Numbers and tensors from which transform_table() makes it again.
  virtual Config config() const { return Config::table(); }
  virtual NamedTensors state() const { return {}; }
};

using TransformPointer = std::shared_ptr<const Transform>;

/// y = (x - shift) * scale; shift and scale have the event's sizes or one number each.
TransformPointer make_affine(const Tensor& shift, const Tensor& scale);
/// Maps [low, high] to [0, 1], or to [-1, 1] if symmetric.
TransformPointer make_range(double low, double high, bool symmetric);
/// Columnwise mean 0 and standard deviation 1 of `x` ([N, *event], statistics in float64). Constant columns are only
/// shifted. Throws WorkError on values that are not finite.
TransformPointer fit_standardise(const Tensor& x);
/// PCA whitening in float64: y = diag(1/s) V^T (x - mean) * sqrt(N), from the singular values s of the centred rows, for
/// any event. Throws WorkError where a direction has no variance to working precision (constant or dependent columns).
TransformPointer fit_whiten(const Tensor& x);
/// y = logit(alpha + (1 - 2 alpha) x) for x in [0, 1].
TransformPointer make_logit(double alpha);
/// Uniform noise on (start, start + width]; the identity but for `prepare`.
TransformPointer make_dequantise(double width, double start = 0);
/// Uniform noise on [−g, g] in every column, g the median gap between the sorted different values of that column of x
/// ([N, D], one value alone: 0); the identity but for `prepare`.
TransformPointer fit_gap_dequantise(const Tensor& x);
/// min(max(x, low), high). What lies outside moves to the edge, so the law of the result has atoms there; the inverse is
/// the identity and log_abs_det 0.
TransformPointer make_clamp(double low, double high);
/// Values in [0, 1] become 1 with that probability and else 0; the identity but for `prepare`.
TransformPointer make_binarise();
/// N(0, sigma^2) noise; the identity but for `prepare`.
TransformPointer make_jitter(double sigma);
/// Mirrors the last dimension with probability 1/2; the identity but for `prepare`.
TransformPointer make_flip();
/// Pads the last two dimensions by `margin` on every side with `value`; inverse crops.
TransformPointer make_pad(std::int64_t margin, double value);
/// Changes the event's sizes from `from` to `to`.
TransformPointer make_reshape(const Shape& from, const Shape& to);

struct TransformEntry {
  std::string kind, summary;
  std::function<TransformPointer(const Config&, const NamedTensors&)> restore;
};
const std::vector<TransformEntry>& transform_table();

/// Transforms in the order of application. Bytes and integers become float; float64 stays float64.
class Pipeline {
 public:
  void append(TransformPointer transform) { transforms_.push_back(std::move(transform)); }
  const std::vector<TransformPointer>& transforms() const { return transforms_; }

  Shape output_event(Shape event) const;
  /// Original units -> model units, [B, *event] -> [B, *output_event].
  Tensor forward(const Tensor& x) const;
  /// forward with noise; `rng` is at the step and the first row of the batch. Transform k draws from stream "<k>".
  Tensor prepare(const Tensor& x, const Rng& rng) const;
  Tensor inverse(const Tensor& y) const;
  /// Sum along the pipeline at x in original units, [B].
  Tensor log_abs_det(const Tensor& x) const;
  /// The score in original units at x, from the score in model units at forward(x).
  Tensor pull_score(const Tensor& x, const Tensor& score_y) const;
  bool has_noise() const;

  /// An array of tables, and tensors named "<k>/<name>".
  Config config() const;
  NamedTensors state() const;
  static Pipeline restore(const Config& config, const NamedTensors& state);

 private:
  std::vector<TransformPointer> transforms_;
};

}  // namespace gibbsite
