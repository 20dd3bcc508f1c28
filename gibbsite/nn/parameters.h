// Parameters of a network: drawn from named streams, registered with a module for the optimiser and checkpoints.
#pragma once

#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>

#include <map>
#include <memory>
#include <string>

namespace gibbsite {

/// Where parameters are drawn and kept. Copies share the module.
class Parameters {
 public:
  Parameters(const Rng& init, at::ScalarType dtype, at::Device device);
  /// Hands out `values`, by the names of a module's parameters, in place of parameters of its own: what is built from it is
  /// a function of them. Its module is empty. Asking for another name throws WorkError.
  explicit Parameters(const NamedTensors& values);

  /// Uniform in ±1/sqrt(fan_in), drawn from stream "init/<name>"; fan_in is the product of all sizes but the first.
  Tensor weight(const std::string& name, at::IntArrayRef sizes);
  /// Uniform in ±1/sqrt(fan_in).
  Tensor bias(const std::string& name, std::int64_t size, std::int64_t fan_in);
  /// [outputs, inputs], uniform in ±√(6/(inputs + outputs)) (Glorot and Bengio 2010).
  Tensor glorot(const std::string& name, std::int64_t outputs, std::int64_t inputs);
  /// N(mean, deviation²), drawn from stream "init/<name>".
  Tensor normal(const std::string& name, at::IntArrayRef sizes, double deviation, double mean = 0);
  /// The values of normal() as a buffer, which is kept and not trained.
  Tensor fixed_normal(const std::string& name, at::IntArrayRef sizes, double deviation);
  /// A copy of `value`.
  Tensor given(const std::string& name, const Tensor& value);
  Tensor constant(const std::string& name, at::IntArrayRef sizes, double value);

  torch::nn::Module& module() const { return *module_; }

 private:
  Rng init_;
  at::ScalarType dtype_;
  at::Device device_;
  std::shared_ptr<torch::nn::Module> module_;
  std::shared_ptr<const std::map<std::string, Tensor>> values_;  // null: its own
  /// The value to hand out under this name, undefined where parameters are its own.
  Tensor substitute(const std::string& name) const;
  Tensor uniform(const std::string& name, at::IntArrayRef sizes, double bound);
  Tensor keep(const std::string& name, Tensor value);
};

}  // namespace gibbsite
