#include <gibbsite/calculus/graph_node.h>
#include <gibbsite/calculus/known_gradient.h>
#include <gibbsite/core/error.h>
#include <gibbsite/nn/compiled.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/types.h>

#include <algorithm>
#include <mutex>
#include <utility>

namespace gibbsite {
namespace {

using torch::autograd::Node;
using torch::autograd::variable_list;

// What nodes of one forward pass share.
struct Pass {
  std::shared_ptr<const Plan> plan;
  std::shared_ptr<const CompiledEnergy::Network> network;
  std::unique_ptr<PlanRun> run;
  GraphInputs inputs;  // x and the parameters
  Jet kind;            // order and directions where x is the stack of a jet

  const Tensor& x() const { return inputs.tensors().front(); }
  // By the network itself, with graph.
  variable_list by_network(const Tensor& output, const Tensor& seed, const std::vector<bool>& wanted) const {
    return gradients_where(output, seed, inputs.tensors(), wanted, /*graph=*/true);
  }
};

bool any(const std::vector<bool>& wanted, std::size_t first) {
  return std::any_of(wanted.begin() + static_cast<std::ptrdiff_t>(first), wanted.end(), [](bool w) { return w; });
}

void put(variable_list& to, const PlanRun::Gradients& gradients, const Pass& pass, const std::vector<bool>& wanted,
         std::size_t first) {
  if (wanted[0]) to[first] = gradients.input.view(pass.x().sizes()).to(pass.x().options());
  for (std::size_t i = 1; i < wanted.size(); ++i)
    if (wanted[i]) to[first + i] = gradients.parameters[i - 1];
}

// Inputs: the seed, x, parameters. Output: the gradient in x of Σ seed · energy.
struct GradientNode : Node {
  GradientNode(std::shared_ptr<const Pass> shared, PlanRun::Gradients first, Tensor seeds)
      : pass(std::move(shared)), gradient(std::move(first)), seed(std::move(seeds)) {}
  std::shared_ptr<const Pass> pass;
  PlanRun::Gradients gradient;
  Tensor seed;

  variable_list apply(variable_list&& directions) override {
    pass->inputs.check();
    const Tensor& h = directions[0];
    const std::vector<bool> wanted = pass->inputs.asked(*this, 1);
    const bool wants_seed = seed.requires_grad() && task_should_compute_output(0);
    variable_list gradients(wanted.size() + 1);
    if (at::GradMode::is_enabled()) {
      const Tensor at = pass->x().requires_grad() ? pass->x() : pass->x().detach().requires_grad_();
      const Tensor energy = pass->network->energy(at);
      const Tensor slope = torch::autograd::grad({energy}, {at}, {seed}, true, true)[0];
      const variable_list found = pass->by_network(slope, h, wanted);
      std::copy(found.begin(), found.end(), gradients.begin() + 1);
      if (wants_seed) {
        const Tensor unit = torch::ones_like(seed);
        const Tensor plain = torch::autograd::grad({energy}, {at}, {unit}, true, true)[0];
        gradients[0] = (plain * h).flatten(1).sum(1);
      }
      return gradients;
    }
    const PlanRun::GradientReverse back = pass->run->reverse_gradient(gradient, h, wanted[0], any(wanted, 1));
    put(gradients, back, *pass, wanted, 1);
    if (wants_seed) gradients[0] = back.along.to(seed.options());
    return gradients;
  }
  void release_variables() override {
    pass.reset();
    gradient = {};
  }
};

// Inputs: x, parameters. Output: energies, or their jet.
struct EnergyNode : Node {
  explicit EnergyNode(std::shared_ptr<const Pass> shared) : pass(std::move(shared)) {}
  std::shared_ptr<const Pass> pass;

  variable_list apply(variable_list&& seeds) override {
    pass->inputs.check();
    const Tensor& seed = seeds[0];
    const std::vector<bool> wanted = pass->inputs.asked(*this, 0);
    variable_list gradients(wanted.size());
    const bool of_jet = pass->kind.order > 0;
    if (at::GradMode::is_enabled() && (of_jet || any(wanted, 1))) {
      const Tensor out = of_jet ? pass->network->jet(pass->kind.with(pass->x())).c : pass->network->energy(pass->x());
      return pass->by_network(out, seed, wanted);
    }
    const bool graph = at::GradMode::is_enabled();
    PlanRun::Gradients back = by_plan(seed, wanted, graph && wanted[0]);
    put(gradients, back, *pass, wanted, 0);
    if (graph && wanted[0]) {
      std::vector<Tensor> inputs = {seed};
      inputs.insert(inputs.end(), pass->inputs.tensors().begin(), pass->inputs.tensors().end());
      gradients[0] = connect(gradients[0], make_node<GradientNode>(pass, std::move(back), seed), inputs);
    }
    return gradients;
  }
  void release_variables() override { pass.reset(); }

