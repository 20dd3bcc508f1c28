#include <gibbsite/train/checkpoint.h>
#include <gibbsite/train/ema.h>
#include <torch/types.h>

namespace gibbsite {

Ema::Ema(NamedTensors parameters, double decay) : parameters_(std::move(parameters)), decay_(decay) {
  for (const auto& [name, parameter] : parameters_) average_.emplace_back(name, parameter.detach().clone());
}

void Ema::update() {
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < average_.size(); ++i)
    average_[i].second.mul_(decay_).add_(parameters_[i].second, 1 - decay_);
}

void Ema::swap() {
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < average_.size(); ++i) {
    const Tensor kept = parameters_[i].second.clone();
    parameters_[i].second.copy_(average_[i].second);
    average_[i].second.copy_(kept);
  }
}

void Ema::restore(const NamedTensors& state) { copy_tensors(state, average_, "average"); }

}  // namespace gibbsite
