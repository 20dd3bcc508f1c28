// cebm/latent: how far latent variables follow their bias and how much they say about the data (Wu et al. 2021, Table 3;
// protocol sheet, 6.5), and what an objective that asks for information gains.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Rows: kl_aggregate, mutual_information (`estimator`: weighted, plain) of every model; of Gaussian channels beside the
/// `truth`; accuracy from ten labels per class and frechet_classifier of the energies over the weight of their information.
ExperimentOutcome reproduce_cebm_latent(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
