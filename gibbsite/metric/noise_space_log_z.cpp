#include <gibbsite/metric/noise_space_log_z.h>
#include <torch/types.h>

namespace gibbsite {

LogMean noise_space_importance(const NoiseSpace& space, const EnergyFn& energy, std::int64_t draws, const Tensor& like,
                               const Rng& rng) {
  constexpr std::int64_t kBlock = 256;
  // Densities with respect to that of the auto-encoder.
  const Proposal generator = {
      [&](std::int64_t rows, Rng& own) {
        return space.points(own.normal({rows, space.size()}, like));
      },
      [](const Tensor& x) { return torch::zeros({x.size(0)}, x.options().dtype(torch::kDouble)); }};
  return importance_log_z(energy, generator, draws, rng, kBlock);
}

AisResult noise_space_annealing(const NoiseSpace& space, const EnergyFn& energy, std::int64_t chains,
                                const AisOptions& options, const Tensor& like, const Rng& rng, const Ports& ports) {
  Rng start = rng.stream("start");
  return annealed_importance(space.target({}), space.target(energy), start.normal({chains, space.size()}, like),
                             options, rng.stream("annealing"), ports);
}

}  // namespace gibbsite