 private:
  PlanRun::Gradients by_plan(const Tensor& seed, const std::vector<bool>& wanted, bool keep) const {
    const torch::NoGradGuard no_graph;
    return pass->run->reverse(seed, wanted[0], any(wanted, 1), keep);
  }
};

// Hands rows to workers, as many as there are threads that ask at once. Energies, by which proposals are accepted, come from
// `exact` where that is given: chains with an acceptance test have the exact law, however rough their scores.
class PlanRows : public RowFunction {
 public:
  PlanRows(std::shared_ptr<const Plan> plan, ProductPrecision precision,
           std::shared_ptr<const RowFunction> exact = nullptr)
      : plan_(std::move(plan)), precision_(precision), exact_(std::move(exact)) {}

  std::int64_t block() const override { return Plan::block_rows(); }
  void operator()(const float* x, std::int64_t rows, float* energy, float* score) const override {
    if (exact_ && energy) {
      (*exact_)(x, rows, energy, nullptr);
      energy = nullptr;
      if (!score) return;
    }
    std::unique_ptr<PlanWorker> worker;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!idle_.empty()) {
        worker = std::move(idle_.back());
        idle_.pop_back();
      }
    }
    if (!worker) worker = plan_->worker(precision_);
    report_multiply_adds(rows * plan_->multiply_adds() * (score == nullptr ? 1 : 2));
    (*worker)(x, rows, energy, score);
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(worker));
  }

 private:
  std::shared_ptr<const Plan> plan_;
  ProductPrecision precision_;
  std::shared_ptr<const RowFunction> exact_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<PlanWorker>> idle_;
};

}  // namespace

CompiledEnergy::CompiledEnergy(const Recorded& energy, Network network)
    : plan_(std::make_shared<const Plan>(energy)), network_(std::make_shared<const Network>(std::move(network))) {
  const auto exact = std::make_shared<const PlanRows>(plan_, ProductPrecision::kFloat32);
  rows_ = {exact, std::make_shared<const PlanRows>(plan_, ProductPrecision::kBfloat16, exact)};
}

std::shared_ptr<const RowFunction> CompiledEnergy::rows(ProductPrecision precision) const {
  if (precision == ProductPrecision::kBfloat16 && !has_bfloat16_products())
    throw RequestError("precision", "this processor has no bfloat16 products");
  plan_->prepare(ProductPrecision::kFloat32);
  plan_->prepare(precision);
  return rows_[static_cast<std::size_t>(precision)];
}

bool CompiledEnergy::takes(const Tensor& x) {
  return x.device().is_cpu() && x.scalar_type() == torch::kFloat && x.dim() > 0 && x.size(0) > 0;
}

bool CompiledEnergy::takes(const Jet& x) const { return x.order <= 2 && plan_->smooth() && takes(x.c); }

namespace {

Tensor run_plan(const std::shared_ptr<const Plan>& plan, const std::shared_ptr<const CompiledEnergy::Network>& network,
                const Tensor& x, const Jet& kind) {
  plan->prepare();
  const auto pass = std::make_shared<Pass>();
  pass->plan = plan;
  pass->network = network;
  pass->kind = kind;
  PlanSlices slices;
  if (kind.order > 0) {
    slices.order = kind.order;
    slices.directions = kind.directions;
  }
  std::vector<Tensor> inputs = {x};
  inputs.insert(inputs.end(), plan->parameters().begin(), plan->parameters().end());
  const bool graph = wants_graph(inputs);
  {
    const torch::NoGradGuard no_graph;
    pass->run = plan->run(x.detach().reshape({x.size(0), plan->event_size()}).contiguous(), slices, graph);
  }
  Tensor energies = pass->run->energies();
  if (!graph) return energies;
  pass->inputs = GraphInputs(std::move(inputs));
  return connect(energies, make_node<EnergyNode>(pass), pass->inputs.tensors());
}

}  // namespace

Tensor CompiledEnergy::energy(const Tensor& x) const { return run_plan(plan_, network_, x, {}); }

Tensor CompiledEnergy::score_distance(const Tensor& x, const Tensor& target, const Tensor& weight) const {
  plan_->prepare();
  const std::vector<Tensor>& parameters = plan_->parameters();
  const bool graph = wants_graph(parameters);
  const torch::NoGradGuard no_graph;
  const auto rows = [&](const Tensor& t) {
    return t.detach().to(torch::kCPU, torch::kFloat).reshape({x.size(0), plan_->event_size()}).contiguous();
  };
  const Tensor weights = weight.detach().to(torch::kCPU, torch::kFloat).contiguous();
  Plan::ScoreFit fit = plan_->fit_score(rows(x), rows(target), weights, graph);
  const Tensor value = (weights * fit.distances).sum();
  if (!graph) return value;
  const at::AutoGradMode enabled(true);
  return known_gradient(value, parameters, std::move(fit.parameters));
}

Jet CompiledEnergy::energy(const Jet& x) const { return x.with(run_plan(plan_, network_, x.c, x.with({}))); }

}  // namespace gibbsite
