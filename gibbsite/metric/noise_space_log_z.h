// log Z of the product of an auto-encoder and an energy, h(x) = p(x) exp(-E(x))/Z with p normalised: the log of the mean of
// exp(-E) over draws of the auto-encoder, had in its noise space (VAEBM, Eq. 9).
#pragma once

#include <gibbsite/metric/ais.h>
#include <gibbsite/metric/log_weights.h>
#include <gibbsite/model/noise_space.h>

namespace gibbsite {

/// By `draws` of the auto-encoder weighted by exp(-E); `like` gives dtype and device. Good where the effective number is.
LogMean noise_space_importance(const NoiseSpace& space, const EnergyFn& energy, std::int64_t draws, const Tensor& like,
                               const Rng& rng);

/// By annealing `chains` from the auto-encoder's own law: the log mean of the weights is on average below log Z, so that
/// likelihoods with it are upper estimates. Options, state and errors of annealed_importance.
AisResult noise_space_annealing(const NoiseSpace& space, const EnergyFn& energy, std::int64_t chains,
                                const AisOptions& options, const Tensor& like, const Rng& rng, const Ports& ports = {});

}  // namespace gibbsite
