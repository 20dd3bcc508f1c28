#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/dkef.h>
#include <gibbsite/nn/mlp.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>
#include <optional>

namespace gibbsite {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// −A⁻¹b for a symmetric positive definite A, through one Cholesky factor for value and gradient.
class NegativeSolve : public torch::autograd::Function<NegativeSolve> {
 public:
  static Variable forward(AutogradContext* context, const Variable& a, const Variable& b) {
    auto [factor, info] = at::linalg_cholesky_ex(a);
    if (info.item<int>() != 0) {
      if (a.isfinite().all().item<bool>())
        throw WorkError("dkef", fmt::format("the system of the {} weights is singular", b.size(0)),
                        "its ridge fell too low; a larger model.log_ridge or a lower learning rate helps");
      // Parameters that are not numbers are the trainer's business: it returns to a good state.
      factor = at::full_like(a, std::nan(""));
    }
    const Tensor solution = -at::cholesky_solve(b.unsqueeze(1), factor).squeeze(1);
    context->save_for_backward({a, factor, solution});
    return solution;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor right = gradients[0].unsqueeze(1);
    // With a graph the factor will not do, it has none.
    const Tensor adjoint =
        -(at::GradMode::is_enabled() ? at::linalg_solve(saved[0], right) : at::cholesky_solve(right, saved[1]));
    return {adjoint.mm(saved[2].unsqueeze(0)), adjoint.squeeze(1)};
  }
};

// ‖φ‖² per row, [B, F] -> [B, 1].
Tensor squared_norm(const Tensor& phi) { return phi.square().sum(1, true); }
Jet squared_norm(const Jet& phi) { return sum(square(phi), {1}, true); }

Tensor gaussian(const Tensor& distance, const Tensor& factor) { return (distance * factor).exp(); }
Jet gaussian(const Jet& distance, const Tensor& factor) { return exp(distance.with(distance.c * factor)); }

Tensor weighted(const Tensor& k, const Tensor& weight) { return k * weight; }
Jet weighted(const Jet& k, const Tensor& weight) { return k.with(k.c * weight); }

// What the kernels need to know of the inducing points.
struct Anchors {
  std::vector<Tensor> features;  // [M, F] per kernel
  std::vector<Tensor> norms;     // [M]
  std::vector<Tensor> factors;   // 0-dim, −1/(2 width)
  std::vector<Tensor> mixture;   // 0-dim
};

class Dkef : public ClosedFormEnergy {
 public:
  Dkef(const DkefOptions& options, const ModelContext& context)
      : options_(options), event_(context.event), parameters_(context.init, context.dtype, context.device) {
    const std::int64_t d = event_size(event_);
    MlpShape shape;
    shape.input = d;
    shape.hidden = options.hidden;
    shape.output = options.features;
    shape.activation = Activation::kSoftplus;
    shape.skip = true;
    shape.initial = MlpShape::Initial::kNormal;
    const auto kernels = static_cast<std::int64_t>(options.log_widths.size());
    for (std::int64_t i = 0; i < kernels; ++i)
      networks_.emplace_back(parameters_, "phi" + std::to_string(i + 1), shape);
    log_widths_ = parameters_.given("log_widths", torch::tensor(options.log_widths, torch::kDouble));
    mixture_ = parameters_.constant("mixture", {kernels}, 0);
    inducing_ = parameters_.given("inducing", starting_points(context, d));
    log_ridge_ = parameters_.constant("log_ridge", {}, options.log_ridge);
    stored_ = parameters_.module().register_buffer(
        "weights", torch::zeros({options.inducing}, torch::dtype(torch::kDouble).device(context.device)));
    weights_ = stored_;
    Rng rng = context.init.stream("weights");
    refit(inducing_.detach(), {FitKind::kSliced}, rng);
  }

  Tensor energy(const Tensor& x) const override { return evaluate(x.flatten(1), anchors(), weights_); }
  std::optional<Jet> energy(const Jet& x) const override {
    if (!has_jet()) return std::nullopt;
    return evaluate(flattened(x), anchors(), weights_);
  }
  bool has_jet() const override { return !stock(); }
  std::optional<Traced> traced(const Traced& x) const override {
    if (!has_trace()) return std::nullopt;
    return evaluate(flattened(x), anchors(), weights_);
  }
  bool has_trace() const override { return !stock(); }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::vector<LayerNote> layers() const override { return {{"phi", "softplus"}}; }
  Shape event() const override { return event_; }

