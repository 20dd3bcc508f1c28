// Score networks told a noise level for every example: s(x, i) is the score of the data with N(0, σ_i² I) added
// (Song and Ermon 2019).
#pragma once

#include <gibbsite/model/score.h>

#include <memory>
#include <optional>
#include <vector>

namespace gibbsite {

/// `count` levels in geometric progression from `first` to `last`, both included; one level is `first`.
std::vector<double> geometric_levels(double first, double last, std::int64_t count);

class ConditionalScore : public ScoreNetwork {
 public:
  /// x: [B, *event], level: [B] int64 in [0, levels()) -> [B, *event].
  virtual ScoreEval at(const Tensor& x, const Tensor& level) const = 0;
  virtual std::optional<Jet> at(const Jet& x, const Tensor& level) const = 0;
  /// The standard deviations σ_i of the noise, from large to small.
  virtual const std::vector<double>& sigmas() const = 0;
  std::int64_t levels() const { return static_cast<std::int64_t>(sigmas().size()); }
  /// The score at the last level, whose noise is least.
  ScoreEval at(const Tensor& x, Rng& rng) const override;
  std::optional<Jet> at(const Jet& x, Rng& rng) const override;
};

/// The network at fixed levels, [B] int64 or 0-dim; a batch of k B examples takes them k times over. The network must
/// outlive the result.
std::unique_ptr<Score> given(const ConditionalScore& network, const Tensor& level);

}  // namespace gibbsite
