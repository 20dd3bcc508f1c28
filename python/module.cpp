// The Python module gibbsite._core: the services behind the command line, kernels and objectives with Python callables in
// place of models. Tensors pass by reference. The interpreter's lock is free while gibbsite works; ports and callables take
// it for as long as they run Python. python/gibbsite/__init__.py is what users see.
#include <torch/csrc/python_headers.h>

#include <gibbsite/core/check.h>
#include <gibbsite/core/environment.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/data.h>
#include <gibbsite/objective/objective.h>
#include <gibbsite/recipe/encode.h>
#include <gibbsite/recipe/evaluate.h>
#include <gibbsite/recipe/export.h>
#include <gibbsite/recipe/list.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/score.h>
#include <gibbsite/recipe/train.h>
#include <gibbsite/recipe/write.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/tempering.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>

namespace py = pybind11;

namespace gibbsite {
namespace {

using Settings = std::vector<std::string>;

/// A Python object that may be let go of without the lock.
class Held {
 public:
  explicit Held(py::object object)
      : object_(new py::object(std::move(object)), [](py::object* last) {
          const py::gil_scoped_acquire lock;
          delete last;
        }) {}
  const py::object& operator*() const { return *object_; }
  const py::object* operator->() const { return object_.get(); }

 private:
  std::shared_ptr<py::object> object_;
};

Config to_config(const py::handle& value, const std::string& where) {
  if (py::isinstance<py::bool_>(value)) return Config(value.cast<bool>());
  if (py::isinstance<py::int_>(value)) return Config(value.cast<std::int64_t>());
  if (py::isinstance<py::float_>(value)) return Config(value.cast<double>());
  if (py::isinstance<py::str>(value)) return Config(value.cast<std::string>());
  if (py::isinstance<py::dict>(value)) {
    Config table = Config::table();
    table.set_origin(where);
    for (const auto& [key, item] : value.cast<py::dict>()) {
      const auto name = key.cast<std::string>();
      table.set(name, to_config(item, where)).set_origin(where);
    }
    return table;
  }
  if (py::isinstance<py::list>(value) || py::isinstance<py::tuple>(value)) {
    std::vector<Config> items;
    for (const py::handle& item : value) items.push_back(to_config(item, where));
    Config array = Config::array(std::move(items));
    array.set_origin(where);
    return array;
  }
  if (PyIndex_Check(value.ptr()))
    return Config(py::int_(py::reinterpret_borrow<py::object>(value)).cast<std::int64_t>());
  if (PyNumber_Check(value.ptr())) return Config(py::float_(py::reinterpret_borrow<py::object>(value)).cast<double>());
  throw RequestError(where, "expected a bool, number, string, list or dict", std::string(py::str(value.get_type())));
}

/// Ports of a `watcher` with methods metrics(step, phase, numbers), progress(line, done) and log(level, line); None: silent.
/// Ctrl-C and what the watcher raises stop the work, which then saves its state; `finish` raises them again.
class PythonPorts : Interrupt, Logger, MetricWriter, SampleWriter {
 public:
  PythonPorts(const py::object& watcher, bool keep_samples) : watcher_(watcher), keep_(keep_samples) {}
  Ports ports() {
    Ports ports;
    ports.interrupt = this;
    ports.logger = this;
    ports.metrics = this;
    if (keep_) ports.samples = this;
    return ports;
  }
  void finish() const {
    if (error_) std::rethrow_exception(error_);
  }
  std::vector<Tensor> samples;

 private:
  Held watcher_;
  bool keep_;
  std::exception_ptr error_;

