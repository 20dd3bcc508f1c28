#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gibbsite/core/clones.h>
#include <gibbsite/core/error.h>
#include <gibbsite/train/checkpoint.h>
#include <gibbsite/train/optimizer.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {

void OptimizerOptions::declare(OptionVisitor& o) {
  o.option("name", name, "update rule", {"adam", "adamw", "adamax", "sgd", "rmsprop"});
  o.option("learning_rate", learning_rate, "base learning rate; a schedule multiplies it", positive());
  const bool adam_like = name == "adam" || name == "adamw" || name == "adamax";
  const bool rmsprop = name == "rmsprop", sgd = name == "sgd";
  o.only_if(adam_like).option("beta1", beta1, "decay of the mean gradient (adam, adamw, adamax)", {0, 1, false, true});
  o.only_if(adam_like).option("beta2", beta2,
                              "decay of the mean squared gradient, or of its maximum (adam, adamw, adamax)",
                              {0, 1, false, true});
  o.only_if(!sgd).option("epsilon", epsilon,
                         "added to the denominator (rmsprop variant tensorflow: inside its root; usual there: 1e-10)",
                         non_negative());
  o.option("weight_decay", weight_decay, "L2 coefficient, added to the gradient; adamw shrinks the parameters instead",
           non_negative());
  o.only_if(sgd || rmsprop).option("momentum", momentum, "velocity decay (sgd, rmsprop)", {0, 1, false, true});
  o.only_if(sgd).option("nesterov", nesterov, "step along gradient + momentum · velocity (sgd)");
  o.only_if(rmsprop).option("alpha", alpha,
                            "decay of the mean squared gradient (rmsprop; usual for variant tensorflow: 0.9)",
                            {0, 1, false, true});
  o.only_if(rmsprop).option("variant", variant,
                            "rmsprop as in this framework: where epsilon goes and what the mean square starts at",
                            {"pytorch", "tensorflow"});
}

namespace detail {

GIBBSITE_CLONES void adam_update(float* __restrict parameter, const float* __restrict gradient, float* __restrict mean,
                                 float* __restrict square, std::int64_t n, float beta1, float beta2, float epsilon,
                                 float step_size, float inverse_root_correction, float l2, float shrink) {
  const float rest1 = 1.0f - beta1, rest2 = 1.0f - beta2;
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const float p = parameter[i] * shrink;
    const float g = gradient[i] + l2 * p;
    const float m = beta1 * mean[i] + rest1 * g;
    const float v = beta2 * square[i] + rest2 * (g * g);
    mean[i] = m;
    square[i] = v;
    parameter[i] = p - step_size * (m / (std::sqrt(v) * inverse_root_correction + epsilon));
  }
}

}  // namespace detail

namespace {

// What every rule shares: parameters, their moments, one counter.
class RuleBase : public Optimizer {
 public:
  RuleBase(OptimizerOptions options, NamedTensors parameters)
      : options_(std::move(options)), parameters_(std::move(parameters)), count_(torch::zeros({}, torch::kLong)) {}

  void step(const std::vector<Tensor>& gradients, double learning_rate) override {
    if (gradients.size() != parameters_.size())
      throw WorkError("optimizer", fmt::format("{} gradients for {} parameters", gradients.size(), parameters_.size()));
    const torch::NoGradGuard no_grad;
    std::int64_t& count = *count_.data_ptr<std::int64_t>();
    ++count;
    begin(count, learning_rate);
    for (std::size_t i = 0; i < parameters_.size(); ++i)
      if (gradients[i].defined()) update(i, parameters_[i].second, gradients[i]);
    end();
  }

  NamedTensors state() const override {
    NamedTensors state = {{"step", count_}};
    for (const auto& [name, tensors] : moments_)
      for (std::size_t i = 0; i < tensors.size(); ++i)
        state.emplace_back(name + "/" + parameters_[i].first, tensors[i]);
    return state;
  }

  void restore(const NamedTensors& state) override { copy_tensors(state, this->state(), "optimizer"); }

 protected:
  const OptimizerOptions options_;

  /// Index of a new set of moments, one tensor per parameter.
  std::size_t add_moment(const std::string& name, double initial) {
    std::vector<Tensor> tensors;
    for (const auto& parameter : parameters_)
      tensors.push_back(torch::full_like(parameter.second.detach(), initial, torch::MemoryFormat::Preserve));
    moments_.emplace_back(name, std::move(tensors));
    return moments_.size() - 1;
  }
  Tensor& moment(std::size_t set, std::size_t i) { return moments_[set].second[i]; }
  const std::vector<Tensor>& moments(std::size_t set) const { return moments_[set].second; }
  /// Steps made.
  std::int64_t count() const { return *count_.data_ptr<std::int64_t>(); }

