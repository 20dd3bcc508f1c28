// The unit sphere S^d in R^(d+1).
#pragma once

#include <gibbsite/manifold/manifold.h>

namespace gibbsite {

struct SphereOptions {
  std::int64_t dimension = 2;
  void declare(OptionVisitor& o) { o.option("dimension", dimension, "d: points have d + 1 coordinates", at_least(1)); }
};

std::shared_ptr<const Manifold> make_sphere(const SphereOptions& options);

bool is_sphere(const Manifold& manifold);

/// Rows of independent normals ([B, m]) made unit vectors. A row of zeros, which a pair of normals is once in 2^24, becomes the
/// first unit vector.
Tensor directions(const Tensor& normals);

/// log of the volume of S^(m-1), the unit sphere of R^m.
double log_sphere_area(std::int64_t m);

}  // namespace gibbsite
