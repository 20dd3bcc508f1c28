#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/sampler/replay_buffer.h>
#include <gibbsite/sampler/validated.h>
#include <torch/types.h>

#include <algorithm>
#include <unordered_map>

namespace gibbsite {
namespace {

std::int64_t below(std::int64_t word, std::int64_t n) {
  return static_cast<std::int64_t>((static_cast<std::uint64_t>(word) * static_cast<std::uint64_t>(n)) >> 32);
}

// The first entries of a Fisher-Yates shuffle of 0…n−1, storing only what has moved.
class Shuffle {
 public:
  explicit Shuffle(std::int64_t n) : n_(n) {}
  std::int64_t next(std::int64_t word) {
    const std::int64_t picked = taken_ + below(word, n_ - taken_);
    const std::int64_t value = at(picked);
    moved_[picked] = at(taken_);
    ++taken_;
    return value;
  }

 private:
  std::int64_t at(std::int64_t i) const {
    const auto found = moved_.find(i);
    return found == moved_.end() ? i : found->second;
  }
  std::int64_t n_;
  std::int64_t taken_ = 0;
  std::unordered_map<std::int64_t, std::int64_t> moved_;
};

Tensor indices(const std::vector<std::int64_t>& values, at::Device device) {
  return torch::tensor(values, torch::kLong).to(device);
}

}  // namespace

ReplayBuffer::ReplayBuffer(const ReplayOptions& options, FreshStarts fresh, const Rng& rng, const Tensor& like)
    : options_(validated(options, "replay")), fresh_(std::move(fresh)) {
  if (!options_.prefill && options_.write == "slots")
    throw RequestError("replay.prefill", "a buffer written by slots has to begin full",
                       "prefill = true or write = append");
  Shape sizes = event_shape(like);
  sizes.insert(sizes.begin(), options_.capacity);
  if (options_.prefill) {
    Rng start = rng.stream("prefill");
    const Tensor states = fresh_(options_.capacity, start);
    check_event("replay", "a fresh start", states, event_shape(like));
    states_ = torch::empty(sizes, like.options()).copy_(states);
    size_ = options_.capacity;
  } else {
    states_ = torch::zeros(sizes, like.options());
  }
}

void ReplayBuffer::set_probability(double probability) {
  ReplayOptions options = options_;
  options.probability = probability;
  options_ = validated(options, "replay");
}

ReplayDraw ReplayBuffer::draw(std::int64_t rows, const Rng& rng) const {
  const bool by_slots = options_.write == "slots";
  const bool distinct = options_.draw == "without";
  if (by_slots && distinct && rows > size_)
    throw RequestError("replay", fmt::format("{} chains cannot have a slot each in a buffer of {}", rows, size_));

  Rng numbers = rng.stream("replay");
  const Tensor uniforms = numbers.uniform({rows});
  const Tensor words = numbers.integers({rows}, std::int64_t{1} << 32);
  const float* u = uniforms.data_ptr<float>();
  const std::int64_t* word = words.data_ptr<std::int64_t>();

  ReplayDraw result;
  result.slot = torch::full({rows}, -1, torch::kLong);
  result.reused = torch::zeros({rows}, torch::kBool);
  std::int64_t* slot = result.slot.data_ptr<std::int64_t>();
  bool* reused = result.reused.data_ptr<bool>();
  for (std::int64_t b = 0; b < rows; ++b) reused[b] = static_cast<double>(u[b]) <= options_.probability;
  if (options_.fresh == "binomial") std::stable_partition(reused, reused + rows, [](bool value) { return value; });

  Shuffle shuffle(size_);
  std::int64_t drawn = 0;
  std::vector<std::int64_t> reused_rows, reused_slots, fresh_rows;
  for (std::int64_t b = 0; b < rows; ++b) {
    const bool available = size_ > 0 && (!distinct || drawn < size_);
    reused[b] = reused[b] && available;
    if (reused[b] || by_slots) {
      slot[b] = distinct ? shuffle.next(word[b]) : below(word[b], size_);
      ++drawn;
    }
    if (reused[b]) {
      reused_rows.push_back(b);
      reused_slots.push_back(slot[b]);
    } else {
      fresh_rows.push_back(b);
    }
  }

  torch::NoGradGuard no_graph;
  const at::Device device = states_.device();
  if (fresh_rows.empty()) {
    result.x = states_.index_select(0, indices(reused_slots, device));
    return result;
  }
  Rng start = rng.stream("fresh");
  const Tensor fresh = fresh_(static_cast<std::int64_t>(fresh_rows.size()), start).to(states_.options());
  check_event("replay", "a fresh start", fresh, event_shape(states_));
  Shape sizes = event_shape(states_);
  sizes.insert(sizes.begin(), rows);
  result.x = torch::empty(sizes, states_.options());
  result.x.index_copy_(0, indices(fresh_rows, device), fresh);
  if (!reused_rows.empty())
    result.x.index_copy_(0, indices(reused_rows, device), states_.index_select(0, indices(reused_slots, device)));
  return result;
}

void ReplayBuffer::write(const ReplayDraw& draw, const Tensor& x) {
  check_event("replay", "the written state", x, event_shape(states_));
  const std::int64_t rows = x.size(0);
  if (rows != draw.slot.size(0))
    throw WorkError("replay", fmt::format("{} states written for {} drawn", rows, draw.slot.size(0)));
  torch::NoGradGuard no_graph;
  const Tensor ends = x.detach();
  if (options_.write == "append") {
    const std::int64_t kept = std::min(rows, options_.capacity);
    for (std::int64_t done = 0; done < kept;) {
      const std::int64_t count = std::min(kept - done, options_.capacity - next_);
      states_.narrow(0, next_, count).copy_(ends.narrow(0, rows - kept + done, count));
      next_ = (next_ + count) % options_.capacity;
      size_ = std::min(size_ + count, options_.capacity);
      done += count;
    }
    return;
  }
  // index_copy_ leaves open which of several writes to one slot stays, so only the last is passed on.
  const std::int64_t* slot = draw.slot.data_ptr<std::int64_t>();
  std::unordered_map<std::int64_t, std::int64_t> last;
  for (std::int64_t b = 0; b < rows; ++b) last[slot[b]] = b;
  if (static_cast<std::int64_t>(last.size()) == rows) {
    states_.index_copy_(0, draw.slot.to(states_.device()), ends.to(states_.scalar_type()));
    return;
  }
  std::vector<std::int64_t> slots, winners;
  for (const auto& [to, from] : last) {
    slots.push_back(to);
    winners.push_back(from);
  }
  states_.index_copy_(0, indices(slots, states_.device()),
                      ends.to(states_.scalar_type()).index_select(0, indices(winners, ends.device())));
}

NamedTensors ReplayBuffer::state() const {
  return {{"states", contents().clone()}, {"counters", torch::tensor({size_, next_}, torch::kLong)}};
}

void ReplayBuffer::restore(const NamedTensors& state) {
  Tensor states, counters;
  for (const auto& [name, value] : state) {
    if (name == "states") states = value;
    if (name == "counters") counters = value;
  }
  const auto refuse = [](const std::string& what) { throw WorkError("replay", "the saved buffer " + what); };
  if (!states.defined() || !counters.defined() || counters.numel() != 2) refuse("lacks its states or counters");
  const std::int64_t size = counters[0].item<std::int64_t>(), next = counters[1].item<std::int64_t>();
  if (size < 0 || size > options_.capacity || next < 0 || next >= options_.capacity || states.dim() != states_.dim() ||
      states.size(0) != size || event_shape(states) != event_shape(states_) ||
      (options_.write == "slots" && size != options_.capacity))
    refuse(fmt::format("of {} states {} does not fit capacity {} and event {}", size, format_shape(states.sizes()),
                       options_.capacity, format_shape(event_shape(states_))));
  states_.narrow(0, 0, size).copy_(states);
  size_ = size;
  next_ = next;
}

}  // namespace gibbsite
