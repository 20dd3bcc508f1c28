// The tables of a recipe that no other room owns.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/sampler/annealing.h>
#include <gibbsite/sampler/chain.h>

#include <string>
#include <vector>

namespace gibbsite {

/// Keys at the top level of a recipe.
struct GeneralOptions {
  std::string title;
  std::int64_t seed = 0;
  std::string dtype = "float32";
  std::string device = "cpu";
  bool tf32 = false;
  std::string init_from;
  void declare(OptionVisitor& o) {
    o.option("title", title, "what the recipe is, for reports");
    o.option("seed", seed, "seed of every random stream", non_negative());
    o.option("dtype", dtype, "precision of parameters and data", {"float32", "float64"});
    o.option("device", device, "cpu, cuda or cuda:<index>");
    o.option("tf32", tf32, "on CUDA, factors of float32 products and convolutions are rounded to 10 bits of mantissa");
    o.option("init_from", init_from, "run whose parameters training starts from; empty: fresh ones");
  }
};

/// [sample]: how `gibbsite sample` uses the kernel of [sampler].
struct SampleOptions {
  std::string schedule = "chain";
  std::string start = "normal";
  double start_scale = 1;
  double denoise = 0;
  std::vector<double> clamp;
  double temperature = 1;
  void declare(OptionVisitor& o) {
    o.option(
        "schedule", schedule,
        "chain: burn_in + steps transitions of the kernel of [sampler]; temperature: annealed Langevin dynamics "
        "with the settings of [sample.annealing]; noise_levels: annealed Langevin dynamics through the levels of a "
        "noise-conditional score network; exact: independent samples, of models that have them; decode: means of a "
        "decoder given draws of the prior",
        {"chain", "temperature", "noise_levels", "exact", "decode"});
    o.option("start", start,
             "first state, in model units: N(0, start_scale²), uniform on the box of the data, uniform on [0, 1], "
             "0.5 + start_scale N(0, 1) per pixel, training points, or draws of the auto-encoder of [vae]; on a "
             "manifold its "
             "own base law, or training points",
             {"normal", "uniform", "unit", "image", "data", "vae"});
    o.option("start_scale", start_scale, "see start", positive());
    o.option("denoise", denoise, "σ of one closing step x + σ² score(x); 0: none", non_negative());
    o.option("clamp", clamp, "[low, high] that the last states are moved into, in model units; empty: no clamp");
    o.only_if(schedule == "decode")
        .option("temperature", temperature, "deviations of the prior are multiplied by this", non_negative());
  }
};

/// [evaluate]
struct EvaluateOptions {
  std::vector<std::string> metrics;  ///< names in metric_table()
  std::vector<std::string> out;      ///< out-of-distribution data: names or files
  std::string classifier;
  std::int64_t points = 0;
  std::int64_t samples = 1000;
  std::int64_t chains = 4;
  void declare(OptionVisitor& o) {
    o.option("classifier", classifier, "run of a classifier that judges samples; empty: the model itself if it is one");
    o.option("points", points, "held-out points used, the first of the split; 0: all", at_least(0));
    o.option("samples", samples, "samples drawn for metrics that need some", at_least(1));
    o.option("chains", chains, "chains run for metric chains, by the settings of [sampler] and [sample]", at_least(1));
  }
};

/// An array of strings at `key`, a lone string counting as one. Throws RequestError for other kinds.
std::vector<std::string> read_strings(const Config& table, const std::string& key,
                                      const std::vector<std::string>& otherwise = {});

}  // namespace gibbsite
