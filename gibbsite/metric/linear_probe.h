// Linear classifiers on frozen features, from few labels or many: what a representation is worth. One logistic regression per
// class against the others by liblinear, as the protocols of conjugate energy-based models ask for (section 6.2): the objective
//
//   ½‖w‖² + ½b² + cost Σ_n log(1 + exp(-y_n (w·z_n + b)))
//
// is a sum over examples and holds the intercept back too, so the scale of the features matters; it is left alone here.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/metric/estimate.h>

namespace gibbsite {

struct LinearProbeOptions {
  double cost = 1;
  double tolerance = 1e-4;
  void declare(OptionVisitor& o) {
    o.option("cost", cost, "weight of an example's loss against the penalty on weights", positive());
    o.option("tolerance", tolerance, "the solver stops where the gradient has fallen by this factor", positive());
  }
};

/// Weights [C, K] and intercepts [C] float64, rows in the order of the classes 0 … C - 1.
struct LinearProbe {
  Tensor weight, intercept;
  /// Scores z·w + b, [N, K] -> [N, C] float64; the largest is the answer.
  Tensor scores(const Tensor& features) const;
};

/// features: [N, K]; labels: [N] int64, each of `classes` classes at least once. Throws WorkError for other shapes, for values
/// that are not finite and for a class without examples.
LinearProbe fit_linear_probe(const Tensor& features, const Tensor& labels, std::int64_t classes,
                             const LinearProbeOptions& options = {});

/// The first `per_class` rows of each class in a random order: [classes · per_class] int64, by class. Throws RequestError where
/// a class has fewer.
Tensor draw_labelled_rows(const Tensor& labels, std::int64_t classes, std::int64_t per_class, Rng rng);

}  // namespace gibbsite
