#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/nn/parameters.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

// Modules take no dots in names.
std::string registered(std::string name) {
  for (char& c : name)
    if (c == '.') c = '_';
  return name;
}

}  // namespace

Parameters::Parameters(const Rng& init, at::ScalarType dtype, at::Device device)
    : init_(init), dtype_(dtype), device_(device), module_(std::make_shared<torch::nn::Module>("parameters")) {}

Parameters::Parameters(const NamedTensors& values) : Parameters(Rng(0, "none"), at::kFloat, at::kCPU) {
  values_ = std::make_shared<const std::map<std::string, Tensor>>(values.begin(), values.end());
}

Tensor Parameters::substitute(const std::string& name) const {
  if (!values_) return {};
  const auto found = values_->find(registered(name));
  if (found == values_->end()) throw WorkError("parameters", fmt::format("'{}' is not among those given", name));
  return found->second;
}

Tensor Parameters::keep(const std::string& name, Tensor value) {
  value = value.to(device_, dtype_);
  // Convolutions run channels-last throughout, so their weights lie that way too.
  if (value.dim() == 4) value = value.contiguous(at::MemoryFormat::ChannelsLast);
  return module_->register_parameter(registered(name), value.clone());
}

Tensor Parameters::uniform(const std::string& name, at::IntArrayRef sizes, double bound) {
  if (Tensor given = substitute(name); given.defined()) return given;
  Rng stream = init_.stream(name);
  return keep(name, (stream.uniform(sizes, at::kDouble) * 2 - 1) * bound);
}

Tensor Parameters::weight(const std::string& name, at::IntArrayRef sizes) {
  std::int64_t fan_in = 1;
  for (const std::int64_t size : sizes.slice(1)) fan_in *= size;
  return uniform(name, sizes, 1 / std::sqrt(static_cast<double>(fan_in)));
}

Tensor Parameters::bias(const std::string& name, std::int64_t size, std::int64_t fan_in) {
  return uniform(name, {size}, 1 / std::sqrt(static_cast<double>(fan_in)));
}

Tensor Parameters::glorot(const std::string& name, std::int64_t outputs, std::int64_t inputs) {
  return uniform(name, {outputs, inputs}, std::sqrt(6 / static_cast<double>(inputs + outputs)));
}

Tensor Parameters::normal(const std::string& name, at::IntArrayRef sizes, double deviation, double mean) {
  if (Tensor given = substitute(name); given.defined()) return given;
  Rng stream = init_.stream(name);
  return keep(name, mean + deviation * stream.normal(sizes, at::kDouble));
}

Tensor Parameters::fixed_normal(const std::string& name, at::IntArrayRef sizes, double deviation) {
  Rng stream = init_.stream(name);
  const Tensor value = deviation * stream.normal(sizes, at::kDouble);
  return module_->register_buffer(registered(name), value.to(device_, dtype_));
}

Tensor Parameters::given(const std::string& name, const Tensor& value) {
  const Tensor given = substitute(name);
  return given.defined() ? given : keep(name, value.detach());
}

Tensor Parameters::constant(const std::string& name, at::IntArrayRef sizes, double value) {
  if (Tensor given = substitute(name); given.defined()) return given;
  return keep(name, torch::full(sizes, value, at::kDouble));
}

}  // namespace gibbsite
