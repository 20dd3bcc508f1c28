// Noise levels spaced over a batch, as multi-scale denoising score matching takes them: a grid and no draw, which would add
// variance (protocol sheet of VaGES, 5).
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/objective/objective.h>

#include <string>

namespace gibbsite {

struct NoiseGridOptions {
  double sigma_min = 0.05;
  double sigma_max = 1.2;
  std::string spacing = "linear";
  /// `counts`: whether the objective has a grid at all.
  void declare(OptionVisitor& o, bool counts = true) {
    o.only_if(counts).option("sigma_min", sigma_min, "smallest noise level; levels are spaced over the global batch",
                             positive());
    o.only_if(counts).option("sigma_max", sigma_max, "largest noise level", positive());
    o.only_if(counts).option("spacing", spacing, "the levels, or their logarithms, are evenly spaced",
                             {"linear", "geometric"});
  }
  /// Throws RequestError where the largest level is below the smallest.
  void check() const;
  /// The level of every row, [B]. Shards of a batch use their own part of the grid.
  Tensor levels(const Batch& batch) const;
};

}  // namespace gibbsite
