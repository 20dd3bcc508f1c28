// Recipes whose network is a score.
#include <gibbsite/core/error.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/metric/frechet.h>
#include <gibbsite/model/classifier.h>
#include <gibbsite/model/noise_levels.h>
#include <gibbsite/recipe/build.h>
#include <gibbsite/recipe/check.h>
#include <gibbsite/recipe/evaluate.h>
#include <gibbsite/recipe/guards.h>
#include <gibbsite/recipe/list.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/score.h>
#include <gibbsite/recipe/train.h>
#include <gibbsite/recipe/write.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/types.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "recipe/failure.h"

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

const char* const kPlane = R"(seed = 3
dtype = "float64"
[data]
name = "checkerboard"
noise = 0.05
fresh = true
scale = "standardise"
train = 500
validation = 64
test = 64
[score]
name = "mlp"
hidden = [8, 8]
[sampler]
name = "langevin"
[sample]
steps = 5
[train]
steps = 6
batch_size = 16
checkpoint_every = 3
[objective]
name = "ssm_vr"
)";

// Images of 4x4 pixels from a file.
const char* const kImages = R"(seed = 3
dtype = "float64"
[data]
validation = 8
test = 8
[score]
name = "ncsn"
filters = 2
levels = 3
sigma_max = 0.5
sigma_min = 0.1
[sample]
schedule = "noise_levels"
start = "unit"
clamp = [0.0, 1.0]
[sample.annealing]
epsilon = 1e-3
steps_per_level = 2
[train]
steps = 4
batch_size = 8
[objective]
name = "noise_conditional"
)";

Config with(const char* text, const std::vector<std::string>& set) {
  Config recipe = parse_toml(text, "small.toml");
  for (const std::string& assignment : set) apply_override(recipe, assignment);
  return recipe;
}

class ScoreNetworkRecipe : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("gibbsite_score_network_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(file("plane.toml")) << kPlane;
    std::ofstream(file("images.toml")) << kImages;
    write_npy(file("images.npy"), Rng(5, "images").uniform({64, 4, 4}, at::kDouble));
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  TrainRequest request(const std::string& recipe, const std::string& out, std::vector<std::string> set = {}) const {
    TrainRequest made;
    made.recipe = file(recipe + ".toml");
    made.out = file(out);
    made.set = std::move(set);
    if (recipe == "images") made.set.insert(made.set.begin(), "data.name=" + file("images.npy"));
    return made;
  }
  fs::path folder_;
};

TEST_F(ScoreNetworkRecipe, HasOneNetwork) {
  EXPECT_NE(failure<RequestError>([] { build_parts(with(kPlane, {"model.name=mlp"}), {}); }).find("both [model] and"),
            std::string::npos);
  Config neither = with(kPlane, {});
  neither.erase("score");
  EXPECT_NE(failure<RequestError>([&] { build_parts(neither, {}); }).find("none of [model], [score]"),
            std::string::npos);
  EXPECT_NE(failure<RequestError>([] { build_parts(with(kPlane, {"score.name=mpl"}), {}); }).find("'mlp'"),
            std::string::npos);
  EXPECT_NE(failure<RequestError>([] { build_parts(with(kPlane, {"score.hiden=[4]"}), {}); }).find("hidden"),
            std::string::npos);
  const Parts parts = build_parts(with(kPlane, {}), {});
  EXPECT_FALSE(parts.energy);
  const std::string text = write_toml(parts.resolved);
  EXPECT_NE(text.find("[score]"), std::string::npos) << text;
  EXPECT_EQ(write_toml(build_parts(parse_toml(text, "again"), {}).resolved), text);
  const CheckOutcome outcome = check_recipe(request("plane", ""));
  EXPECT_EQ(outcome.summary.at(1).find("score mlp: "), 0u) << outcome.summary.at(1);
  EXPECT_EQ(list_family("scores").size(), score_table().size());
}

