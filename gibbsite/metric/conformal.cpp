#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/conformal.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

ConformalTest::ConformalTest(const Tensor& energies) {
  if (!energies.defined() || energies.numel() == 0) throw WorkError("p value", "there are no held-out energies");
  const Tensor flat = energies.detach().to(torch::kDouble).cpu().flatten();
  check_finite("p value", "held-out energy", flat);
  sorted_ = std::get<0>(flat.sort());
}

Tensor ConformalTest::p_values(const Tensor& energies) const {
  const Tensor below = torch::searchsorted(sorted_, energies.detach().to(torch::kDouble).cpu().contiguous());
  return (size() + 1 - below).to(torch::kDouble) / static_cast<double>(size() + 1);
}

Alarm ConformalTest::alarm(double false_alarm_rate) const {
  const auto n = static_cast<double>(size());
  // Rates such as 0.05 have no exact binary form.
  const double k = std::floor(false_alarm_rate * (n + 1) * (1 + 1e-12));
  if (!(false_alarm_rate < 1) || !(k >= 1))
    throw RequestError("--false-alarm",
                       fmt::format("is {}, expected a rate in [{:.4g}, 1)", false_alarm_rate, 1 / (n + 1)),
                       fmt::format("{} held-out energies tell no smaller rate apart", size()));
  Alarm alarm;
  alarm.threshold = sorted_[size() - static_cast<std::int64_t>(k)].item<double>();
  alarm.rate = k / (n + 1);
  alarm.deviation = std::sqrt(k * (n + 1 - k) / ((n + 1) * (n + 1) * (n + 2)));
  return alarm;
}

double uniformity_p_value(const Tensor& values, std::int64_t held_out) {
  const Tensor sorted = std::get<0>(values.detach().to(torch::kDouble).cpu().flatten().sort());
  const auto count = static_cast<double>(sorted.size(0));
  const Tensor step = torch::arange(sorted.size(0), torch::kDouble) / count;
  const double distance = torch::maximum((sorted - step).abs(), (sorted - step - 1 / count).abs()).max().item<double>();
  const auto shared = static_cast<double>(held_out);
  const double size = std::sqrt(held_out > 0 ? count * shared / (count + shared) : count);
  // Stephens's correction makes the limit law good from a size of 8 on.
  const double t = (size + 0.12 + 0.11 / size) * distance;
  if (t < 0.2) return 1;
  double sum = 0;
  for (int k = 1; k <= 100; ++k) sum += (k % 2 ? 2 : -2) * std::exp(-2 * t * t * k * k);
  return std::min(1.0, std::max(0.0, sum));
}

}  // namespace gibbsite
