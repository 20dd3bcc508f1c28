// What users ask of a finished run: p values, samples given entries, names of columns, stopping and going on.
#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/csv.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/metric/conformal.h>
#include <gibbsite/recipe/evaluate.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/score.h>
#include <gibbsite/recipe/train.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "core/stopping.h"

#include "recipe/failure.h"

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kNames = {"width", "height, mm", "depth"};

// Rows of a Gaussian law with means of its own.
Tensor rows_of_law(std::int64_t n, std::uint64_t seed) {
  const Tensor root = torch::tensor({{1.0, 0.0, 0.0}, {0.8, 0.5, 0.0}, {-0.3, 0.4, 2.0}}, torch::kDouble);
  return Rng(seed, "rows").normal({n, 3}, torch::kDouble).matmul(root.t()) +
         torch::tensor({1.0, -2.0, 5.0}, torch::kDouble);
}

/// One run of a quadratic energy on whitened rows, so that its law is Gaussian with a covariance that is known.
class FinishedRun : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::temp_directory_path() / fmt::format("gibbsite_service_{}", ::getpid());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    write_csv(file("rows.csv"), rows_of_law(4000, 1), kNames);
    std::ofstream(file("run.toml")) << R"(seed = 3
dtype = "float64"
[data]
name = ")" << file("rows.csv") << R"("
scale = "whiten"
train = 2000
validation = 1000
test = 1000
[model]
name = "quadratic"
stiffness = 0.8
[sampler]
name = "hmc"
step_size = 0.4
leapfrog_steps = 5
[sample]
burn_in = 0
steps = 20
[train]
steps = 2
batch_size = 16
validate_every = 0
[objective]
name = "ssm"
)";
    TrainRequest train;
    train.recipe = file("run.toml");
    train.out = file("run");
    train_recipe(train, {});
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  static std::string file(const std::string& name) { return (folder_ / name).string(); }
  static Parts parts() {
    Logger logger;
    return load_run(RunDirectory::open(file("run")), {}, false, {}, logger);
  }
  // Mean and covariance of the model in original units, from its energies alone: they are exactly quadratic.
  static std::pair<Tensor, Tensor> law() {
    const Parts made = parts();
    const auto energy = [&](const Tensor& x) { return score_points(made, x.unsqueeze(0), {}).energy.item<double>(); };
    const Tensor zero = torch::zeros({3}, torch::kDouble), unit = torch::eye(3, torch::kDouble);
    Tensor precision = torch::zeros({3, 3}, torch::kDouble), slope = torch::zeros({3}, torch::kDouble);
    for (std::int64_t i = 0; i < 3; ++i) {
      slope[i] = (energy(unit[i]) - energy(-unit[i])) / 2;
      for (std::int64_t j = 0; j < 3; ++j)
        precision[i][j] = energy(unit[i] + unit[j]) - energy(unit[i]) - energy(unit[j]) + energy(zero);
    }
    const Tensor covariance = precision.inverse();
    return {-covariance.matmul(slope), covariance};
  }
  static fs::path folder_;
};
fs::path FinishedRun::folder_;

Tensor array_of(const std::string& path, const std::string& name) { return find_tensor(read_npz(path), name); }

double worst_z(const Tensor& rows, const Tensor& mean, const Tensor& covariance) {
  const auto n = static_cast<double>(rows.size(0));
  const Tensor centred = rows - mean;
  const Tensor z = centred.mean(0) / (covariance.diag() / n).sqrt();
  const Tensor products = (centred.unsqueeze(2) * centred.unsqueeze(1)).mean(0);
  const Tensor spread = ((covariance.square() + torch::outer(covariance.diag(), covariance.diag())) / n).sqrt();
  return std::max(z.abs().max().item<double>(), ((products - covariance) / spread).abs().max().item<double>());
}

TEST_F(FinishedRun, PValuesOfFreshPointsAreUniformAndFalseAlarmsAsWished) {
  constexpr std::int64_t kFresh = 4000;
  write_npy(file("fresh.npy"), rows_of_law(kFresh, 77));
  ScoreRequest asked;
  asked.run = file("run");
  asked.data = file("fresh.npy");
  asked.out = file("fresh.npz");
  for (const double rate : {0.01, 0.05}) {
    asked.false_alarm = rate;
    const ScoreOutcome outcome = score_run(asked, {});
    ASSERT_EQ(outcome.calibrated, 1000);
    const Tensor p = array_of(asked.out, "p_value");
    EXPECT_GT(uniformity_p_value(p, outcome.calibrated), 0.01);
    // Spread of the rate that these held-out rows give, and of the share of so many points.
    const double spread = std::hypot(outcome.alarm->deviation, std::sqrt(rate * (1 - rate) / kFresh));
    const double share = static_cast<double>(outcome.alarms) / kFresh;
    EXPECT_NEAR(share, outcome.alarm->rate, 3 * spread);
    EXPECT_EQ(p.le(rate).sum().item<std::int64_t>(), outcome.alarms);
    EXPECT_EQ(array_of(asked.out, "alarm").sum().item<std::int64_t>(), outcome.alarms);
  }
  // Points of another law raise many.
  write_npy(file("far.npy"), rows_of_law(100, 5) + 4);
  asked.data = file("far.npy");
  EXPECT_GT(score_run(asked, {}).alarms, 80);
  asked.calibration = file("fresh.npy");
  EXPECT_EQ(score_run(asked, {}).calibrated, kFresh);
  asked.false_alarm = 1e-6;
  EXPECT_NE(failure<RequestError>([&] { score_run(asked, {}); }).find("--false-alarm"), std::string::npos);
  asked.calibration = "nowhere.csv";
  EXPECT_THROW(score_run(asked, {}), Error);
}

