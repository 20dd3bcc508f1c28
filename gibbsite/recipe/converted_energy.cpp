#include <gibbsite/recipe/converted_energy.h>
#include <gibbsite/recipe/parse.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {

std::unique_ptr<Energy> converted_energy(const Parts& parts, const std::vector<std::string>& set, at::ScalarType dtype,
                                         at::Device device) {
  Config options = parts.resolved.at_table("model");
  for (const std::string& assignment : set) apply_override(options, assignment);
  ModelContext context;
  context.event = parts.energy->event();
  context.dtype = dtype;
  context.device = device;
  context.antipodal = parts.manifold && parts.manifold->antipodal();
  std::unique_ptr<Energy> energy = find_entry(energy_table(), "model", parts.model_name, "").make(options, context);
  const at::NoGradGuard no_grad;
  const std::vector<Tensor> from = parts.energy->module().parameters(), to = energy->module().parameters();
  for (std::size_t i = 0; i < from.size(); ++i) to[i].copy_(from[i].detach());
  return energy;
}

}  // namespace gibbsite
