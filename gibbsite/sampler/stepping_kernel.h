// What kernels with a step size among their options share.
#pragma once

#include <gibbsite/sampler/kernel.h>
#include <gibbsite/sampler/validated.h>

#include <memory>
#include <string>

namespace gibbsite {

/// Own is the kernel itself, which is made of its options alone.
template <class Own, class Options>
class SteppingKernel : public Kernel {
 public:
  double step_size() const override { return options_.step_size; }
  std::shared_ptr<const Kernel> with_step_size(double step_size) const override {
    Options options = options_;
    options.step_size = step_size;
    return std::make_shared<Own>(options);
  }
  const Options& options() const { return options_; }

 protected:
  /// Throws RequestError naming the kernel and the option that is out of range.
  SteppingKernel(const Options& options, const std::string& name) : options_(validated(options, name)) {}
  Options options_;
};

}  // namespace gibbsite