  EnergyFn fitted(const Tensor& x) const override {
    Rng none(0, "dkef");
    const Anchors a = anchors();
    return fit_with(a, solve(equations(x.flatten(1), {FitKind::kExact}, none, a)), 0).energy.value;
  }

  Fit fit(const Tensor& x, const FitProblem& problem, Rng& rng) const override {
    const Anchors a = anchors();
    if (!parameters_.module().is_training()) return fit_with(a, weights_, 0);
    const std::int64_t half = x.size(0) / 2;
    if (half < 1)
      throw RequestError("train.batch_size", "dkef needs batches of two rows or more", "half of them fit its weights");
    FitProblem own = problem;
    if (own.noise.defined()) own.noise = own.noise.narrow(0, 0, half);
    return fit_with(a, solve(equations(x.narrow(0, 0, half).flatten(1), own, rng, a)), half);
  }

  NormalEquations normal_equations(const Tensor& x, const FitProblem& problem, Rng& rng) const override {
    return equations(x.flatten(1), problem, rng, anchors());
  }

  Tensor solve(const NormalEquations& equations) const override {
    const Tensor ridge = (log_ridge_.to(torch::kDouble) * std::log(10.0)).exp();
    const Tensor identity = torch::eye(equations.gram.size(0), equations.gram.options());
    return NegativeSolve::apply(equations.gram + ridge * identity, equations.target);
  }

  void use(const Tensor& weights) override {
    const torch::NoGradGuard no_grad;
    stored_.copy_(weights.detach());
    weights_ = weights.requires_grad() ? weights : stored_;
  }
  const Tensor& weights() const override { return weights_; }
  const Tensor& log_ridge() const override { return log_ridge_; }

 private:
  DkefOptions options_;
  Shape event_;
  Parameters parameters_;
  std::vector<Mlp> networks_;
  Tensor log_widths_, mixture_, inducing_, log_ridge_;
  Tensor stored_, weights_;  // [M] float64; the second is the first, or has a graph

  bool stock() const { return options_.operations == "stock"; }

  Tensor starting_points(const ModelContext& context, std::int64_t d) const {
    Rng rng = context.init.stream("inducing");
    if (!context.examples) return rng.normal({options_.inducing, d}, torch::kDouble);
    const Tensor rows = context.examples(options_.inducing).flatten(1);
    if (rows.size(0) < options_.inducing)
      throw RequestError("model.inducing",
                         fmt::format("{} points are more than the {} training rows", options_.inducing, rows.size(0)));
    return rows;
  }

  Anchors anchors() const {
    Anchors a;
    const Tensor factors = -0.5 * (log_widths_ * -std::log(10.0)).exp();
    const Tensor mixture = mixture_.softmax(0);
    for (std::size_t i = 0; i < networks_.size(); ++i) {
      const auto index = static_cast<std::int64_t>(i);
      a.features.push_back(networks_[i].forward(inducing_));
      a.norms.push_back(squared_norm(a.features.back()).squeeze(1));
      a.factors.push_back(factors[index]);
      a.mixture.push_back(mixture[index]);
    }
    return a;
  }

  /// k(x, z_m), [B, d] -> [B, M].
  template <class T>
  T kernels(const T& x, const Anchors& a) const {
    std::optional<T> sum;
    for (std::size_t i = 0; i < networks_.size(); ++i) {
      const T phi = networks_[i].forward(x);
      const T distance = squared_norm(phi) + lin(phi, -2 * a.features[i], a.norms[i]);
      const T k = weighted(gaussian(distance, a.factors[i]), a.mixture[i]);
      sum = sum ? *sum + k : k;
    }
    return *sum;
  }

