// What the networks of a latent-variable model are built from.
#pragma once

#include <gibbsite/manifold/manifold.h>
#include <gibbsite/model/energy.h>

namespace gibbsite {

/// `event` is that of v.
struct LatentContext : ModelContext {
  std::int64_t latent_size = 1;              ///< K, width of h
  std::shared_ptr<const Manifold> manifold;  ///< where h lives; null for Euclidean space
  /// What decoders and energies of codes multiply h by: on a sphere √K, which gives its coordinates a variance of one.
  double code_scale = 1;
};

/// Rows of h put onto the manifold, rows of zeros at its origin; h itself without one. [N, K] -> [N, K].
Tensor codes_on(const std::shared_ptr<const Manifold>& manifold, const Tensor& h);

/// Throws RequestError naming `who` if codes live on a manifold, where it has no law.
void require_flat_codes(const LatentContext& context, const std::string& who);

}  // namespace gibbsite
