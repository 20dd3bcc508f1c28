// A posterior whose draws were given beforehand, to be looked at one by one.
#pragma once

#include <gibbsite/posterior/posterior.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <utility>

namespace gibbsite {

class GivenDraws : public Posterior {
 public:
  explicit GivenDraws(Tensor h) : h_(std::move(h)) {}
  Tensor sample(const Tensor&, std::int64_t particles, Rng&) const override { return h_.narrow(0, 0, particles); }
  torch::nn::Module& module() override { return module_; }
  std::int64_t latent_size() const override { return h_.size(2); }

 private:
  torch::nn::Module module_;
  Tensor h_;
};

}  // namespace gibbsite