  template <class... Arguments>
  void tell(const char* method, const Arguments&... arguments) {
    if (error_) return;
    const py::gil_scoped_acquire lock;
    if (watcher_->is_none()) return;
    try {
      watcher_->attr(method)(arguments...);
    } catch (const py::error_already_set&) {
      error_ = std::current_exception();
    }
  }
  bool requested() override {
    if (error_) return true;
    const py::gil_scoped_acquire lock;
    if (PyErr_CheckSignals() == 0) return false;
    try {
      throw py::error_already_set();
    } catch (const py::error_already_set&) {
      error_ = std::current_exception();
    }
    return true;
  }
  void info(const std::string& line) override { tell("log", "info", line); }
  void warn(const std::string& line) override { tell("log", "warning", line); }
  void progress(const std::string& line, double done) override { tell("progress", line, done); }
  void write(std::int64_t step, const std::string& phase, const NamedNumbers& numbers) override {
    std::map<std::string, double> named(numbers.begin(), numbers.end());
    tell("metrics", step, phase, named);
  }
  void write(std::int64_t /*step*/, const Tensor& x) override { samples.push_back(x.detach()); }
  void flush() override {}
};

/// `work` with the lock released and these ports.
template <class Work>
auto run_with(PythonPorts& ports, Work work) {
  const auto go = [&] {
    const py::gil_scoped_release release;
    return work(ports.ports());
  };
  try {
    return go();
  } catch (const Interrupted&) {
    ports.finish();
    throw;
  }
}

/// What a callable returned: [B], or [B, 1].
Tensor per_example(const py::object& function, const Tensor& x) {
  const py::gil_scoped_acquire lock;
  Tensor out = function(x).cast<Tensor>();
  if (out.dim() == 2 && out.size(1) == 1) out = out.squeeze(1);
  if (out.dim() != 1 || out.size(0) != x.size(0))
    throw RequestError("energy", fmt::format("returned {} for points of {}, expected one number for each",
                                             format_shape(out.sizes()), format_shape(x.sizes())));
  return out;
}

Tensor same_shape(const py::object& function, const Tensor& x) {
  const py::gil_scoped_acquire lock;
  Tensor out = function(x).cast<Tensor>();
  if (out.sizes() != x.sizes())
    throw RequestError("score", fmt::format("returned {} for points of {}, expected the same sizes",
                                            format_shape(out.sizes()), format_shape(x.sizes())));
  return out;
}

/// The parameters of a torch.nn.Module, for objectives that look at them; none for other callables.
std::shared_ptr<torch::nn::Module> parameters_of(const py::object& model) {
  class Parameters : public torch::nn::Module {
   public:
    void add(const std::string& name, const Tensor& value) { register_parameter(name, value, value.requires_grad()); }
  };
  auto module = std::make_shared<Parameters>();
  if (!py::hasattr(model, "named_parameters")) return module;
  for (const py::handle& pair : model.attr("named_parameters")()) {
    auto name = pair.attr("__getitem__")(0).cast<std::string>();
    std::replace(name.begin(), name.end(), '.', '/');
    module->add(name, pair.attr("__getitem__")(1).cast<Tensor>());
  }
  return module;
}

class PythonEnergy : public Energy {
 public:
  PythonEnergy(const py::object& function, Shape event)
      : function_(function), module_(parameters_of(function)), event_(std::move(event)) {}
  using Energy::energy;
  Tensor energy(const Tensor& x) const override { return per_example(*function_, x); }
  torch::nn::Module& module() override { return *module_; }
  Shape event() const override { return event_; }

 private:
  Held function_;
  std::shared_ptr<torch::nn::Module> module_;
  Shape event_;
};

class PythonScore : public ScoreNetwork {
 public:
  PythonScore(const py::object& function, Shape event)
      : function_(function), module_(parameters_of(function)), event_(std::move(event)) {}
  using ScoreNetwork::at;
  ScoreEval at(const Tensor& x, Rng& /*rng*/) const override {
    const Tensor value = same_shape(*function_, x);
    return {value.detach(), [value](const Tensor& z) { return (z * value).sum(); }};
  }
  torch::nn::Module& module() override { return *module_; }
  Shape event() const override { return event_; }

