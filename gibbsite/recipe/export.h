// The service behind `gibbsite export`, and parameters back from what it wrote.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/recipe/build.h>

#include <string>
#include <vector>

namespace gibbsite {

/// safetensors, npz, torchscript.
const std::vector<std::string>& export_formats();

struct ExportRequest {
  std::string run;
  std::string format;  ///< empty: told by the ending of `out`
  std::string out;     ///< empty: model.safetensors, model.npz or model.pt in the run
  DataPath path;
};

struct ExportOutcome {
  std::string file;
  std::int64_t tensors = 0;
};

/// Parameters and buffers by "<part>.<name>", the weights that `score` uses.
NamedTensors exported_tensors(const Parts& parts);

/// safetensors and npz: exported_tensors, and the transforms of the data as "transform.<i>.<kind>.<name>"; safetensors holds
/// the resolved recipe, the step and the version as metadata. torchscript: a module whose forward maps [n, *event] in original
/// units to [n] energies, by LibTorch's own operations; it is run once more and compared before it is kept. Throws
/// RequestError for another format and, for torchscript, without an energy; WorkError where the energy cannot be traced.
ExportOutcome export_run(const ExportRequest& request, const Ports& ports);

/// Copies the tensors of an exported file (.safetensors or .npz) into the parts. Throws WorkError where one is missing or of
/// another shape or type.
void load_exported(const std::string& path, const Parts& parts);

}  // namespace gibbsite
