#include <gibbsite/core/error.h>
#include <gibbsite/model/code_energy.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class CodeEnergyScore : public Score {
 public:
  explicit CodeEnergyScore(ScalarFunction energy) : energy_(std::move(energy)) {}
  using Score::at;
  ScoreEval at(const Tensor& h, Rng&) const override {
    const bool keep = torch::GradMode::is_enabled();
    const torch::AutoGradMode record(true);
    const Tensor point = keep && h.requires_grad() ? h : h.detach().requires_grad_(true);
    const Tensor gradient = torch::autograd::grad({energy_.value(point).sum()}, {point}, {}, keep, keep)[0];
    return {-gradient.detach(), [gradient](const Tensor& z) { return -(gradient * z).sum(); }};
  }

 private:
  ScalarFunction energy_;
};

}  // namespace

void require_code_form(const LatentContext& context, const std::string& form) {
  if (context.manifold && form == "vector")
    throw RequestError("score.form", "codes on a manifold need a score that is the gradient of an energy",
                       "score.form = \"inner_product\"");
}

std::unique_ptr<Score> make_code_energy_score(const ScalarFunction& energy) {
  return std::make_unique<CodeEnergyScore>(energy);
}

}  // namespace gibbsite
