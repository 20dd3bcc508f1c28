#include <gibbsite/recipe/shared_chains.h>
#include <torch/types.h>

#include <algorithm>
#include <utility>

namespace gibbsite {
namespace {

constexpr double kSecondsBetween = 0.5;
constexpr std::int64_t kMostBetween = 1000;

// What loops keep beside rows of chains: how far they are, and the adaptation that all chains share.
bool is_shared(const std::string& name) { return name == "done" || name == "averaging"; }

}  // namespace

SharedChains::SharedChains(const Ports& whole, bool written)
    : whole_(whole), ranks_(*whole.ranks), written_(written), since_(std::chrono::steady_clock::now()) {}

Ports SharedChains::ports() {
  Ports own = whole_;
  if (ranks_.alone()) return own;
  own.interrupt = this;
  own.samples = this;
  own.states = this;
  return own;
}

bool SharedChains::requested() {
  if (asked_++ < next_) return stop_;
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - since_).count();
  const Tensor answers =
      torch::tensor({whole_.interrupt->requested() ? 1.0 : 0.0, ranks_.first() && whole_.states->due() ? 1.0 : 0.0,
                     seconds / static_cast<double>(std::max<std::int64_t>(asked_ - last_, 1))},
                    torch::kDouble);
  ranks_.sum(answers);
  const double* sums = answers.data_ptr<double>();
  stop_ = sums[0] > 0;
  due_ = sums[1] > 0;
  const double each = sums[2] / static_cast<double>(ranks_.size());
  const double between = kSecondsBetween / std::max(each, 1e-9);
  // The first step is slow, and says little of those after it.
  const std::int64_t most = last_ == 0 ? 1 : kMostBetween;
  next_ = asked_ + std::clamp<std::int64_t>(static_cast<std::int64_t>(between), 0, most);
  last_ = asked_;
  since_ = now;
  return stop_;
}

void SharedChains::write(std::int64_t step, const Tensor& x) {
  if (!written_) return;
  const Tensor all = ranks_.gather(x);
  if (ranks_.first()) whole_.samples->write(step, all);
}

void SharedChains::note(std::int64_t step, const NamedTensors& numbers) {
  if (!written_) return;
  NamedTensors all;
  for (const auto& [name, value] : numbers) all.emplace_back(name, ranks_.gather(value));
  if (ranks_.first()) whole_.samples->note(step, all);
}

NamedTensors SharedChains::load(const std::string& name) {
  NamedTensors state = broadcast(ranks_, ranks_.first() ? whole_.states->load(name) : NamedTensors{});
  for (auto& [key, value] : state) {
    if (is_shared(key)) continue;
    const RowShare own = own_rows(ranks_, value.size(0), "the chains that were kept");
    value = value.narrow(0, own.first, own.count);
  }
  return state;
}

void SharedChains::save(const std::string& name, const NamedTensors& state) {
  NamedTensors all;
  for (const auto& [key, value] : state) all.emplace_back(key, is_shared(key) ? value : ranks_.gather(value));
  if (ranks_.first()) whole_.states->save(name, all);
}

bool SharedChains::due() { return std::exchange(due_, false); }

}  // namespace gibbsite
