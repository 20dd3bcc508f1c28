// Batches. Batch k is a function of (seed, k, batch size) and of nothing else, so a run resumes from a step number.
#pragma once

#include <gibbsite/core/random.h>
#include <gibbsite/data/dataset.h>
#include <gibbsite/data/density.h>
#include <gibbsite/data/transform.h>

#include <memory>

namespace gibbsite {

struct Minibatch {
  Tensor x;      ///< [B, *event] in model units, noise included
  Tensor label;  ///< [B] int64, undefined without labels
  Tensor index;  ///< [B] int64 rows of the data set, undefined for fresh samples
};

class Loader {
 public:
  /// Epoch e visits the rows in the permutation of rng.stream("loader/order") at step e; a batch may span two epochs.
  /// Noise of batch k comes from rng.stream("loader/noise") at step k. Throws RequestError on an empty data set.
  Loader(Dataset data, Pipeline pipeline, const Rng& rng, at::ScalarType dtype = at::kFloat);
  /// Fresh samples in every batch, from rng.stream("loader/fresh") at step k.
  Loader(std::shared_ptr<const Density> density, Pipeline pipeline, const Rng& rng, at::ScalarType dtype = at::kFloat);

  /// Rows first_row … first_row + rows - 1 of batch `step` of `batch_size` rows; rows < 0: all that follow first_row.
  Minibatch batch(std::int64_t step, std::int64_t batch_size, std::int64_t first_row = 0, std::int64_t rows = -1) const;

  /// Rows of one epoch; 0 for fresh samples.
  std::int64_t size() const { return data_.size(); }
  /// Sizes of one event in model units.
  Shape event() const;

 private:
  Dataset data_;
  std::shared_ptr<const Density> density_;
  Pipeline pipeline_;
  Rng order_, noise_, fresh_;
  at::ScalarType dtype_;
  mutable std::int64_t cached_epoch_ = -1;
  mutable Tensor cached_order_;

  Tensor order(std::int64_t epoch) const;
};

}  // namespace gibbsite
