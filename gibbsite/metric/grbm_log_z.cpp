#include <gibbsite/metric/grbm_log_z.h>
#include <torch/types.h>

namespace gibbsite {

AnnealingPath annealing_path(const Grbm& machine) {
  AnnealingPath path;
  path.energy = [&machine](const Tensor& v, double beta) { return machine.annealed_energy(v, beta); };
  path.transition = [&machine](const Tensor& v, double beta, Rng& rng) {
    return machine.sample_visible(machine.sample_latent(v, rng, beta), rng, beta);
  };
  return path;
}

LogMean annealed_log_z(const Grbm& machine, const GrbmAisOptions& options, const Rng& rng, const Ports& ports) {
  const torch::NoGradGuard no_grad;
  Rng start = rng.stream("start");
  const Tensor none = torch::zeros({options.chains, machine.latent_size()}, machine.visible_deviation().options());
  const Tensor v = machine.sample_visible(none, start, 0);
  LogMean result =
      log_mean_weight(annealed_importance(annealing_path(machine), v, options.temperatures, rng, ports).log_weights);
  result.log_mean.value += machine.base_log_z().item<double>();
  return result;
}

LogMean reverse_annealed_log_z(const Grbm& machine, const Tensor& v, std::int64_t temperatures, const Rng& rng,
                               const Ports& ports) {
  LogMean result =
      log_mean_weight(annealed_importance(reversed(annealing_path(machine)), v, temperatures, rng, ports).log_weights);
  result.log_mean.value = machine.base_log_z().item<double>() - result.log_mean.value;
  return result;
}

Tensor reverse_annealed_log_likelihood(const Grbm& machine, const Tensor& v, const GrbmAisOptions& options,
                                       const Rng& rng, const Ports& ports) {
  return reverse_annealed_log_density(annealing_path(machine), machine.base_log_z().item<double>(), v, options.chains,
                                      options.temperatures, rng, ports);
}

Estimate log_z(const Grbm& machine, const GrbmAisOptions& options, const Rng& rng, const Ports& ports) {
  if (machine.latent_size() > Grbm::kMostEnumerated) return annealed_log_z(machine, options, rng, ports).log_mean;
  const torch::NoGradGuard no_grad;
  Estimate exact;
  exact.value = machine.log_z().item<double>();
  exact.standard_error = 0;
  exact.count = 1;
  return exact;
}

}  // namespace gibbsite