TEST_F(ScoreNetworkRecipe, RefusesWhatNeedsAnEnergy) {
  for (const char* key : {"objective.name=pcd", "objective.name=exact_score_matching"})
    EXPECT_NE(failure<RequestError>([&] { build_parts(with(kPlane, {key}), {}); }).find("energy"), std::string::npos)
        << key;
  EXPECT_NE(failure<RequestError>([] {
              build_parts(with(kPlane, {"evaluate.metrics=[\"sm_loss\"]"}), {});
            }).find("metric sm_loss: needs an energy"),
            std::string::npos);
  EXPECT_NE(failure<RequestError>([] {
              build_parts(with(kPlane, {"sample.schedule=noise_levels"}), {});
            }).find("told the noise level"),
            std::string::npos);
  train_recipe(request("plane", "run"), {});
  EvaluateRequest asked;
  asked.run = file("run");
  for (const char* name : {"log_likelihood", "log_z", "sm_loss", "auroc"}) {
    asked.metrics = {name};
    EXPECT_NE(failure<RequestError>([&] { evaluate_run(asked, {}); }).find("needs an energy"), std::string::npos)
        << name;
  }
  asked.metrics = {"mmd"};
  asked.set = {"evaluate.samples=20"};
  EXPECT_EQ(evaluate_run(asked, {}).rows.size(), 1u);
  SampleRequest sample;
  sample.run = file("run");
  sample.n = 3;
  EXPECT_EQ(sample_run(sample, {}).x.size(0), 3);
  for (const char* key : {"sampler.name=mala", "sample.schedule=exact"}) {
    sample.set = {key};
    EXPECT_THROW(sample_run(sample, {}), RequestError) << key;
  }
}

TEST_F(ScoreNetworkRecipe, WarnsOfKinks) {
  EXPECT_TRUE(guard(build_parts(with(kPlane, {}), {})).empty());
  const std::vector<std::string> lines = guard(build_parts(with(kPlane, {"score.activation=relu"}), {}));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("relu"), std::string::npos) << lines[0];
  EXPECT_TRUE(guard(build_parts(with(kPlane, {"score.activation=relu", "objective.name=dsm"}), {})).empty());
  EXPECT_FALSE(guard(build_parts(with(kPlane, {"data.noise=0"}), {})).empty());
  EXPECT_THROW(guard_score_layers({{"norm1", "batch_norm"}}, "ssm", "r"), RequestError);
}

TEST_F(ScoreNetworkRecipe, ScoresAreTheNetworkInOriginalUnits) {
  train_recipe(request("plane", "run"), {});
  Logger logger;
  const Parts parts = load_run(RunDirectory::open(file("run")), {}, false, {}, logger);
  const Tensor x = torch::tensor({{0.1, 0.3}, {0.7, 0.9}, {0.5, 0.45}}, torch::kDouble);
  const Scores at = score_points(parts, x, {});
  EXPECT_FALSE(at.energy.defined());
  EXPECT_FALSE(at.log_density.defined());
  // The transform is y = (x - shift) scale, so a score gets the factor scale.
  const Pipeline& pipeline = parts.transforms.pipeline;
  const Tensor scale =
      pipeline.forward(torch::ones({1, 2}, torch::kDouble)) - pipeline.forward(torch::zeros({1, 2}, torch::kDouble));
  Rng rng(0, "none");
  const Tensor expected = parts.score->at(pipeline.forward(x), rng).value * scale;
  EXPECT_GT((scale - 1).abs().min().item<double>(), 0.1);
  EXPECT_LE((at.score - expected).abs().max().item<double>(), 1e-12);

  ScoreRequest asked;
  asked.run = file("run");
  const NamedTensors arrays = read_npz(score_run(asked, {}).file);
  ASSERT_EQ(arrays.size(), 1u);
  EXPECT_EQ(arrays[0].first, "score");
  EXPECT_EQ(arrays[0].second.size(0), 64);
}

