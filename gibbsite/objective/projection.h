// Random directions v with E[v vᵀ] = I, and the finite-difference step taken along them.
#pragma once

#include <gibbsite/calculus/derivatives.h>
#include <gibbsite/core/options.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>

#include <string>

namespace gibbsite {

/// The step of a finite difference: a displacement of length epsilon, whatever the length of v. A consistent optimiser
/// needs epsilon -> 0 over the run (finite-difference score matching, Theorem 2); a constant does in practice. In float32
/// differences drown in rounding as epsilon falls (the second difference below 0.3 for a fresh deep network).
struct StepOptions {
  double epsilon = 0.1;
  std::string epsilon_schedule = "constant";
  double epsilon_final = 1e-3;
  bool batched = true;
  /// `counts`: whether the objective takes finite differences at all.
  void declare(OptionVisitor& o, bool counts) {
    o.only_if(counts).option("epsilon", epsilon, "finite-difference step, the length of the displacement", positive());
    o.only_if(counts).option("epsilon_schedule", epsilon_schedule,
                             "constant, or geometric from epsilon to epsilon_final over the run",
                             {"constant", "geometric"});
    o.only_if(counts && epsilon_schedule == "geometric")
        .option("epsilon_final", epsilon_final, "step at the end of a geometric schedule", positive());
    o.only_if(counts).option("batched", batched, "evaluate the finite-difference points in one batch");
  }
  /// The step at Batch::progress.
  FiniteDifference at(double progress) const;
};

struct ProjectionOptions {
  std::string projection = "rademacher";
  std::int64_t projections = 1;
  /// `counts`: whether the objective projects at all.
  void declare(OptionVisitor& o, bool counts = true) {
    o.only_if(counts).option("projection", projection, "law of the direction v, E[v vᵀ] = I",
                             {"rademacher", "gaussian", "sphere"});
    o.only_if(counts).option("projections", projections, "directions per example", at_least(1));
  }
  /// v like x; "sphere" has radius √d.
  Tensor draw(const Tensor& x, Rng& rng) const;
};

/// x + ε v/‖v‖ and its inverse scale ‖v‖/ε per row: a difference quotient along v is a difference times `scale`.
struct Displacement {
  Tensor step;   ///< like x
  Tensor scale;  ///< [B]
};
Displacement displacement(const Tensor& v, double epsilon);

}  // namespace gibbsite
