#include <fmt/format.h>
#include <gibbsite/calculus/derivatives.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/cost.h>
#include <gibbsite/recipe/converted_energy.h>
#include <gibbsite/recipe/derivative_cost.h>
#include <gibbsite/recipe/train.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>
#include <map>

namespace gibbsite {
namespace {

const std::vector<double> kEpsilons = {0.003, 0.01, 0.03, 0.1, 0.3, 1, 3};

struct Scale {
  std::int64_t orders, batch, rounds;
  std::vector<std::string> set;
};

Scale scale_of(const std::string& name) {
  if (name == "smoke") return {4, 2, 1, {"train.steps=20", "train.batch_size=8", "model.filters=2"}};
  if (name == "desk") return {8, 4, 9, {}};
  return {8, 8, 9, {"train.steps=3000", "train.batch_size=64", "model.filters=128", "optimizer.learning_rate=5e-5"}};
}

double relative_error(const Tensor& value, const Tensor& truth) {
  return ((value.to(at::kDouble) - truth).norm() / truth.norm()).item<double>();
}

struct Method {
  const char* name;
  DerivativeMethod method;
  bool stock;
  bool batched;
};

const Method kMethods[] = {
    {"jet", DerivativeMethod::kJet, false, true},
    {"nested", DerivativeMethod::kAutograd, true, true},
    {"fd-sequential", DerivativeMethod::kFiniteDifference, false, false},
    {"fd-batched", DerivativeMethod::kFiniteDifference, false, true},
};

}  // namespace

ExperimentOutcome reproduce_derivative_cost(const ExperimentContext& context, const Ports& ports) {
  const Scale scale = scale_of(context.scale);
  TrainRequest request;
  request.recipe = "fd/derivative-cost";
  request.set = scale.set;
  request.set.insert(request.set.end(), context.set.begin(), context.set.end());
  request.seed = static_cast<std::int64_t>(context.seed);
  request.out = context.directory + "/run";
  request.path = context.path;
  train_or_resume(request, ports);

  const Parts parts = load_run(RunDirectory::open(request.out), {}, true, context.path, *ports.logger);
  const std::string data = data_name(parts);
  // On the CPU wherever it was trained: the costs are those of one of its threads.
  const auto converted = [&](const char* operations, at::ScalarType dtype) {
    auto energy = converted_energy(parts, {fmt::format("operations={}", operations)}, dtype, at::kCPU);
    for (Tensor& parameter : energy->module().parameters()) parameter.requires_grad_(false);
    return energy;
  };
  const auto fast32 = converted("fast", at::kFloat), stock32 = converted("stock", at::kFloat);
  const auto fast64 = converted("fast", at::kDouble), stock64 = converted("stock", at::kDouble);
  const Tensor x64 = parts.data->prepared(parts.data->splits.test, "test", at::kDouble).narrow(0, 0, scale.batch);
  Rng rng = parts.rng("direction");
  Tensor v64 = rng.normal(x64.sizes(), x64);
  v64 = scale_rows(v64, v64.flatten(1).norm(2, 1).reciprocal());
  const Tensor x32 = x64.to(at::kFloat), v32 = v64.to(at::kFloat);
  const ThreadCount one_thread(1);
  const at::NoGradGuard no_grad;

  ExperimentOutcome outcome;
  std::vector<Row> rows;
  const auto add = [&](const char* method, const char* metric, double value, const char* unit,
                       std::int64_t order) -> Row& {
    Row row;
    row.method = method;
    row.dataset = data;
    row.metric = metric;
    row.value = value;
    row.unit = unit;
    row.settings["order"] = static_cast<double>(order);
    rows.push_back(row);
    return rows.back();
  };

  const auto forward = static_cast<double>(count_multiply_adds([&] { fast32->energy(x32); }).total);
  add("forward", "multiply_adds", forward, "multiply-adds", 0);
  std::map<std::string, std::vector<double>> seconds, bytes;
  std::map<std::string, Timing> previous;
  std::vector<double> jet_error64, jet_error32, best_error;
  double ratio_sum = 0;
  std::int64_t ratios = 0;
  for (std::int64_t order = 1; order <= scale.orders; ++order) {
    if (ports.interrupt->requested()) throw Interrupted("reproduce", "stopped before order " + std::to_string(order));
    ports.logger->progress(fmt::format("order {} of {}", order, scale.orders),
                           static_cast<double>(order - 1) / static_cast<double>(scale.orders));
    const Tensor truth =
        directional_derivative(scalar_function(*stock64), x64, v64, order, DerivativeMethod::kAutograd);
    std::vector<Work> work;
    for (const Method& method : kMethods) {
      FiniteDifference difference;
      difference.batched = method.batched;
      const Energy& energy = method.stock ? *stock32 : *fast32;
      work.emplace_back([&energy, &x32, &v32, order, method, difference] {
        directional_derivative(scalar_function(energy), x32, v32, order, method.method, false, difference);
      });
    }
    TimingSettings settings;
    settings.rounds = scale.rounds;
    const std::vector<Timing> timings = time_interleaved(work, settings);
    for (std::size_t i = 0; i < work.size(); ++i) {
      const char* name = kMethods[i].name;
      Row& time = add(name, "seconds_per_step", timings[i].seconds.value, "s", order);
      time.standard_error = timings[i].seconds.standard_error;
      time.settings["dtype"] = std::string("float32");
      const auto peak = static_cast<double>(peak_bytes(work[i]));
      add(name, "peak_bytes", peak, "bytes", order).settings["dtype"] = std::string("float32");
      add(name, "multiply_adds", static_cast<double>(count_multiply_adds(work[i]).total), "multiply-adds", order);
      if (order > 1) {
        const double ratio = timings[i].cpu_seconds.value / previous[name].cpu_seconds.value;
        add(name, "time_ratio", ratio, "1", order).settings["against"] = std::string(name);
        if (i == 1 && order >= 3 && order <= 7) {
          ratio_sum += ratio;
          ++ratios;
        }
      }
      previous[name] = timings[i];
      seconds[name].push_back(timings[i].seconds.value);
      bytes[name].push_back(peak);
    }
    const auto error = [&](const char* method, const Tensor& value, const char* dtype, double epsilon) {
      const double e = relative_error(value, truth);
      Row& row = add(method, "relative_error", e, "1", order);
      row.settings["dtype"] = std::string(dtype);
      if (epsilon > 0) row.settings["epsilon"] = epsilon;
      return e;
    };
    jet_error64.push_back(
        error("jet", directional_derivative(scalar_function(*fast64), x64, v64, order), "float64", 0));
    jet_error32.push_back(
        error("jet", directional_derivative(scalar_function(*fast32), x32, v32, order), "float32", 0));
    error("nested", directional_derivative(scalar_function(*stock32), x32, v32, order, DerivativeMethod::kAutograd),
          "float32", 0);
    double best = INFINITY, best_epsilon = 0, best32 = INFINITY, best_epsilon32 = 0;
    for (const double epsilon : kEpsilons) {
      FiniteDifference difference;
      difference.epsilon = epsilon;
      const auto estimate = [&](const Energy& energy, const Tensor& x, const Tensor& v) {
        return directional_derivative(scalar_function(energy), x, v, order, DerivativeMethod::kFiniteDifference, false,
                                      difference);
      };
      const double e64 = error("fd-batched", estimate(*fast64, x64, v64), "float64", epsilon);
      const double e32 = error("fd-batched", estimate(*fast32, x32, v32), "float32", epsilon);
      if (e64 < best) {
        best = e64;
        best_epsilon = epsilon;
      }
      if (e32 < best32) {
        best32 = e32;
        best_epsilon32 = epsilon;
      }
    }
    best_error.push_back(best);
    outcome.summary.push_back(
        fmt::format("T = {}: jet {:.1f} ms, nested {:.1f} ms, FD {:.1f} / {:.1f} ms (sequential / batched); relative "
                    "error jet {:.1e} (float32 "
                    "{:.1e}), FD {:.1e} at epsilon {} (float32 {:.1e} at {})",
                    order, 1e3 * seconds["jet"].back(), 1e3 * seconds["nested"].back(),
                    1e3 * seconds["fd-sequential"].back(), 1e3 * seconds["fd-batched"].back(), jet_error64.back(),
                    jet_error32.back(), best, best_epsilon, best32, best_epsilon32));
  }
  context.add(rows);
  if (ratios > 0)
    outcome.summary.push_back(fmt::format("nested: mean time ratio t(T+1)/t(T) for T = 2…{}: {:.2f}",
                                          std::min<std::int64_t>(6, scale.orders - 1),
                                          ratio_sum / static_cast<double>(ratios)));

  std::vector<double> orders;
  for (std::int64_t t = 1; t <= scale.orders; ++t) orders.push_back(static_cast<double>(t));
  CurvePlot time{"Time of a directional derivative of order T", "order T", "milliseconds", false, true, {}};
  CurvePlot memory{"Peak live tensor bytes", "order T", "megabytes", false, true, {}};
  for (const Method& method : kMethods) {
    Curve t{method.name, orders, {}, {}}, m{method.name, orders, {}, {}};
    for (std::size_t i = 0; i < orders.size(); ++i) {
      t.y.push_back(1e3 * seconds[method.name][i]);
      m.y.push_back(bytes[method.name][i] / 1e6);
    }
    time.curves.push_back(t);
    memory.curves.push_back(m);
  }
  CurvePlot errors{
      "Relative error against nested reverse passes in float64", "order T", "relative error", false, true, {}};
  errors.curves = {{"jet, float64", orders, jet_error64, {}},
                   {"jet, float32", orders, jet_error32, {}},
                   {"finite difference at its best epsilon, float64", orders, best_error, {}}};
  add_plot(outcome, context, ports, "time", time);
  add_plot(outcome, context, ports, "memory", memory);
  add_plot(outcome, context, ports, "error", errors);
  return outcome;
}

}  // namespace gibbsite
