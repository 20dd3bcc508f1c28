#include <gibbsite/core/error.h>
#include <gibbsite/model/spectral_energy.h>
#include <gibbsite/objective/noise_space_divergence.h>
#include <gibbsite/objective/support.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/tempering.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

// What both kinds of negatives share: the penalties and the report.
Loss finish(const NoiseSpaceDivergenceOptions& options, const Energy& energy, const Tensor& likelihood,
            const Tensor& data_energy, const Tensor& model_energy, NamedTensors more) {
  Tensor loss = likelihood;
  if (options.magnitude > 0)
    loss = loss + options.magnitude * (data_energy.square().mean() + model_energy.square().mean());
  if (options.spectral > 0)
    loss = loss + options.spectral * dynamic_cast<const SpectralEnergy&>(energy).spectral_norms();
  more.insert(more.begin(), {{"likelihood_ratio", likelihood.detach()}, {"data_energy", data_energy.detach().mean()}});
  return plain_loss(loss, std::move(more));
}

using Reconstruct = std::function<Tensor(const Tensor& x, const Rng& rng)>;

// What the energy sees of data.
Tensor positives(const Reconstruct& reconstruct, const Tensor& x, const Rng& rng) {
  return reconstruct ? reconstruct(x, rng.stream("posterior")) : x;
}

Reconstruct reconstruct_for(const ObjectiveParts& parts) {
  if (!parts.noise_space->of_means()) return nullptr;
  if (!parts.reconstruct) throw RequestError("objective", "an energy of means needs the encoder too");
  return parts.reconstruct;
}

// Draws of the generator by noise that is the same for every shard of a batch.
Tensor generator_draws(const NoiseSpace& space, std::int64_t draws, const std::string& image, const Rng& rng,
                       const Tensor& like) {
  Rng shared = rng.at_row(0);
  const Tensor noise = shared.normal({draws, space.size()}, like);
  return image == "mean" ? space.means(noise) : space.points(noise);
}

class ByDraws : public Objective {
 public:
  ByDraws(const NoiseSpaceDivergenceOptions& options, const ObjectiveParts& parts)
      : options_(options),
        energy_(*parts.energy),
        space_(*parts.noise_space),
        reconstruct_(reconstruct_for(parts)),
        like_(parts.data_example) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    Tensor x;
    {
      const torch::NoGradGuard no_graph;
      x = generator_draws(space_, options_.draws, options_.negatives == "generator" ? options_.image : "sample", rng,
                          like_);
    }
    const Tensor data_energy = energy_.energy(positives(reconstruct_, batch.x, rng)), model_energy = energy_.energy(x);
    if (options_.negatives == "generator") {
      const Tensor plain = data_energy.mean() - model_energy.mean();
      return finish(options_, energy_, plain, data_energy, model_energy, {{"energy_gap", plain.detach()}});
    }
    const Tensor log_z = torch::logsumexp(-model_energy, 0) - std::log(static_cast<double>(options_.draws));
    const Tensor weights = torch::softmax(-model_energy.detach(), 0);
    const Tensor gap = data_energy.detach().mean() - (weights * model_energy.detach()).sum();
    return finish(options_, energy_, data_energy.mean() + log_z, data_energy, model_energy,
                  {{"energy_gap", gap}, {"effective", weights.square().sum().reciprocal()}});
  }

 private:
  NoiseSpaceDivergenceOptions options_;
  const Energy& energy_;
  const NoiseSpace& space_;
  Reconstruct reconstruct_;
  Tensor like_;
};

class GeneratorEnergy : public Objective {
 public:
  GeneratorEnergy(const GeneratorEnergyOptions& options, const ObjectiveParts& parts)
      : options_(options), energy_(*parts.energy), space_(*parts.noise_space), like_(parts.data_example) {}
  Loss operator()(const Batch& /*batch*/, Rng& rng) const override {
    return plain_loss(energy_.energy(generator_draws(space_, options_.draws, options_.image, rng, like_)).mean());
  }

 private:
  GeneratorEnergyOptions options_;
  const Energy& energy_;
  const NoiseSpace& space_;
  Tensor like_;
};

class ByChains : public Objective {
 public:
  ByChains(const NoiseSpaceDivergenceOptions& options, const ObjectiveParts& parts,
           std::shared_ptr<const Kernel> kernel)
      : options_(options),
        energy_(*parts.energy),
        space_(*parts.noise_space),
        reconstruct_(reconstruct_for(parts)),
        like_(parts.data_example),
        state_(std::make_unique<State>(State{std::move(kernel), 0, nullptr})) {
    const std::int64_t kept = options_.keep == "all" ? space_.size() : space_.latent_size();
    const Tensor example = torch::zeros({1, state_->kernel->replicas(), kept}, like_.options());
    const FreshStarts fresh = [example](std::int64_t rows, Rng& rng) {
      return rng.normal({rows, example.size(1), example.size(2)}, example);
    };
    state_->buffer = std::make_unique<ReplayBuffer>(options_, fresh, parts.rng.stream("replay"), example);
  }

