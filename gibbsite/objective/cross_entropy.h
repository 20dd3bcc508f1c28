// -log softmax(logits)[label] for classifiers.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/objective/objective.h>

namespace gibbsite {

struct CrossEntropyOptions {
  double label_smoothing = 0;
  std::int64_t shift = 0;
  void declare(OptionVisitor& o) {
    o.option("label_smoothing", label_smoothing, "share of the target spread over all classes", between(0, 1));
    o.option("shift", shift, "images move by up to this many pixels in each direction, zeros come in", non_negative());
  }
};

/// Needs a Classifier as its energy and labelled batches.
std::unique_ptr<Objective> make_cross_entropy(const CrossEntropyOptions& options, const ObjectiveParts& parts);

}  // namespace gibbsite
