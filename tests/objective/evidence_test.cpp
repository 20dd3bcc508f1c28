#include <gibbsite/core/error.h>
#include <gibbsite/objective/evidence.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>
#include <map>

namespace gibbsite {
namespace {

struct Problem {
  std::unique_ptr<HierarchicalVae> vae;
  Batch batch;
  ObjectiveParts parts;
  Problem() {
    HierarchicalVaeOptions options;
    options.channels = 4;
    options.groups = {1, 2};
    options.latent_channels = 2;
    options.cells = 1;
    options.expansion = 2;
    ModelContext context;
    context.event = {1, 8, 8};
    context.init = Rng(3, "init");
    context.dtype = at::kDouble;
    vae = make_hierarchical_vae(options, context);
    batch.x = Rng(4, "x").uniform({6, 1, 8, 8}, at::kDouble) * 2 - 1;
    parts.generator = vae.get();
  }
  std::map<std::string, double> numbers(const EvidenceOptions& options, Loss* kept = nullptr) const {
    Rng rng(5, "draws");
    const Loss loss = (*make_evidence(options, parts))(batch, rng);
    std::map<std::string, double> found;
    for (const auto& [name, value] : loss.log) found[name] = value.item<double>();
    if (kept) *kept = loss;
    return found;
  }
  Evidence evidence() const {
    Rng rng(5, "draws");
    return vae->evidence(batch.x, rng);
  }
};

// Where nothing trains it is the evidence bound, whatever the warm-up.
TEST(Evidence, IsTheBoundInValidation) {
  Problem problem;
  problem.vae->module().eval();
  const Evidence found = problem.evidence();
  double divergence = 0;
  for (const Tensor& of_group : found.divergence) divergence += of_group.mean().item<double>();
  const auto numbers = problem.numbers({});
  EXPECT_NEAR(numbers.at("reconstruction"), -found.log_prob.mean().item<double>(), 1e-9);
  EXPECT_NEAR(numbers.at("divergence"), divergence, 1e-9);
  EXPECT_NEAR(numbers.at("loss"), numbers.at("reconstruction") + divergence, 1e-9);
  EXPECT_EQ(numbers.count("penalty"), 0U);
}

// Half-way through the warm-up: weights by hand, group by group; and their gradient is that of the divergences alone.
TEST(Evidence, BalancesGroupsWhileTheyAreWarmedUp) {
  Problem problem;
  problem.vae->module().train();
  problem.batch.progress = 0.1;
  EvidenceOptions options;
  options.warmup = 0.2;
  options.penalty = 0.01;
  options.first_penalty = 1;
  Loss loss;
  const auto numbers = problem.numbers(options, &loss);

  const Evidence found = problem.evidence();
  const std::vector<double> alpha = problem.vae->balance();
  std::vector<double> gamma;
  double sum = 0;
  for (std::size_t l = 0; l < alpha.size(); ++l) {
    gamma.push_back((found.divergence[l].mean().item<double>() + 0.01) / alpha[l]);
    sum += gamma.back();
  }
  EXPECT_NE(alpha[0], alpha[1]);
  Tensor divergence = torch::zeros({}, at::kDouble);
  for (std::size_t l = 0; l < alpha.size(); ++l)
    divergence = divergence + found.divergence[l].mean() * (gamma[l] * static_cast<double>(alpha.size()) / sum);
  const Tensor bound = -found.log_prob.mean() + 0.5 * divergence;
  EXPECT_NEAR(numbers.at("loss"), bound.item<double>() + 0.1 * numbers.at("penalty"), 1e-8);

  options.penalty = 0;
  problem.numbers(options, &loss);
  const std::vector<Tensor> parameters = problem.vae->module().parameters();
  const std::vector<Tensor> got = torch::autograd::grad({loss.backward}, parameters, {}, {}, false, true),
                            expected = torch::autograd::grad({bound}, parameters, {}, {}, false, true);
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (expected[i].defined()) {
      EXPECT_TRUE(torch::allclose(got[i], expected[i], 1e-8, 1e-8)) << i;
    }
}

TEST(Evidence, LeavesGroupsAloneAfterwards) {
  Problem problem;
  problem.vae->module().train();
  problem.batch.progress = 0.5;
  EvidenceOptions options;
  options.penalty = 0.03;
  options.first_penalty = 7;
  const auto numbers = problem.numbers(options);
  EXPECT_NEAR(numbers.at("loss"),
              numbers.at("reconstruction") + numbers.at("divergence") + 0.03 * numbers.at("penalty"), 1e-8);
  EXPECT_THROW(make_evidence(options, ObjectiveParts()), RequestError);
}

}  // namespace
}  // namespace gibbsite
