#include <fcntl.h>
#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/run_directory.h>
#include <gibbsite/recipe/write.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

const char* const kRecipe = "recipe.toml";
const char* const kTransforms = "transforms.pt";
const char* const kMetrics = "metrics.jsonl";

bool belongs_to_a_run(const fs::path& path) {
  const std::string name = path.filename().string();
  static const std::vector<std::string> names = {kRecipe,  kTransforms, kMetrics,      "evaluation.json",   "samples",
                                                 "scores", "codes",     "report.html", "evaluation.partial"};
  return std::find(names.begin(), names.end(), name) != names.end() || name.rfind("checkpoint-", 0) == 0 ||
         name.rfind("events.out.tfevents.", 0) == 0;
}

/// Keys that may differ when a run goes on.
bool may_change(const std::string& key) {
  return key == "title" || key == "device" || key == "train" || key == "sample" || key == "sampler" ||
         key == "evaluate";
}

std::string difference(const Config& a, const Config& b) {
  std::vector<std::string> keys = a.keys();
  for (const std::string& key : b.keys())
    if (!a.contains(key)) keys.push_back(key);
  for (const std::string& key : keys) {
    const Config *x = a.find(key), *y = b.find(key);
    if (x && y && *x == *y) continue;
    const auto both = [&](Config::Kind kind) { return x && y && x->kind() == kind && y->kind() == kind; };
    if (both(Config::Kind::kTable)) return key + "." + difference(*x, *y);
    if (both(Config::Kind::kArray) && x->items().size() == y->items().size())
      for (std::size_t i = 0; i < x->items().size(); ++i) {
        const Config &one = x->items()[i], &other = y->items()[i];
        if (one.is_table() && other.is_table() && !(one == other))
          return fmt::format("{}[{}].{}", key, i, difference(one, other));
      }
    return key;
  }
  return "";
}

class JsonlMetricWriter : public MetricWriter {
 public:
  explicit JsonlMetricWriter(std::string path) : path_(std::move(path)) {
    file_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (file_ < 0) fail();
  }
  ~JsonlMetricWriter() override {
    try {
      send();
    } catch (const WorkError&) {
      // The disk is full; the checkpoints said so already.
    }
    ::close(file_);
  }
  JsonlMetricWriter(const JsonlMetricWriter&) = delete;
  JsonlMetricWriter& operator=(const JsonlMetricWriter&) = delete;

  void write(std::int64_t step, const std::string& phase, const NamedNumbers& numbers) override {
    nlohmann::ordered_json line = {{"step", step}, {"phase", phase}};
    for (const auto& [name, value] : numbers)
      line[name] = std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
    pending_ += line.dump() + "\n";
    send();
  }
  void flush() override {
    send();
    ::fsync(file_);
  }

 private:
  std::string path_, pending_;
  int file_ = -1;

  [[noreturn]] void fail() const { throw WorkError(path_, fmt::format("cannot write: {}", std::strerror(errno))); }
  void send() {
    while (!pending_.empty()) {
      const ssize_t n = ::write(file_, pending_.data(), pending_.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail();
      pending_.erase(0, static_cast<std::size_t>(n));
    }
  }
};

Config shape_config(const Shape& shape) { return Config::array({shape.begin(), shape.end()}); }

Shape read_shape(const Config& config) {
  Shape shape;
  for (const Config& item : config.items()) shape.push_back(item.integer());
  return shape;
}

}  // namespace

RunDirectory RunDirectory::create(const std::string& path, const Config& resolved, ExistingRun existing,
                                  std::shared_ptr<void> lock) {
  std::error_code error;
  const bool there = fs::exists(path, error);
  if (there && !fs::is_directory(path, error)) throw RequestError(path, "is a file, expected a directory for the run");
  RunDirectory run(path);
  const bool is_run = fs::exists(run.file(kRecipe), error);
  if (existing == ExistingRun::kResume && !is_run)
    throw WorkError(path, "no run to resume", "train without --resume starts one");
  fs::create_directories(path, error);
  if (error) throw WorkError(path, fmt::format("cannot make the directory: {}", error.message()));
  run.lock(std::move(lock));
  if (existing == ExistingRun::kResume) {
    Config mine = resolved, theirs = run.recipe();
    for (const std::string& key : resolved.keys())
      if (may_change(key)) {
        mine.erase(key);
        theirs.erase(key);
      }
    const std::string key = difference(theirs, mine);
    if (!key.empty())
      throw RequestError(path, fmt::format("cannot resume: '{}' differs from the recipe of the run", key),
                         "only [train], [sample], [sampler] and [evaluate] may change");
  } else if (there) {
    if (is_run && existing == ExistingRun::kRefuse)
      throw RequestError(path, "holds a run already",
                         "--resume continues it, --force replaces it, --out names another");
    fs::directory_iterator entries(path, error);
    if (error) throw WorkError(path, fmt::format("cannot read the directory: {}", error.message()));
    std::vector<fs::path> old;
    for (const fs::directory_entry& entry : entries) {
      if (belongs_to_a_run(entry.path()))
        old.push_back(entry.path());
      else if (!is_run)
        throw RequestError(path,
                           fmt::format("is neither empty nor a run (it holds {})", entry.path().filename().string()),
                           "name another directory with --out");
    }
    for (const fs::path& entry : old) {
      fs::remove_all(entry, error);
      if (error) throw WorkError(entry.string(), fmt::format("cannot remove: {}", error.message()));
    }
  }
  write_file(run.file(kRecipe), write_toml(resolved));
  return run;
}

