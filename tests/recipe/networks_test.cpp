#include <gibbsite/core/error.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/model/grbm.h>
#include <gibbsite/recipe/build.h>
#include <gibbsite/recipe/check.h>
#include <gibbsite/recipe/encode.h>
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

const char* const kLatent = R"(seed = 3
[data]
name = "checkerboard"
train = 500
validation = 0
test = 32
[model]
name = "grbm"
latent_size = 3
[encoder]
name = "bernoulli"
[variational_score]
particles = 2
[sampler]
name = "langevin"
step_size = 1e-3
[sample]
steps = 3
[train]
steps = 6
batch_size = 16
checkpoint_every = 3
[[phase]]
name = "encoder"
trains = ["encoder"]
steps = 2
same_batch = true
objective = { name = "posterior_kl" }
[[phase]]
name = "model"
trains = ["model"]
objective = { name = "dsm", sigma = 0.05 }
)";

const char* const kAutoencoder = R"(seed = 3
[data]
name = "checkerboard"
train = 500
validation = 0
test = 32
[latent]
size = 2
[encoder]
name = "implicit"
noise = 2
hidden = [8]
[decoder]
name = "mlp"
hidden = [8]
law = "bernoulli"
[score]
name = "conditional_mlp"
hidden = [8]
[train]
steps = 4
batch_size = 16
validate_every = 0
[[phase]]
name = "score"
trains = ["score"]
objective = { name = "latent_ssm_vr", derivative = "jet" }
[[phase]]
name = "model"
trains = ["encoder", "decoder"]
objective = { name = "autoencoder" }
)";

class NetworksOfRecipes : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("gibbsite_networks_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(file("latent.toml")) << kLatent;
    std::ofstream(file("autoencoder.toml")) << kAutoencoder;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::string train(const std::string& recipe, std::vector<std::string> set = {}) const {
    TrainRequest request;
    request.recipe = file(recipe + ".toml");
    request.out = file(recipe);
    request.set = std::move(set);
    request.existing = ExistingRun::kReplace;
    train_recipe(request, Ports());
    return request.out;
  }
  // The error of building a recipe after assignments; an erased table is "table=".
  std::string refusal(const std::string& recipe, const std::vector<std::string>& set) const {
    try {
      Config config = load_recipe(file(recipe + ".toml"));
      for (const std::string& assignment : set) {
        if (assignment.back() == '=')
          config.erase(assignment.substr(0, assignment.size() - 1));
        else
          apply_override(config, assignment);
      }
      build_parts(config, DataPath());
    } catch (const RequestError& error) {
      return error.what();
    }
    return "";
  }
  fs::path folder_;
};

std::vector<std::string> names(const Networks& networks) {
  std::vector<std::string> names;
  for (const Part& part : networks.named_parts()) names.push_back(part.name);
  return names;
}

TEST_F(NetworksOfRecipes, LatentEnergyTrainsEncodesAndSamplesGivenCodes) {
  const std::string run = train("latent");
  const Parts parts = load_run(RunDirectory::open(run), {}, true, DataPath(), *Ports().logger);
  EXPECT_EQ(names(parts), (std::vector<std::string>{"model", "encoder"}));
  ASSERT_TRUE(parts.energy && parts.latent_model && parts.variational_score);
  EXPECT_EQ(&parts.energy->module(), &parts.latent_model->module());

  EncodeRequest encode;
  encode.run = run;
  const EncodeOutcome codes = encode_run(encode, Ports());
  EXPECT_EQ(codes.mean.sizes(), (std::vector<std::int64_t>{32, 3}));
  const Tensor x = parts.data->splits.test.x.to(torch::kFloat);
  const Tensor expected = parts.encoder->moments(x)->mean;
  EXPECT_LT((codes.mean - expected.to(torch::kDouble)).abs().max().item<double>(), 1e-6);
  EXPECT_TRUE(torch::equal(read_npz(codes.file).front().second, codes.mean));

  SampleRequest sample;
  sample.run = run;
  sample.latent = codes.file;
  const Tensor given = sample_run(sample, Ports()).x;
  EXPECT_EQ(given.size(0), 32);
  // One Langevin chain per row, around the mean of v given its own code: other codes, other samples.
  write_npy(file("swapped.npy"), codes.mean.flip(0));
  sample.latent = file("swapped.npy");
  EXPECT_FALSE(torch::equal(sample_run(sample, Ports()).x, given));
}

TEST_F(NetworksOfRecipes, ConditionalSamplesFollowTheLawGivenTheCode) {
  const std::string run = train("latent", {"train.steps=1", "sampler.name=mala", "sampler.step_size=0.5"});
  const Parts parts = load_run(RunDirectory::open(run), {}, false, DataPath(), *Ports().logger);
  const Tensor h = torch::tensor({{1.F, 0.F, 1.F}});
  write_npy(file("code.npy"), h);
  SampleRequest sample;
  sample.run = run;
  sample.n = 4000;
  sample.latent = file("code.npy");
  sample.set = {"sample.steps=60"};
  const Tensor x = sample_run(sample, Ports()).x.to(torch::kDouble);
  // v | h is Gaussian about b + σ² W h with σ = 1 before training has moved it far.
  const auto& machine = dynamic_cast<const Grbm&>(*parts.latent_model);
  const Tensor error = (x.mean(0) - machine.visible_mean(h)[0].to(torch::kDouble)).abs();
  EXPECT_LT(error.max().item<double>(), 5 / std::sqrt(4000.0));
}

