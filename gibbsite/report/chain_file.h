// Chains on the disk, draw by draw: whatever ends a run, the file holds the draws made so far and can be read.
#pragma once

#include <gibbsite/core/environment.h>
#include <gibbsite/core/ports.h>

#include <memory>
#include <string>
#include <vector>

namespace gibbsite {

struct ChainFileOptions {
  std::vector<std::string> columns;  ///< names of the coordinates of an event, in order; empty: x.1, x.2, …
  std::int64_t keep = 0;             ///< draws that an earlier run left and this one goes on after; others are cut off
  NamedStrings notes;                ///< comment lines of CSV
};

/// A writer by the extension of `path`; every write() is one draw of all chains. Throws RequestError for other extensions,
/// WorkError where a file cannot be written or does not hold the draws to keep.
///
///   .npy  one array [draws, chains, *event] of float32 or float64; the header counts the draws that are there
///   .csv  one file per chain as CmdStan writes them, <name>_1.csv, <name>_2.csv, …: comments, then columns lp__ (minus the
///         energy, in the units of the model), accept_stat__ and divergent__ where the sampler knows them, and the coordinates
class ChainFile : public SampleWriter {
 public:
  /// The files made so far.
  virtual std::vector<std::string> files() const = 0;
};
std::unique_ptr<ChainFile> make_chain_file(const std::string& path, const ChainFileOptions& options);

}  // namespace gibbsite
