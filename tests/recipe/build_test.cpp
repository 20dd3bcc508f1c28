#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/csv.h>
#include <gibbsite/recipe/build.h>
#include <gibbsite/recipe/check.h>
#include <gibbsite/recipe/encode.h>
#include <gibbsite/recipe/evaluate.h>
#include <gibbsite/recipe/guards.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/run_directory.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/score.h>
#include <gibbsite/recipe/train.h>
#include <gibbsite/recipe/write.h>
#include <gibbsite/report/image.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/types.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/stopping.h"

#include "recipe/failure.h"

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

const char* const kSmall = R"(seed = 3
[data]
name = "checkerboard"
noise = 0.05
fresh = true
scale = "standardise"
train = 500
validation = 64
test = 64
[model]
name = "mlp"
hidden = [8, 8]
confinement = 0.1
[sampler]
name = "mala"
[sample]
steps = 5
[train]
steps = 6
batch_size = 16
checkpoint_every = 3
[objective]
name = "ssm"
)";

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("gibbsite_recipe_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream(file("small.toml")) << kSmall;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  TrainRequest request(const std::string& out, std::vector<std::string> set = {}) const {
    TrainRequest made;
    made.recipe = file("small.toml");
    made.out = file(out);
    made.set = std::move(set);
    return made;
  }
  fs::path folder_;
};

Config with(const std::vector<std::string>& set) {
  Config recipe = parse_toml(kSmall, "small.toml");
  for (const std::string& assignment : set) apply_override(recipe, assignment);
  return recipe;
}

TEST(Build, ResolvedRecipeResolvesToItself) {
  const Config resolved = build_parts(with({}), {}).resolved;
  const std::string text = write_toml(resolved);
  EXPECT_EQ(write_toml(build_parts(parse_toml(text, "again"), {}).resolved), text);
  EXPECT_EQ(resolved.find("optimizer")->find("beta2")->real(), 0.999);
  EXPECT_EQ(resolved.find("objective")->find("derivative")->string(), "jet");
}

TEST(Build, RefusesWhatNobodyReads) {
  EXPECT_NE(failure<RequestError>([] { build_parts(with({"sampler.step_sise=1"}), {}); }).find("'step_size'"),
            std::string::npos);
  EXPECT_NE(failure<RequestError>([] { build_parts(with({"sample.annealing.eta=0.1"}), {}); }).find("annealing"),
            std::string::npos);
  EXPECT_NE(failure<RequestError>([] { build_parts(with({"sampler.step_size=-1"}), {}); }).find("> 0"),
            std::string::npos);
  EXPECT_NE(failure<RequestError>([] { build_parts(with({"train.steps=many"}), {}); }).find("integer"),
            std::string::npos);
  EXPECT_NE(failure<RequestError>([] { build_parts(with({"evaluate.metrics=[\"aurok\"]"}), {}); }).find("auroc"),
            std::string::npos);
  EXPECT_NE(failure<RequestError>([] { build_parts(with({"train.batch_size=4000000000000"}), {}); }).find("10000000"),
            std::string::npos);
}

TEST(Build, RefusesKeysThatOnlyOtherChoicesRead) {
  for (const char* key : {"optimizer.momentum=0.9", "optimizer.alpha=0.9", "objective.epsilon=0.1",
                          "objective.batched=false", "schedule.final_fraction=0.1", "data.logit_alpha=0.01"})
    EXPECT_NE(failure<RequestError>([&] { build_parts(with({key}), {}); }).find("read by nothing"), std::string::npos)
        << key;
  EXPECT_NE(
      failure<RequestError>([] { build_parts(with({"objective.sampler.name=mala"}), {}); }).find("objective.sampler"),
      std::string::npos);
  // Each counts beside the choice that reads it, and the resolved recipe can be read again.
  const std::vector<std::string> choices = {"optimizer.name=sgd",
                                            "optimizer.momentum=0.9",
                                            "schedule.name=cosine",
                                            "schedule.final_fraction=0.1",
                                            "objective.derivative=finite_difference",
                                            "objective.epsilon=0.3"};
  const std::string text = write_toml(build_parts(with(choices), {}).resolved);
  EXPECT_NE(text.find("epsilon = 0.3"), std::string::npos) << text;
  EXPECT_EQ(text.find("beta1"), std::string::npos) << text;
  EXPECT_EQ(write_toml(build_parts(parse_toml(text, "again"), {}).resolved), text);
  const std::string pcd =
      write_toml(build_parts(with({"objective.name=pcd", "objective.sampler.name=langevin"}), {}).resolved);
  EXPECT_NE(pcd.find("[objective.sampler]"), std::string::npos) << pcd;
}

