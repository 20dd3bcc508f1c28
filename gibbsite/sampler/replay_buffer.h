// Persistent chains: past states are kept and most new chains start from them.
//
// A batch goes draw -> run the chains -> write. Exactly:
//
// * draw = with: each chain draws a slot uniformly and independently; two chains may start from the same state. They then
//   move apart, because every chain has noise of its own. draw = without: the slots of a batch are all different.
// * fresh = per_chain: each chain is reused with `probability`, independently. fresh = binomial: the number of reused
//   chains is Binomial(rows, probability) and they are the first rows of the batch. Other chains start fresh.
// * write = slots: every chain, fresh ones too, is written to the slot it drew. Of several chains that drew one slot the
//   last row is kept and the others are dropped, so a state is never stored twice. write = append: all chains are
//   appended, in row order, over the oldest entries; drawn entries stay. Of a batch larger than the capacity the last
//   `capacity` rows are kept.
// * prefill = true: the buffer begins full of fresh starts. prefill = false (only with append): it begins empty, and what
//   it cannot serve starts fresh: all chains while it is empty, and with draw = without the reused chains beyond its size.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>

#include <functional>
#include <string>

namespace gibbsite {

struct ReplayOptions {
  std::int64_t capacity = 10000;
  double probability = 0.95;
  std::string draw = "with";
  std::string write = "slots";
  std::string fresh = "per_chain";
  bool prefill = true;

  void declare(OptionVisitor& o) {
    o.option("capacity", capacity, "states kept", at_least(1));
    o.option("probability", probability, "probability that a chain starts from a kept state", between(0, 1));
    o.option("draw", draw, "slots of a batch are drawn with or without replacement", {"with", "without"});
    o.option("write", write, "chains go back to the slots they drew, or are appended over the oldest",
             {"slots", "append"});
    o.option("fresh", fresh, "reuse is decided per chain, or by one binomial number for the first rows",
             {"per_chain", "binomial"});
    o.option("prefill", prefill, "begin full of fresh starts; false only with write = append");
  }
};

/// Fresh starts, [rows, *event].
using FreshStarts = std::function<Tensor(std::int64_t rows, Rng& rng)>;

struct ReplayDraw {
  Tensor x;       ///< [rows, *event], where the chains start
  Tensor slot;    ///< [rows] int64 on the CPU, the slot drawn; −1 for chains that drew none (fresh ones under append)
  Tensor reused;  ///< [rows] bool on the CPU
};

class ReplayBuffer {
 public:
  /// `rng` prefills the buffer. Throws RequestError when prefill = false meets write = slots, or an option is out of range.
  ReplayBuffer(const ReplayOptions& options, FreshStarts fresh, const Rng& rng, const Tensor& like);

  /// Starts for a batch. The numbers depend on rng's seed, stream and step (streams "replay" and "fresh" under it), not on
  /// earlier draws. Throws RequestError when rows exceeds the capacity with draw = without and write = slots.
  ReplayDraw draw(std::int64_t rows, const Rng& rng) const;

  /// Stores the ends of the chains that `draw` started; x is detached and copied.
  void write(const ReplayDraw& draw, const Tensor& x);

  /// A probability other than the option's, for ramps. Throws RequestError outside [0, 1].
  void set_probability(double probability);

  std::int64_t size() const { return size_; }
  /// The states held, [size, *event], a view.
  Tensor contents() const { return states_.narrow(0, 0, size_); }

  /// Copies of the states and counters, for checkpoints. restore() throws WorkError when they do not fit the options.
  NamedTensors state() const;
  void restore(const NamedTensors& state);

 private:
  ReplayOptions options_;
  FreshStarts fresh_;
  Tensor states_;          // [capacity, *event]
  std::int64_t size_ = 0;  // slots in use
  std::int64_t next_ = 0;  // where append writes next
};

}  // namespace gibbsite