 private:
  Held function_;
  std::shared_ptr<torch::nn::Module> module_;
  Shape event_;
};

std::shared_ptr<const Kernel> kernel_of(const Config& table, const std::string& path) {
  if (!table.contains("name")) throw RequestError(path, "has no name", "for example {\"name\": \"langevin\"}");
  const Config& name = *table.find("name");
  return find_entry(kernel_table(), "sampler", name.string(), path).make(table);
}

/// An objective of the table, for callables. It is built at the first call and again for another model, since objectives
/// hold the parts they train; its state (a replay buffer) goes with it.
class PythonObjective {
 public:
  PythonObjective(std::string name, const py::dict& options, std::uint64_t seed)
      : name_(std::move(name)), config_(to_config(options, "options")), seed_(seed) {
    const auto& entry = find_entry(objective_table(), "objective", name_, "objective");
    config_.set("name", Config(name_));
    // Python callables have no jets.
    for (const OptionDescription& option : entry.options())
      if (option.name == "derivative" && !config_.contains("derivative") &&
          option.range.find("autograd") != std::string::npos)
        config_.set("derivative", Config("autograd"));
  }

  py::tuple call(const py::object& model, const Tensor& x, const Tensor& label, std::int64_t step, double progress,
                 bool score) {
    if (model.ptr() != model_id_ || score != is_score_ || event_shape(x) != event_) build(model, x, score);
    Batch batch;
    batch.x = x;
    batch.label = label;
    batch.global_size = x.size(0);
    batch.progress = progress;
    Loss loss;
    {
      const py::gil_scoped_release release;
      Rng rng = Rng(seed_, "objective").at_step(static_cast<std::uint64_t>(step));
      loss = (*objective_)(batch, rng);
    }
    py::dict log;
    for (const auto& [name, value] : loss.log) log[py::str(name)] = value;
    return py::make_tuple(loss.backward, log);
  }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  Config config_;
  std::uint64_t seed_;
  PyObject* model_id_ = nullptr;
  bool is_score_ = false;
  Shape event_;
  std::shared_ptr<PythonEnergy> energy_;
  std::shared_ptr<PythonScore> score_;
  std::unique_ptr<Objective> objective_;

