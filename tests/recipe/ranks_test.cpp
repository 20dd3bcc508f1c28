// What ranks rely on, for every objective: its loss and gradient on a batch are the means of those on the shards of the batch,
// unless it says that it mixes rows.
#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/recipe/build.h>
#include <gibbsite/recipe/parse.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <set>

namespace gibbsite {
namespace {

const char* const kEnergy = R"(dtype = "float64"
[data]
name = "checkerboard"
noise = 0.05
fresh = true
scale = "standardise"
train = 64
[model]
name = "mlp"
hidden = [8, 8]
confinement = 0.1
[sampler]
name = "langevin"
step_size = 0.01
)";
const char* const kMachine = R"(dtype = "float64"
[data]
name = "checkerboard"
fresh = true
train = 64
[model]
name = "grbm"
latent_size = 4
)";
const char* const kWithEncoder = R"(
[encoder]
name = "bernoulli"
)";
const char* const kWithScore = R"(
[variational_score]
particles = 2
)";

constexpr std::int64_t kRows = 8;
// In float64, so that finite differences stay clear of rounding.
constexpr double kTolerance = 1e-7;

struct Value {
  double loss = 0;
  std::vector<Tensor> gradients;
};

// Of rows first … first + count - 1, by parts of their own, because objectives keep states.
Value value_of(const std::string& toml, const std::vector<std::string>& set, std::int64_t first, std::int64_t count,
               bool* mixes) {
  Config recipe = parse_toml(toml, "test");
  for (const std::string& assignment : set) apply_override(recipe, assignment);
  const Parts parts = build_parts(std::move(recipe), {});
  const PhaseParts& phase = parts.phases.back();
  *mixes = phase.objective->mixes_rows();
  Batch batch;
  batch.x = parts.data->loader(parts.dtype).batch(0, kRows, first, count).x;
  batch.first_row = first;
  batch.global_size = kRows;
  // What is gathered decides later updates only.
  if (count < kRows)
    batch.gather = [](const Tensor& rows) {
      Shape times(static_cast<std::size_t>(rows.dim()), 1);
      times[0] = 2;
      return rows.repeat(times);
    };
  Rng rng = Rng(3, "objective").at_step(5).at_row(first);
  const Loss loss = (*phase.objective)(batch, rng);
  std::vector<Tensor> parameters;
  for (const Part& part : parts.named_parts())
    for (const Tensor& parameter : part.module->parameters())
      if (parameter.requires_grad()) parameters.push_back(parameter);
  Value value{loss.log.front().second.item<double>(),
              torch::autograd::grad({loss.backward}, parameters, {}, false, false, true)};
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (!value.gradients[i].defined()) value.gradients[i] = torch::zeros_like(parameters[i]);
  return value;
}

// Largest deviation of the mean of two shards from the whole, relative to the largest gradient.
double deviation(const std::string& toml, const std::vector<std::string>& set, bool* mixes) {
  const Value whole = value_of(toml, set, 0, kRows, mixes);
  const Value a = value_of(toml, set, 0, kRows / 2, mixes), b = value_of(toml, set, kRows / 2, kRows / 2, mixes);
  double scale = 1e-6, worst = 0;
  for (std::size_t i = 0; i < whole.gradients.size(); ++i) {
    const Tensor mean = (a.gradients[i] + b.gradients[i]) / 2;
    scale = std::max(scale, whole.gradients[i].abs().max().item<double>());
    worst = std::max(worst, (mean - whole.gradients[i]).abs().max().item<double>());
  }
  const double loss = std::abs((a.loss + b.loss) / 2 - whole.loss) / std::max(1.0, std::abs(whole.loss));
  return std::max(worst / scale, loss);
}

TEST(Shards, HaveTheMeanOfTheWholeForEveryObjectiveThatDoesNotMixRows) {
  const std::string machine = kMachine, encoder = machine + kWithEncoder, score = encoder + kWithScore;
  std::set<std::string> shared, mixing;
  const auto check = [&](const std::string& name, const std::string& toml, std::vector<std::string> set) {
    set.push_back("objective.name=" + name);
    bool mixes = false;
    double worst = 0;
    try {
      worst = deviation(toml, set, &mixes);
    } catch (const RequestError& error) {
      return;  // an objective of other parts
    }
    (mixes ? mixing : shared).insert(name);
    if (!mixes) {
      EXPECT_LT(worst, kTolerance) << name;
    }
    // A constant that is learned by steps differs only in later updates.
    if (mixes && name != "vnce") {
      EXPECT_GT(worst, kTolerance) << name << " says that it mixes rows";
    }
  };
  for (const Entry<MakeObjective>& entry : objective_table())
    for (const std::string& toml : {std::string(kEnergy), machine, encoder, score}) check(entry.name, toml, {});
  for (const char* name : {"mdsm", "nce"}) check(name, kEnergy, {});
  check("nce", kEnergy, {"objective.normaliser=model"});
  check("mvl", kEnergy, {"objective.form=difference"});
  check("mvl", kEnergy, {"objective.dynamics=svgd"});
  check("cd", kMachine, {"objective.persistent=true"});
  for (const char* name : {"exact_score_matching", "ssm", "ssm_vr", "dsm", "mdsm", "mpf", "nce", "approximate_backprop",
                           "curvature_propagation", "pcd", "cd", "mvl", "posterior_kl"})
    EXPECT_TRUE(shared.count(name)) << name << " was not tried";
  for (const char* name : {"ksd", "nce", "mvl"}) EXPECT_TRUE(mixing.count(name)) << name << " was not tried";
  std::string text;
  for (const std::string& name : shared) text += name + " ";
  RecordProperty("shared", text);
}

}  // namespace
}  // namespace gibbsite
