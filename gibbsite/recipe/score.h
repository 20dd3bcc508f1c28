// The service behind `gibbsite score`.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/metric/conformal.h>
#include <gibbsite/recipe/build.h>

#include <optional>
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
  std::string out;     ///< .npz or .csv; empty: scores/<data>.npz in the run
  std::string device;  ///< empty: that of the run
  /// Rows whose energies p values are counted among: "validation" or "test" for those of the run, a data set or a file; empty:
  /// the validation rows of the run, else its test rows where others are scored, and no p values where there are none.
  std::string calibration;
  std::optional<double> false_alarm;  ///< the wished rate of false alarms, for a threshold
  DataPath path;
};

struct ScoreOutcome {
  std::string file;
  Scores scores;
  Tensor p_value;               ///< [N] float64, undefined without energies or rows to calibrate by
  std::int64_t calibrated = 0;  ///< how many rows those were
  std::optional<Alarm> alarm;   ///< for the wished rate
  std::int64_t alarms = 0;      ///< rows of energy above the threshold
};

/// A run, rows to ask it about in original units, and the file for the answer, whose folder is there.
struct PointsRun {
  Parts parts;
  Dataset rows;
  std::string file;
};

/// Opens a run for a service that maps rows to arrays: `data` is a name or file (empty: the held-out points of the run),
/// `out` an .npz or .csv file (empty: <folder>/<data>.npz in the run), `device` a device (empty: that of the run).
PointsRun open_points(const std::string& run, const std::string& data, const std::string& out,
                      const std::string& device, const std::string& folder, const DataPath& path, Logger& logger);

/// Writes arrays energy, score, log_density, p_value and, where a rate of false alarms was asked for, alarm (bytes, 1 above the
/// threshold), what there is of them; a CSV file has the coordinates under their own names before them.
ScoreOutcome score_run(const ScoreRequest& request, const Ports& ports);

/// Arrays with one row per point as .npz, or by the extension as CSV: an array without a name under `names` (x1, x2, … where there
/// are none), score under score_<name>, others of several columns numbered from 1.
void write_arrays(const std::string& file, const NamedTensors& arrays, const std::vector<std::string>& names);

/// Rows of a table with a header line in the order of the run's columns, without others, where the run knows the names of its
/// own. Throws RequestError naming `option` and the first column that is missing.
Dataset in_columns_of_run(const Dataset& rows, const Parts& parts, const char* option);

/// Held-out rows: the test split of the run if `name` is empty or names the run's generated data, else a set or file.
/// Square images are brought to the size of the run's. Throws RequestError where events have other sizes than those of the
/// run.
Dataset held_out(const Parts& parts, const std::string& name, const DataPath& path);

}  // namespace gibbsite
