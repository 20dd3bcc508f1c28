// The service behind `gibbsite score`.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/recipe/build.h>

#include <string>

namespace gibbsite {

struct Scores {
  Tensor energy;  ///< [N] float64, minus an unnormalised log density in original units; undefined for a score network
  Tensor score;   ///< [N, *event], grad log p in original units
  Tensor log_density;  ///< [N] float64, original units; undefined unless the model can be normalised
};

/// x: [N, *event] in original units. A noise-conditional network is asked at its last level. The Jacobian of the data transform is part of energy and log_density.
Scores score_points(const Parts& parts, const Tensor& x, const Ports& ports);

struct ScoreRequest {
  std::string run;
  std::string data;    ///< name or file; empty: the held-out points of the run
  std::string out;     ///< .npz; empty: scores/<data>.npz in the run
  std::string device;  ///< empty: that of the run
  DataPath path;
};

struct ScoreOutcome {
  std::string file;
  Scores scores;
};

ScoreOutcome score_run(const ScoreRequest& request, const Ports& ports);

/// Held-out rows: the test split of the run if `name` is empty or names the run's generated data, else a set or file.
/// Throws RequestError where events have other sizes than those of the run.
Dataset held_out(const Parts& parts, const std::string& name, const DataPath& path);

}  // namespace gibbsite
