#include <fmt/format.h>
#include <gibbsite/core/environment.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/data/safetensors.h>
#include <gibbsite/recipe/export.h>
#include <gibbsite/recipe/write.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

constexpr double kTraceTolerance = 1e-4;  // relative; LibTorch's operations round otherwise than ours

std::string format_of(const ExportRequest& request) {
  const std::string extension = fs::path(request.out).extension().string();
  std::string format = request.format;
  if (format.empty() && extension == ".safetensors") format = "safetensors";
  if (format.empty() && extension == ".npz") format = "npz";
  if (format.empty() && (extension == ".pt" || extension == ".pth")) format = "torchscript";
  const std::vector<std::string>& known = export_formats();
  if (format.empty()) throw RequestError("--format", "is needed", "safetensors, npz or torchscript");
  if (std::find(known.begin(), known.end(), format) == known.end())
    throw RequestError("--format", fmt::format("unknown format '{}'", format), name_hint(format, known));
  return format;
}

NamedTensors of_module(torch::nn::Module& module, const std::string& part) {
  NamedTensors named;
  for (const auto& item : module.named_parameters()) named.emplace_back(part + "." + item.key(), item.value());
  for (const auto& item : module.named_buffers()) named.emplace_back(part + "." + item.key(), item.value());
  return named;
}

NamedTensors of_transforms(const Pipeline& pipeline) {
  NamedTensors named;
  std::size_t i = 0;
  for (const TransformPointer& transform : pipeline.transforms()) {
    for (const auto& [name, tensor] : transform->state())
      named.emplace_back(fmt::format("transform.{}.{}.{}", i, transform->kind(), name), tensor);
    ++i;
  }
  return named;
}

/// The energy of a run by LibTorch's own operations, which tracing records: gibbsite's own leave no trace.
std::shared_ptr<Energy> stock_energy(const Parts& parts) {
  Config tables = network_tables(parts.resolved);
  if (!tables.contains("model")) return parts.energy;
  Config& model = tables.at_path("model");
  if (!model.contains("operations")) return parts.energy;
  model.set("operations", Config("stock"));
  Networks networks = make_networks_like(parts, tables);
  NamedTensors to = of_module(networks.energy->module(), "model");
  const torch::NoGradGuard no_grad;
  copy_tensors(of_module(parts.energy->module(), "model"), to, "export");
  networks.freeze();
  networks.energy->module().eval();
  return networks.energy;
}

/// Some points of the data, [n, *event] in original units.
Tensor examples(const Parts& parts, std::int64_t n, const char* stream) {
  Shape shape = parts.transforms.model_event;
  shape.insert(shape.begin(), n);
  Rng draws = parts.rng(stream);
  const auto options = parts.like().options();
  const Tensor low = parts.transforms.low.to(options), high = parts.transforms.high.to(options);
  return parts.transforms.pipeline.inverse(low + (high - low) * draws.uniform(shape, parts.like())).to(options);
}

