#include <gibbsite/metric/noise_space_log_z.h>
#include <torch/types.h>

#include <algorithm>
#include <vector>

namespace gibbsite {

LogMean noise_space_importance(const NoiseSpace& space, const EnergyFn& energy, std::int64_t draws, const Tensor& like,
                               const Rng& rng) {
  constexpr std::int64_t kBlock = 256;
  const torch::NoGradGuard no_graph;
  std::vector<Tensor> weights;
  for (std::int64_t first = 0; first < draws; first += kBlock) {
    Rng own = rng.at_row(rng.first_row() + first);
    const Tensor x = space.points(own.normal({std::min(kBlock, draws - first), space.size()}, like));
    weights.push_back(-energy(x).to(torch::kDouble).cpu());
  }
  return log_mean_weight(torch::cat(weights));
}

AisResult noise_space_annealing(const NoiseSpace& space, const EnergyFn& energy, std::int64_t chains,
                                const AisOptions& options, const Tensor& like, const Rng& rng, const Ports& ports) {
  Rng start = rng.stream("start");
  return annealed_importance(space.target({}), space.target(energy), start.normal({chains, space.size()}, like),
                             options, rng.stream("annealing"), ports);
}

}  // namespace gibbsite
