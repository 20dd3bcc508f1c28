#include <gibbsite/model/quadratic_energy.h>
#include <gibbsite/nn/operations.h>
#include <gibbsite/nn/parameters.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

Tensor same(const Tensor& a) { return a; }

class QuadraticEnergy : public Energy {
 public:
  QuadraticEnergy(const QuadraticEnergyOptions& options, const ModelContext& context)
      : event_(context.event), parameters_(context.init, context.dtype, context.device) {
    stiffness_ = parameters_.constant("stiffness", {1}, options.stiffness);
    if (options.centre) centre_ = parameters_.constant("centre", context.event, 0);
  }
  Tensor energy(const Tensor& x) const override {
    return 0.5 * stiffness_ * sum_event((centre_.defined() ? x - centre_ : x).square());
  }
  std::optional<Jet> energy(const Jet& x) const override {
    return total(square(centre_.defined() ? x + (-centre_) : x)) * (0.5 * stiffness_);
  }
  bool has_jet() const override { return true; }
  std::optional<Traced> traced(const Traced& x) const override {
    const Traced centred = centre_.defined() ? traced_linear(x.value - centre_, {x.node}, {{same, same}}) : x;
    return scaled(total(squared(centred)), 0.5 * stiffness_);
  }
  bool has_trace() const override { return true; }
  torch::nn::Module& module() override { return parameters_.module(); }
  Shape event() const override { return event_; }

 private:
  Shape event_;
  Parameters parameters_;
  Tensor stiffness_, centre_;
};

}  // namespace

std::unique_ptr<Energy> make_quadratic_energy(const QuadraticEnergyOptions& options, const ModelContext& context) {
  return std::make_unique<QuadraticEnergy>(options, context);
}

}  // namespace gibbsite
