#include <fmt/format.h>
#include <gibbsite/recipe/encode.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"

namespace gibbsite::app {

void add_encode(CLI::App& app, Context& context) {
  const auto request = std::make_shared<EncodeRequest>();
  CLI::App* command =
      subcommand(app, context, "encode", "mean and variance of the latent variables of data", [request, &context] {
        request->path = context.common.path();
        request->device = context.common.device;
        request->seed = context.common.seed;
        const EncodeOutcome outcome = encode_run(*request, context.ports);
        const auto rows = outcome.mean.size(0), size = outcome.mean.size(1);
        if (context.common.json) {
          const nlohmann::ordered_json document = {{"file", outcome.file}, {"rows", rows}, {"latent_size", size}};
          fmt::print("{}\n", document.dump(2));
          return;
        }
        fmt::print("{}\nrows {} of {}\n", outcome.file, rows, size);
      });
  command->add_option("run", request->run, "directory of the run")->required();
  command->add_option("--data", request->data, "data set or file; default the held-out points of the run");
  command->add_option("--draws", request->draws, "per point, where the encoder's mean has no formula")
      ->check(whole_number(1, 1'000'000));
  command->add_option("--out", request->out, "F.npz or F.csv; default codes/<data>.npz in the run");
}

}  // namespace gibbsite::app
