// A decoder whose law takes the output of a network.
#pragma once

#include <gibbsite/model/decoder.h>
#include <gibbsite/model/observation.h>
#include <gibbsite/nn/parameters.h>

namespace gibbsite {

/// `Network` has Tensor forward(const Tensor& h) const, [N, K] -> observation_outputs() events for each of the N in a row.
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

  Tensor mean(const Tensor& h) const override { return observation_mean(options_, output(h)); }
  Tensor log_prob(const Tensor& v, const Tensor& h) const override {
    return observation_log_prob(options_, v, output(h.flatten(0, 1)));
  }
  std::optional<ObservationMoments> moments(const Tensor& h) const override {
    if (options_.law != "gaussian") return std::nullopt;
    const Tensor made = output(h);
    return ObservationMoments{observation_mean(options_, made), observation_deviation(options_, made)};
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

  Tensor output(const Tensor& h) const {
    Shape sizes = {h.size(0), observation_outputs(options_)};
    sizes.insert(sizes.end(), event_.begin(), event_.end());
    return network_.forward(h).view(sizes);
  }
};

}  // namespace gibbsite
