// The metrics that `gibbsite evaluate --metric NAME` knows.
#pragma once

#include <gibbsite/calculus/jet.h>
#include <gibbsite/core/environment.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/metric/estimate.h>
#include <gibbsite/metric/inception.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace gibbsite {

class Manifold;
class NoiseSpace;

/// What a metric may use. Undefined or empty members are absent; a metric that needs one throws RequestError naming it.
struct MetricInput {
  EnergyFn energy;                     ///< in the model's units
  std::function<Jet(const Jet&)> jet;  ///< of the energy, where it has one
  Tensor data;                         ///< held-out points, model's units, [N, *event]
  Tensor training;                     ///< training points, model's units, for typicality and the quadrature's box
  const Manifold* manifold = nullptr;  ///< on which the points lie; null: Euclidean space
  const NoiseSpace* space = nullptr;   ///< of an auto-encoder whose density an energy corrects
  EnergyFn correction;                 ///< that energy, in the model's units
  Tensor samples;                      ///< model samples, model's units, [S, *event]
  std::vector<std::pair<std::string, Tensor>> out;  ///< out-of-distribution sets by name, model's units
  double log_jacobian = 0;                          ///< mean log |det| of the data transform, added to log densities
  std::function<Tensor(const Tensor&)> classify;    ///< points in the model's units -> class probabilities [N, C]
  std::function<Tensor(const Tensor&)> features;    ///< the same -> the classifier's features [N, d]
  std::function<InceptionOutput(const Tensor&)>
      inception;                     ///< points in the model's units -> answers of the given module
  std::string inception_sha256;      ///< of that module's file
  Tensor labels;                     ///< [N] int64 of data
  Tensor chains;                     ///< [S, C, *event], S states of each of C chains, original units
  Tensor chain_energies;             ///< [S, C] of those states, undefined without an energy
  Tensor divergences;                ///< [C] int64, undefined of kernels without an acceptance test
  std::vector<std::string> columns;  ///< names of the coordinates of an event, or empty
  Rng rng = Rng(0, "metric");
};

/// One number of a metric; `settings` are further keys of its result row, e.g. {"score", "log_density"}.
struct MetricValue {
  std::string metric;  ///< slug of the result row
  Estimate estimate;
  std::string unit;  ///< "nats", "1", …
  NamedStrings settings;
};

struct MetricEntry {
  std::string name;
  std::string summary;  ///< one line
  std::string paper;    ///< where it comes from
  std::function<std::vector<MetricValue>(const MetricInput&)> evaluate;
  bool needs_energy = false;  ///< a score network is refused before any work
  bool on_manifolds = false;  ///< its energies may live on manifolds
};

const std::vector<MetricEntry>& metric_table();

/// Throws RequestError with the nearest name if there is no such metric.
const MetricEntry& find_metric(const std::string& name);

}  // namespace gibbsite
