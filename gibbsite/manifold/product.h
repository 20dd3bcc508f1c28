// Products of manifolds: points side by side, squared lengths added.
#pragma once

#include <gibbsite/manifold/manifold.h>

#include <vector>

namespace gibbsite {

struct ProductOptions {
  std::string factors = "sphere 2, euclidean 1";
  void declare(OptionVisitor& o) {
    o.option("factors", factors, "names and dimensions of the factors, separated by commas");
  }
};

/// Throws RequestError for an unknown factor.
std::shared_ptr<const Manifold> make_product(const ProductOptions& options);
std::shared_ptr<const Manifold> product_of(std::vector<std::shared_ptr<const Manifold>> factors);

struct TorusOptions {
  std::int64_t dimension = 2;
  void declare(OptionVisitor& o) {
    o.option("dimension", dimension, "d angles: points have 2d coordinates, cos and sin of each", at_least(1));
  }
};

/// d circles of radius 1.
std::shared_ptr<const Manifold> make_torus(const TorusOptions& options);

}  // namespace gibbsite
