#include <fmt/format.h>
#include <gibbsite/core/digest.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/named_set.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/metric/quadrature.h>
#include <gibbsite/metric/table.h>
#include <gibbsite/model/classifier.h>
#include <gibbsite/recipe/evaluate.h>
#include <gibbsite/recipe/judge.h>
#include <gibbsite/recipe/partial_file.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/score.h>
#include <gibbsite/recipe/write.h>
#include <gibbsite/report/chain_file.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <memory>

namespace gibbsite {
namespace {

constexpr std::int64_t kTrainingPoints = 10000;

// Of a model that is a classifier itself.
Tensor probabilities(const Classifier& classifier, const Tensor& x) {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> chunks;
  for (const Tensor& chunk : x.split(256)) chunks.push_back(classifier.logits(chunk).softmax(1));
  return torch::cat(chunks);
}

// Points in the model's units as images [N, C, H, W] in [0, 1].
Tensor unit_images(const Parts& parts, const Tensor& y) {
  const StoredTransforms& stored = parts.transforms;
  if (stored.value_high <= stored.value_low || stored.event.size() < 2)
    throw RequestError("evaluate", "the data of the run are no images of a known range");
  Tensor images = parts.transforms.pipeline.inverse(y.to(torch::kDouble).cpu());
  images = ((images - stored.value_low) / (stored.value_high - stored.value_low)).clamp(0, 1);
  return images.dim() == 3 ? images.unsqueeze(1) : images;
}

// States of chains by the settings of [sample], on the disk as they come, then their diagnostics' input.
void run_chains(const Parts& parts, const std::string& file, const Rng& rng, const Ports& ports, MetricInput& input) {
  if (parts.sample.schedule != "chain" || parts.decoder)
    throw RequestError("metric chains", "needs the schedule 'chain'", "--set sample.schedule=chain");
  if (parts.chain.steps < parts.chain.thin) throw RequestError("metric chains", "sample.steps gives no state");
  ChainFileOptions options;
  options.keep = draws_so_far(*ports.states, parts.chain);
  const std::unique_ptr<ChainFile> writer = make_chain_file(file, options);
  Ports inner = ports;
  inner.samples = writer.get();
  input.divergences = draw(parts, parts.evaluate.chains, rng, inner).divergences;
  input.chains = read_npy(file).to(torch::kDouble);
  input.columns = parts.transforms.columns;
  if (!input.energy) return;
  const Tensor y = parts.transforms.pipeline.forward(input.chains.flatten(0, 1)).to(parts.like().options());
  input.chain_energies = energies(input.energy, y, 1024).view({input.chains.size(0), input.chains.size(1)});
}

}  // namespace

Result evaluate_run(const EvaluateRequest& request, const Ports& ports) {
  for (const std::string& name : request.metrics) find_metric(name);
  const RunDirectory run = RunDirectory::open(request.run);
  std::int64_t step = 0;
  const Parts parts = load_run(run, request.set, true, request.path, *ports.logger, &step);
  parts.freeze();
  const std::vector<std::string>& names = request.metrics.empty() ? parts.evaluate.metrics : request.metrics;
  if (names.empty()) throw RequestError("evaluate", "no metric was asked for", "--metric NAME or evaluate.metrics");
  for (const std::string& name : names) parts.require_metric(name, "--metric");

  const auto first_rows = [](const Dataset& all, std::int64_t limit) {
    return limit > 0 && all.size() > limit ? all.rows(0, limit) : all;
  };
  const auto seed = static_cast<std::uint64_t>(request.seed.value_or(parts.general.seed));
  const Rng rng(seed, "evaluate");
  std::string what =
      fmt::format("evaluate\nstep {}\nseed {}\n{}\n{}\n", step, seed, write_toml(parts.resolved), request.data);
  if (std::filesystem::is_regular_file(request.data)) what += sha256_of_file(request.data);
  PartialFile partial(run.file("evaluation.partial"), what, *ports.logger);
  const Pipeline& pipeline = parts.transforms.pipeline;
  const auto prepare = [&](const Tensor& x, const std::string& stream) {
    return pipeline.prepare(x, rng.stream("evaluate/" + stream)).to(parts.like().options());
  };
  const Dataset rows = first_rows(held_out(parts, request.data, request.path), parts.evaluate.points);

  MetricInput input;
  if (!parts.flat()) input.manifold = parts.manifold.get();
  const Energy* energy = parts.energy.get();
  // Metrics know nothing of signals; their energies do.
  const EnergyFn heeding = [energy, &ports](const Tensor& x) {
    if (ports.interrupt->requested()) throw Interrupted("evaluate", "stopped");
    return energy->energy(x);
  };
  if (parts.vae.space) {
    input.space = parts.vae.space.get();
    input.correction = heeding;
  } else if (energy) {
    input.energy = heeding;
    if (energy->has_jet()) input.jet = [energy](const Jet& x) { return *energy->energy(x); };
  }
  input.data = prepare(rows.x, "data");
  input.labels = rows.label;
  // At the points that the noise of the pipeline moved them to.
  const Tensor moved = pipeline.inverse(input.data.to(torch::kDouble).cpu());
  input.log_jacobian = pipeline.log_abs_det(moved).mean().item<double>();
  input.training = prepare(first_rows(parts.data->splits.train, kTrainingPoints).x, "training");
  input.rng = rng.stream("metric");

  Result result;
  result.experiment = "evaluate";
  result.scale = "desk";
  result.seed = seed;
  result.environment = environment();
  const auto asked = [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end() && partial.text(name).empty();
  };
  const auto stored = [&](const std::string& prefix, const auto& work) {
    PrefixedStore states(partial, prefix);
    Ports inner = ports;
    inner.states = &states;
    work(inner);
  };
  try {
    if (asked("auroc"))
      for (const std::string& name : parts.evaluate.out) {
        const Dataset out = first_rows(held_out(parts, name, request.path), parts.evaluate.points);
        input.out.emplace_back(name, prepare(out.x, "out/" + name));
      }
    const char* const of_samples[] = {"moments",        "mmd", "digit_criterion", "frechet_classifier", "fid",
                                      "inception_score"};
    if (std::any_of(std::begin(of_samples), std::end(of_samples), asked))
      stored("samples/", [&](const Ports& inner) {
        input.samples = draw(parts, parts.evaluate.samples, rng.stream("samples"), inner).x;
      });
    if (asked("chains"))
      stored("chains/", [&](const Ports& inner) {
        run_chains(parts, run.file("samples/chains.npy"), rng.stream("chains"), inner, input);
      });

    if (!parts.evaluate.classifier.empty()) {
      const Judge judge(parts.evaluate.classifier, parts.transforms.event, "evaluate.classifier", request.path,
                        *ports.logger);
      input.classify = [&pipeline, judge](const Tensor& y) { return judge.probabilities(pipeline.inverse(y)); };
      input.features = [&pipeline, judge](const Tensor& y) { return judge.features(pipeline.inverse(y)); };
    } else if (const auto* classifier = dynamic_cast<const Classifier*>(energy)) {
      input.classify = [classifier](const Tensor& y) { return probabilities(*classifier, y); };
      input.features = [classifier](const Tensor& y) { return classifier->features(y); };
    }

    if (!parts.inception.module.empty()) {
      const InceptionModule inception(parts.inception);
      input.inception_sha256 = inception.sha256();
      input.inception = [&parts, inception](const Tensor& y) { return inception(unit_images(parts, y)); };
    }

    std::size_t done = 0;
    for (const std::string& name : names) {
      if (ports.interrupt->requested()) throw Interrupted("evaluate", "stopped");
      ports.logger->progress(fmt::format("evaluating {} ({} of {})", name, done + 1, names.size()),
                             static_cast<double>(done) / static_cast<double>(names.size()));
      ++done;
      Result own = result;
      own.rows.clear();
      if (const std::string kept = partial.text(name); !kept.empty()) {
        own = parse_result(kept, partial.path());
      } else {
        for (const MetricValue& value : find_metric(name).evaluate(input)) {
          Row row;
          row.method = parts.phases.back().objective_name;
          row.dataset = data_name(parts);
          row.metric = value.metric;
          row.value = value.estimate.value;
          row.standard_error = value.estimate.standard_error;
          row.unit = value.unit;
          row.settings["seed"] = static_cast<double>(seed);
          row.settings["step"] = static_cast<double>(step);
          if (!request.data.empty()) row.settings["evaluated_on"] = request.data;
          for (const auto& [key, text] : value.settings) row.settings[key] = text;
          own.rows.push_back(std::move(row));
        }
        partial.set_text(name, json_text(own));
      }
      result.rows.insert(result.rows.end(), own.rows.begin(), own.rows.end());
    }
  } catch (const Interrupted&) {
    partial.write();
    throw Interrupted("evaluate", fmt::format("stopped; the same command goes on from {}", partial.path()));
  }
  const std::string file = run.file("evaluation.json");
  Result all = result;
  if (std::filesystem::exists(file)) {
    // Other rows of the same weights stay.
    all.rows.clear();
    for (Row& row : read_result(file).rows)
      if (row.settings.count("step") && row.settings.at("step") == Setting(static_cast<double>(step)))
        all.rows.push_back(std::move(row));
    accumulate(all, result);
  }
  write_result(file, all);
  partial.remove();
  return result;
}

}  // namespace gibbsite
