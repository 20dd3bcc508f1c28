// NICE (Dinh, Krueger, Bengio 2015): z = f(x) by additive couplings and a scale, z ~ N(0, I), so that
// log p(x) = -‖z‖²/2 - (d/2) log 2π + Σ s exactly (protocol sheet 5.6).
#pragma once

#include <gibbsite/model/network_energy.h>
#include <gibbsite/model/normalised_energy.h>

namespace gibbsite {

class Nice : public NormalisedEnergy {
 public:
  /// z = f(x): [B, *event] -> [B, d]. The coordinates of z are those of x at even places, then those at odd places.
  virtual Tensor forward(const Tensor& x) const = 0;
  /// x with forward(x) = z: [B, d] -> [B, *event].
  virtual Tensor inverse(const Tensor& z) const = 0;
  /// log |det df/dx| = Σ s, 0-dim: it is the same at every x.
  virtual Tensor log_abs_det() const = 0;
};

struct NiceOptions : NetworkOptions {
  std::vector<std::int64_t> hidden = {1000, 1000, 1000, 1000};
  std::int64_t couplings = 4;
  NiceOptions() { activation = "softplus"; }
  void declare(OptionVisitor& o) {
    NetworkOptions::declare(o);
    o.option("hidden", hidden, "widths of the hidden layers of every coupling", at_least(1));
    o.option("couplings", couplings, "additive couplings; the halves take turns", at_least(1));
  }
};

/// Coupling 1, 3, … adds m(first half) to the second half, coupling 2, 4, … m(second half) to the first; then z = y exp(s).
/// Throws RequestError unless an event has an even number of values.
std::unique_ptr<Energy> make_nice(const NiceOptions& options, const ModelContext& context);

}  // namespace gibbsite
