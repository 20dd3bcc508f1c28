#include <gibbsite/sampler/conventions.h>

#include <cmath>

namespace gibbsite {
namespace {

LangevinOptions langevin(double step_size, double noise_scale) {
  LangevinOptions options;
  options.step_size = step_size;
  options.noise_scale = noise_scale;
  return options;
}

}  // namespace

LangevinOptions mvl_convention(double epsilon) { return langevin(2 * epsilon, 1); }

LangevinOptions ncsn_convention(double a) { return langevin(2 * a, 1); }

LangevinOptions mdsm_convention(double eta, double temperature) { return langevin(eta * eta, std::sqrt(temperature)); }

LangevinOptions vages_convention(double alpha, double sigma) { return langevin(alpha, sigma / std::sqrt(alpha)); }

LangevinOptions cebm_convention(double alpha, double noise) { return langevin(alpha, noise / std::sqrt(alpha)); }

LangevinOptions igebm_convention(double step, double noise, double gradient_limit, double low, double high) {
  LangevinOptions options = langevin(2 * step, noise / std::sqrt(2 * step));
  options.noise_first = true;
  options.gradient_limit = gradient_limit;
  options.clamp = {low, high};
  return options;
}

}  // namespace gibbsite
