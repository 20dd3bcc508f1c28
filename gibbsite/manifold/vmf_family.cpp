#include <gibbsite/manifold/vmf_family.h>
#include <gibbsite/manifold/von_mises_fisher.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class VonMisesFisher : public ExponentialFamily {
 public:
  explicit VonMisesFisher(std::int64_t size) : size_(size) {}
  std::int64_t size() const override { return size_; }
  std::int64_t statistics() const override { return size_; }
  Tensor statistic(const Tensor& z) const override { return z; }
  Tensor log_base(const Tensor& z) const override { return torch::zeros_like(z.select(-1, 0)); }
  Tensor mean_log_base(const Tensor& natural) const override { return torch::zeros_like(natural.select(-1, 0)); }
  Tensor log_normaliser(const Tensor& natural) const override {
    return -vmf_log_normaliser(length(natural).flatten(), size_).view(natural.select(-1, 0).sizes());
  }
  std::optional<Jet> log_normaliser(const Jet&) const override { return std::nullopt; }
  Tensor mean_parameters(const Tensor& natural) const override {
    const Tensor kappa = length(natural);
    return natural * (mean_length(kappa) / kappa).unsqueeze(-1);
  }
  // Banerjee et al. (2005) start it, Newton's steps end it, the last with graph.
  Tensor natural_parameters(const Tensor& mean) const override {
    const Tensor r = length(mean);
    const auto m = static_cast<double>(size_);
    Tensor kappa;
    {
      const torch::NoGradGuard no_grad;
      kappa = r * (m - r.square()) / (1 - r.square());
      for (int k = 0; k < 6; ++k) kappa = newton(kappa, r);
    }
    return mean * (newton(kappa, r) / r).unsqueeze(-1);
  }
  Tensor standard() const override { return torch::zeros({size_}, torch::kDouble); }
  Tensor updated(const Tensor& natural, const Tensor& raw) const override { return natural + raw; }
  std::optional<Jet> updated(const Tensor& natural, const Jet& raw) const override { return raw + natural; }
  Tensor mean(const Tensor& natural) const override { return mean_parameters(natural); }
  // E[z zᵀ] is A/κ across the mean direction and 1 - (K - 1) A/κ along it.
  Tensor variance(const Tensor& natural) const override {
    const Tensor kappa = length(natural), across = (mean_length(kappa) / kappa).unsqueeze(-1);
    const Tensor direction = (natural / kappa.unsqueeze(-1)).square();
    return across + (1 - static_cast<double>(size_) * across) * direction - mean(natural).square();
  }
  Tensor sample(const Tensor& natural, Rng& rng) const override {
    const torch::NoGradGuard no_grad;
    const Tensor kappa = length(natural);
    Rng own = rng.fork();
    Tensor direction = natural / kappa.unsqueeze(-1);
    // Without a direction any is as good.
    const Tensor none = (natural == 0).all(-1, true);
    Tensor any = torch::zeros_like(natural);
    any.select(-1, 0).fill_(1);
    direction = torch::where(none, any, direction);
    return vmf_sample(direction, kappa, own);
  }

 private:
  std::int64_t size_;
  // Of zero vectors too, with a derivative.
  static Tensor length(const Tensor& rows) { return (rows.square().sum(-1) + 1e-24).sqrt(); }
  Tensor mean_length(const Tensor& kappa) const { return vmf_mean_length(kappa.flatten(), size_).view(kappa.sizes()); }
  Tensor newton(const Tensor& kappa, const Tensor& r) const {
    const Tensor a = mean_length(kappa), slope = 1 - a.square() - static_cast<double>(size_ - 1) * a / kappa;
    return kappa - (a - r) / slope;
  }
};

}  // namespace

std::unique_ptr<ExponentialFamily> make_von_mises_fisher_family(std::int64_t size) {
  return std::make_unique<VonMisesFisher>(size);
}

}  // namespace gibbsite
