// An energy whose network is written once for tensors, jets and LibTorch's own operations.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/model/energy.h>
#include <gibbsite/model/fits_score.h>
#include <gibbsite/nn/compiled.h>
#include <gibbsite/nn/operations.h>
#include <gibbsite/nn/parameters.h>

#include <type_traits>

namespace gibbsite {

/// Settings every network energy shares.
struct NetworkOptions {
  std::string activation = "silu";
  std::string operations = "fast";
  std::string precision = "float32";
  void declare(OptionVisitor& o) {
    o.option("activation", activation, "nonlinearity of every layer", activation_names());
    o.option("operations", operations,
             "gibbsite's fast operations and plans, the operations alone, or LibTorch's own as a baseline",
             {"fast", "eager", "stock"});
    o.option("precision", precision,
             "of the factors in matrix products where samplers ask for scores; states and energies stay as they are",
             {"float32", "bfloat16"});
  }
};

/// Whether a network also runs on traced values: it says so by a constant kTraced.
template <class Network, class = void>
struct RunsTraced : std::false_type {};
template <class Network>
struct RunsTraced<Network, std::void_t<decltype(Network::kTraced)>> : std::bool_constant<Network::kTraced> {};

/// Whether a network can be recorded for a plan: it says so by a constant kRecorded.
template <class Network, class = void>
struct RunsRecorded : std::false_type {};
template <class Network>
struct RunsRecorded<Network, std::void_t<decltype(Network::kRecorded)>> : std::bool_constant<Network::kRecorded> {};

/// `Network` has a template `T forward(const T& x) const` for Tensor, Jet and Stock, mapping [B, *event] to [B]. `Base` is
/// Energy or a kind of energy.
template <class Network, class Base = Energy>
class NetworkEnergy : public Base, public FitsScore {
 public:
  NetworkEnergy(const ModelContext& context, const NetworkOptions& options, Parameters parameters, Network network,
                std::vector<LayerNote> layers)
      : event_(context.event),
        stock_(options.operations == "stock"),
        parameters_(std::move(parameters)),
        network_(std::move(network)),
        layers_(std::move(layers)) {
    if constexpr (RunsRecorded<Network>::value) compile(options, context);
  }
  NetworkEnergy(const NetworkEnergy&) = delete;
  NetworkEnergy& operator=(const NetworkEnergy&) = delete;

  Tensor energy(const Tensor& x) const override {
    if (compiled_ && CompiledEnergy::takes(x)) return compiled_->energy(x);
    return stock_ ? network_.forward(Stock{x}).t : network_.forward(x);
  }
  std::optional<Jet> energy(const Jet& x) const override {
    return compiled_ && compiled_->takes(x) ? compiled_->energy(x) : network_.forward(x);
  }
  std::optional<Tensor> score_distance(const Tensor& x, const Tensor& target, const Tensor& weight) const override {
    if (!compiled_ || !CompiledEnergy::takes(x)) return std::nullopt;
    return compiled_->score_distance(x, target, weight);
  }
  std::shared_ptr<const RowFunction> rows() const override { return compiled_ ? compiled_->rows(precision_) : nullptr; }
  std::string plan_note() const override { return note_; }
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
  std::unique_ptr<const CompiledEnergy> compiled_;
  ProductPrecision precision_ = ProductPrecision::kFloat32;
  std::string note_;

  void compile(const NetworkOptions& options, const ModelContext& context) {
    if (options.operations != "fast" || context.dtype != at::kFloat || !context.device.is_cpu()) return;
    const Recorded energy = network_.forward(start_recording(event_size(event_)));
    if (const std::string obstacle = Plan::obstacle(energy); !obstacle.empty()) {
      note_ = "no plan for a network with " + obstacle + ": samplers and derivatives go through autograd";
      return;
    }
    compiled_ = std::make_unique<const CompiledEnergy>(
        energy, CompiledEnergy::Network{[this](const Tensor& x) { return network_.forward(x); },
                                        [this](const Jet& x) { return network_.forward(x); }});
    if (options.precision == "float32") return;
    if (has_bfloat16_products())
      precision_ = ProductPrecision::kBfloat16;
    else
      note_ = "this processor has no products of bfloat16 numbers: float32 is used";
  }
};

}  // namespace gibbsite
