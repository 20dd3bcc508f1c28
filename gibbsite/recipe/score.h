// The service behind `gibbsite score`.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/recipe/build.h>

#include <string>

namespace gibbsite {

struct Scores {
  Tensor energy;  ///< [N] float64, minus an unnormalised log density in original units; undefined where there is none
  Tensor score;   ///< [N, *event], grad log p in original units
  Tensor log_density;  ///< [N] float64, original units; undefined unless the model can be normalised
};

/// x: [N, *event] in original units. A noise-conditional network is asked at its last level; a latent-variable energy without
/// a marginal has a score alone, by draws of its encoder. The Jacobian of the data transform is part of energy and log_density.
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

/// A run, rows to ask it about in original units, and the file for the answer, whose folder is there.
struct PointsRun {
  Parts parts;
  Dataset rows;
  std::string file;
};

/// Opens a run for a service that maps rows to arrays: `data` is a name or file (empty: the held-out points of the run),
/// `out` an .npz file (empty: <folder>/<data>.npz in the run), `device` a device (empty: that of the run).
PointsRun open_points(const std::string& run, const std::string& data, const std::string& out,
                      const std::string& device, const std::string& folder, const DataPath& path, Logger& logger);

ScoreOutcome score_run(const ScoreRequest& request, const Ports& ports);

/// Held-out rows: the test split of the run if `name` is empty or names the run's generated data, else a set or file.
/// Square images are brought to the size of the run's. Throws RequestError where events have other sizes than those of the
/// run.
Dataset held_out(const Parts& parts, const std::string& name, const DataPath& path);

}  // namespace gibbsite