TEST_F(FinishedRun, ColumnsKeepTheirNamesInAnyOrder) {
  ScoreRequest asked;
  asked.run = file("run");
  asked.data = file("turned.csv");
  const Tensor x = rows_of_law(6, 9);
  // Another order, and a column that the run does not know.
  write_csv(file("turned.csv"), torch::cat({x.select(1, 2).unsqueeze(1), torch::ones({6, 1}), x.narrow(1, 0, 2)}, 1),
            {"depth", "serial", "width", "height, mm"});
  asked.out = file("turned.out.csv");
  score_run(asked, {});
  const CsvTable table = read_csv(asked.out);
  EXPECT_EQ(table.columns, (std::vector<std::string>{"width", "height, mm", "depth", "energy", "score_width",
                                                     "score_height, mm", "score_depth", "p_value"}));
  EXPECT_TRUE(torch::equal(table.x.narrow(1, 0, 3), x));
  EXPECT_TRUE(torch::equal(table.x.select(1, 3), score_points(parts(), x, {}).energy));
  write_csv(file("short.csv"), x, {"width", "height, mm", "deep"});
  asked.data = file("short.csv");
  EXPECT_NE(failure<RequestError>([&] { score_run(asked, {}); }).find("'depth'"), std::string::npos);

  SampleRequest draw;
  draw.run = file("run");
  draw.n = 5;
  draw.out = file("drawn.csv");
  sample_run(draw, {});
  EXPECT_EQ(read_csv(draw.out).columns, kNames);
}

TEST_F(FinishedRun, SamplesGivenExactEntriesHaveTheConditionalLaw) {
  const auto [mean, covariance] = law();
  constexpr std::int64_t kChains = 3000;
  write_csv(file("given.csv"), torch::tensor({{0.0, -1.0, 9.0}}, torch::kDouble), kNames);
  write_npy(file("mask.npy"), torch::tensor({1, 0, 1}, torch::kByte));
  SampleRequest asked;
  asked.run = file("run");
  asked.n = kChains;
  asked.given = file("given.csv");
  asked.mask = file("mask.npy");
  asked.out = file("filled.npy");
  sample_run(asked, {});
  const Tensor x = read_npy(asked.out);
  EXPECT_TRUE(x.select(1, 1).eq(-1).all().item<bool>());
  const Tensor a = torch::tensor({0, 2}), b = torch::tensor({1});
  const auto part = [&covariance = covariance](const Tensor& r, const Tensor& c) {
    return covariance.index_select(0, r).index_select(1, c);
  };
  const Tensor weights = part(a, b).matmul(part(b, b).inverse());
  const Tensor expected =
      mean.index_select(0, a) + weights.matmul(torch::tensor({-1.0}, torch::kDouble) - mean.index_select(0, b));
  EXPECT_LT(worst_z(x.index_select(1, a), expected, part(a, a) - weights.matmul(part(b, a))), 4);
}

TEST_F(FinishedRun, SamplesGivenNoisyEntriesHaveThePosteriorLaw) {
  const auto [mean, covariance] = law();
  const double noise = 0.7;
  // The last entry is unknown: it is not a number.
  write_npy(file("noisy.npy"), torch::tensor({{0.0, -1.0, std::nan("")}}, torch::kDouble));
  SampleRequest asked;
  asked.run = file("run");
  asked.n = 3000;
  asked.given = file("noisy.npy");
  asked.given_noise = noise;
  asked.out = file("denoised.npy");
  sample_run(asked, {});
  const Tensor known = torch::tensor({1.0, 1.0, 0.0}, torch::kDouble) / (noise * noise);
  const Tensor posterior = (covariance.inverse() + known.diag()).inverse();
  const Tensor expected =
      posterior.matmul(covariance.inverse().matmul(mean) + known * torch::tensor({0.0, -1.0, 0.0}, torch::kDouble));
  EXPECT_LT(worst_z(read_npy(asked.out), expected, posterior), 4);
}