  /// The same with the networks run on a copy of x for every z.
  Tensor kernels_of_pairs(const Tensor& pairs) const {
    const std::int64_t m = inducing_.size(0), rows = pairs.size(0) / m;
    const Tensor z = inducing_.unsqueeze(0).expand({rows, m, inducing_.size(1)}).flatten(0, 1);
    const Tensor mixture = mixture_.softmax(0);
    const Tensor widths = (log_widths_ * std::log(10.0)).exp();
    Tensor sum;
    for (std::size_t i = 0; i < networks_.size(); ++i) {
      const auto index = static_cast<std::int64_t>(i);
      const Tensor difference = networks_[i].forward(Stock{pairs}).t - networks_[i].forward(Stock{z}).t;
      const Tensor k = mixture[index] * (-difference.square().sum(1) / (2 * widths[index])).exp();
      sum = sum.defined() ? sum + k : k;
    }
    return sum.view({rows, m});
  }

  Tensor pairs_of(const Tensor& x) const {
    return x.unsqueeze(1).expand({x.size(0), inducing_.size(0), x.size(1)}).flatten(0, 1);
  }

  double base_precision() const { return 1 / (options_.base_deviation * options_.base_deviation); }

  Tensor evaluate(const Tensor& x, const Anchors& a, const Tensor& weights) const {
    const Tensor k = stock() ? kernels_of_pairs(pairs_of(x)) : kernels(x, a);
    return 0.5 * base_precision() * x.square().sum(1) - k.mv(weights.to(k.scalar_type()));
  }
  Jet evaluate(const Jet& x, const Anchors& a, const Tensor& weights) const {
    const Jet k = kernels(x, a);
    return total(square(x)) * (0.5 * base_precision()) - k.with(k.c.mv(weights.to(k.c.scalar_type())));
  }

  Traced evaluate(const Traced& x, const Anchors& a, const Tensor& weights) const {
    const Traced model = column(lin(traced_kernels(x, a), -weights.to(x.value.scalar_type()).unsqueeze(0), Tensor()));
    return plus(scaled(total(squared(x)), 0.5 * base_precision()), model);
  }
  Traced traced_kernels(const Traced& x, const Anchors& a) const {
    std::optional<Traced> sum;
    for (std::size_t i = 0; i < networks_.size(); ++i) {
      const Traced k =
          scaled(gaussian_kernel(networks_[i].forward(x), a.features[i], -0.5 / a.factors[i]), a.mixture[i]);
      sum = sum ? plus(*sum, k) : k;
    }
    return *sum;
  }

  Fit fit_with(const Anchors& a, const Tensor& weights, std::int64_t first) const {
    Fit made;
    made.first = first;
    made.energy.value = [=](const Tensor& x) { return evaluate(x.flatten(1), a, weights); };
    if (has_jet()) made.energy.jet = [=](const Jet& x) { return evaluate(flattened(x), a, weights); };
    if (has_trace()) made.traced = [=](const Traced& x) { return evaluate(flattened(x), a, weights); };
    return made;
  }

  /// ∂k_m/∂x_j with j outermost, [d · n, M] float64, and Σ_j ∂²k_m/∂x_j², [n, M] float64.
  struct Gradients {
    Tensor first, laplacian;
  };
  Gradients gradients(const Tensor& x, const Anchors& a) const {
    const std::int64_t n = x.size(0), d = x.size(1);
    const Tensor basis = torch::eye(d, x.options()).unsqueeze(1).expand({d, n, d});
    const Jet jet = kernels(seed_laplacian(x, basis), a);
    return {jet.c.narrow(0, n, d * n).to(torch::kDouble), jet.derivative(2).to(torch::kDouble)};
  }

  NormalEquations equations(const Tensor& x, const FitProblem& problem, Rng& rng, const Anchors& a) const {
    Tensor point = x.detach();
    Tensor noise;
    if (problem.kind == FitKind::kDenoising) {
      noise = problem.noise.defined() ? problem.noise.flatten(1) : problem.sigma * rng.normal(x.sizes(), x);
      point = point + noise;
    }
    const bool sliced = problem.kind == FitKind::kSliced || problem.kind == FitKind::kSlicedVr;
    const Tensor v = sliced ? rng.rademacher(point.sizes(), point) : Tensor();
    const bool traced = problem.kind == FitKind::kApproximateBackprop || problem.kind == FitKind::kCurvaturePropagation;
    if (stock() && traced)
      throw RequestError("model.operations", "stock has no traced form", "use operations = \"fast\"");
    const Derivatives k = stock()  ? nested_derivatives(point, v, problem.kind)
                          : traced ? traced_derivatives(point, problem.kind, a, rng)
                                   : jet_derivatives(point, v, problem.kind, a);
    // Gradient of the base measure's log density, laid out like k.first.
    const Tensor slope = -base_precision() * point;
    const Tensor base =
        (problem.kind == FitKind::kSliced ? (slope * v).sum(1) : slope.t().reshape({-1})).to(torch::kDouble);
    const auto rows = static_cast<double>(x.size(0));
    NormalEquations made;
    made.gram = k.first.t().mm(k.first) / rows;
    if (problem.kind == FitKind::kDenoising) {
      const double variance = problem.sigma * problem.sigma;
      made.gram = made.gram * (variance * variance);
      made.target = variance * k.first.t().mv(variance * base + noise.t().reshape({-1}).to(torch::kDouble)) / rows;
    } else {
      made.target = k.second.mean(0) + k.first.t().mv(base) / rows;
    }
    return made;
  }

