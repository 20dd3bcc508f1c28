// The energy of a product h(x) ∝ p(x) exp(-E(x)) with a frozen auto-encoder (VAEBM, section 3; protocol sheets 1.2 and 5):
//
//   mean E(x⁺) - mean E(x⁻) + magnitude · mean(E(x⁺)² + E(x⁻)²) + spectral · Σ σ_max(W)
//
// with negatives x⁻ by chains of the recipe's sampler in noise space, which start where a replay buffer left off, or, beyond
// the paper, all draws of the auto-encoder weighted by exp(-E): with N of them the loss is mean E(x⁺) + log mean exp(-E(x_i)),
// biased by O(1/N) and the negative log-likelihood of h up to that of p. Unweighted draws (negatives = "generator") make E a
// critic that tells data from draws, with generator_energy, mean E(x(ε)), as the loss of the generator: a Wasserstein network
// whose critic is held by the penalties (sheet 9.3), and, beside negatives by chains, what moves p towards h (sheet 9.4).
//
// Of a noise space whose points are means the data are seen as their reconstructions, E[x | z] with z from the encoder: then
// this is the gradient of the evidence bound E_q(z | x)[log p(x, z) / q(z | x) - E(E[x | z])] - log Z.
#pragma once

#include <gibbsite/objective/objective.h>
#include <gibbsite/sampler/replay_buffer.h>

#include <string>
#include <utility>
#include <vector>

namespace gibbsite {

/// Declares the options of another struct as ones that count only if `holds`.
class OnlyIf : public OptionVisitor {
 public:
  OnlyIf(OptionVisitor& visitor, bool holds) : visitor_(visitor), holds_(holds) {}
  void option(const std::string& name, bool& value, const std::string& help) override {
    visitor_.only_if(holds_).option(name, value, help);
  }
  void option(const std::string& name, std::int64_t& value, const std::string& help, Range range) override {
    visitor_.only_if(holds_).option(name, value, help, range);
  }
  void option(const std::string& name, double& value, const std::string& help, Range range) override {
    visitor_.only_if(holds_).option(name, value, help, range);
  }
  void option(const std::string& name, std::string& value, const std::string& help, Choices choices) override {
    visitor_.only_if(holds_).option(name, value, help, std::move(choices));
  }
  void option(const std::string& name, std::vector<std::int64_t>& value, const std::string& help,
              Range range) override {
    visitor_.only_if(holds_).option(name, value, help, range);
  }
  void option(const std::string& name, std::vector<double>& value, const std::string& help, Range range) override {
    visitor_.only_if(holds_).option(name, value, help, range);
  }

 private:
  OptionVisitor& visitor_;
  bool holds_;
};

struct NoiseSpaceDivergenceOptions : ReplayOptions {
  std::string negatives = "chain";
  std::int64_t draws = 512;
  std::int64_t steps = 10;
  std::int64_t ramp = 5000;
  std::string keep = "latent";
  std::string image = "sample";
  double adaptation = 0;
  double magnitude = 0;
  double spectral = 0;
  NoiseSpaceDivergenceOptions() {
    probability = 0.6;
    draw = "without";
    write = "append";
    fresh = "binomial";
    prefill = false;
  }
  void declare(OptionVisitor& o) {
    o.option("negatives", negatives,
             "chain: by the sampler; importance: weighted draws of the auto-encoder; generator: draws as they are",
             {"chain", "importance", "generator"});
    const bool chain = negatives == "chain";
    OnlyIf replay(o, chain);
    ReplayOptions::declare(replay);
    o.only_if(!chain).option("draws", draws, "draws per update", at_least(2));
    o.only_if(chain).option("steps", steps, "transitions of the sampler per update", at_least(1));
    o.only_if(chain).option("ramp", ramp, "updates over which the probability of reuse rises from 0, linearly",
                            at_least(0));
    o.only_if(chain).option(
        "keep", keep,
        "what the buffer keeps of a state: the noise of latent variables, that of x being new every "
        "time, or all of it",
        {"latent", "all"});
    o.only_if(negatives != "importance")
        .option("image", image, "negatives are x(ε), or the means E[x | z]", {"sample", "mean"});
    o.only_if(chain).option("adaptation", adaptation,
                            "after an update the log of the step size moves by this times (acceptance - its aim)",
                            non_negative());
    o.option("magnitude", magnitude, "weight of the penalty on squared energies", non_negative());
    o.option("spectral", spectral, "weight of the sum of spectral norms of the energy's convolutions", non_negative());
  }
};

/// Needs an energy, the noise space of a frozen auto-encoder and, for chains, a kernel; adaptation needs one with an acceptance
/// test, `spectral` an energy with spectral norms. Logs energy_gap, mean E(x⁺) - mean E(x⁻); for chains acceptance and
/// step_size, for draws their effective number.
std::unique_ptr<Objective> make_noise_space_divergence(const NoiseSpaceDivergenceOptions& options,
                                                       const ObjectiveParts& parts);

struct GeneratorEnergyOptions {
  std::int64_t draws = 32;
  std::string image = "sample";
  void declare(OptionVisitor& o) {
    o.option("draws", draws, "draws of the generator per update", at_least(1));
    o.option("image", image, "draws are x(ε), or the means E[x | z]", {"sample", "mean"});
  }
};

/// mean E(x(ε)) over fresh noise, which trains the generator (VAEBM, appendix C; the generator's loss of a Wasserstein network).
/// Needs an energy and a noise space.
std::unique_ptr<Objective> make_generator_energy(const GeneratorEnergyOptions& options, const ObjectiveParts& parts);

}  // namespace gibbsite
