// A score of codes whose network computes the share of v once.
#pragma once

#include <gibbsite/model/latent_score.h>
#include <gibbsite/nn/parameters.h>

namespace gibbsite {

/// `Body` has condition(v) and a template `T forward(const T& h, const Tensor& condition) const` for Tensor and Jet.
template <class Body>
class ConditionedScore : public LatentScore {
 public:
  ConditionedScore(Parameters parameters, Body body, std::vector<LayerNote> layers)
      : parameters_(std::move(parameters)), body_(std::move(body)), layers_(std::move(layers)) {}
  std::unique_ptr<Score> given(const Tensor& v) const override { return std::make_unique<Given>(body_, v); }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::vector<LayerNote> layers() const override { return layers_; }

 protected:
  const Body& body() const { return body_; }

 private:
  class Given : public Score {
   public:
    Given(const Body& body, const Tensor& v) : body_(body), condition_(body.condition(v)) {}
    ScoreEval at(const Tensor& h, Rng&) const override {
      const Tensor value = body_.forward(h, condition_);
      return {value.detach(), [value](const Tensor& z) { return value.mul(z).sum(); }};
    }
    std::optional<Jet> at(const Jet& h, Rng&) const override { return body_.forward(h, condition_); }
    bool has_jet() const override { return true; }

   private:
    const Body& body_;
    Tensor condition_;
  };

  Parameters parameters_;
  Body body_;
  std::vector<LayerNote> layers_;
};

}  // namespace gibbsite