TEST(Guards, NameLayerAndRemedy) {
  for (const char* kind : {"relu", "leaky_relu", "max_pool", "batch_norm"}) {
    const std::string line = failure<RequestError>([&] { guard_layers({{"layer7", kind}}, "ssm", "r.toml:4"); });
    EXPECT_EQ(line.find("r.toml:4: "), 0u) << line;
    EXPECT_NE(line.find("layer7"), std::string::npos);
  }
  EXPECT_EQ(guard_layers({{"a", "elu"}, {"b", "elu"}}, "ssm", "r").size(), 1u);
  EXPECT_TRUE(guard_layers({{"a", "silu"}}, "ssm", "r").empty());
  EXPECT_THROW(guard(build_parts(with({"model.activation=relu"}), {})), RequestError);
  EXPECT_FALSE(guard(build_parts(with({"data.noise=0"}), {})).empty());
  EXPECT_TRUE(guard(build_parts(with({"data.noise=0", "objective.noise=0.05"}), {})).empty());
  EXPECT_TRUE(guard(build_parts(with({}), {})).empty());
}

TEST_F(Folder, ARunIsRebuiltFromItsDirectoryAlone) {
  train_recipe(request("run"), {});
  Logger logger;
  const RunDirectory run = RunDirectory::open(file("run"));
  std::int64_t step = 0;
  const Parts back = load_run(run, {}, false, {}, logger, &step);
  EXPECT_EQ(step, 6);
  EXPECT_FALSE(back.data);
  const Parts whole = load_run(run, {}, true, {}, logger);
  const Tensor x = torch::rand({5, 2}, torch::kFloat);
  EXPECT_TRUE(torch::equal(back.transforms.pipeline.forward(x), whole.data->pipeline.forward(x)));
  // A sampler may change after training, a model may not.
  EXPECT_NO_THROW(load_run(run, {"sampler.name=langevin"}, false, {}, logger));
  EXPECT_THROW(load_run(run, {"model.hidden=[4]"}, false, {}, logger), RequestError);
}

TEST_F(Folder, ScoreIsMinusTheGradientOfEnergyInOriginalUnits) {
  train_recipe(request("run", {"dtype=float64"}), {});
  Logger logger;
  const Parts parts = load_run(RunDirectory::open(file("run")), {}, false, {}, logger);
  const Tensor x = torch::tensor({{0.1, 0.3}, {0.7, 0.9}, {0.5, 0.45}}, torch::kDouble);
  const Scores at = score_points(parts, x, {});
  for (std::int64_t d = 0; d < 2; ++d) {
    Tensor step = torch::zeros({1, 2}, torch::kDouble);
    step[0][d] = 1e-5;
    const Tensor difference =
        (score_points(parts, x + step, {}).energy - score_points(parts, x - step, {}).energy) / 2e-5;
    EXPECT_LT((at.score.select(1, d) + difference).abs().max().item<double>(), 1e-6);
  }
  // The density integrates to one in original units: a plain Riemann sum, not the quadrature that normalised it.
  // The model is hardly trained, so its confinement decides the width: a deviation of about 1 around the data.
  const Tensor axis = torch::arange(-7.0, 8.0, 0.05, torch::kDouble);
  const std::vector<Tensor> grid = torch::meshgrid({axis, axis}, "ij");
  const Tensor points = torch::stack({grid[0].flatten(), grid[1].flatten()}, 1);
  const double mass = score_points(parts, points, {}).log_density.exp().sum().item<double>() * 0.05 * 0.05;
  EXPECT_NEAR(mass, 1, 1e-5);
}

