// A latent-variable model with everything known: h ~ N(0, 1), v | h ~ N(w h + c, 1), so that v ~ N(c, 1 + w²) and h | v ~
// N(w (v - c)/(1 + w²), 1/(1 + w²)); and posteriors a v + b + s e that need not be the true one.
#pragma once

#include <gibbsite/model/latent_energy.h>
#include <gibbsite/posterior/posterior.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

class LinearDecoder : public Decoder {
 public:
  LinearDecoder(double slope, double offset)
      : slope_(module_.register_parameter("slope", torch::full({}, slope, at::kDouble))),
        offset_(module_.register_parameter("offset", torch::full({}, offset, at::kDouble))) {}
  Tensor mean(const Tensor& h) const override { return slope_ * h + offset_; }
  Tensor log_prob(const Tensor& v, const Tensor& h) const override {
    return (-0.5 * (v - mean(h)).square() - 0.5 * std::log(2 * M_PI)).sum(-1);
  }
  torch::nn::Module& module() override { return module_; }
  std::int64_t latent_size() const override { return 1; }
  Shape event() const override { return {1}; }

  /// log p(v), [B].
  Tensor log_marginal(const Tensor& v) const {
    const Tensor variance = 1 + slope_.square();
    return (-0.5 * (v - offset_).square() / variance - 0.5 * (2 * M_PI * variance).log()).squeeze(-1);
  }

 private:
  torch::nn::Module module_;
  Tensor slope_, offset_;
};

class LinearPosterior : public Posterior {
 public:
  LinearPosterior(double a, double b, double s)
      : a_(module_.register_parameter("a", torch::full({}, a, at::kDouble))),
        b_(module_.register_parameter("b", torch::full({}, b, at::kDouble))),
        s_(module_.register_parameter("s", torch::full({}, s, at::kDouble))) {}
  Tensor sample(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    const Tensor e = fixed_noise.defined() ? fixed_noise.expand({particles, v.size(0), 1})
                                           : rng.normal_particles({particles, v.size(0), 1}, v);
    return mean(v) + s_ * e;
  }
  Tensor log_prob(const Tensor& v, const Tensor& h) const override {
    return (-0.5 * ((h - mean(v)) / s_).square() - s_.abs().log() - 0.5 * std::log(2 * M_PI)).squeeze(-1);
  }
  bool has_log_prob() const override { return true; }
  torch::nn::Module& module() override { return module_; }
  std::int64_t latent_size() const override { return 1; }
  Tensor mean(const Tensor& v) const { return a_ * v + b_; }
  Tensor deviation() const { return s_; }

  Tensor fixed_noise;  ///< [B, 1] in place of drawn noise

 private:
  torch::nn::Module module_;
  Tensor a_, b_, s_;
};

}  // namespace gibbsite
