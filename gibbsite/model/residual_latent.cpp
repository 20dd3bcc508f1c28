#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/residual_latent.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

ResidualShape body_shape(const ResidualLatentOptions& options, const ModelContext& context) {
  ResidualShape shape;
  shape.channels = context.event[0];
  shape.filters = options.filters;
  shape.stages = options.stages;
  shape.blocks = options.blocks;
  shape.activation = activation_from_name(options.activation);
  return shape;
}

class ResidualLatent : public LatentModel {
 public:
  ResidualLatent(const ResidualLatentOptions& options, const ModelContext& context)
      : event_(context.event),
        activation_(activation_from_name(options.activation)),
        parameters_(context.init, context.dtype, context.device),
        body_(parameters_, "body", body_shape(options, context)) {
    const std::int64_t features = body_.features(event_[1], event_[2]), k = options.latent_size;
    code_ = parameters_.weight("code.weight", {k, features});
    code_bias_ = parameters_.bias("code.bias", k, features);
    head_ = parameters_.weight("head.weight", {features / 2, 2 * k});
    head_bias_ = parameters_.bias("head.bias", features / 2, 2 * k);
  }

  Tensor joint(const Tensor& v, const Tensor& h) const override { return join_latent(of_visible(v), h); }

  std::optional<Jet> joint(const Jet& v, const Tensor& h) const override {
    const Jet visible = of_visible(v);
    const Tensor each = visible.stacked().unsqueeze(1).expand({visible.slices(), h.size(0), h.size(1), head_.size(0)});
    const Jet inner = visible.with(each.reshape({-1, head_.size(0)})) + of_latent(h).flatten(0, 1);
    const Jet energy = total(squared(act(activation_, inner)));
    return energy.with(energy.c.view({-1, h.size(1)}));
  }

  std::function<Tensor(const Tensor&)> given(const Tensor& v) const override {
    return [this, visible = of_visible(v)](const Tensor& h) { return join_latent(visible, h); };
  }

  torch::nn::Module& module() override { return parameters_.module(); }
  Shape event() const override { return event_; }
  std::int64_t latent_size() const override { return code_.size(0); }

 private:
  Shape event_;
  Activation activation_;
  Parameters parameters_;
  ResidualNet body_;
  Tensor code_, code_bias_, head_, head_bias_;

  // A [g(v); 0] + a, [B, F].
  template <class T>
  T of_visible(const T& v) const {
    const T code = lin(flattened(body_.forward(v)), code_, code_bias_);
    return lin(code, head_.narrow(1, 0, code_.size(0)), head_bias_);
  }

  // A [h; h], [L, B, F].
  Tensor of_latent(const Tensor& h) const {
    const std::int64_t k = code_.size(0);
    const Tensor both = head_.narrow(1, 0, k) + head_.narrow(1, k, k);
    return lin(h.reshape({-1, k}), both, Tensor()).view({h.size(0), h.size(1), -1});
  }

  Tensor join_latent(const Tensor& visible, const Tensor& h) const {
    return squared(act(activation_, visible + of_latent(h))).sum(-1);
  }
};

}  // namespace

std::unique_ptr<LatentModel> make_residual_latent(const ResidualLatentOptions& options, const ModelContext& context) {
  const std::int64_t smallest = std::int64_t{1} << options.stages;
  if (context.event.size() != 3 || context.event[1] < smallest || context.event[2] < smallest)
    throw RequestError("model", fmt::format("{} stages need images [C, H, W] of at least {}x{}, got {}", options.stages,
                                            smallest, smallest, format_shape(context.event)));
  return std::make_unique<ResidualLatent>(options, context);
}

}  // namespace gibbsite
