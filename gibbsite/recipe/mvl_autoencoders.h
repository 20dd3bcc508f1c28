// Tables 1 and 2 of minimum velocity learning: auto-encoders of images with codes in Euclidean space or on a sphere.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Variational auto-encoders of MNIST: explicit encoders (Gaussian, von Mises–Fisher) with rectified units or, as
/// "explicit-tanh", with those of the others, and implicit ones whose entropy is by minimum velocity learning; codes of
/// dimension 8 and 32. Methods are "<encoder>-<space>-<dimension>". Keys `evaluation.…` say how likelihoods are estimated,
/// `method=…` picks one; others go to the recipes.
///
/// Rows: nll and ess as in measure_likelihood; nll_difference from "implicit-sphere-<dimension>" on the same images, positive
/// where that is better.
ExperimentOutcome reproduce_mvl_vae(const ExperimentContext& context, const Ports& ports);

/// Wasserstein auto-encoders by minimum velocity learning (with ⟨h, ψ(h)⟩, or as "mvl-scalar" with a plain network for energy),
/// by a critic and by mean discrepancy, methods "<penalty>-<space>". Keys: `data=cifar10` in place of MNIST,
/// `experiment.samples` and `experiment.classifier`, `method=…`; others go to the recipes.
///
/// Rows: frechet_classifier of decoded draws of the prior from test images, both made bits where the data are; the accuracy
/// of that classifier, as method "classifier". An incomplete CIFAR-10 is data set "cifar10-partial".
ExperimentOutcome reproduce_mvl_wae(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
