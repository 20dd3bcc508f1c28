#include <gibbsite/sampler/dual_averaging.h>

#include <cmath>

namespace gibbsite {

DualAveraging::DualAveraging(double first_step_size, double target_acceptance)
    : target_(target_acceptance), centre_(std::log(10 * first_step_size)), step_size_(first_step_size) {}

void DualAveraging::update(double acceptance) {
  const double gamma = 0.05, t0 = 10, kappa = 0.75;
  if (std::isnan(acceptance)) acceptance = 0;
  ++count_;
  const double t = static_cast<double>(count_);
  error_ += (target_ - acceptance - error_) / (t + t0);
  const double log_step = centre_ - std::sqrt(t) / gamma * error_;
  log_average_ += std::pow(t, -kappa) * (log_step - log_average_);
  step_size_ = std::exp(log_step);
}

std::vector<double> DualAveraging::state() const {
  return {step_size_, error_, log_average_, static_cast<double>(count_)};
}

void DualAveraging::restore(const std::vector<double>& state) {
  step_size_ = state.at(0);
  error_ = state.at(1);
  log_average_ = state.at(2);
  count_ = static_cast<std::int64_t>(state.at(3));
}

double DualAveraging::frozen() const { return count_ > 0 ? std::exp(log_average_) : step_size_; }

}  // namespace gibbsite
