// The hierarchical auto-encoder of VAEBM (NVAE: Vahdat and Kautz 2020; protocol sheet 6), with a Gaussian decoder. Groups of
// latent maps run from the top scale, of the lowest resolution, down: p(z) = Π_l p(z_l | z_<l), and the posterior of a group is
// the prior's moved by what the encoder found,
//
//   q(z_l | z_<l, x) = N(μ_l + Δμ_l(x), exp(log σ_l + Δ log σ_l(x))²).
//
// Every mean is 5 tanh(·/5), every deviation exp(5 tanh(·/5)) + 0.01. The first prior is N(0, 1.01²).
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/registry.h>
#include <gibbsite/model/energy.h>
#include <gibbsite/model/generator.h>

#include <functional>
#include <memory>
#include <vector>

namespace gibbsite {

/// 30 groups at one scale with 128 channels are those of CIFAR-10.
struct HierarchicalVaeOptions {
  std::int64_t channels = 32;
  std::vector<std::int64_t> groups = {2};
  std::int64_t latent_channels = 20;
  std::int64_t cells = 2;
  std::int64_t expansion = 6;
  void declare(OptionVisitor& o) {
    o.option("channels", channels, "channels at the resolution of the data; every halving doubles them", at_least(4));
    o.option("groups", groups, "groups of latent maps at every scale, the top one first", at_least(1));
    o.option("latent_channels", latent_channels, "latent maps per group", at_least(1));
    o.option("cells", cells, "cells per group in each tower", at_least(1));
    o.option("expansion", expansion, "width of a decoder cell over its channels", at_least(1));
  }
};

/// The two sides of the evidence bound, by one draw per group.
struct Evidence {
  Tensor log_prob;                 ///< log p(x | z), [B]
  std::vector<Tensor> divergence;  ///< KL of every group, [B] each, in closed form given the groups before it
  std::vector<Tensor> z;           ///< [B, *group] each
  Tensor mean;                     ///< of x given z, [B, *event]
};

class HierarchicalVae : public Generator {
 public:
  /// x: [B, *event], in [-1, 1].
  virtual Evidence evidence(const Tensor& x, Rng& rng) const = 0;
  /// Σ of the convolutions' spectral norms and of the largest scales of batch norms, 0-dim.
  virtual Tensor penalty() const = 0;
  /// For every group its weight α in the balance of divergences while they are warmed up: 4 for every scale below the top, over
  /// the number of groups of its scale, the least made 1.
  virtual std::vector<double> balance() const = 0;
  /// For the optimiser and checkpoints only; batch norms take their running statistics where it does not train.
  virtual torch::nn::Module& module() = 0;
};

/// Runs `passes` batches of 16 draws of the prior through the generator in training, the noise of latent variables times
/// `temperature`, so that its batch norms take the statistics of such draws (NVAE does 500 before it draws at a temperature).
void readjust_batch_norms(HierarchicalVae& vae, double temperature, std::int64_t passes, const Rng& rng);

/// Events are images [C, H, W] with sides that divide by 2 for every scale; throws RequestError for others.
std::unique_ptr<HierarchicalVae> make_hierarchical_vae(const HierarchicalVaeOptions& options,
                                                       const ModelContext& context);

using MakeHierarchicalVae =
    std::function<std::unique_ptr<HierarchicalVae>(const Config& options, const ModelContext& context)>;
const Table<MakeHierarchicalVae>& hierarchical_vae_table();

}  // namespace gibbsite
