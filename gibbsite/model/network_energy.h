// An energy whose network is written once for tensors, jets and LibTorch's own operations.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/model/energy.h>
#include <gibbsite/nn/operations.h>
#include <gibbsite/nn/parameters.h>

#include <type_traits>

namespace gibbsite {

/// Settings every network energy shares.
struct NetworkOptions {
  std::string activation = "silu";
  std::string operations = "fast";
  void declare(OptionVisitor& o) {
    o.option("activation", activation, "nonlinearity of every layer", activation_names());
    o.option("operations", operations, "gibbsite's fast operations, or LibTorch's own as a baseline",
             {"fast", "stock"});
  }
};

/// Whether a network also runs on traced values: it says so by a constant kTraced.
template <class Network, class = void>
struct RunsTraced : std::false_type {};
template <class Network>
struct RunsTraced<Network, std::void_t<decltype(Network::kTraced)>> : std::bool_constant<Network::kTraced> {};

/// `Network` has a template `T forward(const T& x) const` for Tensor, Jet and Stock, mapping [B, *event] to [B]. `Base` is
/// Energy or a kind of energy.
template <class Network, class Base = Energy>
class NetworkEnergy : public Base {
 public:
  NetworkEnergy(const ModelContext& context, const NetworkOptions& options, Parameters parameters, Network network,
                std::vector<LayerNote> layers)
      : event_(context.event),
        stock_(options.operations == "stock"),
        parameters_(std::move(parameters)),
        network_(std::move(network)),
        layers_(std::move(layers)) {}

  Tensor energy(const Tensor& x) const override { return stock_ ? network_.forward(Stock{x}).t : network_.forward(x); }
  std::optional<Jet> energy(const Jet& x) const override { return network_.forward(x); }
  bool has_jet() const override { return true; }
  std::optional<Traced> traced(const Traced& x) const override {
    if constexpr (RunsTraced<Network>::value) return network_.forward(x);
    return std::nullopt;
  }
  bool has_trace() const override { return RunsTraced<Network>::value; }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::vector<LayerNote> layers() const override { return layers_; }
  Shape event() const override { return event_; }

 protected:
  const Network& network() const { return network_; }

 private:
  Shape event_;
  bool stock_;
  Parameters parameters_;
  Network network_;
  std::vector<LayerNote> layers_;
};

}  // namespace gibbsite
