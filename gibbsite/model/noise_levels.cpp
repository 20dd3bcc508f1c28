#include <gibbsite/core/error.h>
#include <gibbsite/model/noise_levels.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

class Given : public Score {
 public:
  Given(const ConditionalScore& network, Tensor level) : network_(network), level_(std::move(level)) {}
  ScoreEval at(const Tensor& x, Rng&) const override { return network_.at(x, level_for(x.size(0))); }
  std::optional<Jet> at(const Jet& x, Rng&) const override { return network_.at(x, level_for(x.batch())); }
  bool has_jet() const override { return network_.has_jet(); }

 private:
  const ConditionalScore& network_;
  Tensor level_;

  Tensor level_for(std::int64_t rows) const {
    if (level_.dim() == 0) return level_.expand({rows});
    return rows == level_.size(0) ? level_ : level_.repeat({rows / level_.size(0)});
  }
};

}  // namespace

std::vector<double> geometric_levels(double first, double last, std::int64_t count) {
  if (!(first > 0) || !(last > 0) || count < 1)
    throw RequestError("noise levels", "expected positive ends and at least one level");
  std::vector<double> levels;
  for (std::int64_t i = 0; i < count; ++i)
    levels.push_back(
        count == 1 ? first : first * std::pow(last / first, static_cast<double>(i) / static_cast<double>(count - 1)));
  return levels;
}

ScoreEval ConditionalScore::at(const Tensor& x, Rng&) const {
  return at(x, torch::full({x.size(0)}, levels() - 1, x.options().dtype(at::kLong)));
}

std::optional<Jet> ConditionalScore::at(const Jet& x, Rng&) const {
  return at(x, torch::full({x.batch()}, levels() - 1, x.c.options().dtype(at::kLong)));
}

std::unique_ptr<Score> given(const ConditionalScore& network, const Tensor& level) {
  return std::make_unique<Given>(network, level);
}

}  // namespace gibbsite
