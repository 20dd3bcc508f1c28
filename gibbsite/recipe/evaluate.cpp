#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/named_set.h>
#include <gibbsite/metric/table.h>
#include <gibbsite/model/classifier.h>
#include <gibbsite/recipe/evaluate.h>
#include <gibbsite/recipe/judge.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/score.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <iterator>

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

}  // namespace

Result evaluate_run(const EvaluateRequest& request, const Ports& ports) {
  for (const std::string& name : request.metrics) find_metric(name);
  const RunDirectory run = RunDirectory::open(request.run);
  std::int64_t step = 0;
  const Parts parts = load_run(run, request.set, true, request.path, *ports.logger, &step);
  parts.freeze();
  const std::vector<std::string>& names = request.metrics.empty() ? parts.evaluate.metrics : request.metrics;
  if (names.empty()) throw RequestError("evaluate", "no metric was asked for", "--metric NAME or evaluate.metrics");
  for (const std::string& name : names)
    if (find_metric(name).needs_energy) parts.require_density(fmt::format("metric {}", name));

  const auto first_rows = [](const Dataset& all, std::int64_t limit) {
    return limit > 0 && all.size() > limit ? all.rows(0, limit) : all;
  };
  const auto seed = static_cast<std::uint64_t>(request.seed.value_or(parts.general.seed));
  const Rng rng(seed, "evaluate");
  const Pipeline& pipeline = parts.transforms.pipeline;
  const auto prepare = [&](const Tensor& x, const std::string& stream) {
    return pipeline.prepare(x, rng.stream("evaluate/" + stream)).to(parts.like().options());
  };
  const Dataset rows = first_rows(held_out(parts, request.data, request.path), parts.evaluate.points);

  MetricInput input;
  const Energy* energy = parts.energy.get();
  if (energy && !parts.vae.space) input.energy = [energy](const Tensor& x) { return energy->energy(x); };
  if (input.energy && energy->has_jet()) input.jet = [energy](const Jet& x) { return *energy->energy(x); };
  input.data = prepare(rows.x, "data");
  input.labels = rows.label;
  // At the points that the noise of the pipeline moved them to.
  const Tensor moved = pipeline.inverse(input.data.to(torch::kDouble).cpu());
  input.log_jacobian = pipeline.log_abs_det(moved).mean().item<double>();
  input.training = prepare(first_rows(parts.data->splits.train, kTrainingPoints).x, "training");
  input.rng = rng.stream("metric");

  const auto asked = [&](const char* name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  if (asked("auroc"))
    for (const std::string& name : parts.evaluate.out) {
      const Dataset out = first_rows(held_out(parts, name, request.path), parts.evaluate.points);
      input.out.emplace_back(name, prepare(out.x, "out/" + name));
    }
  const char* const of_samples[] = {"moments",        "mmd", "digit_criterion", "frechet_classifier", "fid",
                                    "inception_score"};
  if (std::any_of(std::begin(of_samples), std::end(of_samples), asked))
    input.samples = draw(parts, parts.evaluate.samples, rng.stream("samples"), ports).x;

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

  Result result;
  result.experiment = "evaluate";
  result.scale = "desk";
  result.seed = seed;
  result.environment = environment();
  for (const std::string& name : names) {
    if (ports.interrupt->requested()) throw Interrupted("evaluate", "stopped; nothing was written");
    ports.logger->info("evaluating " + name);
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
      result.rows.push_back(std::move(row));
    }
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
  return result;
}

}  // namespace gibbsite
