// A decoder whose law takes the output of a network.
#pragma once

#include <gibbsite/model/decoder.h>
#include <gibbsite/model/observation.h>
#include <gibbsite/nn/parameters.h>

namespace gibbsite {

/// `Network` has Tensor forward(const Tensor& h) const, [N, K] -> N events in any layout.
template <class Network>
class NetworkDecoder : public Decoder {
 public:
  NetworkDecoder(const ObservationOptions& options, const LatentContext& context, Parameters parameters,
                 Network network)
      : options_(options),
        event_(context.event),
        latent_size_(context.latent_size),
        parameters_(std::move(parameters)),
        network_(std::move(network)) {}

  Tensor mean(const Tensor& h) const override { return observation_mean(options_, output(h, {h.size(0)})); }
  Tensor log_prob(const Tensor& v, const Tensor& h) const override {
    return observation_log_prob(options_, v, output(h.flatten(0, 1), {h.size(0), h.size(1)}));
  }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::int64_t latent_size() const override { return latent_size_; }
  Shape event() const override { return event_; }

 private:
  ObservationOptions options_;
  Shape event_;
  std::int64_t latent_size_;
  Parameters parameters_;
  Network network_;

  Tensor output(const Tensor& h, Shape sizes) const {
    sizes.insert(sizes.end(), event_.begin(), event_.end());
    return network_.forward(h).view(sizes);
  }
};

}  // namespace gibbsite
