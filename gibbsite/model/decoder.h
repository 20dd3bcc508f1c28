// p(v | h) of a latent-variable model.
#pragma once

#include <gibbsite/core/registry.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/model/latent_context.h>

#include <functional>
#include <memory>
#include <optional>

namespace gibbsite {

/// Of v given h, under a Gaussian law with independent values.
struct ObservationMoments {
  Tensor mean;       ///< [N, *event]
  Tensor deviation;  ///< broadcasts to the mean
};

class Decoder {
 public:
  virtual ~Decoder() = default;
  /// E[v | h]: [N, K] -> [N, *event].
  virtual Tensor mean(const Tensor& h) const = 0;
  /// log p(v | h), normalised: v [B, *event], h [L, B, K] -> [L, B].
  virtual Tensor log_prob(const Tensor& v, const Tensor& h) const = 0;
  /// [N, K] -> mean and standard deviation of v; none unless v | h is Gaussian with independent values.
  virtual std::optional<ObservationMoments> moments(const Tensor& /*h*/) const { return std::nullopt; }
  /// For the optimiser and checkpoints only.
  virtual torch::nn::Module& module() = 0;
  virtual std::int64_t latent_size() const = 0;
  /// Shape of one v.
  virtual Shape event() const = 0;
};

using MakeDecoder = std::function<std::unique_ptr<Decoder>(const Config& options, const LatentContext& context)>;
const Table<MakeDecoder>& decoder_table();

}  // namespace gibbsite
