#include <gibbsite/data/manifold_mixture.h>
#include <gibbsite/manifold/von_mises_fisher.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

// What all have in common; a component is a law of its own.
class Mixture : public Density {
 public:
  Mixture(const char* manifold, std::int64_t dimension, std::vector<double> weights, double noise)
      : table_(Config::table({{"name", Config(manifold)}})), weights_(std::move(weights)), noise_(noise) {
    if (dimension > 0) table_.set("dimension", Config(dimension));
    manifold_ = find_entry(manifold_table(), "manifold", manifold, "data").make(table_);
    double total = 0;
    for (const double weight : weights_) total += weight;
    for (double& weight : weights_) weight /= total;
  }
  std::int64_t dimension() const override { return manifold_->ambient(); }
  std::optional<Config> manifold() const override { return table_; }
  Tensor sample(std::int64_t n, Rng& rng, at::ScalarType dtype) const override {
    const Tensor u = rng.uniform({n}, torch::kDouble);
    Tensor index = torch::zeros({n}, torch::kLong);
    double below = 0;
    for (const double weight : weights_) index += (u > (below += weight)).to(torch::kLong);
    index = index.clamp_max(static_cast<std::int64_t>(weights_.size()) - 1);
    Tensor x = components(index, rng);
    if (noise_ > 0) x = sample_wrapped_normal(*manifold_, x, noise_, rng);
    return x.to(dtype);
  }
  Box box() const override {
    const double reach = std::isfinite(manifold_->volume()) ? 1.05 : std::cosh(radius());
    const auto width = static_cast<std::size_t>(dimension());
    return {std::vector<double>(width, -reach), std::vector<double>(width, reach)};
  }
  double length_scale() const override { return 0.1; }

  bool has_log_density() const override { return noise_ == 0; }
  Tensor log_density(const Tensor& x) const override {
    if (noise_ > 0) return Density::log_density(x);
    std::vector<Tensor> parts;
    for (std::size_t k = 0; k < weights_.size(); ++k) parts.push_back(std::log(weights_[k]) + component_log(k, x));
    return torch::logsumexp(torch::stack(parts), 0);
  }
  std::optional<double> entropy() const override { return noise_ > 0 ? std::nullopt : integrals().first; }
  std::optional<double> fisher_information() const override { return noise_ > 0 ? std::nullopt : integrals().second; }

 protected:
  /// A draw of component index[b] for every row b.
  virtual Tensor components(const Tensor& index, Rng& rng) const = 0;
  virtual Tensor component_log(std::size_t k, const Tensor& x) const = 0;
  virtual double radius() const { return 1; }

  Tensor row(const std::vector<double>& values) const { return torch::tensor(values, torch::kDouble).unsqueeze(0); }
  std::shared_ptr<const Manifold> manifold_;

 private:
  Config table_;
  std::vector<double> weights_;
  double noise_;

  std::pair<std::optional<double>, std::optional<double>> integrals() const {
    const Cubature rule = manifold_->cubature(manifold_->dimension() == 3 ? 64 : 160, radius());
    const Tensor log_p = log_density(rule.points), p = log_p.exp() * rule.weights;
    const Tensor slope = manifold_->gradient(rule.points, score(rule.points));
    return {-(p * log_p).sum().item<double>(), (p * manifold_->inner(rule.points, slope, slope)).sum().item<double>()};
  }
};

struct VmfComponent {
  std::vector<double> mean;
  double kappa, weight;
};

std::vector<double> weights_of(const std::vector<VmfComponent>& components) {
  std::vector<double> weights;
  weights.reserve(components.size());
  for (const VmfComponent& c : components) weights.push_back(c.weight);
  return weights;
}

// Von Mises–Fisher laws of consecutive blocks of coordinates: of one on a sphere, of every angle on a torus. Where x and -x
// are one point, each counts with its antipode.
class VmfMixture : public Mixture {
 public:
  VmfMixture(const char* manifold, std::int64_t dimension, std::int64_t block, std::vector<VmfComponent> components,
             double noise)
      : Mixture(manifold, dimension, weights_of(components), noise), block_(block), components_(std::move(components)) {
    for (VmfComponent& c : components_)
      for (std::size_t start = 0; start < c.mean.size(); start += static_cast<std::size_t>(block)) {
        double squared = 0;
        for (std::size_t i = start; i < start + static_cast<std::size_t>(block); ++i) squared += c.mean[i] * c.mean[i];
        for (std::size_t i = start; i < start + static_cast<std::size_t>(block); ++i) c.mean[i] /= std::sqrt(squared);
      }
  }