// A density in original units, dequantised: its mean over noisy points does not depend on who draws the noise. Values at
// the ends of the range make the Jacobian of the logit steep there.
TEST_F(Folder, LogLikelihoodTakesTheJacobianAtTheNoisyPoints) {
  {
    std::ofstream csv(file("levels.csv"));
    csv << "level\n";
    for (int i = 0; i < 4000; ++i) csv << i % 8 << "\n";
  }
  train_recipe(request("run", {"data.name=" + file("levels.csv"), "data.noise=0", "data.fresh=false", "data.scale=unit",
                               "data.dequantise=true", "data.logit=true", "data.logit_alpha=1e-3", "data.train=0.2",
                               "data.test=0.6", "dtype=float64", "train.steps=200", "train.batch_size=128",
                               "optimizer.learning_rate=0.01"}),
               {});
  EvaluateRequest asked;
  asked.run = file("run");
  asked.metrics = {"log_likelihood"};
  const Row row = evaluate_run(asked, {}).rows.at(0);
  Logger logger;
  const Parts parts = load_run(RunDirectory::open(file("run")), {}, true, {}, logger);
  Rng rng(99, "own");
  const Tensor levels = parts.data->splits.test.x.to(torch::kDouble);
  const Tensor own = score_points(parts, levels + rng.uniform(levels.sizes(), levels), {}).log_density;
  const double error = std::sqrt(own.var().item<double>() / static_cast<double>(own.size(0)));
  EXPECT_NEAR(row.value, own.mean().item<double>(), 4 * std::sqrt(2.0) * error);
  EXPECT_LT(error, 0.05);

  // Rows of other metrics for the same weights stay in the file.
  asked.metrics = {"sm_loss"};
  evaluate_run(asked, {});
  EXPECT_EQ(read_result(file("run") + "/evaluation.json").rows.size(), 2u);
  asked.seed = 12;
  EXPECT_EQ(std::get<double>(evaluate_run(asked, {}).rows.at(0).settings.at("seed")), 12);
}

TEST_F(Folder, TwoProcessesDoNotTrainInOneDirectory) {
  const Config recipe = parse_toml("seed = 1\n", "x");
  {
    const RunDirectory first = RunDirectory::create(file("run"), recipe, ExistingRun::kRefuse);
    for (const ExistingRun existing : {ExistingRun::kResume, ExistingRun::kReplace})
      EXPECT_NE(
          failure<WorkError>([&] { RunDirectory::create(file("run"), recipe, existing); }).find("another process"),
          std::string::npos);
  }
  EXPECT_NO_THROW(RunDirectory::create(file("run"), recipe, ExistingRun::kResume));
}

