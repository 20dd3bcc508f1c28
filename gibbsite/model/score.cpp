#include <gibbsite/model/score.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class EnergyScore : public Score {
 public:
  explicit EnergyScore(const Energy& energy) : energy_(energy) {}
  using Score::at;
  ScoreEval at(const Tensor& x, Rng&) const override {
    const at::AutoGradMode enabled(true);
    const Tensor point = x.requires_grad() ? x : x.detach().requires_grad_(true);
    const EnergyFn energy = energy_.fitted(point.detach());
    const Tensor gradient = torch::autograd::grad({energy(point).sum()}, {point}, {}, true, true)[0];
    return {-gradient.detach(), [gradient](const Tensor& z) { return -(gradient * z).sum(); }};
  }

 private:
  const Energy& energy_;
};

}  // namespace

std::optional<Jet> Score::at(const Jet&, Rng&) const { return std::nullopt; }

std::unique_ptr<Score> make_energy_score(const Energy& energy) { return std::make_unique<EnergyScore>(energy); }

}  // namespace gibbsite