  void build(const py::object& model, const Tensor& x, bool score) {
    objective_.reset();
    energy_.reset();
    score_.reset();
    event_ = event_shape(x);
    is_score_ = score;
    if (score)
      score_ = std::make_shared<PythonScore>(model, event_);
    else
      energy_ = std::make_shared<PythonEnergy>(model, event_);
    ObjectiveParts parts;
    parts.energy = energy_.get();
    parts.score = score_.get();
    Config config = config_;
    config.find("name");
    parts.kernel = [&config]() -> std::shared_ptr<const Kernel> {
      config.declare_key("sampler");
      return config.contains("sampler") ? kernel_of(config.at_table("sampler"), "objective.sampler") : nullptr;
    };
    parts.data_example = torch::zeros_like(x.narrow(0, 0, 1));
    parts.batch_size = x.size(0);
    parts.rng = Rng(seed_, "objective");
    objective_ = find_entry(objective_table(), "objective", name_, "objective").make(config, parts);
    config.require_all_read();
    model_id_ = model.ptr();
  }
};

/// (x, states, acceptance, step size) of chains of a callable energy or score.
py::tuple sample_from(const py::object& energy, const py::object& score, const Tensor& start, const Shape& shape,
                      const py::dict& sampler, const py::dict& chain, const py::object& manifold, std::uint64_t seed,
                      bool keep, const py::object& watcher) {
  const Config kernel_options = to_config(sampler, "sampler"), chain_options = to_config(chain, "chain");
  const std::shared_ptr<const Kernel> kernel = kernel_of(kernel_options, "sampler");
  kernel_options.require_all_read("sampler");
  const auto options = read_options<ChainOptions>(chain_options, "chain");
  chain_options.require_all_read("chain");
  Target target;
  if (!manifold.is_none()) {
    const Config table = to_config(manifold, "manifold");
    if (!table.contains("name")) throw RequestError("manifold", "has no name");
    target.manifold = find_entry(manifold_table(), "manifold", table.find("name")->string(), "manifold").make(table);
    table.require_all_read("manifold");
  }
  if (energy.is_none() && score.is_none()) throw RequestError("sample_from", "needs an energy or a score");
  if (!energy.is_none()) target.energy = [held = Held(energy)](const Tensor& x) { return per_example(*held, x); };
  if (!score.is_none()) target.score = [held = Held(score)](const Tensor& x) { return same_shape(*held, x); };
  const Rng rng(seed, "sample");
  Tensor first = start;
  if (!first.defined()) {
    Rng draws = rng.stream("start").at_step(0);
    first = target.manifold ? target.manifold->sample(shape.at(0), draws, torch::empty({0}))
                            : draws.normal(shape, at::kFloat);
  }
  PythonPorts ports(watcher, keep);
  const ChainResult result = run_with(ports, [&](const Ports& inner) {
    const ChainResult done = run_chain(kernel, target, replicated(*kernel, first), rng.stream("chain"), options, inner);
    if (done.interrupted) throw Interrupted("sample", "stopped before the chains were done");
    return done;
  });
  py::object states = py::none(), acceptance = py::none();
  const auto rows = [&](const Tensor& x) { return coldest(*kernel, x).detach(); };
  if (keep) {
    for (Tensor& x : ports.samples) x = rows(x);
    states = py::cast(torch::stack(ports.samples));
  }
  if (result.acceptance.defined()) acceptance = py::cast(result.acceptance);
  return py::make_tuple(rows(result.last.x), states, acceptance, result.kernel->step_size());
}

/// A trained run. Parts are built as they are asked for: with the data set or without, with overrides or without.
class PythonRun {
 public:
  PythonRun(std::string directory, const std::string& device, const std::string& data_dir, const py::object& watcher)
      : directory_(std::move(directory)), device_(device), path_(DataPath::standard(data_dir)), watcher_(watcher) {
    parts(false);
  }
  const std::string& directory() const { return directory_; }
  std::int64_t step() const { return step_; }
  std::string recipe() const { return write_toml(RunDirectory::open(directory_).recipe()); }
  std::string model() const { return parts_->model_name; }
  Shape event() const { return parts_->transforms.event; }
  bool has_energy() const { return static_cast<bool>(parts_->energy); }
  std::vector<std::pair<std::string, Tensor>> parameters() {
    std::vector<std::pair<std::string, Tensor>> named;
    for (const Part& part : parts_->named_parts())
      for (const auto& item : part.module->named_parameters())
        named.emplace_back(part.name + "." + item.key(), item.value().detach());
    return named;
  }

  /// energy, score, log_density; None where there is none.
  py::tuple scores(const Tensor& x) {
    check(x);
    PythonPorts ports(*watcher_, false);
    const Scores found = run_with(ports, [&](const Ports& inner) { return score_points(*parts_, x, inner); });
    const auto given = [](const Tensor& t) { return t.defined() ? py::cast(t) : py::object(py::none()); };
    return py::make_tuple(given(found.energy), given(found.score), given(found.log_density));
  }

  /// Energy with its graph in x, in original units.
  Tensor differentiable_energy(const Tensor& x) {
    check(x);
    parts_->require_density("energy");
    const py::gil_scoped_release release;
    const Pipeline& pipeline = parts_->transforms.pipeline;
    const Tensor rows = x.to(parts_->dtype), y = pipeline.forward(rows).to(parts_->like().options());
    return parts_->energy->energy(y) - pipeline.log_abs_det(rows).to(parts_->like().options());
  }

  py::tuple sample(std::int64_t n, const Settings& set, std::optional<std::int64_t> seed, const Tensor& latent) {
    const std::shared_ptr<const Parts> parts = for_samples(set, latent.defined());
    PythonPorts ports(*watcher_, false);
    const auto drawn = run_with(ports, [&](const Ports& inner) {
      Drawn made = draw(*parts, n, Rng(static_cast<std::uint64_t>(seed.value_or(parts->general.seed)), "sample"), inner,
                        {latent.defined() ? latent.to(parts->like().options()) : latent, std::nullopt});
      made.x = parts->transforms.pipeline.inverse(made.x).detach().cpu();
      return made;
    });
    py::object acceptance = py::none();
    if (drawn.acceptance.defined()) acceptance = py::float_(drawn.acceptance.mean().item<double>());
    return py::make_tuple(drawn.x, acceptance);
  }