TEST_F(Folder, OnePointHasAPicture) {
  train_recipe(request("run"), {});
  SampleRequest asked;
  asked.run = file("run");
  asked.n = 1;
  asked.out = file("one.png");
  if (std::system("gnuplot --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "needs gnuplot";
  sample_run(asked, {});
  EXPECT_GT(fs::file_size(file("one.png")), 1000u);
}

TEST_F(Folder, OfStepsMadeAgainOnlyTheLastCount) {
  const RunDirectory run = RunDirectory::create(file("run"), parse_toml("seed = 1\n", "x"), ExistingRun::kRefuse);
  const auto writer = run.metric_writer(-1);
  for (std::int64_t step : {10, 20, 30, 20}) writer->write(step, "main", {{"loss", 0.5}});
  writer->flush();
  const std::vector<MetricLine> lines = read_metrics(run.file("metrics.jsonl"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].step, 20);
}

// Gives a folder back at the third question.
class GivesBack : public Interrupt {
 public:
  explicit GivesBack(std::shared_ptr<void>& lock) : lock_(lock) {}
  bool requested() override {
    if (++asked_ == 3) lock_.reset();
    return false;
  }

 private:
  std::shared_ptr<void>& lock_;
  int asked_ = 0;
};

TEST_F(Folder, ARunIsTrainedByOneProcessAtATime) {
  fs::create_directories(file("run"));
  std::shared_ptr<void> other = lock_folder(file("run"), false);
  EXPECT_NE(failure<WorkError>([&] { train_recipe(request("run"), {}); }).find("another process"), std::string::npos);
  StopAt at_once(1);
  Ports ports;
  ports.interrupt = &at_once;
  EXPECT_THROW(train_or_resume(request("run"), ports), Interrupted);
  EXPECT_TRUE(fs::is_empty(file("run")));
  GivesBack gives_back(other);
  ports.interrupt = &gives_back;
  train_or_resume(request("run"), ports);
  EXPECT_FALSE(other);
  const std::vector<std::int64_t> steps = CheckpointStore(file("run")).steps();
  ASSERT_FALSE(steps.empty());
  const std::string first = CheckpointStore(file("run")).path(steps.front());
  const fs::file_time_type written = fs::last_write_time(first);
  train_or_resume(request("run"), {});
  EXPECT_EQ(CheckpointStore(file("run")).steps(), steps);
  EXPECT_EQ(fs::last_write_time(first), written);
}

TEST_F(Folder, ExistingRunsAreSafe) {
  train_recipe(request("run"), {});
  EXPECT_NE(failure<RequestError>([&] { train_recipe(request("run"), {}); }).find("--resume"), std::string::npos);
  fs::create_directories(file("mine"));
  std::ofstream(file("mine/thesis.txt")) << "years";
  TrainRequest replace = request("mine");
  replace.existing = ExistingRun::kReplace;
  EXPECT_THROW(train_recipe(replace, {}), RequestError);
  EXPECT_TRUE(fs::exists(file("mine/thesis.txt")));
  TrainRequest other = request("run", {"model.hidden=[4]"});
  other.existing = ExistingRun::kResume;
  EXPECT_NE(failure<RequestError>([&] { train_recipe(other, {}); }).find("model.hidden"), std::string::npos);
  EXPECT_NE(failure<WorkError>([&] { RunDirectory::open(file("nowhere")); }).find("no readable checkpoint"),
            std::string::npos);
}

TEST_F(Folder, ResumeHasTheBitsOfAnUninterruptedRun) {
  // The default schedule is constant: a cosine would differ between a leg of 3 steps and one of 6.
  train_recipe(request("whole"), {});
  train_recipe(request("parts", {"train.steps=3"}), {});
  TrainRequest rest = request("parts");
  rest.existing = ExistingRun::kResume;
  train_recipe(rest, {});
  Logger logger;
  const Checkpoint a = RunDirectory::open(file("whole")).checkpoints().load_newest(logger);
  const Checkpoint b = RunDirectory::open(file("parts")).checkpoints().load_newest(logger);
  ASSERT_EQ(a.step, 6);
  ASSERT_EQ(b.step, 6);
  for (const auto& [name, tensor] : a.under("parameter/"))
    EXPECT_TRUE(torch::equal(tensor, b.at("parameter/" + name))) << name;
}

TEST_F(Folder, MetricsAfterTheCheckpointAreDroppedOnResume) {
  const RunDirectory run = RunDirectory::create(file("run"), parse_toml("seed = 1\n", "x"), ExistingRun::kRefuse);
  {
    const auto writer = run.metric_writer(-1);
    for (std::int64_t step : {1, 2, 3}) writer->write(step, "main", {{"loss", 0.5 * static_cast<double>(step)}});
  }
  std::ofstream(run.file("metrics.jsonl"), std::ios::app) << "{\"step\": 4, \"lo";
  run.metric_writer(2)->write(3, "main", {{"loss", 9}});
  const std::vector<MetricLine> lines = read_metrics(run.file("metrics.jsonl"));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1].numbers.front().second, 1.0);
  EXPECT_EQ(lines[2].numbers.front().second, 9.0);
}

