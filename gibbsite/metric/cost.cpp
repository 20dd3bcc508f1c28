#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <gibbsite/core/memory.h>
#include <gibbsite/metric/cost.h>
#include <time.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

namespace gibbsite {
namespace {

using Inputs = c10::ArrayRef<const c10::IValue>;

std::int64_t size(const Inputs& inputs, std::size_t argument, std::int64_t dimension) {
  return inputs[argument].toTensor().size(dimension);
}

// Matrix products [.., n, k] x [.., k, m]: numel of the first times m.
std::int64_t product(const Inputs& inputs, std::size_t first) {
  const Tensor a = inputs[first].toTensor(), b = inputs[first + 1].toTensor();
  return a.numel() * (b.dim() > 1 ? b.size(-1) : 1);
}

// Multiply-adds per element of the side that the kernel slides over: weight [out, in / groups, ...].
std::int64_t per_position(const Tensor& weight) { return weight.numel() / std::max<std::int64_t>(weight.size(0), 1); }

std::int64_t at_axis(const std::vector<std::int64_t>& values, std::size_t axis) {
  return values.size() == 1 ? values[0] : values[axis];
}

// convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
std::int64_t convolution(const Inputs& inputs) {
  const Tensor input = inputs[0].toTensor(), weight = inputs[1].toTensor();
  if (inputs[6].toBool()) return input.numel() * per_position(weight);
  const auto stride = inputs[3].toIntVector(), padding = inputs[4].toIntVector(), dilation = inputs[5].toIntVector();
  std::int64_t outputs = input.size(0) * weight.size(0);
  for (std::int64_t i = 2; i < input.dim(); ++i) {
    const std::size_t axis = static_cast<std::size_t>(i - 2);
    const std::int64_t reach = at_axis(dilation, axis) * (weight.size(i) - 1) + 1;
    outputs *= (input.size(i) + 2 * at_axis(padding, axis) - reach) / at_axis(stride, axis) + 1;
  }
  return outputs * per_position(weight);
}

// convolution_backward(grad_output, input, weight, bias_sizes, stride, padding, dilation, transposed, output_padding,
// groups, output_mask)
std::int64_t convolution_backward(const Inputs& inputs) {
  const bool transposed = inputs[7].toBool();
  const std::int64_t forward = inputs[transposed ? 1 : 0].toTensor().numel() * per_position(inputs[2].toTensor());
  const auto mask = inputs[10].toBoolList();
  return forward * (static_cast<std::int64_t>(mask[0]) + static_cast<std::int64_t>(mask[1]));
}

struct Counted {
  const char* name;
  std::int64_t (*count)(const Inputs&);
};

const Counted counted[] = {
    {"mm", [](const Inputs& i) { return product(i, 0); }},
    {"addmm", [](const Inputs& i) { return product(i, 1); }},
    {"addmm_", [](const Inputs& i) { return product(i, 1); }},
    {"bmm", [](const Inputs& i) { return product(i, 0); }},
    {"baddbmm", [](const Inputs& i) { return product(i, 1); }},
    {"baddbmm_", [](const Inputs& i) { return product(i, 1); }},
    {"mv", [](const Inputs& i) { return product(i, 0); }},
    {"addmv", [](const Inputs& i) { return product(i, 1); }},
    {"addmv_", [](const Inputs& i) { return product(i, 1); }},
    {"dot", [](const Inputs& i) { return size(i, 0, 0); }},
    {"convolution", convolution},
    {"convolution_backward", convolution_backward},
    {"plan", [](const Inputs& i) { return i[0].toInt(); }},
};

struct Counter {
  MultiplyAdds sums;
  int depth = 0;  // inside a counted operation, whose own parts do not count again
};

thread_local Counter* active = nullptr;

struct Inside : at::ObserverContext {};

std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction& function) {
  const char* name = std::strstr(function.name(), "::");
  if (active == nullptr || name == nullptr) return nullptr;
  name += 2;
  for (const Counted& operation : counted) {
    if (std::strcmp(name, operation.name) != 0) continue;
    if (active->depth == 0) {
      const std::int64_t count = operation.count(function.inputs());
      active->sums.total += count;
      active->sums.by_operation[operation.name] += count;
    }
    ++active->depth;
    return std::make_unique<Inside>();
  }
  return nullptr;
}

void on_end(const at::RecordFunction&, at::ObserverContext* context) {
  if (context != nullptr && active != nullptr) --active->depth;
}

// One callback per thread however deeply counts are nested; an inner count is part of the outer one.
class Counting {
 public:
  explicit Counting(Counter& counter) : outer_(active) {
    active = &counter;
    if (outer_ == nullptr) {
      handle_ = at::addThreadLocalCallback(
          at::RecordFunctionCallback(&on_start, &on_end).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
    }
  }
  ~Counting() {
    if (outer_ == nullptr) {
      at::removeCallback(handle_);
    } else {
      outer_->sums.total += active->sums.total;
      for (const auto& [name, count] : active->sums.by_operation) outer_->sums.by_operation[name] += count;
    }
    active = outer_;
  }
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;

 private:
  Counter* outer_;
  at::CallbackHandle handle_ = 0;
};

double process_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

MultiplyAdds count_multiply_adds(const Work& work) {
  const ThreadCount one(1);  // what other threads do is not seen
  Counter counter;
  const Counting counting(counter);
  work();
  return counter.sums;
}

Estimate median_estimate(std::vector<double> values) {
  Estimate result;
  result.count = static_cast<std::int64_t>(values.size());
  if (values.empty()) return result;
  std::sort(values.begin(), values.end());
  const std::size_t last = values.size() - 1;
  result.value = 0.5 * (values[last / 2] + values[(last + 1) / 2]);
  if (values.size() > 1) {
    // The rank of the median has standard deviation sqrt(n) / 2.
    const double n = static_cast<double>(values.size()), reach = std::sqrt(n) / 2;
    const double low = std::max(0.0, std::floor(n / 2 - reach)), high = std::min(n - 1, std::ceil(n / 2 + reach) - 1);
    result.standard_error = (values[static_cast<std::size_t>(high)] - values[static_cast<std::size_t>(low)]) / 2;
  }
  return result;
}

ThreadCount::ThreadCount(std::int64_t count) : before_(at::get_num_threads()) {
  if (count > 0) at::set_num_threads(static_cast<int>(count));
}

ThreadCount::~ThreadCount() { at::set_num_threads(before_); }

std::vector<Timing> time_interleaved(const std::vector<Work>& work, const TimingSettings& settings) {
  std::vector<Timing> result(work.size());
  std::vector<std::vector<double>> cpu(work.size());
  for (std::int64_t round = 0; round < settings.warmup; ++round) {
    for (const Work& piece : work) piece();
  }
  const double start = wall_seconds();
  for (std::int64_t round = 0; round < settings.rounds || wall_seconds() - start < settings.seconds; ++round) {
    for (std::size_t i = 0; i < work.size(); ++i) {
      const double wall_before = wall_seconds(), cpu_before = process_seconds();
      work[i]();
      cpu[i].push_back(process_seconds() - cpu_before);
      result[i].rounds.push_back(wall_seconds() - wall_before);
    }
  }
  for (std::size_t i = 0; i < work.size(); ++i) {
    result[i].seconds = median_estimate(result[i].rounds);
    result[i].cpu_seconds = median_estimate(cpu[i]);
  }
  return result;
}

Estimate time_ratio(const Timing& numerator, const Timing& denominator) {
  std::vector<double> ratios;
  const std::size_t rounds = std::min(numerator.rounds.size(), denominator.rounds.size());
  for (std::size_t i = 0; i < rounds; ++i) ratios.push_back(numerator.rounds[i] / denominator.rounds[i]);
  return median_estimate(ratios);
}

std::int64_t peak_bytes(const Work& work, std::int64_t rounds) {
  const ThreadCount one(1);  // what other threads allocate is not seen
  work();
  std::int64_t most = 0;
  for (std::int64_t round = 0; round < rounds; ++round) {
    const PeakMemory memory;
    work();
    most = std::max(most, memory.peak_bytes());
  }
  return most;
}

}  // namespace gibbsite
