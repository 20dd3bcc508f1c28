// Isotropic Gaussian mixtures in any dimension; jitter adds to the variances, so the density stays exact.
#pragma once

#include <gibbsite/data/density.h>

namespace gibbsite {

struct GaussianMixtureOptions {
  std::int64_t dimension = 2;
  std::vector<double> means = {0, 0};
  std::vector<double> sigma = {1};
  std::vector<double> weights;
  double noise = 0;
  void declare(OptionVisitor& o) {
    o.option("dimension", dimension, "coordinates of a point", at_least(1));
    o.option("means", means, "the means, one after another: components × dimension numbers");
    o.option("sigma", sigma, "standard deviation, one number or one for each component", positive());
    o.option("weights", weights, "share of each component; empty: equal shares", positive());
    o.option("noise", noise, "standard deviation of Gaussian jitter, added to sigma in quadrature", non_negative());
  }
};

/// The 5 × 5 grid of VAEBM's 25-Gaussians: centres at -2 … 2 times `spacing`.
struct GaussianGridOptions {
  double spacing = 1;
  double sigma = 0.0839;
  double noise = 0;
  void declare(OptionVisitor& o) {
    o.option("spacing", spacing, "distance of neighbouring centres", positive());
    o.option("sigma", sigma, "standard deviation of each Gaussian", positive());
    o.option("noise", noise, "standard deviation of Gaussian jitter, added to sigma in quadrature", non_negative());
  }
};

/// Throws RequestError where the array lengths do not fit together.
std::unique_ptr<Density> make_gaussian_mixture(const Config& options);
std::unique_ptr<Density> make_gaussian_grid(const Config& options);

}  // namespace gibbsite
