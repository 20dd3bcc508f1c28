// Step-size adaptation by dual averaging (Hoffman and Gelman 2014, section 3.2).
#pragma once

#include <cstdint>
#include <vector>

namespace gibbsite {

class DualAveraging {
 public:
  /// Shrinks towards ten times the first step size. Constants: γ = 0.05, t₀ = 10, κ = 0.75.
  DualAveraging(double first_step_size, double target_acceptance);
  /// Takes the mean acceptance probability of the last transition; a number that is not one counts as 0.
  void update(double acceptance);
  /// For the next transition of the warm-up.
  double step_size() const { return step_size_; }
  /// The weighted average of the step sizes tried, to be kept after the warm-up.
  double frozen() const;
  /// What decides the rest, to be kept and put back.
  std::vector<double> state() const;
  void restore(const std::vector<double>& state);

 private:
  double target_;
  double centre_;
  double step_size_;
  double error_ = 0;
  double log_average_ = 0;
  std::int64_t count_ = 0;
};

}  // namespace gibbsite
