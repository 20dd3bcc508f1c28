// Time, multiply-adds and peak live tensor bytes of one training step (loss and gradient of all parameters, optimiser
// excluded), every method interleaved in one run on one thread:
//
//   step_cost [mlp|residual] [rounds]
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gibbsite/core/environment.h>
#include <gibbsite/core/process.h>
#include <gibbsite/metric/cost.h>
#include <gibbsite/model/energy.h>
#include <gibbsite/objective/objective.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace gibbsite {
namespace {

struct Method {
  std::string name, objective, operations;
  Config options;
  std::string against;  // denominator of the ratio
};

void run(const std::string& workload, std::int64_t rounds) {
  const bool mlp = workload == "mlp";
  const auto objective = [](const char* derivative) { return Config::table({{"derivative", Config(derivative)}}); };
  const std::vector<Method> methods = {
      {"jet-ssm", "ssm", "fast", objective("jet"), "fd-ssm"},
      {"fd-ssm", "ssm", "fast", objective("finite_difference"), "fd-ssm"},
      {"fd-ssm-stock", "ssm", "stock", objective("finite_difference"), "fd-ssm"},
      {"nested-ssm", "ssm", "fast", objective("autograd"), "nested-ssm-stock"},
      {"nested-ssm-stock", "ssm", "stock", objective("autograd"), "jet-ssm"},
      {"dsm", "dsm", "fast", Config::table(), "dsm-stock"},
      {"dsm-stock", "dsm", "stock", Config::table(), "dsm-stock"},
  };
  ModelContext context;
  context.event = mlp ? Shape{2} : Shape{1, 32, 32};
  const std::int64_t batch_size = mlp ? 512 : 16;
  std::vector<std::unique_ptr<Energy>> energies;
  std::vector<std::unique_ptr<Objective>> objectives;
  std::vector<Work> work;
  Batch batch;
  Shape sizes = context.event;
  sizes.insert(sizes.begin(), batch_size);
  batch.x = Rng(1, "x").normal(sizes);
  if (!mlp) batch.x = batch.x.contiguous(at::MemoryFormat::ChannelsLast);
  std::int64_t parameter_bytes = 0;
  for (const Method& method : methods) {
    Config options = Config::table({{"operations", Config(method.operations)}});
    if (mlp)
      options.set("hidden", Config::array({Config(256), Config(256), Config(256)}));
    else
      options.set("filters", Config(32));
    energies.push_back(find_entry(energy_table(), "model", mlp ? "mlp" : "residual", "").make(options, context));
    ObjectiveParts parts;
    parts.energy = energies.back().get();
    objectives.push_back(find_entry(objective_table(), "objective", method.objective, "").make(method.options, parts));
    const std::vector<Tensor> parameters = energies.back()->module().parameters();
    parameter_bytes = 0;
    for (const Tensor& p : parameters) parameter_bytes += p.numel() * 4;
    work.emplace_back([&batch, parameters, objective = objectives.back().get()] {
      Rng rng(2, "step");
      torch::autograd::grad({(*objective)(batch, rng).backward}, parameters, {}, {}, false, true);
    });
  }
  const std::int64_t forward = count_multiply_adds([&] {
                                 const at::NoGradGuard guard;
                                 energies[0]->energy(batch.x);
                               }).total;
  TimingSettings settings;
  settings.warmup = 2;
  settings.rounds = rounds;
  const std::vector<Timing> timings = time_interleaved(work, settings);
  std::printf(
      "\n%s: batch %lld, one forward pass F = %.4g multiply-adds, parameters %.1f MB, %lld interleaved rounds\n",
      mlp ? "MLP 2-256-256-256-1, SiLU" : "residual energy, 32 filters, normalised softplus, 32x32",
      static_cast<long long>(batch_size), static_cast<double>(forward), static_cast<double>(parameter_bytes) / 1e6,
      static_cast<long long>(rounds));
  std::printf("%-18s %10s %10s %6s %12s   %s\n", "method", "wall ms", "cpu ms", "F", "peak MB",
              "ratio of times (memory)");
  const auto index = [&](const std::string& name) {
    for (std::size_t i = 0; i < methods.size(); ++i)
      if (methods[i].name == name) return i;
    std::abort();
  };
  std::vector<double> peaks;
  peaks.reserve(work.size());
  for (const Work& step : work) peaks.push_back(static_cast<double>(peak_bytes(step)));
  for (std::size_t i = 0; i < methods.size(); ++i) {
    std::string ratios;
    std::vector<std::string> against = {methods[i].against};
    if (methods[i].name == "jet-ssm") against = {"fd-ssm", "nested-ssm-stock", "nested-ssm"};
    for (const std::string& other : against)
      if (other != methods[i].name)
        ratios += fmt::format("{:.3f} ({:.3f}) x {}   ", time_ratio(timings[i], timings[index(other)]).value,
                              peaks[i] / peaks[index(other)], other);
    std::printf("%-18s %10.2f %10.2f %6.2f %12.1f   %s\n", methods[i].name.c_str(), 1e3 * timings[i].seconds.value,
                1e3 * timings[i].cpu_seconds.value,
                static_cast<double>(count_multiply_adds(work[i]).total) / static_cast<double>(forward), peaks[i] / 1e6,
                ratios.c_str());
  }
}

}  // namespace
}  // namespace gibbsite

int main(int argc, char** argv) {
  gibbsite::tune_process(argv);
  at::set_num_threads(1);
  const std::string which = argc > 1 ? argv[1] : "all";
  const std::int64_t rounds = argc > 2 ? std::atoll(argv[2]) : 15;
  if (which == "all" || which == "mlp") gibbsite::run("mlp", rounds);
  if (which == "all" || which == "residual") gibbsite::run("residual", rounds);
  return 0;
}
