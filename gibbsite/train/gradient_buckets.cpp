#include <gibbsite/train/gradient_buckets.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/types.h>

#include <algorithm>
#include <functional>

namespace gibbsite {
namespace {

// A bucket is worth an exchange of its own, and several leave something to do beside the backward pass.
constexpr std::int64_t kLeastBytes = 1 << 18, kMostBytes = 1 << 22, kBuckets = 4;

struct Bucket {
  std::vector<std::size_t> members;  // numbers of parameters
  std::vector<std::int64_t> offsets;
  Tensor flat;
  std::size_t missing = 0;
  std::unique_ptr<Ranks::Pending> sum;
};

struct Place {
  std::size_t bucket = 0, member = 0;
};

class AfterAccumulation : public torch::autograd::FunctionPostHook {
 public:
  explicit AfterAccumulation(std::function<void()> work) : work_(std::move(work)) {}
  torch::autograd::variable_list operator()(const torch::autograd::variable_list& outputs,
                                            const torch::autograd::variable_list& /*inputs*/) override {
    work_();
    return outputs;
  }

 private:
  std::function<void()> work_;
};

}  // namespace

struct GradientBuckets::State {
  Ranks& ranks;
  std::vector<Tensor> parameters;
  std::vector<Bucket> buckets;
  std::vector<Place> places;
  std::vector<bool> ready;
  std::size_t begun = 0;  // buckets whose sum has begun, in their order on every rank
  bool armed = false;     // objectives differentiate too
  struct Hook {
    std::shared_ptr<torch::autograd::Node> accumulator;
    std::uintptr_t key;
  };
  std::vector<Hook> hooks;

  Tensor slot(std::size_t parameter) const {
    const Bucket& bucket = buckets[places[parameter].bucket];
    const Tensor& like = parameters[parameter];
    return bucket.flat.narrow(0, bucket.offsets[places[parameter].member], like.numel()).view(like.sizes());
  }

  void begin_ready() {
    for (; begun < buckets.size() && buckets[begun].missing == 0; ++begun)
      buckets[begun].sum = ranks.begin_sum(buckets[begun].flat);
  }

  void accumulated(std::size_t parameter) {
    if (!armed || ready[parameter]) return;
    const torch::NoGradGuard no_graph;
    slot(parameter).copy_(parameters[parameter].grad());
    ready[parameter] = true;
    --buckets[places[parameter].bucket].missing;
    begin_ready();
  }
};

GradientBuckets::GradientBuckets(Ranks& ranks, const std::vector<Tensor>& parameters)
    : s_(std::make_unique<State>(State{ranks, parameters, {}, {}, {}, 0, false, {}})) {
  State& s = *s_;
  std::int64_t bytes = 0;
  for (const Tensor& parameter : parameters) bytes += static_cast<std::int64_t>(parameter.nbytes());
  const std::int64_t most = std::clamp(bytes / kBuckets, kLeastBytes, kMostBytes);

  s.places.resize(parameters.size());
  std::vector<std::int64_t> sizes;
  const Tensor* last = nullptr;
  for (std::size_t i = parameters.size(); i-- > 0;) {
    const Tensor& parameter = parameters[i];
    const bool fits = last && last->scalar_type() == parameter.scalar_type() && last->device() == parameter.device() &&
                      sizes.back() * static_cast<std::int64_t>(parameter.element_size()) < most;
    if (!fits) {
      s.buckets.emplace_back();
      sizes.push_back(0);
    }
    Bucket& bucket = s.buckets.back();
    s.places[i] = {s.buckets.size() - 1, bucket.members.size()};
    bucket.members.push_back(i);
    bucket.offsets.push_back(sizes.back());
    sizes.back() += parameter.numel();
    last = &parameter;
  }
  for (std::size_t b = 0; b < s.buckets.size(); ++b)
    s.buckets[b].flat = torch::empty({sizes[b]}, parameters[s.buckets[b].members.front()].detach().options());

  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto accumulator = torch::autograd::impl::grad_accumulator(parameters[i]);
    const std::uintptr_t key = accumulator->add_post_hook(
        std::make_unique<AfterAccumulation>([state = s_.get(), i] { state->accumulated(i); }));
    s.hooks.push_back({std::move(accumulator), key});
  }
}

GradientBuckets::~GradientBuckets() {
  for (const State::Hook& hook : s_->hooks) hook.accumulator->del_post_hook(hook.key);
}

std::vector<Tensor> GradientBuckets::backward(const Tensor& loss, Tensor& numbers) {
  State& s = *s_;
  s.ready.assign(s.parameters.size(), false);
  s.begun = 0;
  for (Bucket& bucket : s.buckets) bucket.missing = bucket.members.size();
  for (Tensor& parameter : s.parameters) parameter.mutable_grad().reset();
  {
    struct Armed {
      State& s;
      explicit Armed(State& state) : s(state) { s.armed = true; }
      ~Armed() {
        s.armed = false;
        for (Tensor& parameter : s.parameters) parameter.mutable_grad().reset();
      }
    } const armed(s);
    torch::autograd::backward({loss}, {}, false, false, s.parameters);
  }

  const torch::NoGradGuard no_graph;
  const auto parameters = static_cast<std::int64_t>(s.parameters.size());
  Tensor shared = torch::zeros({parameters + numbers.numel()}, torch::kDouble);
  for (std::size_t i = 0; i < s.parameters.size(); ++i) {
    if (s.ready[i])
      shared.data_ptr<double>()[i] = 1;
    else
      s.slot(i).zero_();
  }
  for (Bucket& bucket : s.buckets) bucket.missing = 0;
  s.begin_ready();
  shared.narrow(0, parameters, numbers.numel()).copy_(numbers);
  const auto size = static_cast<double>(s.ranks.size());
  // The numbers first: they go between CPUs, where a rank that is lost is noticed, and a device waits for its sums unasked.
  s.ranks.sum(shared);
  for (Bucket& bucket : s.buckets) {
    bucket.sum->wait();
    bucket.sum.reset();
    bucket.flat.div_(size);
  }
  numbers.copy_(shared.narrow(0, parameters, numbers.numel()).div(size));
  std::vector<Tensor> gradients(s.parameters.size());
  for (std::size_t i = 0; i < s.parameters.size(); ++i)
    if (shared.data_ptr<double>()[i] > 0) gradients[i] = s.slot(i);
  return gradients;
}

}  // namespace gibbsite
