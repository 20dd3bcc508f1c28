#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/ais.h>
#include <gibbsite/sampler/hmc.h>
#include <gibbsite/sampler/mala.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>

namespace gibbsite {
namespace {

// Energies and scores of both ends at the same rows.
struct Ends {
  EnergyScore from, to;
};

Ends ends_at(const Target& from, const Target& to, const Tensor& x) {
  return {energy_and_score(from, x, "ais"), energy_and_score(to, x, "ais")};
}

EnergyScore mix(const Ends& ends, double beta) {
  return {(1 - beta) * ends.from.energy + beta * ends.to.energy, (1 - beta) * ends.from.score + beta * ends.to.score};
}

Tensor choose(const Tensor& accepted, const Tensor& proposed, const Tensor& old) {
  Shape rows(static_cast<std::size_t>(old.dim()), 1);
  rows[0] = old.size(0);
  return torch::where(accepted.view(rows) > 0, proposed, old);
}

std::shared_ptr<const Kernel> make_kernel(const AisOptions& options) {
  if (options.kernel == "mala") {
    MalaOptions mala;
    mala.step_size = options.step_size;
    return std::make_shared<Mala>(mala);
  }
  HmcOptions hmc;
  hmc.step_size = options.step_size;
  hmc.leapfrog_steps = options.leapfrog_steps;
  return std::make_shared<Hmc>(hmc);
}

// Says how far it is, and keeps the state where the run is to stop or a save is due.
class Journal {
 public:
  Journal(const Ports& ports, std::int64_t total) : ports_(ports), total_(total) {}
  NamedTensors kept() const { return ports_.states->load("ais"); }
  /// Before step k of 0 … total.
  void before(std::int64_t k, const std::function<NamedTensors()>& state) const {
    if (k > 0 && k * 100 / total_ != (k - 1) * 100 / total_)
      ports_.logger->progress(fmt::format("annealing {}/{} temperatures", k, total_),
                              static_cast<double>(k) / static_cast<double>(total_));
    const bool stop = ports_.interrupt->requested();
    if (stop || k == total_ || ports_.states->due()) ports_.states->save("ais", state());
    if (stop) throw Interrupted("ais", "stopped between temperatures");
  }

