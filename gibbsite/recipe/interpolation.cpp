#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/recipe/deep_eblvm.h>
#include <gibbsite/recipe/interpolation.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/train.h>
#include <torch/types.h>

#include <vector>

namespace gibbsite {
namespace {

const char* const kMethod = "vages-mdsm";
constexpr std::int64_t kDraws = 256;  // for the mean of an encoder without a formula

class KeepStates : public SampleWriter {
 public:
  void write(std::int64_t /*step*/, const Tensor& x) override { states.push_back(x.detach().clone()); }
  std::vector<Tensor> states;
};

// The trained run, in `set` what the command line gives of it.
std::string trained_run(const ExperimentContext& context, const std::vector<std::string>& set, const Ports& ports) {
  TrainRequest request;
  request.recipe = "vages/deep-eblvm";
  request.set = deep_eblvm_overrides(context.scale);
  if (context.scale == "smoke") request.set.emplace_back("train.steps=2");
  if (context.scale == "desk") request.set.emplace_back("train.steps=3000");
  request.set.insert(request.set.end(), set.begin(), set.end());
  request.seed = static_cast<std::int64_t>(context.seed);
  request.out = fmt::format("{}/{}", context.directory, kMethod);
  request.path = context.path;
  train_or_resume(request, ports);
  return request.out;
}

}  // namespace

ExperimentOutcome reproduce_interpolation(const ExperimentContext& context, const Ports& ports) {
  std::vector<std::string> set = context.set;
  const auto options = take_experiment_options(set, InterpolationOptions{});
  const std::string run = options.run.empty() ? trained_run(context, set, ports) : options.run;
  std::int64_t trained = 0;
  const Parts parts = load_run(RunDirectory::open(run), {}, true, context.path, *ports.logger, &trained);
  if (!parts.latent_model || !parts.encoder)
    throw RequestError("experiment.run", fmt::format("{} is no latent-variable energy with an encoder", run));
  parts.freeze();

  const Rng rng(context.seed, "interpolation");
  Rng pick = rng.stream("image"), of_mean = rng.stream("mean"), start = rng.stream("start");
  const Dataset& train = parts.data->splits.train;
  const Tensor image = parts.transforms.pipeline.forward(train.rows(pick.integers({1}, train.size()).flatten()).x)
                           .to(parts.like().options());
  const Tensor mean = posterior_moments(*parts.encoder, image, kDraws, of_mean).mean;
  const Tensor v0 = 0.5 + start.normal(image.sizes(), image);
  const AnnealingSchedule schedule = temperature_schedule(parts.annealing);
  const TemperatureAnnealing& annealing = parts.annealing;
  const std::int64_t total = annealing.hot_steps + annealing.cooling_steps + annealing.quench_steps;

  std::vector<Tensor> pictures, last;
  for (std::int64_t i = 0; i < options.points; ++i) {
    const double along = 1 - 2 * static_cast<double>(i) / static_cast<double>(options.points - 1);
    Target target;
    const auto joint = parts.latent_model;
    target.energy = [joint, h = (options.radius * along * mean).unsqueeze(0)](const Tensor& v) {
      return joint->joint(v, h)[0];
    };
    KeepStates keep;
    Ports own = ports;
    own.samples = &keep;
    const AnnealingResult result = anneal(
        schedule, [&](std::int64_t) { return target; }, v0, rng.stream("chain"), own,
        std::max<std::int64_t>((total - 1) / options.states, 1));
    if (result.interrupted) throw Interrupted("reproduce", "stopped between points of the line");
    Tensor x = result.x;
    if (parts.sample.denoise > 0) x = denoise(target, x, parts.sample.denoise);
    x = x.clamp(0, 1);
    keep.states.resize(static_cast<std::size_t>(options.states), x);
    keep.states.back() = x;
    for (const Tensor& state : keep.states) pictures.push_back(state.clamp(0, 1));
    last.push_back(x);
    ports.logger->progress(fmt::format("point {} of {}", i + 1, options.points),
                           static_cast<double>(i + 1) / static_cast<double>(options.points));
  }

  double sum = 0, largest = 0;
  const auto distance = [](const Tensor& a, const Tensor& b) { return (a - b).norm().item<double>(); };
  for (std::size_t i = 0; i + 1 < last.size(); ++i) {
    const double step = distance(last[i], last[i + 1]);
    sum += step;
    largest = std::max(largest, step);
  }
  const double typical = sum / static_cast<double>(last.size() - 1), ends = distance(last.front(), last.back());
  std::vector<Row> rows;
  for (const auto& [metric, value] :
       {std::pair("largest_step", largest / typical), std::pair("end_distance", ends / typical)}) {
    Row row;
    row.method = kMethod;
    row.dataset = data_name(parts);
    row.metric = metric;
    row.value = value;
    row.unit = "mean steps";
    row.settings["step"] = static_cast<double>(trained);
    row.settings["radius"] = options.radius;
    rows.push_back(std::move(row));
  }
  context.add(rows);

  ExperimentOutcome outcome;
  outcome.summary.push_back(fmt::format(
      "largest step {:.2f} of the mean one (at most 3), ends {:.2f} apart (at least 3)", rows[0].value, rows[1].value));
  const std::string picture = context.directory + "/trajectories.png";
  const Tensor grid = at::cat(pictures);
  write_picture(picture, parts.transforms.pipeline.inverse(grid).detach().cpu(), parts, *ports.logger);
  outcome.pictures.push_back(
      read_picture(picture, fmt::format("rows: latent variables from rμ to -rμ; columns: states of "
                                        "the annealed chain, the last one denoised; {} steps",
                                        trained)));
  return outcome;
}

}  // namespace gibbsite
