#include <gibbsite/model/energy.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

namespace gibbsite {

std::optional<Jet> Energy::energy(const Jet&) const { return std::nullopt; }

EnergyFn Energy::fitted(const Tensor&) const {
  return [this](const Tensor& x) { return energy(x); };
}

std::optional<Traced> Energy::traced(const Traced&) const { return std::nullopt; }

Fit Energy::fit(const Tensor&, const FitProblem&, Rng&) const {
  Fit made;
  made.energy = scalar_function(*this);
  if (has_trace()) made.traced = [this](const Traced& x) { return *traced(x); };
  return made;
}

Target target_of(const Energy& energy) {
  Target target;
  target.energy = [&energy](const Tensor& x) { return energy.energy(x); };
  target.rows = energy.rows();
  return target;
}

Tensor score(const Energy& energy, const Tensor& x) {
  const at::AutoGradMode enabled(true);
  const Tensor point = x.detach().requires_grad_(true);
  return -torch::autograd::grad({energy.energy(point).sum()}, {point})[0];
}

ScalarFunction scalar_function(const Energy& energy) {
  ScalarFunction f;
  f.value = [&energy](const Tensor& x) { return energy.energy(x); };
  if (energy.has_jet()) f.jet = [&energy](const Jet& x) { return *energy.energy(x); };
  return f;
}

}  // namespace gibbsite
