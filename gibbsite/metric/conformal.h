// How unusual an energy is among those of held-out points of the law that a model was trained on: conformal p values (Vovk,
// Gammerman and Shafer 2005; Laxhammar and Falkman 2011), valid for any energy and any sample size.
//
// With c_1 … c_n the held-out energies, p(e) = (1 + #{i : c_i ≥ e}) / (n + 1). For a fresh point of the same law p is uniform
// on {1, …, n + 1} / (n + 1), over the draw of the held-out points too. Points judged by the same n held-out ones share
// their error: given those, the rate of false alarms at level k / (n + 1) follows Beta(k, n + 1 − k).
#pragma once

#include <gibbsite/core/tensor.h>

namespace gibbsite {

/// Points of energy above `threshold` are those of p value at most the rate that was asked for.
struct Alarm {
  double threshold = 0;
  double rate =
      0;  ///< k / (n + 1), the expected rate of false alarms: the largest such number not above that asked for
  double deviation = 0;  ///< of the rate that these held-out points give, by the Beta law
};

class ConformalTest {
 public:
  /// [n] energies of held-out points. Throws WorkError where there are none or one is not finite.
  explicit ConformalTest(const Tensor& energies);
  std::int64_t size() const { return sorted_.size(0); }
  /// [N] -> [N] float64. Equal energies count as at least as unusual, so that p values err to the safe side.
  Tensor p_values(const Tensor& energies) const;
  /// Throws RequestError unless the rate lies in [1 / (n + 1), 1).
  Alarm alarm(double false_alarm_rate) const;

 private:
  Tensor sorted_;  // float64, ascending
};

/// The probability that the largest distance of the empirical law of `values` from the uniform one on (0, 1) is at least what
/// it is, for N values that share the error of n held-out ones: Kolmogorov's law with n N / (n + N) for the sample size, as
/// in the test of two samples. n = 0: independent values.
double uniformity_p_value(const Tensor& values, std::int64_t held_out = 0);

}  // namespace gibbsite
