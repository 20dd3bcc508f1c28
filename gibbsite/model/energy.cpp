#include <gibbsite/model/energy.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

namespace gibbsite {

std::optional<Jet> Energy::energy(const Jet&) const { return std::nullopt; }

EnergyFn Energy::fitted(const Tensor&) const {
  return [this](const Tensor& x) { return energy(x); };
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
