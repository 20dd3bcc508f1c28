#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/gaussian_mixture.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace gibbsite {
namespace {

class GaussianMixture : public Density {
 public:
  // means [K, d], sigma [K], weights [K] of sum 1; all float64.
  GaussianMixture(Tensor means, Tensor sigma, Tensor weights)
      : means_(std::move(means)), sigma_(std::move(sigma)), weights_(std::move(weights)) {}

  std::int64_t dimension() const override { return means_.size(1); }
  Tensor sample(std::int64_t n, Rng& rng, at::ScalarType dtype) const override {
    const Tensor u = rng.uniform({n}, torch::kDouble);
    const Tensor component = torch::searchsorted(weights_.cumsum(0), u).clamp_max(means_.size(0) - 1);
    const Tensor z = rng.normal({n, dimension()}, dtype);
    return means_.to(dtype).index_select(0, component) + sigma_.to(dtype).index_select(0, component).unsqueeze(1) * z;
  }
  Box box() const override {
    Box box;
    const Tensor low = std::get<0>((means_ - 8 * sigma_.unsqueeze(1)).min(0));
    const Tensor high = std::get<0>((means_ + 8 * sigma_.unsqueeze(1)).max(0));
    for (std::int64_t i = 0; i < dimension(); ++i) {
      box.low.push_back(low[i].item<double>());
      box.high.push_back(high[i].item<double>());
    }
    return box;
  }
  double length_scale() const override { return sigma_.min().item<double>(); }

  bool has_log_density() const override { return true; }
  Tensor log_density(const Tensor& x) const override { return torch::logsumexp(component_log_density(x), 1); }
  Tensor score(const Tensor& x) const override {  // sum over k of share_k(x) (mean_k - x) / sigma_k^2
    const Tensor at = x.detach();
    const Tensor pull = component_log_density(at).softmax(1) / sigma_.to(x.options()).square();
    return pull.mm(means_.to(x.options())) - pull.sum(1, true) * at;
  }

  std::optional<double> entropy() const override {
    if (means_.size(0) == 1)
      return static_cast<double>(dimension()) * (0.5 * std::log(2 * M_PI * M_E) + sigma_.log().item<double>());
    const auto integrals = integrate_plane(*this);
    return integrals ? std::optional(integrals->entropy) : std::nullopt;
  }
  std::optional<double> fisher_information() const override {
    if (means_.size(0) == 1) return static_cast<double>(dimension()) / sigma_.square().item<double>();
    const auto integrals = integrate_plane(*this);
    return integrals ? std::optional(integrals->fisher_information) : std::nullopt;
  }

 private:
  Tensor means_, sigma_, weights_;

  // log of weight times density of each component, [n, K].
  Tensor component_log_density(const Tensor& x) const {
    const Tensor log_factor =
        weights_.log() - static_cast<double>(dimension()) * (sigma_.log() + 0.5 * std::log(2 * M_PI));
    const Tensor distance = (x.unsqueeze(1) - means_.to(x.options())).square().sum(2);
    return log_factor.to(x.options()) - 0.5 * distance / sigma_.to(x.options()).square();
  }
};

Tensor column(const std::vector<double>& values) { return torch::tensor(values, torch::kDouble); }

}  // namespace

std::unique_ptr<Density> make_gaussian_mixture(const Config& options) {
  const auto settings = read_options<GaussianMixtureOptions>(options, "data");
  const auto numbers = static_cast<std::int64_t>(settings.means.size());
  if (numbers == 0 || numbers % settings.dimension != 0)
    throw RequestError(options.origin(), fmt::format("data.means has {} numbers, expected a multiple of dimension {}",
                                                     numbers, settings.dimension));
  const std::int64_t components = numbers / settings.dimension;
  const auto fits = [&](const char* key, const std::vector<double>& values) {
    if (static_cast<std::int64_t>(values.size()) != components)
      throw RequestError(options.origin(),
                         fmt::format("data.{} has {} numbers for {} components", key, values.size(), components));
  };
  if (settings.sigma.size() != 1) fits("sigma", settings.sigma);
  if (!settings.weights.empty()) fits("weights", settings.weights);
  const Tensor weights =
      settings.weights.empty() ? torch::ones({components}, torch::kDouble) : column(settings.weights);
  const Tensor sigma =
      (column(settings.sigma).square() + settings.noise * settings.noise).sqrt().expand({components}).contiguous();
  return std::make_unique<GaussianMixture>(column(settings.means).view({components, settings.dimension}), sigma,
                                           weights / weights.sum());
}

std::unique_ptr<Density> make_gaussian_grid(const Config& options) {
  const auto settings = read_options<GaussianGridOptions>(options, "data");
  const Tensor axis = settings.spacing * torch::arange(-2, 3, torch::kDouble);
  const Tensor means = torch::stack({axis.repeat_interleave(5), axis.repeat({5})}, 1);
  return std::make_unique<GaussianMixture>(
      means, torch::full({25}, std::hypot(settings.sigma, settings.noise), torch::kDouble),
      torch::full({25}, 1 / 25.0, torch::kDouble));
}

}  // namespace gibbsite
