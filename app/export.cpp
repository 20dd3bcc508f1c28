#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/recipe/export.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"

namespace gibbsite::app {

void add_export(CLI::App& app, Context& context) {
  const auto request = std::make_shared<ExportRequest>();
  CLI::App* command =
      subcommand(app, context, "export", "parameters or the energy for other programs", [request, &context] {
        request->path = context.common.path();
        const ExportOutcome outcome = export_run(*request, context.ports);
        if (context.common.json)
          fmt::print("{}\n", nlohmann::ordered_json({{"file", outcome.file}, {"tensors", outcome.tensors}}).dump(2));
        else
          fmt::print("{}\ntensors {}\n", outcome.file, outcome.tensors);
      });
  command->add_option("run", request->run, "directory of the run")->required();
  command->add_option("--format", request->format,
                      fmt::format("{}; default by the ending of --out", fmt::join(export_formats(), ", ")));
  command->add_option("--out", request->out, "default model.safetensors, model.npz or model.pt in the run");
}

}  // namespace gibbsite::app