  py::tuple encode(const Tensor& x, std::int64_t draws, std::optional<std::int64_t> seed) {
    check(x);
    PythonPorts ports(*watcher_, false);
    const Codes codes = run_with(ports, [&](const Ports& inner) {
      const auto drawn_from = static_cast<std::uint64_t>(seed.value_or(parts_->general.seed));
      return encode_points(*parts_, x, draws, Rng(drawn_from, "encode"), inner);
    });
    return py::make_tuple(codes.mean, codes.variance);
  }

  py::list evaluate(const std::vector<std::string>& metrics, const Settings& set, const std::string& data,
                    std::optional<std::int64_t> seed) {
    EvaluateRequest request;
    request.run = directory_;
    request.metrics = metrics;
    request.set = with_device(set);
    request.data = data;
    request.seed = seed;
    request.path = path_;
    PythonPorts ports(*watcher_, false);
    const Result result = run_with(ports, [&](const Ports& inner) { return evaluate_run(request, inner); });
    py::list rows;
    for (const Row& row : result.rows) {
      py::dict entry;
      entry["method"] = row.method;
      entry["dataset"] = row.dataset;
      entry["metric"] = row.metric;
      entry["value"] = row.value;
      entry["stderr"] = row.standard_error;
      entry["unit"] = row.unit;
      for (const auto& [key, value] : row.settings) entry[py::str(key)] = value;
      rows.append(entry);
    }
    return rows;
  }

 private:
  std::string directory_, device_;
  DataPath path_;
  Held watcher_;
  std::shared_ptr<const Parts> parts_, parts_with_data_;
  std::int64_t step_ = 0;

