#include <gibbsite/core/error.h>
#include <gibbsite/metric/auroc.h>
#include <gibbsite/metric/typicality.h>
#include <torch/types.h>

namespace gibbsite {

Tensor typicality_distances(const Tensor& energy, const TypicalityTest& test, Rng& rng) {
  if (energy.numel() == 0) throw WorkError("typicality", "no points");
  const Tensor pick = rng.integers({test.groups, test.size}, energy.numel());
  const Tensor drawn = energy.detach().to(at::kCPU, at::kDouble).flatten().index_select(0, pick.flatten());
  return (drawn.view({test.groups, test.size}).mean(1) - test.training_energy).abs();
}

Estimate typicality_auroc(const Tensor& in, const Tensor& out, const TypicalityTest& test, const Rng& rng) {
  Rng positive = rng.stream("out"), negative = rng.stream("in");
  return auroc(typicality_distances(out, test, positive), typicality_distances(in, test, negative));
}

}  // namespace gibbsite