  /// Of the kernels at n points, float64: v·∇k [n, M] for sliced problems and ∇k [d · n, M], j outermost, for others;
  /// vᵀ∇²k v or Σ_j ∂²k/∂x_j², [n, M].
  struct Derivatives {
    Tensor first, second;
  };

  Derivatives jet_derivatives(const Tensor& x, const Tensor& v, FitKind kind, const Anchors& a) const {
    Derivatives k;
    if (v.defined()) {
      const Jet jet = kernels(seed_jet(x, v, 2), a);
      k = {jet.slice(1).to(torch::kDouble), jet.derivative(2).to(torch::kDouble)};
      if (kind == FitKind::kSliced) return k;
    }
    const Gradients g = gradients(x, a);
    return {g.first, kind == FitKind::kSlicedVr ? k.second : g.laplacian};
  }

  /// A recursion for every kernel at once; the sum over j is its estimate.
  Derivatives traced_derivatives(const Tensor& x, FitKind kind, const Anchors& a, Rng& rng) const {
    const Traced start = start_trace(x);
    const Traced k = traced_kernels(start, a);
    const std::int64_t n = x.size(0), d = x.size(1), m = k.value.size(1);
    const Tensor seed = torch::eye(m, x.options()).unsqueeze(1).expand({m, n, m});
    const DiagonalCurvature c = kind == FitKind::kCurvaturePropagation ? curvature_propagation(k, start, seed, rng)
                                                                       : approximate_backprop(k, start, seed);
    return {c.gradient.permute({2, 1, 0}).reshape({d * n, m}).to(torch::kDouble),
            c.diagonal.sum(2).t().to(torch::kDouble)};
  }

  Derivatives nested_derivatives(const Tensor& x, const Tensor& v, FitKind kind) const {
    const at::AutoGradMode enabled(true);
    const std::int64_t n = x.size(0), d = x.size(1), m = inducing_.size(0);
    const Tensor pairs = pairs_of(x.detach()).requires_grad_(true);
    const auto derivative = [&](const Tensor& of) {
      return torch::autograd::grad({of.sum()}, {pairs}, {}, true, true)[0];
    };
    const Tensor gradient = derivative(kernels_of_pairs(pairs));
    const Tensor by_pair = gradient.view({n, m, d});
    Derivatives k;
    if (v.defined()) {
      const Tensor direction = pairs_of(v);
      const Tensor along = (gradient * direction).sum(1);
      k.second = (derivative(along) * direction).sum(1).view({n, m}).to(torch::kDouble);
      if (kind == FitKind::kSliced) {
        k.first = along.view({n, m}).to(torch::kDouble);
        return k;
      }
    } else if (kind == FitKind::kExact) {
      Tensor trace;
      for (std::int64_t j = 0; j < d; ++j) {
        const Tensor term = derivative(gradient.select(1, j)).select(1, j);
        trace = trace.defined() ? trace + term : term;
      }
      k.second = trace.view({n, m}).to(torch::kDouble);
    }
    k.first = by_pair.permute({2, 0, 1}).reshape({d * n, m}).to(torch::kDouble);
    return k;
  }
};

}  // namespace

std::unique_ptr<Energy> make_dkef(const DkefOptions& options, const ModelContext& context) {
  if (options.log_widths.empty()) throw RequestError("model.log_widths", "a DKEF needs at least one kernel");
  return std::make_unique<Dkef>(options, context);
}

}  // namespace gibbsite