  Settings with_device(Settings set) const {
    if (!device_.empty()) set.push_back("device=" + device_);
    return set;
  }
  std::shared_ptr<const Parts> load(const Settings& set, bool with_data) {
    PythonPorts ports(*watcher_, false);
    return run_with(ports, [&](const Ports& inner) {
      return std::make_shared<const Parts>(
          load_run(RunDirectory::open(directory_), with_device(set), with_data, path_, *inner.logger, &step_));
    });
  }
  std::shared_ptr<const Parts> parts(bool with_data) {
    std::shared_ptr<const Parts>& kept = with_data ? parts_with_data_ : parts_;
    if (!kept) kept = load({}, with_data);
    return kept;
  }
  std::shared_ptr<const Parts> for_samples(const Settings& set, bool given) {
    const Config recipe = run_recipe(RunDirectory::open(directory_), set);
    const bool with_data =
        recipe.at_table("sample").contains("start") && recipe.at_table("sample").find("start")->string() == "data";
    const bool codes = !given && recipe.contains("model") && recipe.contains("encoder");
    if (!set.empty()) return load(set, with_data || codes);
    return parts(with_data || codes);
  }
  void check(const Tensor& x) const { check_event("run", "x", x, parts_->transforms.event); }
};

/// A folder that is gone in the end.
class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "gibbsite-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw WorkError(name, "cannot make the directory");
    path_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Without the path of a scratch file, which says nothing to whoever passed a dict.
[[noreturn]] void throw_renamed(const Error& error, const std::string& path) {
  std::string text = error.what();
  for (std::size_t at = text.find(path); at != std::string::npos; at = text.find(path))
    text.replace(at, path.size(), "recipe");
  const std::size_t colon = text.find(": ");
  const std::string where = text.substr(0, colon), what = colon == std::string::npos ? "" : text.substr(colon + 2);
  if (error.exit_code() == 2) throw RequestError(where, what);
  throw WorkError(where, what);
}

/// The recipe with the rows of a file in place of its data. How rows are treated stays, sizes of splits do not.
void replace_data(Config& recipe, const std::string& file) {
  Config table = Config::table({{"name", Config(file)}});
  const Config& old = recipe.at_table("data");
  for (const OptionDescription& option : describe_options<DataOptions>()) {
    const std::string& key = option.name;
    if (key != "name" && key != "fresh" && key != "train" && key != "validation" && key != "test" && old.contains(key))
      table.set(key, *old.find(key));
  }
  recipe.set("data", std::move(table));
}

/// `data`: a file in place of the recipe's data; empty: none.
py::dict train(const py::object& recipe, const std::string& data, const std::string& out, const Settings& set,
               std::optional<std::int64_t> seed, const std::string& device, const std::string& data_dir,
               const std::string& existing, const py::object& watcher) {
  TrainRequest request;
  std::optional<Scratch> scratch;
  if (py::isinstance<py::dict>(recipe) || !data.empty()) {
    Config table;
    if (py::isinstance<py::dict>(recipe))
      table = to_config(recipe, "recipe");
    else
      table = load_recipe(find_recipe(py::str(recipe).cast<std::string>()));
    if (const Config* base = table.find("extends"); base && base->kind() == Config::Kind::kString) {
      Config whole = load_recipe(find_recipe(base->string()));
      table.erase("extends");
      whole.merge(table);
      table = std::move(whole);
    }
    if (!data.empty()) replace_data(table, data);
    scratch.emplace();
    request.recipe = scratch->path() + "/recipe.toml";
    std::ofstream(request.recipe) << write_toml(table);
  } else {
    request.recipe = py::str(recipe).cast<std::string>();
  }
  request.out = out;
  request.set = set;
  request.seed = seed;
  request.device = device;
  request.path = DataPath::standard(data_dir);
  request.existing = existing == "resume"    ? ExistingRun::kResume
                     : existing == "replace" ? ExistingRun::kReplace
                                             : ExistingRun::kRefuse;
  PythonPorts ports(watcher, false);
  TrainOutcome outcome;
  try {
    outcome = run_with(ports, [&](const Ports& inner) { return train_recipe(request, inner); });
  } catch (const Interrupted&) {
    throw;
  } catch (const Error& error) {
    if (!scratch) throw;
    throw_renamed(error, request.recipe);
  }
  ports.finish();
  py::dict last;
  for (const auto& [name, value] : outcome.result.last) last[py::str(name)] = value;
  py::dict result;
  result["run"] = outcome.run;
  result["step"] = outcome.result.step;
  result["seconds"] = outcome.result.seconds;
  result["rollbacks"] = outcome.result.rollbacks;
  result["stopped_early"] = outcome.result.stopped_early;
  result["last"] = last;
  return result;
}

at::ScalarType dtype_of(const std::string& name) {
  if (name == "float32") return at::kFloat;
  if (name == "float64") return at::kDouble;
  throw RequestError("dtype", fmt::format("is '{}', expected float32 or float64", name));
}

}  // namespace
}  // namespace gibbsite

