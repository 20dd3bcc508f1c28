#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/ncsn.h>
#include <gibbsite/nn/refine_net.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class Ncsn final : public ConditionalScore {
 public:
  Ncsn(const NcsnOptions& options, const ModelContext& context)
      : event_(context.event),
        stock_(options.operations == "stock"),
        activation_(options.activation),
        sigmas_(geometric_levels(options.sigma_max, options.sigma_min, options.levels)),
        parameters_(context.init, context.dtype, context.device),
        network_(parameters_, "refine", shape_of(options, context)) {}

  using ConditionalScore::at;
  ScoreEval at(const Tensor& x, const Tensor& level) const override {
    const Tensor input = x * 2 - 1;
    const Tensor value = stock_ ? network_.forward(Stock{input}, level).t : network_.forward(input, level);
    return {value.detach(), [value](const Tensor& z) { return (value * z).sum(); }};
  }
  std::optional<Jet> at(const Jet& x, const Tensor& level) const override {
    return network_.forward(x * 2 + -1.0, level);
  }
  bool has_jet() const override { return true; }
  const std::vector<double>& sigmas() const override { return sigmas_; }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::vector<LayerNote> layers() const override { return {{"refine", activation_}}; }
  Shape event() const override { return event_; }

 private:
  Shape event_;
  bool stock_;
  std::string activation_;
  std::vector<double> sigmas_;
  Parameters parameters_;
  RefineNet network_;

  static RefineShape shape_of(const NcsnOptions& options, const ModelContext& context) {
    RefineShape shape;
    shape.channels = context.event[0];
    shape.filters = options.filters;
    shape.classes = options.levels;
    shape.activation = activation_from_name(options.activation);
    return shape;
  }
};

}  // namespace

std::unique_ptr<ScoreNetwork> make_ncsn(const NcsnOptions& options, const ModelContext& context) {
  const Shape& event = context.event;
  if (event.size() != 3 || event[1] % 2 != 0 || event[2] % 2 != 0 || event[1] < 4 || event[2] < 4)
    throw RequestError("score", fmt::format("a noise-conditional score network needs images [C, H, W] of even height "
                                            "and width, at least 4x4, got {}",
                                            format_shape(event)));
  if (options.sigma_min > options.sigma_max)
    throw RequestError("score.sigma_min",
                       fmt::format("is {}, more than sigma_max, which is {}", options.sigma_min, options.sigma_max));
  return std::make_unique<Ncsn>(options, context);
}

}  // namespace gibbsite
