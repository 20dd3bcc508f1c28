// A score whose network is written once for tensors, jets and LibTorch's own operations.
#pragma once

#include <gibbsite/model/network_energy.h>
#include <gibbsite/model/score.h>

namespace gibbsite {

/// `Network` has a template `T forward(const T& x) const` for Tensor, Jet and Stock, mapping [B, *event] to [B, *event].
template <class Network>
class NetworkScore : public ScoreNetwork {
 public:
  NetworkScore(const ModelContext& context, const NetworkOptions& options, Parameters parameters, Network network,
               std::vector<LayerNote> layers)
      : event_(context.event),
        stock_(options.operations == "stock"),
        parameters_(std::move(parameters)),
        network_(std::move(network)),
        layers_(std::move(layers)) {}

  ScoreEval at(const Tensor& x, Rng&) const override {
    const Tensor value = stock_ ? network_.forward(Stock{x}).t : network_.forward(x);
    return {value.detach(), [value](const Tensor& z) { return value.mul(z).sum(); }};
  }
  std::optional<Jet> at(const Jet& x, Rng&) const override { return network_.forward(x); }
  bool has_jet() const override { return true; }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::vector<LayerNote> layers() const override { return layers_; }
  Shape event() const override { return event_; }

 private:
  Shape event_;
  bool stock_;
  Parameters parameters_;
  Network network_;
  std::vector<LayerNote> layers_;
};

}  // namespace gibbsite
