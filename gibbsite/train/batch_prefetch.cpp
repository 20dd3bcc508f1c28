#include <gibbsite/nn/matrix_product.h>
#include <gibbsite/train/batch_prefetch.h>
#include <torch/types.h>

#include <chrono>

namespace gibbsite {

BatchPrefetch::Made BatchPrefetch::timed(const BatchKey& key) const {
  const auto start = std::chrono::steady_clock::now();
  Made made{make_(key), 0};
  made.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return made;
}

Batch BatchPrefetch::take(const BatchKey& key) {
  std::optional<Ahead> ahead;
  ahead.swap(ahead_);
  const bool foreseen = ahead && ahead->key == key;
  if (ahead && !foreseen) ahead->made.wait();
  Made made = foreseen ? ahead->made.get() : timed(key);
  seconds_ = made.seconds;
  return std::move(made.batch);
}

void BatchPrefetch::begin(const BatchKey& key) {
  if (seconds_ < worth_a_thread_ || ahead_) return;
  ahead_ = Ahead{key, std::async(std::launch::async, [this, key] {
                   const OneThread one;  // the others are at work on the update
                   return timed(key);
                 })};
}

}  // namespace gibbsite
