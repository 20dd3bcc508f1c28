// The typicality test of Nalisnick et al. (2019): a group of M points is out of distribution where the mean of its energies
// is far from the mean energy of the training set.
#pragma once

#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/metric/estimate.h>

namespace gibbsite {

struct TypicalityTest {
  std::int64_t size = 2;       ///< M, points per group
  std::int64_t groups = 1000;  ///< groups from either set
  double training_energy = 0;  ///< mean energy of training points
};

/// |mean energy of the group - training_energy| of `groups` groups of `size` rows each drawn with replacement: [groups]
/// float64. energy: [N]. Throws WorkError on an empty set.
Tensor typicality_distances(const Tensor& energy, const TypicalityTest& test, Rng& rng);

/// Area under the curve with groups of `out` as the positive class. `in` and `out` are energies, [N] and [M]; out = in
/// compares two independent draws of the same law, so that 1/2 is expected.
Estimate typicality_auroc(const Tensor& in, const Tensor& out, const TypicalityTest& test, const Rng& rng);

}  // namespace gibbsite
