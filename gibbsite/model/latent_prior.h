// p(h), the law of a latent variable before anything is seen.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/manifold/manifold.h>
#include <gibbsite/model/energy.h>

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
  /// Whether it is the standard law of its space, N(0, I) or the uniform law of its manifold, which the divergences of
  /// posteriors are from.
  virtual bool standard() const { return true; }
  /// For the optimiser and checkpoints only; null for a prior without parameters.
  virtual torch::nn::Module* module() { return nullptr; }
};

/// N(0, I) in `size` dimensions.
std::unique_ptr<LatentPrior> make_normal_prior(std::int64_t size);

struct MixturePriorOptions {
  std::int64_t components = 1;
  bool learn_prior = false;
  double spread = 1;
  double least_log_deviation = -3;
  void declare(OptionVisitor& o) {
    o.option("components", components, "laws of codes in equal shares; 1: the standard one alone", at_least(1));
    o.only_if(components > 1).option("learn_prior", learn_prior, "train their means and deviations");
    o.only_if(components > 1).option("spread", spread, "deviation of their first means", non_negative());
    o.only_if(components > 1 && learn_prior)
        .option("least_log_deviation", least_log_deviation, "floor of their log deviations");
  }
};

/// Normal laws with means and diagonal deviations of their own in equal shares, deviations 1 at first (GMM-VAE; protocol sheet
/// of CEBM, section 4.1).
std::unique_ptr<LatentPrior> make_mixture_prior(const MixturePriorOptions& options, std::int64_t size,
                                                const ModelContext& context);

/// The uniform law of a manifold of finite volume; RequestError for others.
std::unique_ptr<LatentPrior> make_uniform_prior(std::shared_ptr<const Manifold> manifold);

}  // namespace gibbsite
