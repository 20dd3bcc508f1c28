// The law of some coordinates of a state given the others: p(x_free | x_held) ∝ exp(-E(x)), which needs no more than the energy
// or the score of the whole. Kernels then move the free coordinates alone.
#pragma once

#include <gibbsite/sampler/kernel.h>

namespace gibbsite {

class FreeCoordinates {
 public:
  /// Single entries: held [B, *event], of which those marked in free [B, *event] (bool) may move. Throws RequestError where
  /// the shapes differ or a row has no free entry. Rows with fewer free entries than others carry standard normal numbers in
  /// the places that are left.
  static FreeCoordinates entries(const Tensor& held, const Tensor& free);

  /// The points held + basis u, u [F], of every row: held [B, D], basis [B, D, F] or, the same for all rows, [1, D, F] with
  /// orthonormal columns, so that distances in u are those in x.
  static FreeCoordinates directions(const Tensor& held, const Tensor& basis);

  /// How many coordinates move.
  std::int64_t size() const { return size_; }
  /// The whole states of free coordinates: [B, F] -> [B, *event]. Rows come B R in number where R replicas serve a chain, those of
  /// one chain in a row.
  Tensor embed(const Tensor& u) const;
  /// The free coordinates of whole states: [B, *event] -> [B, F]; what held coordinates say is lost.
  Tensor project(const Tensor& x) const;
  /// The target of the free coordinates: energy, reference and score of `target` at embed(u). Throws RequestError on a manifold.
  Target restricted(const Target& target) const;

 private:
  Tensor held_;     // [B, *event]
  Tensor index_;    // [B, F] int64 places of free entries; the number of entries for a place that is left
  Tensor surplus_;  // [B, F], 1 where a place is left; undefined where there is none
  Tensor basis_;    // instead of index_
  std::int64_t size_ = 0;

  Tensor pull(const Tensor& x) const;
};

}  // namespace gibbsite