// Every recipe passes `check`, on image files of the right layout but with few rows where it wants real ones.
TEST_F(Folder, EveryRecipePassesCheck) {
  const auto number = [](std::ofstream& out, std::uint32_t n) {
    for (int shift = 24; shift >= 0; shift -= 8) out.put(static_cast<char>(n >> shift & 255));
  };
  const auto write_images = [&](const std::string& path, std::uint32_t rows, std::uint32_t width) {
    std::ofstream images(file(path), std::ios::binary);
    for (std::uint32_t n : {0x803u, rows, 28u, width}) number(images, n);
    for (std::uint32_t i = 0; i < rows * 28 * width; ++i) images.put(static_cast<char>(i * 2654435761u >> 24));
  };
  fs::create_directories(file("data/frey_faces"));
  write_images("data/frey_faces/frey-images-idx3-ubyte.gz", 1965, 20);
  fs::create_directories(file("data/mnist"));
  for (const char* part : {"train", "t10k"}) {
    constexpr std::uint32_t kRows = 6000;
    write_images(std::string("data/mnist/") + part + "-images-idx3-ubyte", kRows, 28);
    std::ofstream labels(file(std::string("data/mnist/") + part + "-labels-idx1-ubyte"), std::ios::binary);
    for (std::uint32_t n : {0x801u, kRows}) number(labels, n);
    for (std::uint32_t i = 0; i < kRows; ++i) labels.put(static_cast<char>(i % 10));
  }
  fs::copy(file("data/mnist"), file("data/fashion_mnist"));
  // Folders of pictures, and enough of CIFAR-10.
  Rng pixels(2, "pictures");
  for (const char* folder : {"svhn/train", "svhn/test", "imagenet/train", "imagenet/validation",
                             "celeba/img_align_celeba", "celeba-hq/images"}) {
    fs::create_directories(file(std::string("data/") + folder));
    for (std::uint64_t i = 0; i < 6; ++i) {
      Rng own = pixels.at_step(i);
      write_image_grid(file(fmt::format("data/{}/{}.png", folder, i)), own.uniform({1, 3, 190, 190}));
    }
  }
  fs::create_directories(file("data/cifar10"));
  for (const char* batch : {"data_batch_1.bin", "test_batch.bin"})
    std::ofstream(file(std::string("data/cifar10/") + batch), std::ios::binary) << std::string(1200 * 3073, 7);
  fs::create_directories(file("data/uci_wine"));
  Rng rng(1, "wine");
  std::vector<std::string> columns(11, "measured");
  columns.emplace_back("quality");
  const Tensor wine = rng.normal({400, 12}, torch::kDouble);
  wine.select(1, 11).fill_(5);
  write_csv(file("data/uci_wine/winequality-red.csv"), wine, columns);
  std::int64_t checked = 0;
  for (const fs::directory_entry& entry :
       fs::recursive_directory_iterator(std::string(GIBBSITE_SOURCE_DIR) + "/recipes")) {
    if (entry.path().extension() != ".toml" || entry.path().parent_path().filename() == "base") continue;
    TrainRequest made;
    made.recipe = entry.path().string();
    made.path.folders = {file("data")};
    // Six pictures stand for the rows that the recipe keeps for validation and tests.
    std::string data = load_recipe(made.recipe).at_table("data").find("name")->string();
    std::vector<std::string> small_hierarchy = {"generator.channels=4", "generator.latent_channels=2",
                                                "generator.groups=[1]", "generator.cells=1", "generator.expansion=1"};
    if (data == "celeba" || data == "lsun-church") {
      data = "celeba/img_align_celeba";
      made.set = {"data.name=\"" + data + "\"", "data.split=random"};
    }
    if (data.find('/') != std::string::npos) made.set.insert(made.set.end(), {"data.validation=1", "data.test=1"});
    if (load_recipe(made.recipe).contains("generator"))
      made.set.insert(made.set.end(), small_hierarchy.begin(), small_hierarchy.end());
    if (load_recipe(made.recipe).contains("vae")) {
      // The auto-encoder of NAME.toml and NAME-VARIANT.toml is that of NAME-vae.toml.
      TrainRequest vae;
      std::string name = entry.path().stem().string();
      const auto stage = [&] { return (entry.path().parent_path() / name).string() + "-vae.toml"; };
      while (!fs::exists(stage()) && name.find('-') != std::string::npos) name.resize(name.rfind('-'));
      vae.recipe = stage();
      vae.set = made.set;
      vae.set.insert(vae.set.end(),
                     {"train.steps=1", "train.batch_size=4", "data.train=4", "data.validation=0", "data.test=1"});
      if (load_recipe(vae.recipe).contains("generator"))
        vae.set.insert(vae.set.end(), small_hierarchy.begin(), small_hierarchy.end());
      vae.out = file("vae");
      vae.existing = ExistingRun::kReplace;
      vae.path = made.path;
      train_recipe(vae, Ports());
      if (load_recipe(made.recipe).at_table("model").find("name")->string() == "normalised_residual")
        made.set.push_back("model.initial_rows=0");
      made.set.push_back("vae.run=\"" + vae.out + "\"");
    }
    EXPECT_NO_THROW({
      const CheckOutcome outcome = check_recipe(made);
      const Config again = parse_toml(outcome.resolved, "resolved");
      EXPECT_EQ(write_toml(build_parts(again, made.path).resolved), outcome.resolved) << entry.path();
    }) << entry.path();
    ++checked;
  }
  EXPECT_GE(checked, 3);
}