PYBIND11_MODULE(_core, m) {
  using namespace gibbsite;
  py::module_::import("torch");
  m.doc() = "gibbsite's compiled half; import gibbsite instead.";
  m.attr("__version__") = environment().version;
  m.attr("__commit__") = environment().commit;

  // Never destroyed: translators outlive the interpreter's own order of clean-up.
  static const auto* request_error = new py::exception<RequestError>(m, "RequestError", PyExc_ValueError);
  static const auto* work_error = new py::exception<WorkError>(m, "WorkError", PyExc_RuntimeError);
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const RequestError& error) {
      PyErr_SetString(request_error->ptr(), error.what());
    } catch (const WorkError& error) {
      PyErr_SetString(work_error->ptr(), error.what());
    } catch (const Interrupted& error) {
      PyErr_SetString(PyExc_KeyboardInterrupt, error.what());
    } catch (const c10::Error& error) {
      PyErr_SetString(PyExc_RuntimeError, error.what_without_backtrace());
    }
  });

  m.def("environment", [] {
    py::dict named;
    for (const auto& [name, value] : named_strings(environment())) named[py::str(name)] = value;
    return named;
  });
  m.def("families", &list_families);
  m.def("entries", [](const std::string& family) {
    std::vector<std::tuple<std::string, std::string, std::string>> rows;
    for (const Listed& entry : list_family(family)) rows.emplace_back(entry.name, entry.summary, entry.paper);
    return rows;
  });
  m.def("recipes", &recipe_names);
  m.def("find_recipe", &find_recipe);

  const auto undefined = [](const std::optional<Tensor>& x) { return x ? *x : Tensor(); };

  py::class_<Rng>(
      m, "Rng",
      "gibbsite's random numbers: a function of (seed, stream, step, row, draw), whatever the threads or the "
      "split of a batch. Calls at one step draw one after the other; the first dimension of a shape is the "
      "row.")
      .def(py::init([](std::uint64_t seed, const std::string& stream) { return Rng(seed, stream); }), py::arg("seed"),
           py::arg("stream"))
      .def_property_readonly("seed", &Rng::seed)
      .def_property_readonly("step", &Rng::step)
      .def(
          "stream", [](const Rng& rng, const std::string& name) { return rng.stream(name); }, py::arg("name"))
      .def("at_step", &Rng::at_step, py::arg("step"))
      .def("at_row", &Rng::at_row, py::arg("row"))
      .def(
          "normal",
          [](Rng& rng, const Shape& shape, const std::string& dtype) { return rng.normal(shape, dtype_of(dtype)); },
          py::arg("shape"), py::arg("dtype") = "float32")
      .def(
          "uniform",
          [](Rng& rng, const Shape& shape, const std::string& dtype) { return rng.uniform(shape, dtype_of(dtype)); },
          py::arg("shape"), py::arg("dtype") = "float32")
      .def(
          "rademacher",
          [](Rng& rng, const Shape& shape, const std::string& dtype) {
            return rng.rademacher(shape, torch::empty({0}, dtype_of(dtype)));
          },
          py::arg("shape"), py::arg("dtype") = "float32")
      .def(
          "integers", [](Rng& rng, const Shape& shape, std::int64_t n) { return rng.integers(shape, n); },
          py::arg("shape"), py::arg("n"))
      .def("permutation", &Rng::permutation, py::arg("n"));

  py::class_<PythonObjective>(m, "Objective")
      .def(py::init<std::string, const py::dict&, std::uint64_t>(), py::arg("name"), py::arg("options"),
           py::arg("seed"))
      .def_property_readonly("name", &PythonObjective::name)
      .def("call", [undefined](PythonObjective& self, const py::object& model, const Tensor& x,
                               const std::optional<Tensor>& label, std::int64_t step, double progress,
                               bool score) { return self.call(model, x, undefined(label), step, progress, score); });

  py::class_<PythonRun>(m, "Run")
      .def(py::init<std::string, const std::string&, const std::string&, const py::object&>())
      .def_property_readonly("directory", &PythonRun::directory)
      .def_property_readonly("step", &PythonRun::step)
      .def_property_readonly("recipe", &PythonRun::recipe)
      .def_property_readonly("model", &PythonRun::model)
      .def_property_readonly("event", &PythonRun::event)
      .def_property_readonly("has_energy", &PythonRun::has_energy)
      .def("parameters", &PythonRun::parameters)
      .def("scores", &PythonRun::scores)
      .def("differentiable_energy", &PythonRun::differentiable_energy)
      .def("sample",
           [undefined](PythonRun& self, std::int64_t n, const Settings& set, std::optional<std::int64_t> seed,
                       const std::optional<Tensor>& latent) { return self.sample(n, set, seed, undefined(latent)); })
      .def("encode", &PythonRun::encode)
      .def("evaluate", &PythonRun::evaluate);

  m.def("sample_from",
        [undefined](const py::object& energy, const py::object& score, const std::optional<Tensor>& start,
                    const Shape& shape, const py::dict& sampler, const py::dict& chain, const py::object& manifold,
                    std::uint64_t seed, bool keep, const py::object& watcher) {
          return sample_from(energy, score, undefined(start), shape, sampler, chain, manifold, seed, keep, watcher);
        });
  m.def("train", &train);
  m.def("export_run", [](const std::string& run, const std::string& format, const std::string& out) {
    const py::gil_scoped_release release;
    return export_run({run, format, out, DataPath::standard()}, Ports()).file;
  });
}
