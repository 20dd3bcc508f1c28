// The next batch, made on a thread of its own while the update before it runs.
#pragma once

#include <gibbsite/objective/objective.h>

#include <cstdint>
#include <functional>
#include <future>
#include <optional>

namespace gibbsite {

/// Which batch: of this source the one of this number, so large.
struct BatchKey {
  std::int64_t source = 0;
  std::uint64_t index = 0;
  std::int64_t size = 0;
  bool operator==(const BatchKey& other) const {
    return source == other.source && index == other.index && size == other.size;
  }
};

/// Batches are pure functions of their key, so what is made ahead is what would have been made, and one that nobody asks for in
/// the end is dropped. At most one is made ahead, and never while another is being made. Belongs to one thread.
class BatchPrefetch {
 public:
  using Make = std::function<Batch(const BatchKey&)>;
  static constexpr double kWorthAThread = 1e-3;

  /// `make` runs on this thread or on another one, never on two at once; on this one while it takes less than so many seconds.
  explicit BatchPrefetch(Make make, double worth_a_thread = kWorthAThread)
      : make_(std::move(make)), worth_a_thread_(worth_a_thread) {}

  /// The batch, waited for if it is on its way. Rethrows what `make` threw.
  Batch take(const BatchKey& key);
  /// Begins with the batch that will be taken next, if making the last one took long enough.
  void begin(const BatchKey& key);

 private:
  struct Made {
    Batch batch;
    double seconds = 0;
  };
  struct Ahead {
    BatchKey key;
    std::future<Made> made;  // its end waits for the thread
  };
  Make make_;
  double worth_a_thread_;
  double seconds_ = 0;  // that the last one took
  std::optional<Ahead> ahead_;

  Made timed(const BatchKey& key) const;
};

}  // namespace gibbsite
