// Ranks over LibTorch's c10d: Gloo between CPUs, NCCL between GPUs. Processes are started by torchrun, by Slurm or by hand, and
// find one another by the variables that torchrun sets.
//
// Every rank gives a sign of life once a second through the store in which they met. A rank that stops, dies or falls silent
// makes the exchanges of all others throw RankLost: at once where its connections close, else within 15 seconds. However long a
// rank works between two exchanges, it is waited for as long as it lives.
#pragma once

#include <gibbsite/core/ranks.h>

#include <memory>
#include <optional>
#include <string>

namespace gibbsite {

/// Who and where a process is among several.
struct Launch {
  std::int64_t rank = 0;
  std::int64_t size = 1;
  std::int64_t local_rank = 0;  ///< among the processes of its machine
  std::int64_t local_size = 0;  ///< processes of its machine; 0: unknown
  std::string address;          ///< of the store
  std::int64_t port = 0;
  bool launcher_has_store = false;  ///< otherwise rank 0 makes it
  std::int64_t attempt = 0;         ///< restarts by the launcher before this one
  std::string interface;            ///< of the network; empty: the one that leads to the store
};

/// From WORLD_SIZE, RANK, MASTER_ADDR, MASTER_PORT, LOCAL_RANK, LOCAL_WORLD_SIZE, TORCHELASTIC_USE_AGENT_STORE,
/// TORCHELASTIC_RESTART_COUNT and GLOO_SOCKET_IFNAME. Nothing where WORLD_SIZE is absent or 1. Throws RequestError where one
/// of the first four is missing beside WORLD_SIZE, or is not a number in its range.
std::optional<Launch> launch_from_environment();

class ProcessGroup : public Ranks {
 public:
  /// Waits for the others and goes.
  virtual void finish() = 0;
  /// Goes at once and tells the others why. Threads that wait for them stay behind: end the process without unwinding.
  virtual void give_up(const std::string& why) = 0;
};

/// Waits up to five minutes for all ranks. Throws RequestError where this build has no Gloo or ranks cannot reach one another,
/// WorkError where the store cannot be made or reached or ranks do not come.
std::unique_ptr<ProcessGroup> make_process_group(const Launch& launch);

}  // namespace gibbsite