 protected:
  Tensor components(const Tensor& index, Rng& rng) const override {
    std::vector<Tensor> means, parts;
    std::vector<double> kappas;
    for (const VmfComponent& c : components_) {
      means.push_back(row(c.mean));
      kappas.push_back(c.kappa);
    }
    const Tensor mean = torch::cat(means).index_select(0, index);
    const Tensor kappa = torch::tensor(kappas, torch::kDouble).index_select(0, index);
    for (std::int64_t start = 0; start < mean.size(1); start += block_) {
      // A stream of its own: how many numbers rejection takes depends on all rows.
      Rng own = rng.stream("block" + std::to_string(start));
      parts.push_back(vmf_sample(mean.narrow(1, start, block_), kappa, own));
    }
    const Tensor x = torch::cat(parts, 1);
    return manifold_->antipodal() ? x * rng.rademacher({x.size(0), 1}, x) : x;
  }
  Tensor component_log(std::size_t k, const Tensor& x) const override {
    const VmfComponent& c = components_[k];
    const Tensor mean = row(c.mean).to(x.options()), kappa = torch::full({1}, c.kappa, x.options());
    Tensor sum;
    for (std::int64_t start = 0; start < mean.size(1); start += block_) {
      const Tensor block = x.narrow(1, start, block_), of = mean.narrow(1, start, block_);
      Tensor one = vmf_log_density(block, of, kappa);
      if (manifold_->antipodal()) one = torch::logaddexp(one, vmf_log_density(-block, of, kappa));
      sum = sum.defined() ? sum + one : one;
    }
    return sum;
  }

 private:
  std::int64_t block_;
  std::vector<VmfComponent> components_;
};

struct WrappedComponent {
  double along, across, deviation;  // the mean as a tangent vector of the origin
};

class HyperbolicMixture : public Mixture {
 public:
  HyperbolicMixture(std::vector<WrappedComponent> components, std::vector<double> weights, double noise)
      : Mixture("hyperbolic", 2, std::move(weights), noise), components_(std::move(components)) {}

 protected:
  Tensor components(const Tensor& index, Rng& rng) const override {
    std::vector<Tensor> means;
    std::vector<double> deviations;
    for (std::size_t k = 0; k < components_.size(); ++k) {
      means.push_back(mean(k));
      deviations.push_back(components_[k].deviation);
    }
    const Tensor at = torch::cat(means).index_select(0, index);
    const Tensor deviation = torch::tensor(deviations, torch::kDouble).index_select(0, index).unsqueeze(1);
    return manifold_->exp(at, deviation * manifold_->tangent_noise(at, rng));
  }
  Tensor component_log(std::size_t k, const Tensor& x) const override {
    return manifold_->log_wrapped_normal(mean(k).to(x.options()), x, components_[k].deviation);
  }
  double radius() const override { return 7; }

 private:
  std::vector<WrappedComponent> components_;
  Tensor mean(std::size_t k) const {
    const Tensor origin = manifold_->origin(torch::empty({0}, torch::kDouble));
    return manifold_->exp(origin, row({0, components_[k].along, components_[k].across}));
  }
};

double noise_of(const Config& options) { return read_options<ManifoldMixtureOptions>(options, "data").noise; }

}  // namespace

std::unique_ptr<Density> make_circle_mixture(const Config& options) {
  const std::vector<VmfComponent> components = {{{0, 1}, 2, 0.7}, {{1, -1}, 3, 0.3}};
  return std::make_unique<VmfMixture>("sphere", 1, 2, components, noise_of(options));
}

std::unique_ptr<Density> make_sphere_mixture(const Config& options) {
  const std::vector<VmfComponent> components = {
      {{0.6508420, 0.0251882, -0.7587953}, 5.5671300, 0.0750776},
      {{0.6003264, 0.4440408, -0.6651586}, 7.0959215, 0.0718680},
      {{-0.2062087, -0.6381588, -0.7417758}, 6.6122650, 0.5370247},
      {{0.9200220, -0.1803743, 0.3478859}, 2.1466303, 0.3160298},
  };
  return std::make_unique<VmfMixture>("sphere", 2, 3, components, noise_of(options));
}

std::unique_ptr<Density> make_torus_mixture(const Config& options) {
  const auto angles = [](double a, double b) {
    return std::vector<double>{std::cos(a), std::sin(a), std::cos(b), std::sin(b)};
  };
  // Where the backbone angles of proteins gather, roughly: helices, sheets, left-handed turns.
  const std::vector<VmfComponent> components = {
      {angles(-1.1, -0.75), 6, 0.5}, {angles(-2.0, 2.3), 4, 0.35}, {angles(1.0, 0.7), 7, 0.15}};
  return std::make_unique<VmfMixture>("torus", 2, 2, components, noise_of(options));
}

std::unique_ptr<Density> make_hyperbolic_mixture(const Config& options) {
  return std::make_unique<HyperbolicMixture>(
      std::vector<WrappedComponent>{{0.9, 0.2, 0.35}, {-0.7, 0.8, 0.45}, {0.1, -1.0, 0.4}},
      std::vector<double>{0.4, 0.35, 0.25}, noise_of(options));
}

std::unique_ptr<Density> make_rotation_mixture(const Config& options) {
  const std::vector<VmfComponent> components = {
      {{1, 0.2, 0, 0.1}, 6, 0.5}, {{0.1, 1, 0.5, 0}, 5, 0.3}, {{0.3, -0.2, 0.4, 1}, 7, 0.2}};
  return std::make_unique<VmfMixture>("so3", 0, 4, components, noise_of(options));
}

}  // namespace gibbsite