TEST_F(FinishedRun, GivenEntriesThatCannotBeAreRefused) {
  SampleRequest asked;
  asked.run = file("run");
  asked.out = file("refused.npy");
  const auto refused = [&](const Tensor& given, const Tensor& mask) {
    write_npy(file("g.npy"), given);
    write_npy(file("m.npy"), mask);
    asked.given = file("g.npy");
    asked.mask = file("m.npy");
    return failure<RequestError>([&] { sample_run(asked, {}); });
  };
  const Tensor point = torch::zeros({2, 3}, torch::kDouble), one = torch::tensor({1, 0, 0});
  EXPECT_NE(refused(torch::zeros({2, 4}), one).find("--given"), std::string::npos);
  EXPECT_NE(refused(point, torch::ones({2, 2})).find("--mask"), std::string::npos);
  EXPECT_NE(refused(point, torch::ones({3, 3})).find("--mask"), std::string::npos);
  EXPECT_NE(refused(point, torch::tensor({{1, 0, 0}, {0, 0, 0}})).find("row 1 has no entry to sample"),
            std::string::npos);
  EXPECT_NE(refused(torch::full({1, 3}, std::nan("")), one).find("entry 1 of row 0"), std::string::npos);
  asked.given.clear();
  EXPECT_NE(failure<RequestError>([&] { sample_run(asked, {}); }).find("--given"), std::string::npos);
}

TEST_F(FinishedRun, SamplingThatIsStoppedGoesOnToTheSameBits) {
  SampleRequest asked;
  asked.run = file("run");
  asked.n = 7;
  asked.set = {"sample.burn_in=15", "sample.adapt=true", "sample.steps=30", "sample.thin=2"};
  const auto named = [&](const std::string& name) {
    asked.out = file(name + ".npy");
    asked.chains = file(name + ".chains.npy");
  };
  named("straight");
  const SampleOutcome straight = sample_run(asked, {});
  EXPECT_EQ(read_npy(asked.chains).sizes().vec(), (Shape{15, 7, 3}));
  named("stopped");
  for (const int question : {9, 14, 9, 3}) {
    StopAt stop(question);
    Ports ports;
    ports.interrupt = &stop;
    EXPECT_THROW(sample_run(asked, ports), Interrupted);
    EXPECT_TRUE(fs::exists(asked.out + ".partial"));
  }
  const SampleOutcome resumed = sample_run(asked, {});
  EXPECT_FALSE(fs::exists(asked.out + ".partial"));
  EXPECT_EQ(read_file(file("stopped.npy")), read_file(file("straight.npy")));
  EXPECT_EQ(read_file(file("stopped.chains.npy")), read_file(file("straight.chains.npy")));
  EXPECT_EQ(resumed.acceptance, straight.acceptance);

  // Another request does not go on from it.
  StopAt stop(5);
  Ports ports;
  ports.interrupt = &stop;
  EXPECT_THROW(sample_run(asked, ports), Interrupted);
  asked.seed = 99;
  sample_run(asked, {});
  const std::string other = read_file(asked.out);
  EXPECT_NE(other, read_file(file("straight.npy")));
  sample_run(asked, {});
  EXPECT_EQ(read_file(asked.out), other);
}

TEST_F(FinishedRun, EvaluationThatIsStoppedGoesOnToTheSameRows) {
  EvaluateRequest asked;
  asked.run = file("run");
  asked.metrics = {"moments", "sm_loss", "chains"};
  asked.set = {"evaluate.samples=200"};
  const std::vector<Row> straight = evaluate_run(asked, {}).rows;
  ASSERT_EQ(straight.size(), 1u + 1 + 20 + 1);
  fs::remove(file("run/evaluation.json"));
  int stops = 0;
  for (const int question : {5, 9, 9, 9, 3, 12}) {
    StopAt stop(question);
    Ports ports;
    ports.interrupt = &stop;
    try {
      evaluate_run(asked, ports);
      break;
    } catch (const Interrupted&) {
      ++stops;
      EXPECT_TRUE(fs::exists(file("run/evaluation.partial")));
    }
  }
  EXPECT_EQ(stops, 6);
  const std::vector<Row> resumed = evaluate_run(asked, {}).rows;
  EXPECT_FALSE(fs::exists(file("run/evaluation.partial")));
  ASSERT_EQ(resumed.size(), straight.size());
  for (std::size_t i = 0; i < straight.size(); ++i) {
    EXPECT_EQ(resumed[i].metric, straight[i].metric);
    EXPECT_EQ(resumed[i].value, straight[i].value) << straight[i].metric;
    EXPECT_EQ(resumed[i].settings, straight[i].settings);
  }
  // The sampler is exact here and its chains have mixed.
  for (const Row& row : resumed) {
    if (row.metric == "divergences") {
      EXPECT_EQ(row.value, 0);
    }
  }
}

}  // namespace
}  // namespace gibbsite
