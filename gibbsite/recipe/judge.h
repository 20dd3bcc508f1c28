// A trained classifier that judges points of other runs.
#pragma once

#include <gibbsite/recipe/build.h>

#include <memory>
#include <string>

namespace gibbsite {

class Judge {
 public:
  /// The classifier of a run. Throws RequestError naming `origin` unless the run is one and was trained on points of the
  /// sizes of `event` (original units).
  Judge(const std::string& run, const Shape& event, const std::string& origin, const DataPath& path, Logger& logger);

  /// x: [N, *event], original units; moved into the range of values the classifier knows -> [N, classes].
  Tensor probabilities(const Tensor& x) const;
  /// Penultimate activations, [N, features].
  Tensor features(const Tensor& x) const;

 private:
  std::shared_ptr<const Parts> parts_;
};

}  // namespace gibbsite