// Table 8 of VAEBM and the released commands (protocol sheet 5), and the auto-encoders of sheet 6.1.
TEST(Vaebm, RecipesHaveThePublishedSettings) {
  const auto recipe = [](const std::string& name) {
    return load_recipe(std::string(GIBBSITE_SOURCE_DIR) + "/recipes/vaebm/" + name + ".toml");
  };
  struct Row {
    const char* name;
    double rate, batch, reuse, capacity, ramp, steps, step_size, test_steps, spectral, iterations;
  };
  const Row rows[] = {{"cifar10", 4e-5, 32, 0, 0, 0, 10, 8e-5, 16, 0.2, 25000},
                      {"cifar10-persistent", 4e-5, 32, 0.6, 10000, 5000, 6, 6e-5, 16, 0.2, 25000},
                      {"celeba64", 5e-5, 32, 0, 0, 0, 10, 5e-6, 20, 0.2, 20000},
                      {"lsun-church64", 4e-5, 32, 0.6, 10000, 5000, 10, 4e-6, 20, 0.2, 20000},
                      {"celeba-hq256", 4e-5, 16, 0.6, 8000, 3000, 6, 3e-6, 24, 0.3, 9000}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const Config found = recipe(row.name);
    const auto number = [&](const char* table, const char* key) { return found.at_table(table).find(key)->real(); };
    EXPECT_EQ(number("optimizer", "learning_rate"), row.rate);
    EXPECT_EQ(number("optimizer", "beta1"), 0.99);
    EXPECT_EQ(number("optimizer", "weight_decay"), 3e-5);
    EXPECT_EQ(number("train", "clip_moments"), 3);
    EXPECT_EQ(number("train", "batch_size"), row.batch);
    EXPECT_EQ(number("train", "steps"), row.iterations);
    EXPECT_EQ(number("objective", "steps"), row.steps);
    EXPECT_EQ(number("objective", "spectral"), row.spectral);
    EXPECT_EQ(number("objective", "probability"), row.reuse);
    if (row.reuse > 0) {
      EXPECT_EQ(number("objective", "capacity"), row.capacity);
      EXPECT_EQ(number("objective", "ramp"), row.ramp);
    }
    EXPECT_EQ(number("sampler", "step_size"), row.step_size);
    EXPECT_EQ(number("sample", "steps"), row.test_steps);
  }
  struct Hierarchy {
    const char* name;
    std::vector<std::int64_t> groups;
    double channels, latent_channels, penalty, rate;
  };
  for (const Hierarchy& row :
       {Hierarchy{"cifar10-vae", {30}, 128, 20, 0.1, 1e-2}, Hierarchy{"celeba64-vae", {5, 5, 5}, 48, 20, 0.1, 1e-2},
        Hierarchy{"lsun-church64-vae", {5, 5, 5}, 48, 20, 0.1, 1e-2},
        Hierarchy{"celeba-hq256-vae", {4, 4, 4, 4, 4}, 32, 20, 0.01, 6e-3}}) {
    SCOPED_TRACE(row.name);
    const Config found = recipe(row.name);
    const Config& generator = found.at_table("generator");
    std::vector<std::int64_t> groups;
    for (const Config& group : generator.find("groups")->items()) groups.push_back(group.integer());
    EXPECT_EQ(groups, row.groups);
    EXPECT_EQ(generator.find("channels")->real(), row.channels);
    EXPECT_EQ(generator.find("latent_channels")->real(), row.latent_channels);
    EXPECT_EQ(found.at_table("objective").find("penalty")->real(), row.penalty);
    EXPECT_EQ(found.at_table("optimizer").find("learning_rate")->real(), row.rate);
  }
}

