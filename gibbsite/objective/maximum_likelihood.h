// Maximum likelihood, -mean log p(x), for models with an exact log density.
#pragma once

#include <gibbsite/objective/objective.h>

namespace gibbsite {

struct MaximumLikelihoodOptions {
  void declare(OptionVisitor& /*o*/) {}
};

/// Throws RequestError unless the energy is a NormalisedEnergy or a Grbm, whose normaliser is enumerated.
std::unique_ptr<Objective> make_maximum_likelihood(const MaximumLikelihoodOptions& options,
                                                   const ObjectiveParts& parts);

}  // namespace gibbsite
