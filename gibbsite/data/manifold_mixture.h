// Mixtures on manifolds, with exact densities with respect to the volume: the circle and the sphere of minimum velocity
// learning's experiments, and a torus of angles, the hyperbolic plane and rotations beyond them.
#pragma once

#include <gibbsite/data/density.h>

namespace gibbsite {

struct ManifoldMixtureOptions {
  double noise = 0;
  void declare(OptionVisitor& o) {
    o.option("noise", noise, "standard deviation of Gaussian jitter along geodesics; above 0 the density is not closed",
             non_negative());
  }
};

/// 0.7 vMF((0, 1), κ 2) + 0.3 vMF((1, -1)/√2, κ 3) on the unit circle.
std::unique_ptr<Density> make_circle_mixture(const Config& options);
/// Four von Mises–Fisher laws on the unit sphere (mvl.md, M4).
std::unique_ptr<Density> make_sphere_mixture(const Config& options);
/// Three products of von Mises laws of two angles.
std::unique_ptr<Density> make_torus_mixture(const Config& options);
/// Three wrapped normal laws on the hyperbolic plane, within 4 of the origin.
std::unique_ptr<Density> make_hyperbolic_mixture(const Config& options);
/// Three von Mises–Fisher laws of quaternions, each and its antipode alike.
std::unique_ptr<Density> make_rotation_mixture(const Config& options);

}  // namespace gibbsite