// Rows of the tables whose data are not at hand, at the size of a test.
TEST_F(Folder, RecipesOfColourImagesTrainOnASmallFolder) {
  Rng pixels(2, "pictures");
  for (std::uint64_t i = 0; i < 6; ++i) {
    Rng own = pixels.at_step(i);
    fs::create_directories(file("data/pictures"));
    write_image_grid(file(fmt::format("data/pictures/{}.png", i)), own.uniform({1, 3, 40, 40}));
  }
  const std::vector<std::string> all = {"data.name=./pictures", "data.image_crop=32",    "data.image_size=16",
                                        "data.validation=1",    "data.test=1",           "train.steps=2",
                                        "train.batch_size=4",   "train.validate_every=0"};
  const std::vector<std::string> small = {"model.filters=2"},
                                 autoencoder = {"encoder.filters=2", "decoder.filters=2", "score.filters=2"};
  const std::vector<std::pair<std::string, std::vector<std::string>>> recipes = {
      {"ood-svhn", small},
      {"ood-imagenet", small},
      {"celeba-ebm", small},
      {"ncsn-cifar10", {"score.filters=2"}},
      {"implicit-vae-celeba", autoencoder},
      {"implicit-wae-celeba", autoencoder},
  };
  for (const auto& [name, set] : recipes) {
    TrainRequest made;
    made.recipe = std::string(GIBBSITE_SOURCE_DIR) + "/recipes/fd/" + name + ".toml";
    made.set = all;
    made.set.insert(made.set.end(), set.begin(), set.end());
    made.path.folders = {file("data")};
    made.out = file(name);
    EXPECT_EQ(train_recipe(made, Ports()).result.step, 2) << name;
  }
}

