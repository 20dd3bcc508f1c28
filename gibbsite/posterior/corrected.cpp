#include <gibbsite/core/error.h>
#include <gibbsite/posterior/corrected.h>
#include <gibbsite/sampler/conventions.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class Corrected : public Posterior {
 public:
  Corrected(const CorrectorOptions& options, const LatentEnergy& joint, Posterior& start)
      : steps_(options.steps),
        langevin_(vages_convention(options.step_size, options.noise)),
        joint_(joint),
        start_(start) {}
  Tensor sample(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    const torch::NoGradGuard no_grad;
    // A row of the chain is an example with all its particles, so that noise is drawn by example.
    Target target;
    const auto joint = joint_.given(v.detach());
    target.energy = [&joint](const Tensor& h) { return joint(h.transpose(0, 1)).sum(0); };
    Tensor h = start_.sample(v.detach(), particles, rng).transpose(0, 1);
    for (std::int64_t step = 0; step < steps_; ++step) h = langevin_.step(target, h, rng).x;
    return h.transpose(0, 1);
  }
  torch::nn::Module& module() override { return start_.module(); }
  std::int64_t latent_size() const override { return start_.latent_size(); }

 private:
  std::int64_t steps_;
  Langevin langevin_;
  const LatentEnergy& joint_;
  Posterior& start_;
};

}  // namespace

std::unique_ptr<Posterior> make_corrected_posterior(const CorrectorOptions& options, const LatentEnergy& joint,
                                                    Posterior& start) {
  if (joint.discrete() || start.discrete())
    throw RequestError("corrector", "Langevin steps need continuous latent variables, and these are 0 or 1",
                       "steps = 0, or no corrector");
  return std::make_unique<Corrected>(options, joint, start);
}

}  // namespace gibbsite