  /// Gradient with the L2 term.
  Tensor with_decay(const Tensor& gradient, const Tensor& parameter) const {
    return options_.weight_decay == 0 ? gradient : gradient.add(parameter, options_.weight_decay);
  }

  virtual void begin(std::int64_t count, double learning_rate) = 0;
  virtual void update(std::size_t i, Tensor& parameter, const Tensor& gradient) = 0;
  /// What update has put off, while the gradients are still there.
  virtual void end() {}

 private:
  NamedTensors parameters_;
  Tensor count_;
  std::vector<std::pair<std::string, std::vector<Tensor>>> moments_;
};

bool same_dense_layout(const Tensor& a, const Tensor& b) {
  return a.is_non_overlapping_and_dense() && a.strides() == b.strides();
}

class Adam : public RuleBase {
 public:
  Adam(const OptimizerOptions& options, const NamedTensors& parameters)
      : RuleBase(options, parameters), mean_(add_moment("mean", 0)), square_(add_moment("square", 0)) {
    (options.name == "adamw" ? decoupled_ : l2_) = options.weight_decay;
  }
  bool has_second_moments() const override { return true; }
  std::vector<Tensor> second_moments() const override {
    if (count() == 0) return {};
    std::vector<Tensor> corrected;
    for (const Tensor& square : moments(square_))
      corrected.push_back(square / (1 - std::pow(options_.beta2, static_cast<double>(count()))));
    return corrected;
  }

 protected:
  void begin(std::int64_t count, double learning_rate) override {
    step_size_ = learning_rate / (1 - std::pow(options_.beta1, count));
    inverse_root_correction_ = 1 / std::sqrt(1 - std::pow(options_.beta2, count));
    shrink_ = 1 - learning_rate * decoupled_;
    pieces_.clear();  // of a step that an error ended
    total_ = 0;
  }

  void update(std::size_t i, Tensor& parameter, const Tensor& gradient) override {
    Tensor& mean = moment(mean_, i);
    Tensor& square = moment(square_, i);
    if (parameter.device().is_cpu() && parameter.scalar_type() == torch::kFloat &&
        gradient.scalar_type() == torch::kFloat && same_dense_layout(parameter, gradient) &&
        same_dense_layout(parameter, mean)) {
      pieces_.push_back({total_, parameter.data_ptr<float>(), gradient.data_ptr<float>(), mean.data_ptr<float>(),
                         square.data_ptr<float>()});
      total_ += parameter.numel();
      // Who keeps something made of the parameter sees that it has changed.
      parameter.unsafeGetTensorImpl()->bump_version();
      return;
    }
    if (decoupled_ != 0) parameter.mul_(shrink_);
    const Tensor g = l2_ == 0 ? gradient : gradient.add(parameter, l2_);
    mean.mul_(options_.beta1).add_(g, 1 - options_.beta1);
    square.mul_(options_.beta2).addcmul_(g, g, 1 - options_.beta2);
    parameter.addcdiv_(mean, square.sqrt().mul_(inverse_root_correction_).add_(options_.epsilon), -step_size_);
  }

  void end() override {
    at::parallel_for(0, total_, 32768, [&](std::int64_t begin, std::int64_t end) {
      for (std::size_t i = 0; i < pieces_.size(); ++i) {
        const Piece& piece = pieces_[i];
        const std::int64_t stop = i + 1 < pieces_.size() ? pieces_[i + 1].start : total_;
        const std::int64_t from = std::max(begin, piece.start) - piece.start, to = std::min(end, stop) - piece.start;
        if (from >= to) continue;
        detail::adam_update(piece.parameter + from, piece.gradient + from, piece.mean + from, piece.square + from,
                            to - from, static_cast<float>(options_.beta1), static_cast<float>(options_.beta2),
                            static_cast<float>(options_.epsilon), static_cast<float>(step_size_),
                            static_cast<float>(inverse_root_correction_), static_cast<float>(l2_),
                            static_cast<float>(shrink_));
      }
    });
    pieces_.clear();
    total_ = 0;
  }

 private:
  std::size_t mean_, square_;
  double l2_ = 0, decoupled_ = 0;
  double step_size_ = 0, inverse_root_correction_ = 1, shrink_ = 1;

