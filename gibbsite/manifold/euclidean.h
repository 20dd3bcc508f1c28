// R^d.
#pragma once

#include <gibbsite/manifold/manifold.h>

namespace gibbsite {

struct EuclideanOptions {
  std::int64_t dimension = 2;
  void declare(OptionVisitor& o) { o.option("dimension", dimension, "d", at_least(1)); }
};

std::shared_ptr<const Manifold> make_euclidean(const EuclideanOptions& options);

}  // namespace gibbsite
