// The gibbsite side of bench/compare: makes one training step per line of standard input and answers with its seconds.
// A line is {"name", "recipe", "batch", "set": […], "method": […]}: overrides of the recipe and of the step. A step of a
// recipe with phases goes through all of them.
#include <ATen/Parallel.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/process.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/train.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace gibbsite {
namespace {

void answer() {
  std::map<std::string, Work> steps;
  for (std::string line; std::getline(std::cin, line);) {
    const nlohmann::json request = nlohmann::json::parse(line);
    const std::string name = request.at("name");
    auto found = steps.find(name);
    if (found == steps.end()) {
      TrainRequest recipe;
      recipe.recipe = request.at("recipe");
      recipe.set = request.at("set").get<std::vector<std::string>>();
      recipe.path = DataPath::standard();
      TimedMethod method;
      method.slug = name;
      method.set = request.at("method").get<std::vector<std::string>>();
      const std::int64_t batch = request.at("batch");
      const bool phases = requested_recipe(recipe).contains("phase");
      if (phases) recipe.set.insert(recipe.set.end(), method.set.begin(), method.set.end());
      const auto parts = std::make_shared<const Parts>(build_parts(requested_recipe(recipe), recipe.path));
      found = steps
                  .emplace(name, phases ? training_round(name, parts, batch).work
                                        : training_steps(*parts, {method}, batch).front().work)
                  .first;
      found->second();  // warms up
    }
    const auto start = std::chrono::steady_clock::now();
    found->second();
    std::printf("%.9g\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
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
