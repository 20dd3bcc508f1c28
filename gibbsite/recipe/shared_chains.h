// Chains that ranks share: each rank runs its own rows, and what leaves them or is kept of them is whole, so that a file of
// states fits any number of ranks.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/core/ranks.h>

#include <chrono>
#include <string>

namespace gibbsite {

/// Ports of one rank's chains in terms of those of the whole. All ranks ask the same questions in the same order and get the same
/// answers; to keep exchanges few beside short steps, the ranks are asked about twice a second.
class SharedChains : public Interrupt, public SampleWriter, public StateStore {
 public:
  /// `written`: whether anybody wants states while the chains run. `whole` and its members must outlive it.
  SharedChains(const Ports& whole, bool written);
  /// The same ports where there are no others to share with.
  Ports ports();

  bool requested() override;
  void write(std::int64_t step, const Tensor& x) override;
  void note(std::int64_t step, const NamedTensors& numbers) override;
  NamedTensors load(const std::string& name) override;
  void save(const std::string& name, const NamedTensors& state) override;
  bool due() override;

 private:
  Ports whole_;
  Ranks& ranks_;
  bool written_, stop_ = false, due_ = false;
  std::int64_t asked_ = 0, next_ = 0, last_ = 0;
  std::chrono::steady_clock::time_point since_;
};

}  // namespace gibbsite