 private:
  const Ports& ports_;
  std::int64_t total_;
};

Tensor kept_rows(const NamedTensors& state, const char* name, const Tensor& x) {
  Tensor found = find_tensor(state, name);
  if (!found.defined() || found.dim() == 0 || found.size(0) != x.size(0))
    throw WorkError("ais", "the state that was kept is of other chains", "remove it to start anew");
  return found.to(x.device());
}

}  // namespace

std::vector<double> annealing_temperatures(const AisOptions& options) {
  std::vector<double> betas;
  const auto logistic = [](double t) { return 1 / (1 + std::exp(-t)); };
  const double low = logistic(-4), high = logistic(4);
  for (std::int64_t k = 0; k <= options.temperatures; ++k) {
    const double share = static_cast<double>(k) / static_cast<double>(options.temperatures);
    betas.push_back(options.schedule == "linear" ? share : (logistic(8 * share - 4) - low) / (high - low));
  }
  return betas;
}

AisResult annealed_importance(const Target& from, const Target& to, const Tensor& x, const AisOptions& options,
                              const Rng& rng, const Ports& ports) {
  const torch::NoGradGuard no_grad;
  const std::vector<double> betas = annealing_temperatures(options);
  std::shared_ptr<const Kernel> kernel = make_kernel(options);

  AisResult result;
  result.log_weights = torch::zeros({x.size(0)}, torch::dtype(torch::kDouble).device(x.device()));
  Step now;
  now.x = x.detach().clone();
  Ends at_x = ends_at(from, to, now.x), proposed;
  double running = options.target_acceptance, accepted = 0;
  std::int64_t moves = 0;
  std::size_t k = 1;
  const Journal journal(ports, static_cast<std::int64_t>(betas.size()) - 1);
  if (const NamedTensors kept = journal.kept(); !kept.empty()) {
    now.x = kept_rows(kept, "x", x);
    result.log_weights = kept_rows(kept, "log_weights", x);
    at_x = {{kept_rows(kept, "from/energy", x), kept_rows(kept, "from/score", x)},
            {kept_rows(kept, "to/energy", x), kept_rows(kept, "to/score", x)}};
    const Tensor numbers = find_tensor(kept, "numbers");
    k = static_cast<std::size_t>(numbers[0].item<double>());
    moves = static_cast<std::int64_t>(numbers[1].item<double>());
    running = numbers[2].item<double>();
    accepted = numbers[3].item<double>();
    kernel = kernel->with_step_size(numbers[4].item<double>());
  }
  const auto state = [&] {
    return NamedTensors{{"x", now.x},
                        {"log_weights", result.log_weights.clone()},
                        {"from/energy", at_x.from.energy},
                        {"from/score", at_x.from.score},
                        {"to/energy", at_x.to.energy},
                        {"to/score", at_x.to.score},
                        {"numbers", torch::tensor({static_cast<double>(k), static_cast<double>(moves), running,
                                                   accepted, kernel->step_size()},
                                                  torch::kDouble)}};
  };
  for (; k < betas.size(); ++k) {
    journal.before(static_cast<std::int64_t>(k) - 1, state);
    const double beta = betas[k];
    result.log_weights += (beta - betas[k - 1]) * (at_x.from.energy - at_x.to.energy).to(torch::kDouble);
    Target target;
    target.manifold = to.manifold;
    target.score = [&](const Tensor& y) { return (1 - beta) * score_of(from, y) + beta * score_of(to, y); };
    // A kernel asks for the energy last at its proposal, so that both ends are known wherever the chain goes.
    target.both = [&](const Tensor& y) {
      proposed = ends_at(from, to, y);
      return mix(proposed, beta);
    };
    target.energy = [&](const Tensor& y) { return (1 - beta) * from.energy(y) + beta * to.energy(y); };
    for (std::int64_t t = 0; t < options.transitions; ++t, ++moves) {
      const EnergyScore here = mix(at_x, beta);
      now.energy = here.energy;
      now.score = here.score;
      Rng own = rng.at_step(static_cast<std::uint64_t>(moves));
      now = kernel->step(target, now.x, own, Graph::kDetach, &now);
      at_x = {{choose(now.accepted, proposed.from.energy, at_x.from.energy),
               choose(now.accepted, proposed.from.score, at_x.from.score)},
              {choose(now.accepted, proposed.to.energy, at_x.to.energy),
               choose(now.accepted, proposed.to.score, at_x.to.score)}};
      const auto rate = now.probability.mean().item<double>();
      accepted += rate;
      running = 0.9 * running + 0.1 * rate;
      if (!options.adapt) continue;
      const double factor = running > options.target_acceptance ? 1.02 : 0.98;
      kernel =
          kernel->with_step_size(std::clamp(kernel->step_size() * factor, options.smallest_step, options.largest_step));
    }
  }
  journal.before(static_cast<std::int64_t>(k) - 1, state);
  result.x = now.x;
  result.acceptance = accepted / static_cast<double>(moves);
  result.step_size = kernel->step_size();
  return result;
}

AisResult annealed_importance(const AnnealingPath& path, const Tensor& x, std::int64_t temperatures, const Rng& rng,
                              const Ports& ports) {
  const torch::NoGradGuard no_grad;
  AisResult result;
  result.log_weights = torch::zeros({x.size(0)}, torch::dtype(torch::kDouble).device(x.device()));
  result.x = x.detach();
  result.acceptance = 1;
  const auto beta = [&](std::int64_t k) { return static_cast<double>(k) / static_cast<double>(temperatures); };
  const Journal journal(ports, temperatures);
  std::int64_t k = 0;
  if (const NamedTensors kept = journal.kept(); !kept.empty()) {
    result.x = kept_rows(kept, "x", x);
    result.log_weights = kept_rows(kept, "log_weights", x);
    k = find_tensor(kept, "done").item<std::int64_t>();
  }
  const auto state = [&] {
    return NamedTensors{{"x", result.x}, {"log_weights", result.log_weights.clone()}, {"done", torch::tensor(k)}};
  };
  for (; k < temperatures; ++k) {
    journal.before(k, state);
    result.log_weights += path.energy(result.x, beta(k)).to(torch::kDouble);
    result.log_weights -= path.energy(result.x, beta(k + 1)).to(torch::kDouble);
    Rng own = rng.at_step(static_cast<std::uint64_t>(k));
    result.x = path.transition(result.x, beta(k + 1), own);
  }
  journal.before(k, state);
  return result;
}

AnnealingPath reversed(const AnnealingPath& path) {
  AnnealingPath back;
  back.energy = [path](const Tensor& x, double beta) { return path.energy(x, 1 - beta); };
  back.transition = [path](const Tensor& x, double beta, Rng& rng) { return path.transition(x, 1 - beta, rng); };
  return back;
}

Tensor reverse_annealed_log_density(const AnnealingPath& path, double log_z, const Tensor& x, std::int64_t chains,
                                    std::int64_t temperatures, const Rng& rng, const Ports& ports) {
  const torch::NoGradGuard no_grad;
  Tensor now = x.detach().repeat_interleave(chains, 0);
  Tensor log_weights = torch::full({now.size(0)}, -log_z, torch::dtype(torch::kDouble).device(x.device()));
  const Journal journal(ports, temperatures);
  std::int64_t k = temperatures;
  if (const NamedTensors kept = journal.kept(); !kept.empty()) {
    now = kept_rows(kept, "x", now);
    log_weights = kept_rows(kept, "log_weights", now);
    k = find_tensor(kept, "left").item<std::int64_t>();
  }
  const auto state = [&] {
    return NamedTensors{{"x", now}, {"log_weights", log_weights.clone()}, {"left", torch::tensor(k)}};
  };
  for (; k > 0; --k) {
    journal.before(temperatures - k, state);
    const double beta = static_cast<double>(k) / static_cast<double>(temperatures);
    Rng own = rng.at_step(static_cast<std::uint64_t>(temperatures - k));
    const Tensor before = path.transition(now, beta, own);
    log_weights += (path.energy(before, beta) - path.energy(now, beta)).to(torch::kDouble);
    now = before;
  }
  journal.before(temperatures, state);
  log_weights -= path.energy(now, 0).to(torch::kDouble);
  return log_weights.view({x.size(0), chains}).logsumexp(1) - std::log(static_cast<double>(chains));
}

}  // namespace gibbsite
