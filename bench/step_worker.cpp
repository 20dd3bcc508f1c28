// The gibbsite side of bench/compare: does one piece of work per line of standard input and answers with its seconds and its
// multiply-adds. A line is {"name", "recipe", "batch", "set": […], "method": […]}: overrides of the recipe and of a training step
// (of a recipe with phases: all of them), with "chain" so many steps of the recipe's sampler for "batch" chains, with "steps" so many of training on its data, with "derivative" a
// directional derivative of that order by jets, whose peak bytes are a third number of the answer. The line {"ceiling": true} asks for the seconds and multiply-adds of packed matrix products alone.
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <gibbsite/core/device.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/process.h>
#include <gibbsite/nn/matrix_product.h>
#include <gibbsite/nn/plan.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/train.h>
#include <gibbsite/sampler/chain.h>
#include <torch/types.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gibbsite {
namespace {

// 512×256 by 256×256 products one after another, on one thread.
Work products() {
  constexpr std::int64_t kRows = 512, kWidth = 256, kTimes = 200;
  const auto weights = std::make_shared<PackedWeights>(kWidth, kWidth, false, ProductPrecision::kFloat32);
  const std::vector<float> numbers(kRows * kWidth, 0.01F);
  weights->pack(numbers.data());
  const auto product = std::make_shared<MatrixProduct>(*weights, kRows, ProductEnd::kNothing);
  return [weights, product, numbers, out = std::vector<float>(kRows * kWidth)]() mutable {
    const OneThread one;
    report_multiply_adds(kTimes * kRows * kWidth * kWidth);
    for (std::int64_t i = 0; i < kTimes; ++i) (*product)(numbers.data(), out.data());
  };
}

// Steps of the recipe's sampler; every call goes on where the last one stopped.
Work chain(std::shared_ptr<const Parts> parts, std::int64_t chains, std::int64_t steps) {
  ChainOptions options;
  options.steps = options.thin = steps;
  Shape shape = parts->transforms.model_event;
  shape.insert(shape.begin(), chains);
  const auto state = std::make_shared<Tensor>(parts->rng("start").normal(shape, parts->like()));
  parts->freeze();
  return [parts, options, state, calls = std::uint64_t{0}]() mutable {
    const Rng rng = parts->rng("chain").stream(std::to_string(calls++));
    *state = run_chain(parts->kernel, target_of(*parts), *state, rng, options).last.x;
  };
}

// Steps of training as `gibbsite train` makes them, reading and shuffling of the data included.
Work training(const std::shared_ptr<const Parts>& parts, std::int64_t steps) {
  const auto trainer = std::make_shared<Trainer>(training_setup(*parts, {}));
  return [parts, trainer, steps] {
    for (std::int64_t i = 0; i < steps; ++i) trainer->make_step();
  };
}

Work requested(const nlohmann::json& request, const std::string& name) {
  TrainRequest recipe;
  recipe.recipe = request.at("recipe");
  recipe.set = request.at("set").get<std::vector<std::string>>();
  recipe.path = DataPath::standard();
  TimedMethod method;
  method.slug = name;
  method.set = request.at("method").get<std::vector<std::string>>();
  const std::int64_t batch = request.at("batch");
  // Where more than one network takes part the trainer makes the step.
  const Config asked = requested_recipe(recipe);
  const bool phases = asked.contains("phase") || asked.contains("vae"), samples = request.contains("chain"),
             trains = request.contains("steps");
  if (phases || samples || trains) recipe.set.insert(recipe.set.end(), method.set.begin(), method.set.end());
  const auto parts = std::make_shared<const Parts>(build_parts(requested_recipe(recipe), recipe.path));
  if (samples) return chain(parts, batch, request.at("chain"));
  if (trains) return training(parts, request.at("steps"));
  if (request.contains("derivative")) parts->freeze();
  if (request.contains("derivative"))
    return [parts, x = parts->rng("x").normal({batch, event_size(parts->transforms.model_event)}, parts->like()),
            order = request.at("derivative").get<std::int64_t>()] {
      directional_derivative(scalar_function(*parts->energy), x, torch::ones_like(x), order);
    };
  return phases ? training_round(name, parts, batch).work : training_steps(*parts, {method}, batch).front().work;
}

// 1 for threads of its own, which fight with LibTorch's; 2 for OpenMP.
void refuse_blas_with_own_threads() {
  using Kind = int (*)();
  const auto kind = reinterpret_cast<Kind>(dlsym(RTLD_DEFAULT, "openblas_get_parallel"));
  if (kind && kind() == 1)
    throw RequestError("bench", "OpenBLAS has threads of its own here, which fight with LibTorch's",
                       "put the folder of the OpenMP build first on LD_LIBRARY_PATH");
}

void answer() {
  refuse_blas_with_own_threads();
  struct Kept {
    Work work;
    std::int64_t multiply_adds, bytes;
  };
  std::map<std::string, Kept> steps;
  for (std::string line; std::getline(std::cin, line);) {
    const nlohmann::json request = nlohmann::json::parse(line);
    const std::string name = request.contains("ceiling") ? "ceiling" : request.at("name").get<std::string>();
    auto found = steps.find(name);
    if (found == steps.end()) {
      const Work work = request.contains("ceiling") ? products() : requested(request, name);
      work();                    // warms up
      const ThreadCount one(1);  // work of other threads is not seen
      wait_for_cuda();
      const std::int64_t bytes = request.contains("derivative") ? peak_bytes(work) : 0;
      found = steps.emplace(name, Kept{work, count_multiply_adds(work).total, bytes}).first;
    }
    const auto start = std::chrono::steady_clock::now();
    found->second.work();
    wait_for_cuda();
    std::printf("%.9g %lld %lld\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
                static_cast<long long>(found->second.multiply_adds), static_cast<long long>(found->second.bytes));
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace gibbsite

int main(int argc, char** argv) {
  gibbsite::tune_process(argv);
  at::set_num_threads(argc > 1 ? std::atoi(argv[1]) : 1);
  try {
    gibbsite::answer();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "step_worker: %s\n", error.what());
    return 1;
  }
  return 0;
}
