#include <gibbsite/data/banana.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

class Banana : public Density {
 public:
  explicit Banana(const BananaOptions& options) : bend_(options.bend), deviation_(options.deviation) {}
  std::int64_t dimension() const override { return 2; }
  Tensor sample(std::int64_t n, Rng& rng, at::ScalarType dtype) const override {
    const Tensor z = rng.normal({n, 2}, dtype);
    const Tensor x1 = deviation_ * z.select(1, 0);
    return torch::stack({x1, ridge(x1) + z.select(1, 1)}, 1);
  }
  Box box() const override {
    // |x1| < 8 deviations; the ridge is extreme at x1 = 0 and at the ends.
    const double centre = -bend_ * deviation_ * deviation_, end = 63 * bend_ * deviation_ * deviation_;
    return {{-8 * deviation_, std::min(centre, end) - 8}, {8 * deviation_, std::max(centre, end) + 8}};
  }
  double length_scale() const override {
    // Along x2 the law is N(., 1); along x1 its slope at the ends of the box shortens the scale.
    return std::min(deviation_, 1 / std::max(1.0, 16 * std::abs(bend_) * deviation_));
  }

  bool has_log_density() const override { return true; }
  Tensor log_density(const Tensor& x) const override {
    const Tensor x1 = x.select(1, 0);
    return -0.5 * (x1 / deviation_).square() - 0.5 * (x.select(1, 1) - ridge(x1)).square() -
           std::log(2 * M_PI * deviation_);
  }
  std::optional<double> entropy() const override { return std::log(2 * M_PI * M_E * deviation_); }
  std::optional<double> fisher_information() const override {
    return 1 / (deviation_ * deviation_) + 4 * bend_ * bend_ * deviation_ * deviation_ + 1;
  }

 private:
  double bend_, deviation_;
  Tensor ridge(const Tensor& x1) const { return bend_ * (x1.square() - deviation_ * deviation_); }
};

}  // namespace

std::unique_ptr<Density> make_banana(const Config& options) {
  const auto settings = read_options<BananaOptions>(options, "data");
  return jittered(std::make_unique<Banana>(settings), settings.noise);
}

}  // namespace gibbsite
