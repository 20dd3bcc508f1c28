#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/recipe/model_study.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/train.h>
#include <gibbsite/report/image.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iterator>

namespace gibbsite {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kSmokeRows = 64;
const std::string kData = "data=";

double cpu_seconds_now() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

std::string cpu_file(const std::string& run) { return run + "/cpu-seconds"; }

// That the training of a run has taken, in all calls.
double cpu_seconds_of(const std::string& run) {
  if (!fs::exists(cpu_file(run))) return 0;
  const std::string text = read_file(cpu_file(run));
  char* end = nullptr;
  const double seconds = std::strtod(text.c_str(), &end);
  if (end == text.c_str()) throw WorkError(cpu_file(run), "is not a number of seconds");
  return seconds;
}

// Adds this call's share when it ends, however it does.
class CpuTime {
 public:
  explicit CpuTime(std::string run) : run_(std::move(run)), start_(cpu_seconds_now()) {}
  ~CpuTime() {
    try {
      if (fs::exists(run_ + "/recipe.toml"))
        write_file(cpu_file(run_), fmt::format("{:.1f}\n", cpu_seconds_of(run_) + cpu_seconds_now() - start_));
    } catch (const std::exception&) {
      // The run was not begun, or the disk is full, which its checkpoints say better.
    }
  }
  CpuTime(const CpuTime&) = delete;
  CpuTime& operator=(const CpuTime&) = delete;

 private:
  std::string run_;
  double start_;
};

}  // namespace

std::string asked_data(const std::vector<std::string>& set, const std::string& otherwise) {
  std::string data = otherwise;
  for (const std::string& assignment : set)
    if (assignment.rfind(kData, 0) == 0) data = assignment.substr(kData.size());
  return data;
}

ModelStudy::ModelStudy(const StudyPlan& plan, const ExperimentContext& context, const Ports& ports,
                       const std::string& otherwise_data, std::vector<std::string> slugs, std::string metric)
    : plan_(plan), context_(context), ports_(ports), metric_(std::move(metric)), slugs_(std::move(slugs)) {
  options_.minutes = plan.minutes;
  std::vector<std::string> asked = context.set;
  only_ = take_methods(asked, slugs_);
  options_ = take_options(asked, plan.name, options_);
  data_ = asked_data(asked, otherwise_data);
  if (!options_.models.empty() && !fs::is_directory(options_.models))
    throw RequestError(plan.name + ".models", fmt::format("there is no directory '{}'", options_.models));
  for (const std::string& assignment : asked) {
    const std::string key = assigned_key(assignment);
    if (key == "data.name")
      throw RequestError("--set data.name", "rows would be of another data set than they say", "--set data=NAME");
    if (key != "data") set_.push_back(assignment);
  }
  set_.insert(set_.begin(), "data.name=" + data_);
  dataset_ =
      data_ == "cifar10" && load_published(data_, context.path).train->size() < 50000 ? data_ + "-partial" : data_;
}

const StudyModel& ModelStudy::model(const std::string& slug) const {
  for (const StudyModel& model : plan_.models)
    if (model.slug == slug) return model;
  throw RequestError("method", fmt::format("{} has no model '{}' of {}", plan_.name, slug, data_));
}

bool ModelStudy::wanted(const std::string& slug) const {
  return only_.empty() || std::find(only_.begin(), only_.end(), slug) != only_.end();
}

bool ModelStudy::serves(const StudyModel& model) const {
  return (only_.empty() || !wanted(model.slug)) &&
         std::any_of(plan_.models.begin(), plan_.models.end(),
                     [&](const StudyModel& other) { return other.base == model.slug; });
}

std::vector<StudyModel> ModelStudy::missing() {
  const auto find = [&] {
    std::vector<StudyModel> found;
    for (const StudyModel& model : plan_.models)
      if (std::find(slugs_.begin(), slugs_.end(), model.slug) != slugs_.end() && wanted(model.slug) &&
          !context_.measured(model.slug, dataset_, metric_))
        found.push_back(model);
    return found;
  };
  const std::vector<StudyModel> chosen = find();
  // A model that others are based on has settings of recipes where it is asked for by itself only.
  const bool based = std::any_of(chosen.begin(), chosen.end(), [](const StudyModel& m) { return !m.base.empty(); });
  if (chosen.size() < 2 || !context_.apart) return chosen;
  if (based && set_.size() > 1) {
    ports_.logger->warn("with settings of recipes these models are trained one after another");
    return chosen;
  }
  std::vector<std::string> slugs;
  for (const StudyModel& model : chosen) slugs.push_back(model.slug);
  outcome.summary = context_.apart(slugs);
  return find();
}

std::string ModelStudy::run_of(const StudyModel& model, const std::string& variant) const {
  const fs::path own = context_.directory;
  const std::string name = fmt::format("{}{}-{}", model.slug, variant, dataset_);
  const fs::path other = fs::path(options_.models) / own.filename() / name;
  return options_.models.empty() || CheckpointStore(other.string()).empty() ? (own / name).string() : other.string();
}

