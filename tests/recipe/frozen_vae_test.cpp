#include <gibbsite/core/error.h>
#include <gibbsite/recipe/build.h>
#include <gibbsite/recipe/evaluate.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/train.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/types.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

const char* const kVae = R"(seed = 3
[data]
name = "25-gaussians"
train = 500
validation = 0
test = 32
[latent]
size = 2
[encoder]
name = "gaussian"
hidden = [8]
[decoder]
name = "mlp"
hidden = [8]
law = "gaussian"
deviation = "network"
[train]
steps = 4
batch_size = 16
validate_every = 0
[objective]
name = "autoencoder"
divergence = "closed_form"
warmup = 0.5
)";

const char* const kEnergy = R"(seed = 4
[data]
name = "25-gaussians"
train = 500
validation = 0
test = 32
[model]
name = "mlp"
hidden = [8]
[sampler]
name = "mala"
step_size = 0.2
[sample]
steps = 5
[train]
steps = 6
batch_size = 16
checkpoint_every = 3
[objective]
name = "vaebm"
capacity = 64
steps = 2
ramp = 2
)";

class RecipesWithAFrozenVae : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("gibbsite_frozen_vae_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(file("vae.toml")) << kVae;
    std::ofstream(file("energy.toml")) << kEnergy;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::string train(const std::string& recipe, const std::string& out, std::vector<std::string> set = {}) const {
    TrainRequest request;
    request.recipe = file(recipe + ".toml");
    request.out = file(out);
    request.set = std::move(set);
    request.existing = ExistingRun::kReplace;
    train_recipe(request, Ports());
    return request.out;
  }
  std::string refusal(const std::vector<std::string>& set) const {
    try {
      Config config = load_recipe(file("energy.toml"));
      for (const std::string& assignment : set) apply_override(config, assignment);
      build_parts(config, DataPath());
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  std::string vae_run(const std::string& name) const { return "vae.run=\"" + file(name) + "\""; }
  fs::path folder_;
};

std::vector<Tensor> copies(torch::nn::Module& module) {
  std::vector<Tensor> all;
  for (const Tensor& parameter : module.parameters()) all.push_back(parameter.detach().clone());
  return all;
}

TEST_F(RecipesWithAFrozenVae, TrainTheEnergyAloneAndSampleInNoiseSpace) {
  train("vae", "vae");
  const Parts before = load_run(RunDirectory::open(file("vae")), {}, false, DataPath(), *Ports().logger);
  const std::string run = train("energy", "energy", {vae_run("vae")});
  const Parts parts = load_run(RunDirectory::open(run), {}, true, DataPath(), *Ports().logger);
  ASSERT_TRUE(parts.vae.space);
  EXPECT_EQ(parts.vae.space->size(), 4);
  ASSERT_EQ(parts.named_parts().size(), 1U);
  EXPECT_EQ(parts.named_parts()[0].name, "model");
  const std::vector<Tensor> old = copies(before.decoder->module()), now = copies(parts.vae.parts->decoder->module());
  for (std::size_t i = 0; i < old.size(); ++i) EXPECT_TRUE(torch::equal(old[i], now[i]));
  for (const Tensor& parameter : parts.vae.parts->decoder->module().parameters())
    EXPECT_FALSE(parameter.requires_grad());

  const Tensor x = parts.data->splits.test.x.narrow(0, 0, 5).to(parts.dtype);
  EXPECT_TRUE(torch::allclose(parts.vae.space->points(parts.vae.encode(x, Rng(1, "encode"))), x, 1e-4, 1e-4));

  SampleRequest sample;
  sample.run = run;
  sample.n = 7;
  EXPECT_EQ(sample_run(sample, Ports()).x.sizes(), (Shape{7, 2}));
  const Tensor alone = sample_run(sample, Ports()).x;
  sample.set = {"sampler.name=tempering", "sampler.ladder=[1, 0.5, 0]"};
  const Tensor tempered = sample_run(sample, Ports()).x;
  EXPECT_EQ(tempered.sizes(), (Shape{7, 2}));
  EXPECT_FALSE(torch::equal(alone, tempered));

  EXPECT_THROW(target_of(parts), RequestError);
  EvaluateRequest evaluate;
  evaluate.run = run;
  evaluate.metrics = {"log_likelihood"};
  EXPECT_THROW(evaluate_run(evaluate, Ports()), RequestError);
  evaluate.metrics = {"noise_space_log_z"};
  const Result judged = evaluate_run(evaluate, Ports());
  ASSERT_EQ(judged.rows.size(), 2U);
  EXPECT_NEAR(judged.rows[0].value, judged.rows[1].value,
              4 * std::hypot(judged.rows[0].standard_error, judged.rows[1].standard_error));
}

TEST_F(RecipesWithAFrozenVae, SeeMeansWhereAsked) {
  train("vae", "vae");
  const std::string run = train("energy", "energy", {vae_run("vae"), "vae.points=mean"});
  const Parts parts = load_run(RunDirectory::open(run), {}, true, DataPath(), *Ports().logger);
  EXPECT_EQ(parts.vae.space->size(), 2);
  const Tensor x = parts.data->splits.test.x.narrow(0, 0, 5).to(parts.dtype);
  const Rng rng = Rng(1, "posterior").at_step(3);
  const Tensor seen = parts.vae.reconstruct(x, rng);
  EXPECT_EQ(seen.sizes(), x.sizes());
  EXPECT_TRUE(torch::allclose(parts.vae.reconstruct(x.narrow(0, 2, 3), rng.at_row(2)), seen.narrow(0, 2, 3)));
  EXPECT_FALSE(torch::allclose(parts.vae.reconstruct(x, Rng(1, "posterior").at_step(4)), seen));
  EXPECT_TRUE(torch::equal(parts.vae.space->points(parts.vae.encode(x, Rng(1, "posterior"))),
                           parts.vae.reconstruct(x, Rng(1, "posterior").at_step(0))));
  SampleRequest sample;
  sample.run = run;
  sample.n = 7;
  EXPECT_EQ(sample_run(sample, Ports()).x.sizes(), (Shape{7, 2}));
  EvaluateRequest evaluate;
  evaluate.run = run;
  evaluate.metrics = {"noise_space_log_z"};
  const Result judged = evaluate_run(evaluate, Ports());
  ASSERT_EQ(judged.rows.size(), 2U);
  EXPECT_NEAR(judged.rows[0].value, judged.rows[1].value,
              4 * std::hypot(judged.rows[0].standard_error, judged.rows[1].standard_error));
}

TEST_F(RecipesWithAFrozenVae, TrainTheDecoderFurtherWhereAsked) {
  train("vae", "vae");
  const Parts before = load_run(RunDirectory::open(file("vae")), {}, false, DataPath(), *Ports().logger);
  const std::string phases =
      "phase=[{name=\"critic\", trains=[\"model\"], objective={name=\"vaebm\", negatives=\"generator\", draws=8}}, "
      "{name=\"generator\", trains=[\"vae\"], objective={name=\"generator_energy\", draws=8}}]";
  std::ofstream(file("wgan.toml")) << std::string(kEnergy).substr(0, std::string(kEnergy).find("[objective]"));
  const std::string run = train("wgan", "wgan", {vae_run("vae"), "vae.trainable=true", phases});
  const Parts parts = load_run(RunDirectory::open(run), {}, true, DataPath(), *Ports().logger);
  ASSERT_EQ(parts.named_parts().size(), 2U);
  EXPECT_EQ(parts.named_parts()[1].name, "vae");
  const std::vector<Tensor> old = copies(before.decoder->module()), now = copies(parts.vae.parts->decoder->module());
  bool moved = false;
  for (std::size_t i = 0; i < old.size(); ++i) moved = moved || !torch::equal(old[i], now[i]);
  EXPECT_TRUE(moved);
  // What is sampled is the decoder of the checkpoint, and the run it came from is as it was.
  const Parts again = load_run(RunDirectory::open(file("vae")), {}, false, DataPath(), *Ports().logger);
  const std::vector<Tensor> kept = copies(again.decoder->module());
  for (std::size_t i = 0; i < old.size(); ++i) EXPECT_TRUE(torch::equal(old[i], kept[i]));
}

TEST_F(RecipesWithAFrozenVae, StartChainsOnPointsWhereAsked) {
  train("vae", "vae");
  const std::vector<std::string> start = {"vae={run=\"" + file("vae") + "\", role=\"start\"}",
                                          "objective={name=\"pcd\", start=\"vae\", capacity=32, steps=2}",
                                          "sample.start=vae", "sample.steps=0"};
  const std::string run = train("energy", "start", start);
  const Parts parts = load_run(RunDirectory::open(run), {}, true, DataPath(), *Ports().logger);
  EXPECT_FALSE(parts.vae.space);
  ASSERT_TRUE(parts.vae.starts);
  EXPECT_NO_THROW(target_of(parts));  // the energy stands alone
  SampleRequest sample;
  sample.run = run;
  sample.n = 400;
  const Tensor x = sample_run(sample, Ports()).x.to(torch::kDouble);
  Rng rng(11, "draws");
  const Tensor draws = parts.vae.draws(4000, rng, parts.like()).to(torch::kDouble);
  const Tensor error = ((x.var(0) / 400) + (draws.var(0) / 4000)).sqrt();
  EXPECT_TRUE(((x.mean(0) - draws.mean(0)).abs() < 4 * error).all().item<bool>());
  EXPECT_NE(refusal({"vae={}", "objective={name=\"pcd\", start=\"vae\"}"}), "");
  EXPECT_NE(refusal({vae_run("vae"), "sample.start=vae", "objective={name=\"pcd\", start=\"vae\"}"}).find("role"),
            std::string::npos);
}

TEST_F(RecipesWithAFrozenVae, AreRefusedWhereTheRunDoesNotFit) {
  train("vae", "vae");
  train("vae", "scaled", {"data.scale=standardise"});
  train("vae", "discrete", {"decoder={name=\"mlp\", law=\"bernoulli\"}"});
  train("vae", "flat",
        {"data={name=\"gaussian-mixture\", dimension=3, means=[0.0, 0.0, 0.0], train=100, validation=0, test=10}"});
  EXPECT_EQ(refusal({vae_run("vae")}), "");
  const auto says = [&](const std::vector<std::string>& set, const std::string& text) {
    const std::string line = refusal(set);
    EXPECT_NE(line.find(text), std::string::npos) << line;
  };
  says({vae_run("scaled")}, "scales its data otherwise");
  says({vae_run("discrete")}, "discrete");
  says({vae_run("flat")}, "has points of shape [3], these are [2]");
  says({vae_run("vae"), "dtype=float64"}, "is of float32");
  says({vae_run("none")}, "none");
  says({"vae={}"}, "names no run");
  says({}, "[vae]");
  says({vae_run("vae"), "vae.potentia=exact"}, "potentia");
  says({vae_run("vae"), "vae.start=encoded", "vae.readjust=2"}, "batch norms");
  says({vae_run("vae"), "evaluate.metrics=[\"log_likelihood\"]"}, "density of this model");
  train("energy", "energy", {vae_run("vae")});
  says({vae_run("energy")}, "has no decoder");
}

}  // namespace
}  // namespace gibbsite