TEST_F(NetworksOfRecipes, AutoencoderTrainsAndDecodes) {
  const std::string run = train("autoencoder");
  const Parts parts = load_run(RunDirectory::open(run), {}, false, DataPath(), *Ports().logger);
  EXPECT_EQ(names(parts), (std::vector<std::string>{"encoder", "decoder", "score"}));
  EXPECT_EQ(parts.sample.schedule, "decode");
  SampleRequest sample;
  sample.run = run;
  sample.n = 5;
  EXPECT_EQ(sample_run(sample, Ports()).x.sizes(), (std::vector<std::int64_t>{5, 2}));
  EncodeRequest encode;
  encode.run = run;
  EXPECT_EQ(encode_run(encode, Ports()).mean.size(1), 2);
  EXPECT_THROW(target_of(parts), RequestError);
}

// Codes on a sphere, whatever brings their law to the prior.
TEST_F(NetworksOfRecipes, AutoencodersOnASphere) {
  const std::vector<std::vector<std::string>> variants = {
      {"score.form=inner_product", "phase.0.objective={name=\"latent_mvl\"}"},
      {"score.form=scalar", "phase.0.objective={name=\"latent_adversarial\"}",
       "phase.1.objective={name=\"autoencoder\", divergence=\"adversarial\"}", "encoder.noise=0"},
      {"score.form=scalar", "phase.1.objective={name=\"autoencoder\", divergence=\"mmd\"}",
       "phase.0.objective={name=\"latent_mvl\"}"},
      {"encoder={name=\"von_mises_fisher\", hidden=[8]}", "score.form=scalar",
       "phase.0.objective={name=\"latent_mvl\"}",
       "phase.1.objective={name=\"autoencoder\", divergence=\"closed_form\"}"}};
  for (std::vector<std::string> set : variants) {
    set.emplace_back("latent.space=sphere");
    const std::string run = train("autoencoder", set);
    const Parts parts = load_run(RunDirectory::open(run), {}, true, DataPath(), *Ports().logger);
    EXPECT_EQ(parts.encoder->latent_size(), 3);
    Rng rng(1, "codes");
    const Tensor h = parts.encoder->sample(parts.data->splits.test.x.to(torch::kFloat), 2, rng);
    EXPECT_LT((h.norm(2, -1) - 1).abs().max().item<double>(), 1e-5) << set.front();
    SampleRequest sample;
    sample.run = run;
    sample.n = 5;
    EXPECT_TRUE(sample_run(sample, Ports()).x.isfinite().all().item<bool>());
  }
  EXPECT_NE(refusal("autoencoder", {"latent.space=sphere"}).find("the gradient of an energy"), std::string::npos);
  EXPECT_NE(refusal("autoencoder", {"encoder={name=\"von_mises_fisher\"}"}).find("points of a sphere"),
            std::string::npos);
  EXPECT_NE(refusal("autoencoder", {"latent.space=sphere", "encoder={name=\"gaussian\"}"}).find("Euclidean"),
            std::string::npos);
  EXPECT_NE(refusal("autoencoder", {"phase.1.objective={name=\"autoencoder\", divergence=\"closed_form\"}"})
                .find("no formula"),
            std::string::npos);
  EXPECT_NE(refusal("autoencoder", {"phase.0.objective={name=\"latent_mvl\"}"}).find("inner_product"),
            std::string::npos);
}

TEST_F(NetworksOfRecipes, TablesThatDoNotGoTogetherAreRefused) {
  EXPECT_NE(refusal("latent", {"encoder="}).find("[variational_score] goes with [encoder]"), std::string::npos);
  EXPECT_NE(refusal("latent", {"encoder.name=gaussian"}).find("binary"), std::string::npos);
  EXPECT_NE(refusal("latent", {"corrector.steps=2"}).find("need continuous"), std::string::npos);
  EXPECT_NE(refusal("latent", {"decoder.name=mlp"}).find("both [model] and [decoder]"), std::string::npos);
  EXPECT_NE(refusal("latent", {"variational_score.particles=1"}).find("particles"), std::string::npos);
  EXPECT_NE(refusal("autoencoder", {"decoder="}).find("[latent] goes with [decoder]"), std::string::npos);
  EXPECT_NE(refusal("autoencoder", {"sample.schedule=chain"}).find("does not go with a decoder"), std::string::npos);
  EXPECT_NE(refusal("autoencoder", {"encoder.hiden=[4]"}).find("hiden"), std::string::npos);
}

}  // namespace
}  // namespace gibbsite
