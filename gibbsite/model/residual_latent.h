// The deep latent-variable energy of VaGES (Eq. 16; protocol sheet 3.3):
//
//   E(v, h) = ‖f(A [g(v) + h; h] + a)‖²
//
// with g residual convolutions under an affine map to K numbers, f the activation and A affine to half as many numbers as the
// convolutions have features. E >= 0.
#pragma once

#include <gibbsite/model/latent_energy.h>
#include <gibbsite/nn/residual.h>

#include <string>

namespace gibbsite {

struct ResidualLatentOptions {
  std::int64_t latent_size = 50;
  std::int64_t filters = 64;
  std::int64_t stages = 3;
  std::int64_t blocks = 2;
  std::string activation = "elu";
  void declare(OptionVisitor& o) {
    o.option("latent_size", latent_size, "latent variables K", at_least(1));
    o.option("filters", filters, "filters of the first stage, doubled by every stage", at_least(1));
    o.option("stages", stages, "stages, each halving the resolution", between(1, 16));
    o.option("blocks", blocks, "residual blocks per stage", at_least(1));
    o.option("activation", activation, "nonlinearity of every layer, twice differentiable", activation_names());
  }
};

/// Events are images [C, H, W]; throws RequestError for other shapes. Has jets in v; the convolutions are evaluated once for
/// all particles.
std::unique_ptr<LatentModel> make_residual_latent(const ResidualLatentOptions& options, const ModelContext& context);

}  // namespace gibbsite