  Loss operator()(const Batch& batch, Rng& rng) const override {
    State& now = *state_;
    const std::int64_t chains = whole_size(batch), replicas = now.kernel->replicas();
    if (options_.ramp > 0) {
      const double share = static_cast<double>(now.updates) / static_cast<double>(options_.ramp);
      now.buffer->set_probability(options_.probability * std::min(1.0, share));
    }
    const ReplayDraw start = now.buffer->draw(chains, rng.at_row(0));
    Rng of_rows = rng.at_row(rng.first_row() * replicas);
    Tensor state = shard_rows(batch, start.x).flatten(0, 1);
    if (options_.keep == "latent") {
      Rng pixels = of_rows.stream("pixels");
      state = torch::cat({state, pixels.normal({state.size(0), space_.size() - space_.latent_size()}, state)}, 1);
    }
    const Target target = space_.target([this](const Tensor& x) { return energy_.energy(x); });
    const Step last = iterate(*now.kernel, target, state, options_.steps, of_rows);
    now.buffer->write(start,
                      whole_rows(batch, last.x.narrow(1, 0, start.x.size(2)).reshape({-1, replicas, start.x.size(2)})));
    Tensor negative;
    {
      const torch::NoGradGuard no_graph;
      const Tensor cold = coldest(*now.kernel, last.x).contiguous();
      negative = options_.image == "mean" ? space_.means(cold) : space_.points(cold);
    }
    const Tensor data_energy = energy_.energy(positives(reconstruct_, batch.x, rng)),
                 model_energy = energy_.energy(negative);
    const Tensor gap = data_energy.mean() - model_energy.mean();
    NamedTensors more = {{"energy_gap", gap.detach()}};
    if (last.accepted.defined()) {
      more.emplace_back("acceptance", last.accepted.mean());
      more.emplace_back("step_size", torch::full({}, now.kernel->step_size(), torch::kDouble));
      if (last.exchanged.defined()) more.emplace_back("exchanged", last.exchanged.mean());
    }
    Loss loss = finish(options_, energy_, gap, data_energy, model_energy, std::move(more));
    ++now.updates;
    if (options_.adaptation > 0) {
      const auto acceptance = whole_rows(batch, last.probability).mean().item<double>();
      now.kernel = now.kernel->with_step_size(
          now.kernel->step_size() * std::exp(options_.adaptation * (acceptance - now.kernel->target_acceptance())));
    }
    return loss;
  }

  bool mixes_rows() const override { return state_->kernel->interacts() && state_->kernel->replicas() == 1; }
  NamedTensors state() const override {
    NamedTensors all = state_->buffer->state();
    all.emplace_back(
        "progress", torch::tensor({static_cast<double>(state_->updates), state_->kernel->step_size()}, torch::kDouble));
    return all;
  }
  void restore(const NamedTensors& state) override {
    for (const auto& [name, value] : state)
      if (name == "progress") {
        state_->buffer->restore(state);
        state_->updates = static_cast<std::int64_t>(value[0].item<double>());
        if (options_.adaptation > 0) state_->kernel = state_->kernel->with_step_size(value[1].item<double>());
        return;
      }
    throw WorkError("vaebm", "the saved state lacks its progress");
  }

 private:
  struct State {
    std::shared_ptr<const Kernel> kernel;
    std::int64_t updates = 0;
    std::unique_ptr<ReplayBuffer> buffer;
  };
  NoiseSpaceDivergenceOptions options_;
  const Energy& energy_;
  const NoiseSpace& space_;
  Reconstruct reconstruct_;
  Tensor like_;
  std::unique_ptr<State> state_;
};

}  // namespace

std::unique_ptr<Objective> make_noise_space_divergence(const NoiseSpaceDivergenceOptions& options,
                                                       const ObjectiveParts& parts) {
  const Energy& energy = require_energy(parts, "vaebm");
  if (!parts.noise_space) throw RequestError("objective", "vaebm needs a trained auto-encoder", "add a [vae] table");
  if (options.spectral > 0 && !dynamic_cast<const SpectralEnergy*>(&energy))
    throw RequestError("objective.spectral", "this energy knows no spectral norms",
                       "model.name = \"normalised_residual\"");
  if (options.negatives != "chain") return std::make_unique<ByDraws>(options, parts);
  std::shared_ptr<const Kernel> kernel = parts.kernel ? parts.kernel() : nullptr;
  if (!kernel) throw RequestError("objective", "vaebm needs a sampler for its negatives", "add a [sampler] table");
  if (kernel->interacts() && kernel->replicas() == 1)
    throw RequestError("objective", "vaebm needs a sampler of independent chains");
  if (options.adaptation > 0 && kernel->target_acceptance() == 0)
    throw RequestError("objective.adaptation", "this sampler has no acceptance test", "use mala, hmc or tempering");
  return std::make_unique<ByChains>(options, parts, std::move(kernel));
}

std::unique_ptr<Objective> make_generator_energy(const GeneratorEnergyOptions& options, const ObjectiveParts& parts) {
  require_energy(parts, "generator_energy");
  if (!parts.noise_space)
    throw RequestError("objective", "generator_energy needs an auto-encoder", "a table [vae] with trainable = true");
  return std::make_unique<GeneratorEnergy>(options, parts);
}

}  // namespace gibbsite
