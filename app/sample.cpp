#include <fmt/format.h>
#include <gibbsite/core/ranks.h>
#include <gibbsite/recipe/sample.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"

namespace gibbsite::app {
namespace {

constexpr std::int64_t kMaximumSamples = 100'000'000;

}  // namespace

void add_sample(CLI::App& app, Context& context) {
  const auto request = std::make_shared<SampleRequest>();
  CLI::App* command = subcommand(app, context, "sample", "draws from the model of a run", [request, &context] {
    request->seed = context.common.seed;
    request->path = context.common.path();
    if (!context.common.device.empty()) request->set.push_back("device=" + context.common.device);
    const SampleOutcome outcome = sample_run(*request, context.ports);
    if (!context.ports.ranks->first()) return;
    if (context.common.json) {
      nlohmann::ordered_json document = {{"files", outcome.files}, {"count", outcome.x.size(0)}};
      if (outcome.acceptance) document["acceptance"] = *outcome.acceptance;
      fmt::print("{}\n", document.dump(2));
      return;
    }
    for (const std::string& file : outcome.files) fmt::print("{}\n", file);
    if (outcome.acceptance) fmt::print("acceptance {:.4f}\n", *outcome.acceptance);
  });
  command->add_option("run", request->run, "directory of the run")->required();
  command->add_option("-n", request->n, "how many; default 64, or one for each row of --latent or --given")
      ->check(whole_number(1, kMaximumSamples));
  command->add_option("--latent", request->latent,
                      "F.npz of `encode` or F.npy: latent variables that samples are given");
  command
      ->add_option_function<std::string>(
          "--precision",
          [request](const std::string& name) {
            request->set.push_back(name == "bf16" ? "model.precision=bfloat16" : "model.precision=float32");
          },
          "of the factors in matrix products of scores; states and energies stay float32")
      ->check(CLI::IsMember({"f32", "bf16"}));
  command->add_option("--given", request->given, "F.npy, F.npz or F.csv: points of which some entries are known");
  command->add_option("--mask", request->mask,
                      "file that is nonzero at the entries to sample; default those of --given that are not a number");
  command->add_option(
      "--given-noise", request->given_noise,
      "deviation of Gaussian noise on the known entries, which are then sampled too; 0: they are exact");
  command->add_option("--chains", request->chains,
                      "F.npy or F.csv: every state after the burn-in, written as it comes; CSV one file per chain");
  command->add_option("--out", request->out, "F.npy, F.csv or F.png; default samples/samples.npy in the run");
  add_set(*command, request->set);
}

}  // namespace gibbsite::app
