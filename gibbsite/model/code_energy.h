// A score of codes that is minus the gradient of an energy E(h | v), so that it is one on manifolds too.
#pragma once

#include <gibbsite/model/latent_score.h>
#include <gibbsite/nn/operations.h>
#include <gibbsite/nn/parameters.h>

#include <string>

namespace gibbsite {

/// What the network of a score of codes gives.
inline const Choices& code_score_forms() {
  static const Choices forms = {"vector", "inner_product", "scalar"};
  return forms;
}

/// Throws RequestError for the form "vector" where codes live on a manifold.
void require_code_form(const LatentContext& context, const std::string& form);

/// -grad E of an energy at h, as a score that objectives differentiate. `energy` is copied.
std::unique_ptr<Score> make_code_energy_score(const ScalarFunction& energy);

/// E = ⟨c, ψ(c, v)⟩ (minimum velocity learning, section 6.2) or ψ(c, v) itself, at c = scale · h. `Body` has condition(v) and a
/// template `T forward(const T& h, const Tensor& condition) const` for Tensor and Jet, to [kB, K] or to [kB, 1].
template <class Body>
class CodeEnergy : public LatentScore {
 public:
  CodeEnergy(Parameters parameters, Body body, bool inner_product, double scale, std::vector<LayerNote> layers)
      : parameters_(std::move(parameters)),
        body_(std::move(body)),
        inner_product_(inner_product),
        scale_(scale),
        layers_(std::move(layers)) {}
  ScalarFunction energy_given(const Tensor& v) const override {
    const Tensor condition = body_.condition(v);
    return {[this, condition](const Tensor& h) { return energy(h, condition); },
            [this, condition](const Jet& h) { return energy(h, condition); }};
  }
  bool has_energy() const override { return true; }
  std::unique_ptr<Score> given(const Tensor& v) const override { return make_code_energy_score(energy_given(v)); }
  bool has_jet() const override { return false; }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::vector<LayerNote> layers() const override { return layers_; }

 private:
  Parameters parameters_;
  Body body_;
  bool inner_product_;
  double scale_;
  std::vector<LayerNote> layers_;

  template <class T>
  T energy(const T& h, const Tensor& condition) const {
    const T codes = scaled(h, scale_), psi = body_.forward(codes, condition);
    return inner_product_ ? total(times(codes, psi)) : column(psi);
  }
};

}  // namespace gibbsite
