#include <fmt/format.h>
#include <gibbsite/metric/latent_ais.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace gibbsite {
namespace {

Target prior_target(const LatentPrior& prior) {
  Target target;
  target.manifold = prior.manifold();
  target.energy = [&prior](const Tensor& h) { return prior.energy(h); };
  target.score = [&prior](const Tensor& h) { return prior.score(h); };
  return target;
}

// Rows of h are particle-major: chain l of point b is row l B + b.
Target joint_target(const LatentEnergy& joint, const LatentPrior& prior, const Tensor& v) {
  Target target;
  target.manifold = prior.manifold();
  target.energy = [&joint, v](const Tensor& h) { return joint.joint(v, h.view({-1, v.size(0), h.size(1)})).flatten(); };
  return target;
}

}  // namespace

LatentAisResult latent_annealed_importance(const LatentEnergy& joint, const LatentPrior& prior, const Tensor& v,
                                           const LatentAisOptions& options, const Rng& rng, const Ports& ports) {
  LatentAisResult result;
  std::vector<Tensor> values, effective;
  const std::int64_t points = v.size(0);
  double blocks = 0;
  for (std::int64_t first = 0; first < points; first += options.rows, ++blocks) {
    const Tensor block = v.narrow(0, first, std::min(options.rows, points - first));
    const Rng own = rng.at_row(rng.first_row() + first * options.chains);
    Rng start = own.stream("start");
    const Tensor h = prior.sample(options.chains * block.size(0), v, start);
    PrefixedStore states(*ports.states, fmt::format("block {}/", first));
    Ports inner = ports;
    inner.states = &states;
    const AisResult annealed =
        annealed_importance(prior_target(prior), joint_target(joint, prior, block), h, options, own, inner);
    const Tensor weights = annealed.log_weights.view({options.chains, block.size(0)});
    values.push_back(weights.logsumexp(0) - std::log(static_cast<double>(options.chains)));
    effective.push_back((2 * weights.logsumexp(0) - (2 * weights).logsumexp(0)).exp());
    result.acceptance += annealed.acceptance * static_cast<double>(block.size(0)) / static_cast<double>(points);
    result.step_size += annealed.step_size;
    ports.logger->progress(fmt::format("annealed {} of {} points", first + block.size(0), points),
                           static_cast<double>(first + block.size(0)) / static_cast<double>(points));
  }
  result.log_likelihood = at::cat(values);
  result.effective = at::cat(effective);
  result.step_size /= blocks;
  return result;
}

}  // namespace gibbsite