void RunDirectory::lock(std::shared_ptr<void> held) {
  lock_ = held ? std::move(held) : lock_folder(path_, false);
  if (!lock_) throw WorkError(path_, "another process trains in this directory", "wait for it, or --out names another");
}

RunDirectory RunDirectory::open(const std::string& path) {
  const RunDirectory run(path);
  std::error_code error;
  if (!fs::is_directory(path, error)) throw WorkError(path, "no such run, so no readable checkpoint");
  if (!fs::exists(run.file(kRecipe), error))
    throw WorkError(path, "no readable checkpoint: it is not a run, having no recipe.toml");
  return run;
}

Config RunDirectory::recipe() const { return parse_toml(read_file(file(kRecipe)), file(kRecipe)); }

void RunDirectory::write_transforms(const StoredTransforms& transforms) const {
  Config table = Config::table({{"event", shape_config(transforms.event)},
                                {"model_event", shape_config(transforms.model_event)},
                                {"value_low", Config(transforms.value_low)},
                                {"value_high", Config(transforms.value_high)},
                                {"columns", Config::array({transforms.columns.begin(), transforms.columns.end()})},
                                {"pipeline", transforms.pipeline.config()}});
  Checkpoint stored;
  stored.notes.emplace_back("transforms", write_toml(table));
  for (const auto& [name, tensor] : transforms.pipeline.state())
    stored.tensors.emplace_back("pipeline/" + name, tensor);
  stored.tensors.emplace_back("low", transforms.low);
  stored.tensors.emplace_back("high", transforms.high);
  write_checkpoint(file(kTransforms), stored);
}

StoredTransforms RunDirectory::read_transforms() const {
  const Checkpoint stored = read_checkpoint(file(kTransforms));
  const auto note = std::find_if(stored.notes.begin(), stored.notes.end(),
                                 [](const auto& entry) { return entry.first == "transforms"; });
  if (note == stored.notes.end()) throw WorkError(file(kTransforms), "holds no transforms");
  const Config table = parse_toml(note->second, file(kTransforms));
  StoredTransforms transforms;
  transforms.event = read_shape(*table.find("event"));
  transforms.model_event = read_shape(*table.find("model_event"));
  transforms.value_low = table.find("value_low")->real();
  transforms.value_high = table.find("value_high")->real();
  if (const Config* columns = table.find("columns"))
    for (const Config& column : columns->items()) transforms.columns.push_back(column.string());
  transforms.pipeline = Pipeline::restore(*table.find("pipeline"), stored.under("pipeline/"));
  transforms.low = stored.at("low");
  transforms.high = stored.at("high");
  return transforms;
}

std::unique_ptr<MetricWriter> RunDirectory::metric_writer(std::int64_t last_step) const {
  const std::string path = file(kMetrics);
  std::error_code error;
  if (fs::exists(path, error)) {
    std::istringstream old(read_file(path));
    std::string kept;
    for (std::string line; std::getline(old, line);) {
      const nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
      if (!parsed.is_object() || !parsed.contains("step") || !parsed["step"].is_number_integer()) continue;
      if (parsed["step"].get<std::int64_t>() <= last_step) kept += line + "\n";
    }
    write_file(path, kept);
  }
  return std::make_unique<JsonlMetricWriter>(path);
}

std::vector<MetricLine> read_metrics(const std::string& path) {
  std::vector<MetricLine> lines;
  std::error_code error;
  if (!fs::exists(path, error)) return lines;
  std::istringstream text(read_file(path));
  for (std::string line; std::getline(text, line);) {
    const nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
    if (!parsed.is_object() || !parsed.contains("step") || !parsed["step"].is_number_integer()) continue;
    MetricLine metric;
    metric.step = parsed["step"].get<std::int64_t>();
    metric.phase = parsed.value("phase", "");
    for (const auto& [name, value] : parsed.items())
      if (name != "step" && value.is_number()) metric.numbers.emplace_back(name, value.get<double>());
    // After a rollback the same steps are made again.
    lines.erase(
        std::remove_if(lines.begin(), lines.end(),
                       [&](const MetricLine& line) { return line.phase == metric.phase && line.step >= metric.step; }),
        lines.end());
    lines.push_back(std::move(metric));
  }
  return lines;
}

}  // namespace gibbsite
