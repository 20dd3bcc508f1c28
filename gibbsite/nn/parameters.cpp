#include <gibbsite/nn/parameters.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

Parameters::Parameters(const Rng& init, at::ScalarType dtype, at::Device device)
    : init_(init), dtype_(dtype), device_(device), module_(std::make_shared<torch::nn::Module>("parameters")) {}

Tensor Parameters::keep(const std::string& name, Tensor value) {
  value = value.to(device_, dtype_);
  // Convolutions run channels-last throughout, so their weights lie that way too.
  if (value.dim() == 4) value = value.contiguous(at::MemoryFormat::ChannelsLast);
  std::string registered = name;
  for (char& c : registered)
    if (c == '.') c = '_';
  return module_->register_parameter(registered, value.clone());
}

Tensor Parameters::uniform(const std::string& name, at::IntArrayRef sizes, double bound) {
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

Tensor Parameters::normal(const std::string& name, at::IntArrayRef sizes, double deviation, double mean) {
  Rng stream = init_.stream(name);
  return keep(name, mean + deviation * stream.normal(sizes, at::kDouble));
}

Tensor Parameters::given(const std::string& name, const Tensor& value) { return keep(name, value.detach()); }

Tensor Parameters::constant(const std::string& name, at::IntArrayRef sizes, double value) {
  return keep(name, torch::full(sizes, value, at::kDouble));
}

}  // namespace gibbsite
