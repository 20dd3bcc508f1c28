#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/nice.h>
#include <gibbsite/nn/mlp.h>
#include <gibbsite/nn/trace.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

const double kLogTwoPi = std::log(2 * std::acos(-1.0));

// The coordinates at places 2i + which, [B, d] -> [B, d / 2].
Tensor every_second(const Tensor& x, std::int64_t which) {
  return x.view({x.size(0), -1, 2}).select(2, which).contiguous();
}
Jet every_second(const Jet& x, std::int64_t which) { return x.with(every_second(x.c, which)); }
Stock every_second(const Stock& x, std::int64_t which) { return {every_second(x.t, which)}; }
Traced every_second(const Traced& x, std::int64_t which) {
  // Its transpose puts the values back to their places; squares change nothing about a choice of coordinates.
  const auto back = [which](const Tensor& g) {
    const Tensor zeros = torch::zeros_like(g);
    return torch::stack(which == 0 ? std::vector<Tensor>{g, zeros} : std::vector<Tensor>{zeros, g}, -1).flatten(-2);
  };
  return traced_linear(every_second(x.value, which), {x.node}, {{back, back}});
}

Tensor scaled(const Tensor& x, const Tensor& factor) { return x * factor; }
Jet scaled(const Jet& x, const Tensor& factor) { return x * factor; }
Stock scaled(const Stock& x, const Tensor& factor) { return {x.t * factor}; }

Tensor half(const Tensor& x) { return x * 0.5; }
Jet half(const Jet& x) { return x * 0.5; }
Stock half(const Stock& x) { return {x.t * 0.5}; }
Traced half(const Traced& x) { return gibbsite::scaled(x, 0.5); }

Tensor shifted(const Tensor& x, const Tensor& constant) { return x + constant; }
Jet shifted(const Jet& x, const Tensor& constant) { return x + constant; }
Stock shifted(const Stock& x, const Tensor& constant) { return {x.t + constant}; }
Traced shifted(const Traced& x, const Tensor& constant) {
  const auto same = [](const Tensor& g) { return g; };
  return traced_linear(x.value + constant, {x.node}, {{same, same}});
}

template <class T>
struct Halves {
  T first, second;
};

struct Network {
  static constexpr bool kTraced = true;
  std::vector<Mlp> branches;
  Tensor log_scale;  // [d]

  std::int64_t half_size() const { return log_scale.size(0) / 2; }
  Tensor scale(std::int64_t which) const { return log_scale.narrow(0, which * half_size(), half_size()).exp(); }

  template <class T>
  Halves<T> transformed(const T& x) const {
    const T flat = flattened(x);
    Halves<T> y = {every_second(flat, 0), every_second(flat, 1)};
    for (std::size_t k = 0; k < branches.size(); ++k) {
      if (k % 2 == 0)
        y.second = plus(y.second, branches[k].forward(y.first));
      else
        y.first = plus(y.first, branches[k].forward(y.second));
    }
    return {scaled(y.first, scale(0)), scaled(y.second, scale(1))};
  }

  /// -log p(x).
  template <class T>
  T forward(const T& x) const {
    const Halves<T> z = transformed(x);
    const T norm = plus(total(squared(z.first)), total(squared(z.second)));
    return shifted(half(norm), 0.5 * kLogTwoPi * static_cast<double>(log_scale.size(0)) - log_scale.sum());
  }

  Tensor inverse(const Tensor& z) const {
    Tensor first = z.narrow(1, 0, half_size()) / scale(0), second = z.narrow(1, half_size(), half_size()) / scale(1);
    for (std::size_t k = branches.size(); k-- > 0;) {
      if (k % 2 == 0)
        second = second - branches[k].forward(first);
      else
        first = first - branches[k].forward(second);
    }
    return torch::stack({first, second}, 2).flatten(1);
  }
};

class NiceModel final : public NetworkEnergy<Network, Nice> {
 public:
  using NetworkEnergy<Network, Nice>::NetworkEnergy;

  Tensor forward(const Tensor& x) const override {
    const Halves<Tensor> z = network().transformed(x);
    return torch::cat({z.first, z.second}, 1);
  }
  Tensor inverse(const Tensor& z) const override {
    Shape sizes = event();
    sizes.insert(sizes.begin(), z.size(0));
    return network().inverse(z).view(sizes);
  }
  Tensor log_abs_det() const override { return network().log_scale.sum(); }
  Tensor sample(std::int64_t n, Rng& rng) const override {
    const torch::NoGradGuard no_grad;
    return inverse(rng.normal({n, event_size(event())}, network().log_scale));
  }
};

}  // namespace

std::unique_ptr<Energy> make_nice(const NiceOptions& options, const ModelContext& context) {
  const std::int64_t size = event_size(context.event);
  if (size < 2 || size % 2 != 0)
    throw RequestError("model", fmt::format("NICE needs an even number of values, events of shape {} have {}",
                                            format_shape(context.event), size));
  if (options.hidden.empty()) throw RequestError("model.hidden", "a coupling needs at least one hidden layer");
  Parameters parameters(context.init, context.dtype, context.device);
  MlpShape shape;
  shape.input = size / 2;
  shape.hidden = options.hidden;
  shape.output = size / 2;
  shape.activation = activation_from_name(options.activation);
  Network network;
  std::vector<LayerNote> layers;
  for (std::int64_t k = 1; k <= options.couplings; ++k) {
    network.branches.emplace_back(parameters, fmt::format("coupling{}", k), shape);
    for (std::size_t i = 1; i <= options.hidden.size(); ++i)
      layers.push_back({fmt::format("coupling{}.activation{}", k, i), options.activation});
  }
  network.log_scale = parameters.constant("log_scale", {size}, 0);
  return std::make_unique<NiceModel>(context, options, parameters, network, layers);
}

}  // namespace gibbsite
