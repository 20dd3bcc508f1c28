// p(h), the law of a latent variable before anything is seen.
#pragma once

#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/manifold/manifold.h>

#include <memory>

namespace gibbsite {

class LatentPrior {
 public:
  virtual ~LatentPrior() = default;
  /// [rows, K], dtype and device of `like`.
  virtual Tensor sample(std::int64_t rows, const Tensor& like, Rng& rng) const = 0;
  /// -log p(h), normalised (on a manifold with respect to its volume): [..., K] -> [...], differentiable.
  virtual Tensor energy(const Tensor& h) const = 0;
  /// grad log p(h), like h; on a manifold tangent.
  virtual Tensor score(const Tensor& h) const = 0;
  /// K.
  virtual std::int64_t size() const = 0;
  /// Where h lives; null for Euclidean space.
  virtual std::shared_ptr<const Manifold> manifold() const { return nullptr; }
};

/// N(0, I) in `size` dimensions.
std::unique_ptr<LatentPrior> make_normal_prior(std::int64_t size);

/// The uniform law of a manifold of finite volume; RequestError for others.
std::unique_ptr<LatentPrior> make_uniform_prior(std::shared_ptr<const Manifold> manifold);

}  // namespace gibbsite