// Both stages of VAEBM's images with a hierarchy, at the size of a test: training, and chains that start at what the encoder
// makes of cooled images.
TEST_F(Folder, HierarchiesTrainAndAreCorrected) {
  Rng pixels(2, "pictures");
  fs::create_directories(file("data/pictures"));
  for (std::uint64_t i = 0; i < 6; ++i) {
    Rng own = pixels.at_step(i);
    write_image_grid(file(fmt::format("data/pictures/{}.png", i)), own.uniform({1, 3, 20, 20}));
  }
  const auto train = [&](const std::string& name, const std::string& out, std::vector<std::string> set) {
    TrainRequest made;
    made.recipe = std::string(GIBBSITE_SOURCE_DIR) + "/recipes/vaebm/" + name + ".toml";
    made.set = {"data.name=./pictures", "data.split=random",  "data.image_crop=16",
                "data.image_size=16",   "data.validation=1",  "data.test=1",
                "train.steps=3",        "train.batch_size=4", "train.validate_every=3"};
    made.set.insert(made.set.end(), set.begin(), set.end());
    made.path.folders = {file("data")};
    made.out = file(out);
    EXPECT_EQ(train_recipe(made, Ports()).result.step, 3) << name;
    return made.out;
  };
  const std::string vae = train("lsun-church64-vae", "vae",
                                {"generator.channels=4", "generator.groups=[1, 2]", "generator.latent_channels=2",
                                 "generator.cells=1", "generator.expansion=2"});
  SampleRequest sample;
  sample.run = vae;
  sample.n = 3;
  const Tensor images = sample_run(sample, Ports()).x;
  EXPECT_EQ(images.sizes(), (Shape{3, 3, 16, 16}));
  sample.set = {"sample.temperature=0"};
  const Tensor coldest = sample_run(sample, Ports()).x;
  EXPECT_TRUE(torch::allclose(coldest[0], coldest[1], 1e-5, 1e-5));
  EXPECT_FALSE(torch::allclose(images[0], images[1], 1e-5, 1e-5));

  sample.run = train("cifar10-persistent", "energy",
                     {"vae.run=\"" + vae + "\"", "model.stem=2", "model.blocks=[2, 3]", "model.halve=[1]",
                      "objective.steps=2", "sample.steps=2", "train.validate_every=0"});
  sample.set.clear();
  const Tensor from_prior = sample_run(sample, Ports()).x;
  sample.set = {"vae.start=encoded", "vae.temperature=0.7", "vae.readjust=3"};
  const Tensor from_images = sample_run(sample, Ports()).x;
  EXPECT_EQ(from_images.sizes(), (Shape{3, 3, 16, 16}));
  EXPECT_FALSE(torch::equal(from_prior, from_images));
  sample.set.back() = "vae.readjust=0";
  EXPECT_FALSE(torch::equal(from_images, sample_run(sample, Ports()).x));

  // The batch norms of the auto-encoder are those of training afterwards, and what its encoder says of points makes them.
  const Parts parts =
      load_run(RunDirectory::open(sample.run), {"vae.start=encoded", "vae.readjust=3"}, false, {}, *Ports().logger);
  std::vector<Tensor> kept;
  for (const Tensor& buffer : parts.vae.hierarchy->module().buffers()) kept.push_back(buffer.clone());
  parts.vae.start(2, Rng(1, "start"));
  for (std::size_t i = 0; i < kept.size(); ++i)
    EXPECT_TRUE(torch::equal(kept[i], parts.vae.hierarchy->module().buffers()[i])) << i;
  const Tensor x = Rng(4, "x").uniform({2, 3, 16, 16}) * 1.8 - 0.9;
  EXPECT_TRUE(torch::allclose(parts.vae.space->points(parts.vae.encode(x, Rng(1, "encode"))), x, 1e-4, 1e-4));
  const Codes codes = encode_points(parts, (x + 1) / 2, 3, Rng(1, "encode"), {});
  EXPECT_EQ(codes.mean.sizes(), (Shape{2, parts.vae.space->size()}));
}

}  // namespace
}  // namespace gibbsite
