#include <fmt/format.h>
#include <gibbsite/calculus/activation.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/normalised_residual_energy.h>
#include <gibbsite/nn/operations.h>
#include <gibbsite/nn/spectral_conv.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <optional>

namespace gibbsite {
namespace {

constexpr double kLipschitz = 1 / 1.1;  // makes silu a contraction

template <class T>
T activation(const T& x) {
  return act(Activation::kSilu, x) * kLipschitz;
}

Tensor channels_last(const Tensor& x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }
Jet channels_last(const Jet& x) { return x.with(channels_last(x.c)); }
Tensor over_pixels(const Tensor& x) { return x.sum({2, 3}); }
Jet over_pixels(const Jet& x) { return x.with(over_pixels(x.c)); }

struct Block {
  SpectralConv first, second;
  std::optional<SpectralConv> shortcut;
  bool halves = false;
};

class NormalisedResidualEnergy : public SpectralEnergy {
 public:
  NormalisedResidualEnergy(const NormalisedResidualOptions& options, const ModelContext& context)
      : options_(options),
        event_(context.event),
        parameters_(context.init, context.dtype, context.device),
        stem_(parameters_, context.init, "stem", {context.event[0], options.stem, 3}) {
    std::int64_t in = options.stem;
    for (std::size_t i = 0; i < options.blocks.size(); ++i) {
      const std::int64_t out = options.blocks[i];
      const bool halves = std::count(options.halve.begin(), options.halve.end(), static_cast<std::int64_t>(i) + 1) > 0;
      const std::string name = fmt::format("block{}", i + 1);
      const auto make = [&](const char* part, std::int64_t from, std::int64_t side, bool bias) {
        return SpectralConv(parameters_, context.init, fmt::format("{}.{}", name, part), {from, out, side, bias});
      };
      Block block{make("first", in, 3, true), make("second", out, 3, true), std::nullopt, halves};
      if (halves || in != out) block.shortcut = make("shortcut", in, 1, false);
      blocks_.push_back(std::move(block));
      in = out;
    }
    head_weight_ = parameters_.weight("head.weight", {1, in});
    head_bias_ = parameters_.bias("head.bias", 1, in);
    if (options.initial_rows == 0 || !context.examples) return;
    const torch::NoGradGuard no_graph;
    run(context.examples(options.initial_rows), [&](const SpectralConv& layer, const Tensor& x) {
      layer.initialise(x, options.initial_deviation);
      return layer.forward(x);
    });
  }

  Tensor energy(const Tensor& x) const override {
    return run(x, [](const SpectralConv& layer, const Tensor& h) { return layer.forward(h); });
  }
  std::optional<Jet> energy(const Jet& x) const override {
    return run(x, [](const SpectralConv& layer, const Jet& h) { return layer.forward(h); });
  }
  bool has_jet() const override { return true; }
  Tensor spectral_norms() const override {
    Tensor sum = stem_.spectral_norm();
    for (const Block& block : blocks_) {
      sum = sum + block.first.spectral_norm() + block.second.spectral_norm();
      if (block.shortcut) sum = sum + block.shortcut->spectral_norm();
    }
    return sum;
  }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::vector<LayerNote> layers() const override {
    std::vector<LayerNote> notes = {{"stem", "silu"}};
    for (std::size_t i = 0; i < blocks_.size(); ++i) notes.push_back({fmt::format("block{}", i + 1), "silu"});
    return notes;
  }
  Shape event() const override { return event_; }

 private:
  NormalisedResidualOptions options_;
  Shape event_;
  Parameters parameters_;
  SpectralConv stem_;
  std::vector<Block> blocks_;
  Tensor head_weight_, head_bias_;

  // The network, every convolution by `apply`.
  template <class T, class Apply>
  T run(const T& x, const Apply& apply) const {
    T h = channels_last(x);
    if (options_.halve_range) h = h * 0.5 + 0.5;
    h = activation(apply(stem_, h));
    for (const Block& block : blocks_) {
      const T inner = apply(block.second, activation(apply(block.first, h)));
      T sum = inner + (block.shortcut ? apply(*block.shortcut, h) : h);
      if (block.halves) sum = pool(sum);
      h = activation(sum);
    }
    const T out = column(lin(over_pixels(h), head_weight_, head_bias_));
    if (options_.head == "linear") return out;
    return options_.head == "square" ? squared(out) : act(Activation::kSoftplus, out);
  }
};

}  // namespace

std::unique_ptr<Energy> make_normalised_residual_energy(const NormalisedResidualOptions& options,
                                                        const ModelContext& context) {
  const auto count = static_cast<std::int64_t>(options.blocks.size());
  for (const std::int64_t number : options.halve)
    if (number > count) throw RequestError("model.halve", fmt::format("there is no block {} of {}", number, count));
  const auto smallest = std::int64_t{1} << options.halve.size();
  if (context.event.size() != 3 || context.event[1] < smallest || context.event[2] < smallest)
    throw RequestError("model", fmt::format("needs images [C, H, W] of at least {}x{}, not {}", smallest, smallest,
                                            format_shape(context.event)));
  return std::make_unique<NormalisedResidualEnergy>(options, context);
}

}  // namespace gibbsite
