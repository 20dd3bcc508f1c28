// One file per checkpoint, in a container that holds names, shapes and numbers and can never run code. Little-endian:
//
//   offset  bytes  what
//        0      8  magic "GIBBCKPT"
//        8      4  version, 1
//       12      4  CRC-32 of bytes 16 to 39 + H, that is of the sizes and the header
//       16      8  header bytes H
//       24      8  payload bytes P
//       32      4  CRC-32 of the payload
//       36      4  zero
//       40      H  JSON: step, notes, and per tensor name, dtype, shape, offset and bytes
//     40+H      P  raw tensors, row-major, each at a multiple of 64 bytes from the start of the payload
//
// The file is 40 + H + P bytes long, and both checksums are verified before anything is parsed or allocated.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/core/tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace gibbsite {

struct Checkpoint {
  std::int64_t step = 0;                                   ///< completed steps
  std::vector<std::pair<std::string, std::string>> notes;  ///< text, e.g. the resolved recipe
  NamedTensors tensors;                                    ///< on the CPU when read

  /// Throws WorkError if the tensor is absent.
  const Tensor& at(const std::string& name) const;
  /// Null if absent.
  const Tensor* find(const std::string& name) const;
  /// Tensors whose name starts with `prefix`, without it.
  NamedTensors under(const std::string& prefix) const;
};

/// Writes a temporary file in the same directory, flushes it to the disk and renames it. On failure throws WorkError,
/// and neither an earlier file at `path` nor anything else in the directory has changed.
void write_checkpoint(const std::string& path, const Checkpoint& checkpoint);

/// Throws WorkError if the file is missing, truncated, corrupt or of another format.
Checkpoint read_checkpoint(const std::string& path);

/// Copies tensors into live ones of the same name. Throws WorkError naming `where` and the first tensor that is missing
/// or has another shape or dtype.
void copy_tensors(const NamedTensors& from, const NamedTensors& to, const std::string& where);

/// The checkpoints of a run: checkpoint-<step>.pt, of which the newest two are kept, and checkpoint-best.pt.
class CheckpointStore {
 public:
  explicit CheckpointStore(std::string directory) : directory_(std::move(directory)) {}
  const std::string& directory() const { return directory_; }
  std::string path(std::int64_t step) const;
  std::string best_path() const;

  /// Writes checkpoint-<step>.pt, makes it the best one too if asked, and removes all but the newest two.
  void save(const Checkpoint& checkpoint, bool best = false) const;

  /// Steps with a file, ascending.
  std::vector<std::int64_t> steps() const;
  bool empty() const { return steps().empty(); }
  bool has_best() const;

  /// The newest readable one. Unreadable newer ones cost one warning line in all. Throws WorkError "no readable
  /// checkpoint" naming the directory.
  Checkpoint load_newest(Logger& logger) const;
  /// The best one if there is a readable one (an unreadable one costs a warning), else the newest.
  Checkpoint load_best(Logger& logger) const;

 private:
  std::string directory_;
};

}  // namespace gibbsite
