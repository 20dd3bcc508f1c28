#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/digest.h>
#include <gibbsite/core/environment.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/ranks.h>
#include <gibbsite/data/csv.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/model/noise_levels.h>
#include <gibbsite/model/normalised_energy.h>
#include <gibbsite/recipe/partial_file.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/shared_chains.h>
#include <gibbsite/recipe/write.h>
#include <gibbsite/report/chain_file.h>
#include <gibbsite/report/image.h>
#include <gibbsite/report/plot.h>
#include <gibbsite/sampler/tempering.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>

namespace gibbsite {
namespace {

constexpr std::int64_t kDefaultSamples = 64;
constexpr std::int64_t kDraws = 256;  // for the mean of an encoder without a formula

Shape batch_shape(std::int64_t n, const Shape& event) {
  Shape shape = event;
  shape.insert(shape.begin(), n);
  return shape;
}

// n random ones, in model units.
Tensor training_points(const Parts& parts, std::int64_t n, Rng& draws) {
  if (!parts.data) throw RequestError("sample", "starting from data needs the data set");
  const Dataset& train = parts.data->splits.train;
  if (train.size() == 0) throw RequestError("sample", "there are no training points");
  const Tensor pick = draws.integers({n}, train.size()).flatten();
  return parts.transforms.pipeline.forward(train.rows(pick).x).to(parts.like().options());
}

Tensor start(const Parts& parts, std::int64_t n, const Rng& rng) {
  const SampleOptions& options = parts.sample;
  const Shape shape = batch_shape(n, parts.transforms.model_event);
  Rng draws = rng.stream("start").at_step(0);
  if (options.start == "data") return training_points(parts, n, draws);
  if (options.start == "vae") {
    if (!parts.vae.starts)
      throw RequestError("sample.start", "there is no auto-encoder to start from",
                         "a table [vae] with role = \"start\"");
    return parts.vae.draws(n, draws, parts.like());
  }
  if (parts.manifold) return parts.manifold->sample(n, draws, parts.like());
  if (options.start == "uniform") {
    const Tensor low = parts.transforms.low.to(parts.like().options());
    const Tensor high = parts.transforms.high.to(parts.like().options());
    return low + (high - low) * draws.uniform(shape, parts.like());
  }
  if (options.start == "unit") return draws.uniform(shape, parts.like());
  const Tensor noise = draws.normal(shape, parts.like()) * options.start_scale;
  return options.start == "image" ? noise + 0.5 : noise;
}

// The score at one noise level.
Target target_at(const ConditionalScore& network, std::int64_t level) {
  Target target;
  target.score = [&network, level](const Tensor& x) {
    const torch::NoGradGuard no_graph;
    return network.at(x, torch::full({x.size(0)}, level, x.options().dtype(torch::kLong))).value;
  };
  return target;
}

// Samples leave in the units of the data set.
class OriginalUnits : public SampleWriter {
 public:
  OriginalUnits(const Pipeline& pipeline, SampleWriter& next) : pipeline_(pipeline), next_(next) {}
  void write(std::int64_t step, const Tensor& x) override {
    const Tensor kept = x.slice(0, 0, x.size(0), every_);
    next_.write(step, pipeline_.inverse(point_ ? point_(kept.contiguous()) : kept));
  }
  void note(std::int64_t step, const NamedTensors& numbers) override {
    NamedTensors kept;
    for (const auto& [name, value] : numbers) kept.emplace_back(name, value.slice(0, 0, value.size(0), every_));
    next_.note(step, kept);
  }
  /// One of so many rows is a sample.
  void keep_every(std::int64_t rows) { every_ = rows; }
  /// Rows are other than points: states of noise, free coordinates.
  void decode(std::function<Tensor(const Tensor&)> point) { point_ = std::move(point); }

