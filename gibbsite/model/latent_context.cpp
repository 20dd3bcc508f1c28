#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/latent_context.h>
#include <torch/types.h>

namespace gibbsite {

Tensor codes_on(const std::shared_ptr<const Manifold>& manifold, const Tensor& h) {
  if (!manifold) return h;
  const Tensor nothing = (h == 0).all(1, true);
  return manifold->nearest(torch::where(nothing, manifold->origin(h), h));
}

void require_flat_codes(const LatentContext& context, const std::string& who) {
  if (context.manifold)
    throw RequestError(who, "its codes are points of Euclidean space, those of this recipe are not",
                       "latent.space = \"euclidean\"");
}

}  // namespace gibbsite