void write_trace(const Parts& parts, const std::string& file) {
  parts.require_density("torchscript");
  const std::shared_ptr<Energy> energy = stock_energy(parts);
  const Pipeline& pipeline = parts.transforms.pipeline;
  const Tensor some = examples(parts, 3, "export/trace"), others = examples(parts, 5, "export/check");
  // A constant is one number whatever the batch, where a tensor of the traced size would only fit that size.
  const Tensor volume = torch::cat({pipeline.log_abs_det(some), pipeline.log_abs_det(others)}).to(torch::kDouble);
  const bool constant = (volume == volume[0]).all().item<bool>();
  const double shift = constant ? volume[0].item<double>() : 0;
  const auto forward = [&](const Tensor& x) {
    const Tensor rows = x.to(parts.dtype);
    const Tensor e = energy->energy(pipeline.forward(rows));
    return constant ? e - shift : e - pipeline.log_abs_det(rows).to(e.scalar_type());
  };

  torch::jit::Module module("gibbsite_energy");
  const auto flat = [](std::string name) {
    std::replace(name.begin(), name.end(), '.', '_');
    std::replace(name.begin(), name.end(), '/', '_');
    return name;
  };
  for (const auto& item : energy->module().named_parameters())
    module.register_parameter(flat("model." + item.key()), item.value(), false);
  for (const auto& item : energy->module().named_buffers())
    module.register_buffer(flat("model." + item.key()), item.value());
  const std::string partial = file + ".partial";
  double worst = 0;
  try {
    const auto traced = torch::jit::tracer::trace(
        {some}, [&](torch::jit::Stack in) { return torch::jit::Stack{forward(in.at(0).toTensor())}; },
        [](const torch::autograd::Variable&) { return std::string(); }, true, false, &module, {"x"});
    const c10::QualifiedName name(*module.type()->name(), "forward");
    module.type()->addMethod(module._ivalue()->compilation_unit()->create_function(name, traced.first->graph));
    module.save(partial);
    torch::jit::Module back = torch::jit::load(partial);
    const Tensor found = back.forward({others}).toTensor().to(torch::kDouble),
                 truth = forward(others).to(torch::kDouble);
    worst = ((found - truth).abs() / (1 + truth.abs())).max().item<double>();
  } catch (const c10::Error& error) {
    fs::remove(partial);
    throw WorkError("torchscript", fmt::format("'{}' cannot be traced: {}", parts.model_name,
                                               std::string(error.what_without_backtrace()).substr(0, 200)));
  }
  if (!(worst < kTraceTolerance)) {
    fs::remove(partial);
    throw WorkError("torchscript", fmt::format("'{}' cannot be traced: energies of another batch differ by {:.2g}",
                                               parts.model_name, worst));
  }
  fs::rename(partial, file);
}

}  // namespace

const std::vector<std::string>& export_formats() {
  static const std::vector<std::string> formats = {"safetensors", "npz", "torchscript"};
  return formats;
}

NamedTensors exported_tensors(const Parts& parts) {
  NamedTensors all;
  for (const Part& part : parts.named_parts())
    for (auto& item : of_module(*part.module, part.name)) all.push_back(std::move(item));
  return all;
}

ExportOutcome export_run(const ExportRequest& request, const Ports& ports) {
  const std::string format = format_of(request);
  const RunDirectory run = RunDirectory::open(request.run);
  std::int64_t step = 0;
  const Parts parts = load_run(run, {}, false, request.path, *ports.logger, &step);
  parts.freeze();
  ExportOutcome outcome;
  outcome.file =
      !request.out.empty() ? request.out : run.file(format == "torchscript" ? "model.pt" : "model." + format);
  const fs::path parent = fs::path(outcome.file).parent_path();
  std::error_code error;
  if (!parent.empty()) fs::create_directories(parent, error);
  if (error) throw WorkError(parent.string(), fmt::format("cannot make the directory: {}", error.message()));

  Safetensors content{exported_tensors(parts), {}};
  outcome.tensors = static_cast<std::int64_t>(content.tensors.size());
  if (format == "torchscript") {
    write_trace(parts, outcome.file);
    return outcome;
  }
  for (auto& item : of_transforms(parts.transforms.pipeline)) content.tensors.push_back(std::move(item));
  if (format == "npz") {
    write_npz(outcome.file, content.tensors);
    return outcome;
  }
  content.metadata = {{"format", "pt"},
                      {"gibbsite.version", environment().version},
                      {"gibbsite.step", std::to_string(step)},
                      {"gibbsite.recipe", write_toml(run.recipe())}};
  write_safetensors(outcome.file, content);
  return outcome;
}

void load_exported(const std::string& path, const Parts& parts) {
  const bool npz = fs::path(path).extension() == ".npz";
  const NamedTensors from = npz ? read_npz(path) : read_safetensors(path).tensors;
  const torch::NoGradGuard no_grad;
  copy_tensors(from, exported_tensors(parts), path);
}

}  // namespace gibbsite