ModelStudy::Trained ModelStudy::train(const StudyModel& model, double share, const std::string& variant,
                                      const std::vector<std::string>& set) const {
  if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped before {}", model.slug));
  TrainRequest request;
  request.recipe = model.recipe;
  if (context_.scale != "paper") {
    const double steps = std::ceil(share * model.steps * options_.minutes / plan_.minutes);
    request.set = model.set;
    request.set.push_back(fmt::format("train.steps={:.0f}", steps));
  }
  request.set.insert(request.set.end(), model.always.begin(), model.always.end());
  if (!model.base.empty()) request.set.push_back(fmt::format("vae.run=\"{}\"", train(this->model(model.base)).run));
  if (smoke() && !model.route.empty()) request.set.emplace_back("sample.steps=4");
  request.set.insert(request.set.end(), set.begin(), set.end());
  if (smoke()) {
    request.set.insert(request.set.end(), plan_.smoke.begin(), plan_.smoke.end());
    request.set.insert(request.set.end(), model.smoke.begin(), model.smoke.end());
  }
  for (const std::string& assignment : set_)
    if (!serves(model) || assignment.rfind("data.", 0) == 0) request.set.push_back(assignment);
  request.seed = static_cast<std::int64_t>(context_.seed);
  request.out = run_of(model, variant);
  request.path = context_.path;
  const std::int64_t wanted = requested_recipe(request).at_table("train").find("steps")->integer();
  if (steps_done(request.out, *ports_.logger) < wanted) {
    ports_.logger->info(fmt::format("{}: training to step {} in {}", model.slug, wanted, request.out));
    const CpuTime time(request.out);
    train_or_resume(request, ports_);
  }
  Trained trained = load(model, request.out);
  trained.further = trained.step > wanted;
  return trained;
}

std::vector<std::string> ModelStudy::sampling_settings(const StudyModel& model) const {
  std::vector<std::string> chosen;
  if (!serves(model))
    std::copy_if(set_.begin(), set_.end(), std::back_inserter(chosen), [](const std::string& assignment) {
      return covers(settings_of_sampling(), assigned_key(assignment));
    });
  return chosen;
}

ModelStudy::Trained ModelStudy::load(const StudyModel& model, const std::string& run) const {
  Trained trained;
  trained.run = run;
  trained.cpu_seconds = cpu_seconds_of(run);
  trained.parts =
      load_run(RunDirectory::open(run), sampling_settings(model), true, context_.path, *ports_.logger, &trained.step);
  trained.parts.freeze();
  return trained;
}

Row ModelStudy::row(const std::string& method, const char* metric, const Estimate& estimate, const char* unit) const {
  Row made;
  made.method = method;
  made.dataset = dataset_;
  made.metric = metric;
  made.value = estimate.value;
  made.standard_error = estimate.standard_error;
  made.unit = unit;
  return made;
}

Row ModelStudy::row(const StudyModel& model, const Trained& trained, const char* metric, const Estimate& estimate,
                    const char* unit) const {
  Row made = row(model.slug, metric, estimate, unit);
  made.settings["step"] = static_cast<double>(trained.step);
  if (!model.route.empty()) made.settings["route"] = model.route;
  return made;
}

Dataset ModelStudy::rows(const Dataset& split, std::int64_t count) const {
  return split.rows(0, std::min({split.size(), count, smoke() ? kSmokeRows : count}));
}

Dataset ModelStudy::last_rows(const Dataset& split, std::int64_t count) const {
  const std::int64_t taken = rows(split, count).size(), from = split.size() - taken;
  if (from < taken)
    throw RequestError("experiment.rows",
                       fmt::format("the last {} of {} images are among the first", taken, split.size()));
  return split.rows(from, taken);
}

SampleJudge& ModelStudy::judge() {
  if (judge_) return *judge_;
  SampleJudgeSettings settings;
  settings.channels = data_ == "stacked-mnist";
  // Three digits in a row are right less often than one, so there the classifier is trained to the end.
  if (!settings.channels || smoke()) settings.set = SampleJudgeSettings::of_scale(context_.scale);
  settings.set.push_back("data.name=" + (settings.channels ? "mnist" : data_));
  if (data_ == "cifar10") settings.set.emplace_back("data.pad=0");
  settings.classifier = options_.classifier;
  judge_ = std::make_unique<SampleJudge>(settings, context_, ports_);
  return *judge_;
}

void ModelStudy::picture(const Parts& parts, const Tensor& images, const std::string& file, const std::string& caption,
                         std::int64_t columns) {
  GridStyle style;
  style.columns = columns;
  style.scale = 2;
  write_image_grid(file, unit_range(images, parts.transforms), style);
  outcome.pictures.push_back(read_picture(file, caption));
}

void ModelStudy::say(const std::string& line) {
  outcome.summary.push_back(line);
  ports_.logger->info(line);
}

}  // namespace gibbsite