 private:
  std::int64_t every_ = 1;
  std::function<Tensor(const Tensor&)> point_;
  const Pipeline& pipeline_;
  SampleWriter& next_;
};

// Latent variables of a file, [rows, K].
Tensor read_latent(const std::string& path, const Parts& parts) {
  if (!parts.encoder) throw RequestError("--latent", fmt::format("'{}' has no latent variables", parts.model_name));
  Tensor h;
  if (std::filesystem::path(path).extension() == ".npz") {
    for (const auto& [name, array] : read_npz(path))
      if (name == "mean") h = array;
    if (!h.defined()) throw RequestError("--latent", fmt::format("{} has no array 'mean'", path));
  } else {
    h = read_npy(path);
  }
  const std::int64_t size = parts.encoder->latent_size();
  if (h.dim() != 2 || h.size(0) == 0 || h.size(1) != size)
    throw RequestError("--latent",
                       fmt::format("{}: expected [rows, {}], got {}", path, size, format_shape(h.sizes().vec())));
  check_finite("--latent", path, h);
  return h.to(parts.like().options());
}

// The encoder's means of n random training points.
Tensor codes_of_data(const Parts& parts, std::int64_t n, const Rng& rng) {
  Rng draws = rng.stream("codes").at_step(0);
  return posterior_moments(*parts.encoder, training_points(parts, n, draws), kDraws, draws).mean;
}

// Row c modulo rows for chain c: [1, n, K].
Tensor latent_rows(const Tensor& latent, std::int64_t n) {
  const Tensor index = torch::arange(n, torch::dtype(torch::kLong).device(latent.device())).remainder(latent.size(0));
  return latent.index_select(0, index).unsqueeze(0);
}

Given share_of(const Given& whole, const RowShare& own) {
  const Tensor counts = whole.free.flatten(1).sum(1);
  if (!counts.eq(counts[0]).all().item<bool>())
    throw RequestError("--mask", "ranks need the same number of entries to sample in every row",
                       "sample in one process");
  return {whole.points.narrow(0, own.first, own.count), whole.free.narrow(0, own.first, own.count), whole.noise};
}

// Entries are given to chains of points in Euclidean space, one target for each.
void refuse_given(const Parts& parts, const Tensor& latent) {
  const auto refuse = [](const std::string& what, const std::string& hint = "") {
    throw RequestError("--given", what, hint);
  };
  if (latent.defined()) refuse("goes with no latent variables");
  if (parts.decoder || parts.generator || parts.vae.space) refuse("the points of this model are made by a decoder");
  if (!parts.energy && !parts.score && !parts.variational_score)
    refuse(fmt::format("'{}' has neither an energy nor a score of data", parts.model_name));
  if (parts.manifold) refuse("coordinates of points on a manifold do not move one by one");
  if (parts.sample.schedule != "chain" && parts.sample.schedule != "temperature")
    refuse(fmt::format("the schedule '{}' samples whole points", parts.sample.schedule), "--set sample.schedule=chain");
  if (parts.kernel && parts.kernel->interacts() && parts.kernel->replicas() == 1)
    refuse("the particles of this sampler act on one another", "--set sampler.name=mala");
}

}  // namespace

namespace {

/// Means of x given draws of the prior, or given `latent`.
Tensor decoded(const Parts& parts, const Tensor& latent, std::int64_t n, Rng rng) {
  const double temperature = parts.sample.temperature;
  const torch::NoGradGuard no_graph;
  if (parts.generator) return generated_means(*parts.generator, n, temperature, parts.like(), rng);
  if (latent.defined()) return parts.decoder->mean(latent_rows(latent, n)[0]);
  if (temperature != 1 && !parts.prior->standard())
    throw RequestError("sample.temperature", "belongs to the prior N(0, I)");
  return parts.decoder->mean(parts.prior->sample(n, parts.like(), rng) * temperature);
}

}  // namespace

Target target_of(const Parts& parts) {
  if (parts.vae.space) parts.require_density("score");
  Target target;
  if (parts.energy) target = target_of(*parts.energy);
  target.manifold = parts.manifold;
  if (parts.energy) return target;
  const Score* score = parts.score ? static_cast<const Score*>(parts.score.get()) : parts.variational_score.get();
  if (!score)
    throw RequestError("model", fmt::format("'{}' has neither an energy nor a score of data", parts.model_name));
  target.score = [score](const Tensor& x) {
    const torch::NoGradGuard no_graph;
    Rng rng(0, "score");
    return score->at(x, rng).value;
  };
  return target;
}

Drawn draw(const Parts& parts, std::int64_t n, const Rng& rng, const Ports& ports, const Conditions& conditions) {
  const Tensor& latent = conditions.latent;
  if (n < 1) throw RequestError("-n", fmt::format("is {}, expected >= 1", n));
  // Chains need the gradient in x only.
  parts.freeze();
  OriginalUnits writer(parts.transforms.pipeline, *ports.samples);
  Ports inner = ports;
  inner.samples = &writer;
  if (conditions.given) refuse_given(parts, latent);
  Drawn drawn;
  if (parts.decoder || parts.generator) {
    drawn.x = decoded(parts, latent, n, rng.stream("prior").at_step(0));
    return drawn;
  }
  if (parts.sample.schedule == "exact") {
    const auto* exact = dynamic_cast<const NormalisedEnergy*>(parts.energy.get());
    if (!exact) throw RequestError("sample.schedule", fmt::format("model '{}' has no exact samples", parts.model_name));
    Rng own = rng.stream("exact").at_step(0);
    drawn.x = exact->sample(n, own);
    return drawn;
  }
  if (parts.vae.space) {
    if (parts.sample.schedule != "chain" || !parts.kernel)
      throw RequestError("sample", "noise space is sampled by a chain of the kernel of [sampler]",
                         "sample.schedule = \"chain\"");
    const NoiseSpace& space = *parts.vae.space;
    const Tensor x0 = parts.vae.start(n, rng);
    writer.keep_every(parts.kernel->replicas());
    writer.decode([&parts](const Tensor& state) { return parts.vae.point(state); });
    const Target target = space.target([&energy = *parts.energy](const Tensor& x) { return energy.energy(x); });
    const ChainResult result =
        run_chain(parts.kernel, target, replicated(*parts.kernel, x0), rng.stream("chain"), parts.chain, inner);
    if (result.interrupted) throw Interrupted("sample", "stopped before the chains were done");
    drawn.x = parts.vae.point(coldest(*parts.kernel, result.last.x).contiguous());
    drawn.acceptance = result.acceptance;
    drawn.divergences = result.divergences;
    drawn.kernel = result.kernel;
    return drawn;
  }
  Tensor given = latent;
  if (!given.defined() && parts.latent_model && !parts.energy) given = codes_of_data(parts, n, rng);
  Target target;
  if (given.defined())
    target.energy = [&joint = *parts.latent_model, h = latent_rows(given, n)](const Tensor& v) {
      return joint.joint(v, h)[0];
    };
  else
    target = target_of(parts);
  Tensor x0 = start(parts, n, rng);
  std::optional<FreeCoordinates> coordinates;
  if (conditions.given) {
    const Given rows = given_rows(*conditions.given, n);
    if (rows.noise > 0) {
      target = observed(target, rows, parts);
      // Known entries start where they were seen.
      const Tensor seen = parts.transforms.pipeline.inverse(x0).to(torch::kDouble).cpu();
      x0 = parts.transforms.pipeline.forward(torch::where(rows.free, seen, rows.points)).to(x0.options());
    } else {
      coordinates = free_coordinates(rows, parts);
      target = coordinates->restricted(target);
      x0 = coordinates->project(x0);
      writer.decode([&coordinates](const Tensor& u) { return coordinates->embed(u); });
    }
  }
  bool interrupted = false;
  if (parts.sample.schedule == "chain") {
    if (!parts.kernel)
      throw RequestError("sample", "the recipe has no table [sampler]", "add one, or --set sampler.name=mala");
    writer.keep_every(parts.kernel->replicas());
    ChainResult result =
        run_chain(parts.kernel, target, replicated(*parts.kernel, x0), rng.stream("chain"), parts.chain, inner);
    drawn.x = coldest(*parts.kernel, result.last.x);
    drawn.acceptance = result.acceptance;
    drawn.divergences = result.divergences;
    drawn.kernel = result.kernel;
    interrupted = result.interrupted;
  } else {
    const bool levels = parts.sample.schedule == "noise_levels";
    const auto* network = levels ? &dynamic_cast<const ConditionalScore&>(*parts.score) : nullptr;
    AnnealingResult result = anneal(
        levels ? noise_schedule(parts.noise_annealing, network->sigmas()) : temperature_schedule(parts.annealing),
        [&](std::int64_t level) { return levels ? target_at(*network, level) : target; }, x0, rng.stream("chain"),
        inner);
    drawn.x = result.x;
    interrupted = result.interrupted;
  }
  if (interrupted) throw Interrupted("sample", "stopped before the chains were done");
  if (parts.sample.denoise > 0) drawn.x = denoise(target, drawn.x, parts.sample.denoise);
  if (coordinates) drawn.x = coordinates->embed(drawn.x.contiguous());
  if (!parts.sample.clamp.empty()) drawn.x = drawn.x.clamp(parts.sample.clamp[0], parts.sample.clamp[1]);
  return drawn;
}

std::int64_t draws_so_far(StateStore& states, const ChainOptions& options) {
  const Tensor done = find_tensor(states.load("chain"), "done");
  return done.defined() ? std::max<std::int64_t>(0, done.item<std::int64_t>() - options.burn_in) / options.thin : 0;
}

Tensor unit_range(const Tensor& images, const StoredTransforms& transforms) {
  const Tensor x = images.to(torch::kDouble);
  const double extent = transforms.value_high - transforms.value_low;
  return extent > 0 ? (x - transforms.value_low) / extent : x;
}

DensityPanel histogram(const Tensor& x, const std::string& title) {
  const Tensor points = x.to(torch::kDouble).cpu();
  // Few points in many cells are specks.
  const auto bins = static_cast<std::int64_t>(std::clamp(std::sqrt(static_cast<double>(points.size(0))), 20.0, 100.0));
  DensityPanel panel;
  panel.title = title;
  // One point, or points on a line, still need a box around them.
  const Tensor low = std::get<0>(points.min(0));
  const Tensor extent = std::get<0>(points.max(0)) - low;
  const Tensor high = low + torch::where(extent > 0, extent, torch::ones_like(extent));
  panel.x_low = low[0].item<double>();
  panel.x_high = high[0].item<double>();
  panel.y_low = low[1].item<double>();
  panel.y_high = high[1].item<double>();
  const Tensor cell = ((points - low) / (high - low) * bins).floor().clamp(0, bins - 1).to(torch::kLong);
  const Tensor area = (high - low).prod() / (bins * bins);
  panel.values = torch::bincount(cell.select(1, 1) * bins + cell.select(1, 0), {}, bins * bins)
                     .view({bins, bins})
                     .to(torch::kDouble) /
                 (area * points.size(0));
  return panel;
}

void write_picture(const std::string& path, const Tensor& x, const Parts& parts, Logger& logger) {
  if (x.dim() == 3 || x.dim() == 4) {
    write_image_grid(path, unit_range(x, parts.transforms));
    return;
  }
  if (x.dim() != 2 || x.size(1) != 2)
    throw RequestError(path, "only images and points of the plane have a picture", "write .npy or .csv");
  DensityPlot plot;
  plot.panels.push_back(histogram(x, fmt::format("{} samples", x.size(0))));
  if (!Plotter(logger).densities(path, plot)) throw WorkError(path, "gnuplot is missing, so no picture was drawn");
}

SampleOutcome sample_run(const SampleRequest& request, const Ports& ports) {
  const RunDirectory run = RunDirectory::open(request.run);
  const std::string out = request.out.empty() ? run.file("samples/samples.npy") : request.out;
  const std::string extension = std::filesystem::path(out).extension().string();
  if (extension != ".npy" && extension != ".csv" && extension != ".png")
    throw RequestError("--out", fmt::format("'{}' ends in none of .npy, .csv, .png", out));
  if (request.given.empty() && (!request.mask.empty() || request.given_noise != 0))
    throw RequestError(request.mask.empty() ? "--given-noise" : "--mask", "needs --given FILE");
  if (!(request.given_noise >= 0))
    throw RequestError("--given-noise", fmt::format("is {}, expected >= 0", request.given_noise));
  const Config recipe = run_recipe(run, request.set);
  const bool with_data = read_options<SampleOptions>(recipe.at_table("sample"), "sample").start == "data" ||
                         (request.latent.empty() && recipe.contains("model") && recipe.contains("encoder"));
  std::int64_t step = 0;
  const Parts parts = load_run(run, request.set, with_data, request.path, *ports.logger, &step);
  const auto seed = static_cast<std::uint64_t>(request.seed.value_or(parts.general.seed));
  Conditions conditions;
  if (!request.latent.empty()) conditions.latent = read_latent(request.latent, parts);
  if (!request.given.empty()) conditions.given = read_given(request.given, request.mask, request.given_noise, parts);
  const std::int64_t rows = conditions.latent.defined() ? conditions.latent.size(0)
                            : conditions.given          ? conditions.given->points.size(0)
                                                        : kDefaultSamples;
  const std::int64_t n = request.n > 0 ? request.n : rows;
  Ranks& ranks = *ports.ranks;
  const RowShare own = own_rows(ranks, n, "-n");
  if (!ranks.alone() && parts.kernel && parts.kernel->interacts())
    throw RequestError("sampler", "its chains act on one another, so ranks cannot share them", "sample in one process");
  const std::filesystem::path parent = std::filesystem::path(out).parent_path();
  std::error_code error;
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (error) throw WorkError(parent.string(), fmt::format("cannot make the directory: {}", error.message()));
  Conditions given = conditions;
  if (!ranks.alone()) {
    if (given.latent.defined()) given.latent = latent_rows(given.latent, n)[0].narrow(0, own.first, own.count);
    if (given.given) given.given = share_of(given_rows(*given.given, n), own);
  }

  // What the samples are a function of.
  std::string what = fmt::format("sample\nstep {}\nn {}\nseed {}\n{}\n", step, n, seed, write_toml(parts.resolved));
  for (const std::string& file : {request.latent, request.given, request.mask})
    if (!file.empty()) what += fmt::format("{} {}\n", file, sha256_of_file(file));
  what += fmt::format("noise {}\nchains {}\n", request.given_noise, request.chains);
  PartialFile partial(out + ".partial", what, *ports.logger);
  Ports whole = ports;
  whole.states = &partial;
  std::unique_ptr<ChainFile> chains;
  if (!request.chains.empty()) {
    if (parts.sample.schedule != "chain" || parts.decoder)
      throw RequestError("--chains", "only the schedule 'chain' has states to write");
    ChainFileOptions options;
    options.columns = parts.transforms.columns;
    options.keep = draws_so_far(partial, parts.chain);
    options.notes = {{"gibbsite", environment().version},
                     {"method", "sample (Default)"},
                     {"num_samples", std::to_string(parts.chain.steps / parts.chain.thin)},
                     {"num_warmup", std::to_string(parts.chain.burn_in)},
                     {"thin", std::to_string(parts.chain.thin)},
                     {"seed", std::to_string(seed)}};
    if (ranks.first()) {
      chains = make_chain_file(request.chains, options);
      whole.samples = chains.get();
    }
  }
  SharedChains shared(whole, !request.chains.empty());
  Drawn drawn;
  try {
    drawn = draw(parts, own.count, Rng(seed, "sample").at_row(own.first), shared.ports(), given);
  } catch (const Interrupted&) {
    if (ranks.first()) partial.write();
    throw Interrupted("sample", fmt::format("stopped; the same command goes on from {}", partial.path()));
  }

  drawn.x = ranks.gather(drawn.x);
  if (drawn.acceptance.defined()) drawn.acceptance = ranks.gather(drawn.acceptance);
  SampleOutcome outcome;
  outcome.x = parts.transforms.pipeline.inverse(drawn.x).detach().cpu();
  if (conditions.given) outcome.x = with_known(given_rows(*conditions.given, n), outcome.x);
  if (drawn.acceptance.defined()) outcome.acceptance = drawn.acceptance.mean().item<double>();
  if (!ranks.first()) return outcome;
  if (extension == ".npy") write_npy(out, outcome.x);
  if (extension == ".csv") write_csv(out, outcome.x, parts.transforms.columns);
  if (extension == ".png") write_picture(out, outcome.x, parts, *ports.logger);
  outcome.files.push_back(out);
  if (chains)
    for (const std::string& file : chains->files()) outcome.files.push_back(file);
  partial.remove();
  return outcome;
}

}  // namespace gibbsite
