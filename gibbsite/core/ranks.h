// Several processes, ranks, that share one piece of work: each has its own rows of every batch, or its own chains, and they
// exchange sums and rows. A port: the base class is the usual case of one process that works alone, so what is written for
// many serves one too.
//
// Exchanges have to be made by all ranks in the same order. Whatever decides which exchange comes next (a step number, a
// request to stop, a loss out of range) must therefore be the same number on all of them.
#pragma once

#include <gibbsite/core/error.h>
#include <gibbsite/core/tensor.h>

#include <memory>
#include <string>

namespace gibbsite {

/// Another rank is gone, so that this one cannot go on.
class RankLost : public WorkError {
 public:
  using WorkError::WorkError;
};

class Ranks {
 public:
  /// An exchange under way. The tensors in it belong to it until wait() returns.
  class Pending {
   public:
    virtual ~Pending() = default;
    /// Throws RankLost.
    virtual void wait() {}
  };

  virtual ~Ranks() = default;
  /// 0 … size() - 1; rank 0 writes what is written.
  virtual std::int64_t rank() const { return 0; }
  virtual std::int64_t size() const { return 1; }
  bool first() const { return rank() == 0; }
  bool alone() const { return size() == 1; }

  /// Begins to replace x (dense) by its sum over all ranks, which has the same bits on each.
  virtual std::unique_ptr<Pending> begin_sum(const Tensor& x);
  /// Replaces x (dense) by that of rank 0.
  virtual void broadcast(const Tensor& /*x*/) {}
  /// Rows of all ranks in their order; every rank gives the same number: [B, …] -> [B size(), …], without a graph.
  virtual Tensor gather(const Tensor& rows) { return rows; }
  /// Returns when all ranks have come here.
  virtual void meet() {}

  void sum(const Tensor& x) { begin_sum(x)->wait(); }
};

/// Tensors of rank 0 with their names, whatever the other ranks give; on the CPU unless alone.
NamedTensors broadcast(Ranks& ranks, const NamedTensors& tensors);

/// Rows of a whole that belong to a rank.
struct RowShare {
  std::int64_t first = 0;
  std::int64_t count = 0;
};
/// Rows rank · n / size … of `rows` = n rows. Throws RequestError naming `where` unless ranks have equally many.
RowShare own_rows(const Ranks& ranks, std::int64_t rows, const std::string& where);

}  // namespace gibbsite
