// A sampler of one's own: random-walk Metropolis. It runs wherever a kernel does; here 4000 chains of a correlated Gaussian,
// whose covariance is known. Exits with 1 unless they find it within sampling error.
#include <gibbsite/metric/moments.h>
#include <gibbsite/sampler/chain.h>
#include <torch/types.h>

#include <cstdio>

using namespace gibbsite;

class RandomWalk : public Kernel {
 public:
  explicit RandomWalk(double step_size) : step_size_(step_size) {}
  Step step(const Target& target, const Tensor& x, Rng& rng, Graph graph = Graph::kDetach,
            const Step* previous = nullptr) const override {
    TORCH_CHECK(target.energy && graph == Graph::kDetach, "a Metropolis step wants an energy and has no derivative");
    const torch::NoGradGuard no_grad;
    const bool known = previous && previous->energy.defined() && previous->x.is_same(x);
    const Tensor here = known ? previous->energy : target.energy(x);
    Step next;
    next.noise = step_size_ * rng.normal(x.sizes(), x);
    const Tensor proposal = x + next.noise, there = target.energy(proposal);
    next.probability = (here - there).exp().clamp_max(1);
    const Tensor accepted = rng.uniform({x.size(0)}, x) <= next.probability;
    next.x = torch::where(accepted.unsqueeze(1), proposal, x);
    next.energy = torch::where(accepted, there, here);
    next.accepted = accepted.to(x.dtype());
    return next;
  }
  double step_size() const override { return step_size_; }
  double target_acceptance() const override { return 0.35; }
  std::shared_ptr<const Kernel> with_step_size(double step_size) const override {
    return std::make_shared<RandomWalk>(step_size);
  }

 private:
  double step_size_;
};

int main() {
  const Tensor covariance = torch::tensor({{1.0, 0.8}, {0.8, 2.0}}, torch::kDouble), precision = covariance.inverse();
  Target target;
  target.energy = [&](const Tensor& x) { return 0.5 * (x.matmul(precision) * x).sum(1); };
  Rng rng(1, "example");
  ChainOptions options;
  options.burn_in = 200;
  options.steps = 100;
  options.adapt = true;
  const Tensor start = rng.normal({4000, 2}, at::kDouble);
  const ChainResult result = run_chain(std::make_shared<RandomWalk>(1.0), target, start, rng.stream("chain"), options);
  const double worst = compare_moments(result.last.x, torch::zeros(2, torch::kDouble), covariance).worst_z;
  std::printf("acceptance %.2f at step %.2f; worst of mean and covariance %.1f standard errors\n",
              result.acceptance.mean().item<double>(), result.kernel->step_size(), worst);
  return worst < 4 ? 0 : 1;
}