// x ← x + a s(x, i) + √(2a) ξ with a = ε (σ_i / σ_L)², written out.
TEST_F(ScoreNetworkRecipe, SamplesByAnnealedLangevinDynamicsThroughItsLevels) {
  train_recipe(request("images", "run"), {});
  Logger logger;
  const Parts parts = load_run(RunDirectory::open(file("run")), {"sample.clamp=[]"}, false, {}, logger);
  const auto& network = dynamic_cast<const ConditionalScore&>(*parts.score);
  const Rng rng(11, "sample");
  const Tensor drawn = draw(parts, 5, rng, {}).x;
  const torch::NoGradGuard no_graph;
  Tensor x = rng.stream("start").at_step(0).uniform({5, 1, 4, 4}, at::kDouble);
  const double sigmas[] = {0.5, std::sqrt(0.05), 0.1};
  for (std::int64_t t = 0; t < 6; ++t) {
    const std::int64_t level = t / 2;
    const double a = 1e-3 * std::pow(sigmas[level] / 0.1, 2);
    const Tensor score = network.at(x, torch::full({5}, level, torch::kLong)).value;
    x = x + a * score +
        std::sqrt(2 * a) * rng.stream("chain").at_step(static_cast<std::uint64_t>(t)).normal(x.sizes(), x);
  }
  EXPECT_LE((drawn - x).abs().max().item<double>(), 1e-9);
  EXPECT_GT(x.max().item<double>(), 1);

  const Parts clamped = load_run(RunDirectory::open(file("run")), {}, false, {}, logger);
  EXPECT_LE((draw(clamped, 5, rng, {}).x - x.clamp(0, 1)).abs().max().item<double>(), 1e-9);
  // Chains do not depend on those beside them.
  EXPECT_LE((draw(clamped, 2, rng.at_row(3), {}).x - x.narrow(0, 3, 2).clamp(0, 1)).abs().max().item<double>(), 1e-9);
  EXPECT_THROW(load_run(RunDirectory::open(file("run")), {"sample.clamp=[1, 0]"}, false, {}, logger), RequestError);
}

TEST_F(ScoreNetworkRecipe, AClassifierJudgesSamples) {
  Rng rng(6, "labelled");
  const Tensor images = rng.uniform({64, 8, 8}, at::kDouble);
  write_npz(file("labelled.npz"), {{"x", images}, {"label", rng.integers({64}, 10)}});
  std::ofstream(file("judge.toml")) << "seed = 4\ndtype = \"float64\"\n[data]\nname = \"" << file("labelled.npz")
                                    << "\"\nvalidation = 8\ntest = 8\n[model]\nname = \"classifier\"\nfilters = 2\n"
                                       "features = 4\n[train]\nsteps = 2\nbatch_size = 8\n[objective]\n"
                                       "name = \"cross_entropy\"\n";
  train_recipe(request("judge", "judge"), {});
  train_recipe(request("images", "run", {"data.name=" + file("labelled.npz")}), {});
  EvaluateRequest asked;
  asked.run = file("run");
  asked.metrics = {"frechet_classifier", "digit_criterion"};
  asked.set = {"evaluate.samples=12", "evaluate.classifier=" + file("judge")};
  const std::vector<Row> rows = evaluate_run(asked, {}).rows;
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].metric, "frechet_classifier");

  Logger logger;
  const Parts parts = load_run(RunDirectory::open(file("run")), {}, true, {}, logger);
  const Parts judge = load_run(RunDirectory::open(file("judge")), {}, false, {}, logger);
  const auto features = [&](const Tensor& x) {
    const torch::NoGradGuard no_graph;
    return dynamic_cast<const Classifier&>(*judge.energy).features(x.view({-1, 1, 8, 8}));
  };
  const Tensor drawn = features(draw(parts, 12, Rng(3, "evaluate").stream("samples"), {}).x);
  const Tensor real = features(parts.data->splits.test.x);
  EXPECT_NEAR(rows[0].value,
              gaussian_frechet_distance(drawn.mean(0), at::cov(drawn.t()), real.mean(0), at::cov(real.t())),
              1e-9 * rows[0].value);
  EXPECT_GT(rows[0].value, 0);
  EXPECT_GT(rows[0].standard_error, 0);
  // Only a classifier judges.
  asked.set.back() = "evaluate.classifier=" + file("run");
  EXPECT_NE(failure<RequestError>([&] { evaluate_run(asked, {}); }).find("is no classifier"), std::string::npos);
}

TEST_F(ScoreNetworkRecipe, ResumeHasTheBitsOfAnUninterruptedRun) {
  train_recipe(request("images", "whole"), {});
  train_recipe(request("images", "parts", {"train.steps=2"}), {});
  TrainRequest rest = request("images", "parts");
  rest.existing = ExistingRun::kResume;
  train_recipe(rest, {});
  Logger logger;
  const Checkpoint a = RunDirectory::open(file("whole")).checkpoints().load_newest(logger);
  const Checkpoint b = RunDirectory::open(file("parts")).checkpoints().load_newest(logger);
  ASSERT_FALSE(a.under("parameter/score/").empty());
  for (const auto& [name, tensor] : a.under("parameter/"))
    EXPECT_TRUE(torch::equal(tensor, b.at("parameter/" + name))) << name;
}

}  // namespace
}  // namespace gibbsite