  // Parameters whose numbers lie one after another; they are updated together, so that threads meet once.
  struct Piece {
    std::int64_t start;
    float* parameter;
    const float* gradient;
    float *mean, *square;
  };
  std::vector<Piece> pieces_;
  std::int64_t total_ = 0;
};

class Adamax : public RuleBase {
 public:
  Adamax(const OptimizerOptions& options, const NamedTensors& parameters)
      : RuleBase(options, parameters), mean_(add_moment("mean", 0)), largest_(add_moment("largest", 0)) {}

 protected:
  void begin(std::int64_t count, double learning_rate) override {
    step_size_ = learning_rate / (1 - std::pow(options_.beta1, count));
  }
  void update(std::size_t i, Tensor& parameter, const Tensor& gradient) override {
    const Tensor g = with_decay(gradient, parameter);
    Tensor& mean = moment(mean_, i);
    Tensor& largest = moment(largest_, i);
    mean.mul_(options_.beta1).add_(g, 1 - options_.beta1);
    largest.copy_(torch::maximum(largest.mul_(options_.beta2), g.abs().add_(options_.epsilon)));
    parameter.addcdiv_(mean, largest, -step_size_);
  }

 private:
  std::size_t mean_, largest_;
  double step_size_ = 0;
};

class Sgd : public RuleBase {
 public:
  Sgd(const OptimizerOptions& options, const NamedTensors& parameters) : RuleBase(options, parameters) {
    if (options.momentum != 0) velocity_ = add_moment("velocity", 0);
  }

 protected:
  void begin(std::int64_t /*count*/, double learning_rate) override { learning_rate_ = learning_rate; }
  void update(std::size_t i, Tensor& parameter, const Tensor& gradient) override {
    const Tensor g = with_decay(gradient, parameter);
    if (options_.momentum == 0) {
      parameter.add_(g, -learning_rate_);
      return;
    }
    Tensor& velocity = moment(velocity_, i);
    velocity.mul_(options_.momentum).add_(g);
    parameter.add_(options_.nesterov ? g.add(velocity, options_.momentum) : velocity, -learning_rate_);
  }

 private:
  std::size_t velocity_ = 0;
  double learning_rate_ = 0;
};

class RmsProp : public RuleBase {
 public:
  RmsProp(const OptimizerOptions& options, const NamedTensors& parameters)
      : RuleBase(options, parameters),
        epsilon_in_root_(options.variant == "tensorflow"),
        square_(add_moment("square", epsilon_in_root_ ? 1 : 0)) {
    if (options.momentum != 0) velocity_ = add_moment("velocity", 0);
  }

 protected:
  void begin(std::int64_t /*count*/, double learning_rate) override { learning_rate_ = learning_rate; }
  void update(std::size_t i, Tensor& parameter, const Tensor& gradient) override {
    const Tensor g = with_decay(gradient, parameter);
    Tensor& square = moment(square_, i);
    square.mul_(options_.alpha).addcmul_(g, g, 1 - options_.alpha);
    const Tensor root = epsilon_in_root_ ? square.add(options_.epsilon).sqrt_() : square.sqrt().add_(options_.epsilon);
    if (options_.momentum == 0) {
      parameter.addcdiv_(g, root, -learning_rate_);
      return;
    }
    Tensor& velocity = moment(velocity_, i);
    velocity.mul_(options_.momentum).addcdiv_(g, root, epsilon_in_root_ ? learning_rate_ : 1.0);
    parameter.add_(velocity, epsilon_in_root_ ? -1.0 : -learning_rate_);
  }

 private:
  bool epsilon_in_root_;
  std::size_t square_, velocity_ = 0;
  double learning_rate_ = 0;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options, const NamedTensors& parameters) {
  if (options.nesterov && options.momentum == 0)
    throw RequestError("optimizer", "nesterov needs momentum", "set momentum, e.g. 0.9");
  if (options.name == "adam" || options.name == "adamw") return std::make_unique<Adam>(options, parameters);
  if (options.name == "adamax") return std::make_unique<Adamax>(options, parameters);
  if (options.name == "sgd") return std::make_unique<Sgd>(options, parameters);
  if (options.name == "rmsprop") return std::make_unique<RmsProp>(options, parameters);
  throw RequestError("optimizer", fmt::format("unknown optimizer '{}'", options.name),
                     "known: adam, adamw, adamax, sgd, rmsprop");
}

}  // namespace gibbsite
