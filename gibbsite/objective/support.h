// What several objectives share: their checks of what they are built from, their reports, their scalings.
#pragma once

#include <gibbsite/objective/objective.h>

#include <string>

namespace gibbsite {

/// Throws RequestError naming the objective if there is no energy.
const Energy& require_energy(const ObjectiveParts& parts, const char* objective);

/// The score network if there is one, else the variational score, else the score of the energy. Throws RequestError naming
/// the objective if there is none.
std::shared_ptr<const Score> require_score(const ObjectiveParts& parts, const char* objective);

/// The latent parts, with a latent energy and an encoder with a density among them. Throws RequestError naming the objective
/// otherwise.
const LatentParts& require_latent(const ObjectiveParts& parts, const char* objective);

/// Throws RequestError naming the objective unless the score of codes is the gradient of an energy.
void require_code_energy(const LatentScore& score, const char* objective);

/// The energy fitted for a problem, with numbers from stream "fit" of rng.
Fit fit(const Energy& energy, const Tensor& x, const FitProblem& problem, const Rng& rng);

/// Throws RequestError if `derivative` is jet and the model has none.
void require_jet(bool has_jet, const std::string& derivative);

/// A loss that is its own surrogate; `more` is reported after "loss".
Loss plain_loss(const Tensor& loss, NamedTensors more = {});

/// Differentiates `surrogate` and has the value of the loss.
Loss surrogate_loss(const Tensor& surrogate, const Tensor& value);

/// -log sigmoid(logit) = softplus(-logit), elementwise.
Tensor minus_log_sigmoid(const Tensor& logit);

/// Rows of the whole batch, of which the batch may be a shard.
std::int64_t whole_size(const Batch& batch);

/// Rows of the whole batch, without a graph, from those of this shard.
Tensor whole_rows(const Batch& batch, const Tensor& rows);

/// Those of this shard, from rows of the whole batch.
Tensor shard_rows(const Batch& batch, const Tensor& rows);

/// 1 for "one", 1/d for "per_dimension", d the size of one event of x.
double dimension_weight(const std::string& weight, const Tensor& x);

}  // namespace gibbsite
