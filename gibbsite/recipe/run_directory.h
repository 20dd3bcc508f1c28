// What a run leaves on the disk:
//
//   recipe.toml        the resolved recipe, defaults included: the run can be made again from it
//   transforms.pt      the fitted transforms of the data, so that samples come back in original units without the data
//   checkpoint-*.pt    the newest two and the best
//   metrics.jsonl      one JSON object per line: step, phase, numbers
//   evaluation.json    result rows of the last evaluation
//   evaluation.partial what an evaluation that was stopped goes on from
//   scores/            what `gibbsite score` wrote
//   codes/             what `gibbsite encode` wrote
//   samples/           what `gibbsite sample` wrote
//   report.html
#pragma once

#include <gibbsite/core/config.h>
#include <gibbsite/core/ports.h>
#include <gibbsite/data/transform.h>
#include <gibbsite/train/checkpoint.h>

#include <memory>
#include <string>
#include <vector>

namespace gibbsite {

/// What a run needs to know of its data when the data are absent.
struct StoredTransforms {
  Pipeline pipeline;
  Shape event, model_event;              ///< sizes of one event in original and in model units
  Tensor low, high;                      ///< [model event] float64: range of the training points in model units
  double value_low = 0, value_high = 0;  ///< the known range of original values (bytes: 0, 255); equal where unknown
  std::vector<std::string> columns;      ///< names of the coordinates, from a header line; else empty
};

/// What to do with a directory that already holds a run.
enum class ExistingRun { kRefuse, kResume, kReplace };

class RunDirectory {
 public:
  /// A directory for a new run, or the one to resume, with `resolved` written as its recipe. Throws RequestError if the
  /// directory holds a run and `existing` is kRefuse, or is no empty directory and no run; for kResume if the recipe of
  /// the run differs from `resolved` in anything but [train], [sample], [evaluate], the title and the device; WorkError if
  /// it cannot be written, or another process trains in it. kReplace deletes what a run leaves and nothing else.
  /// `lock` is that of the directory where the caller holds it (lock_folder).
  static RunDirectory create(const std::string& path, const Config& resolved, ExistingRun existing,
                             std::shared_ptr<void> lock = nullptr);

  /// An existing run. Throws WorkError if it is none.
  static RunDirectory open(const std::string& path);

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  CheckpointStore checkpoints() const { return CheckpointStore(path_); }

  /// The resolved recipe.
  Config recipe() const;
  void write_transforms(const StoredTransforms& transforms) const;
  StoredTransforms read_transforms() const;

  /// Appends to metrics.jsonl; lines of steps after `last_step` and torn lines are dropped first.
  std::unique_ptr<MetricWriter> metric_writer(std::int64_t last_step) const;

 private:
  explicit RunDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
  std::shared_ptr<void> lock_;  // held by whoever trains here

  void lock(std::shared_ptr<void> held);
};

/// Lines of metrics.jsonl.
struct MetricLine {
  std::int64_t step = 0;
  std::string phase;
  NamedNumbers numbers;
};
/// Torn or foreign lines are skipped, and of steps made again after a rollback only the last counts. Empty if there is no
/// such file.
std::vector<MetricLine> read_metrics(const std::string& path);

}  // namespace gibbsite
