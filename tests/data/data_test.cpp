#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/csv.h>
#include <gibbsite/data/data.h>
#include <gibbsite/data/named_set.h>
#include <gibbsite/data/npy.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <unistd.h>

#include <filesystem>
#include <set>

namespace gibbsite {
namespace {

Dataset numbered(std::int64_t n) {
  Dataset data;
  data.x = torch::arange(n, torch::kFloat).unsqueeze(1);
  data.label = torch::arange(n) * 10;
  data.source = "numbers";
  return data;
}

std::set<int> values(const Tensor& x) {
  std::set<int> found;
  for (std::int64_t i = 0; i < x.size(0); ++i) found.insert(static_cast<int>(x[i].item<double>()));
  return found;
}

TEST(Split, IsDisjointAndRepeatsFromASeed) {
  const Dataset all = numbered(100);
  const Splits parts = split(all, {0, 0.2, 15}, SplitOrder::kRandom, Rng(1, "data"));
  EXPECT_EQ(parts.train.size(), 65);
  EXPECT_EQ(parts.validation.size(), 20);
  EXPECT_EQ(parts.test.size(), 15);
  EXPECT_EQ(values(torch::cat({parts.train.x, parts.validation.x, parts.test.x})).size(), 100u);
  EXPECT_TRUE(torch::equal(parts.train.label, (parts.train.x.squeeze(1) * 10).to(torch::kLong)));
  EXPECT_TRUE(torch::equal(parts.train.x, split(all, {0, 0.2, 15}, SplitOrder::kRandom, Rng(1, "data")).train.x));
  EXPECT_FALSE(torch::equal(parts.train.x, split(all, {0, 0.2, 15}, SplitOrder::kRandom, Rng(2, "data")).train.x));
  const Splits in_order = split(all, {0, 30, 20}, SplitOrder::kFile, Rng(1, "data"));
  EXPECT_TRUE(torch::equal(in_order.train.x, all.x.slice(0, 0, 50)));
  EXPECT_TRUE(torch::equal(in_order.test.x, all.x.slice(0, 80)));
  EXPECT_THROW(split(all, {90, 20, 0}, SplitOrder::kFile, Rng(1, "data")), RequestError);
  EXPECT_THROW(split(all, {0, 60, 60}, SplitOrder::kFile, Rng(1, "data")), RequestError);
}

TEST(Split, KeepsTheOfficialTestSet) {
  const Dataset train = numbered(100), test = numbered(30);
  const Splits parts = split_official(train, test, {0, 10, 0.1}, SplitOrder::kFile, Rng(1, "data"));
  EXPECT_EQ(parts.test.size(), 30);
  EXPECT_TRUE(torch::equal(parts.train.x, train.x.slice(0, 0, 90)));
  EXPECT_TRUE(torch::equal(parts.validation.x, train.x.slice(0, 90)));
  EXPECT_EQ(split_official(train, test, {50, 10, 7}, SplitOrder::kRandom, Rng(1, "data")).test.size(), 7);
  EXPECT_THROW(split_official(train, test, {0, 0, 31}, SplitOrder::kFile, Rng(1, "data")), RequestError);
}

TEST(Loader, VisitsEveryRowOnceAnEpochAndAnyBatchAlone) {
  const Loader loader(numbered(10), Pipeline(), Rng(1, "data"));
  // Five batches of four are two epochs; the third batch spans both.
  std::vector<Tensor> seen;
  for (int step = 0; step < 5; ++step) {
    const Minibatch batch = loader.batch(step, 4);
    EXPECT_TRUE(torch::equal(batch.x.squeeze(1).to(torch::kLong), batch.index));
    EXPECT_TRUE(torch::equal(batch.label, batch.index * 10));
    seen.push_back(batch.index);
  }
  const Tensor order = torch::cat(seen);
  EXPECT_EQ(values(order.slice(0, 0, 10)).size(), 10u);
  EXPECT_EQ(values(order.slice(0, 10)).size(), 10u);
  EXPECT_FALSE(torch::equal(order.slice(0, 0, 10), order.slice(0, 10)));
  const Loader again(numbered(10), Pipeline(), Rng(1, "data"));
  EXPECT_TRUE(torch::equal(again.batch(3, 4).index, seen[3]));  // without visiting batches 0 to 2
  EXPECT_EQ(again.batch(0, 25).x.size(0), 25);                  // larger than the set
  EXPECT_THROW(Loader(numbered(10).rows(0, 0), Pipeline(), Rng(1, "data")), RequestError);
}

TEST(Loader, ShardsMakeTheWholeBatch) {
  Pipeline pipeline;
  pipeline.append(make_jitter(1));
  const Loader rows(numbered(10), pipeline, Rng(1, "data"));
  const std::shared_ptr<const Density> ring =
      find_entry(density_table(), "data set", "ring", "test").make(Config::table());
  const Loader fresh(ring, pipeline, Rng(1, "data"));
  for (const Loader* loader : {&rows, &fresh}) {
    const Tensor whole = loader->batch(2, 8).x;
    const Tensor split = torch::cat({loader->batch(2, 8, 0, 3).x, loader->batch(2, 8, 3).x});
    EXPECT_TRUE(torch::equal(whole, split));
    EXPECT_FALSE(torch::equal(whole, loader->batch(3, 8).x));
  }
  EXPECT_EQ(fresh.event(), (Shape{2}));
}

TEST(MakeData, GeneratesADensity) {
  const Config config =
      Config::table({{"name", "checkerboard"}, {"noise", 0.05}, {"train", 300}, {"validation", 0.5}, {"test", 40}});
  const auto data = make_data(config, Rng(1, "run"), DataPath());
  config.require_all_read("data");
  EXPECT_EQ(data->splits.train.size(), 300);
  EXPECT_EQ(data->splits.validation.size(), 150);
  EXPECT_EQ(data->splits.test.size(), 40);
  EXPECT_NEAR(-*data->density->entropy(), 0.3445, 5e-5);
  EXPECT_FALSE(data->pipeline.has_noise());  // the jitter is in the density
  EXPECT_TRUE(torch::equal(data->prepared(data->splits.train, "train"), data->splits.train.x));
  EXPECT_TRUE(torch::equal(make_data(config, Rng(1, "run"), DataPath())->splits.test.x, data->splits.test.x));
  EXPECT_FALSE(torch::equal(data->splits.train.x.slice(0, 0, 40), data->splits.test.x));
  EXPECT_EQ(data->loader().batch(0, 16).x.size(0), 16);

  Config fresh = config;
  fresh.set("fresh", true);
  const Loader loader = make_data(fresh, Rng(1, "run"), DataPath())->loader();
  EXPECT_FALSE(loader.batch(0, 4).index.defined());
}

TEST(MakeData, RefusesWhatCannotBe) {
  const auto build = [](const Config& config) { return make_data(config, Rng(1, "run"), DataPath()); };
  EXPECT_THROW(build(Config::table()), RequestError);
  EXPECT_THROW(build(Config::table({{"name", "chekerboard"}})), RequestError);
  EXPECT_THROW(build(Config::table({{"name", "ring"}, {"logit", true}})), RequestError);
  EXPECT_THROW(build(Config::table({{"name", "ring"}, {"train", 0.5}})), RequestError);
  EXPECT_THROW(build(Config::table({{"name", "ring"}, {"pad", 2}})), RequestError);
  EXPECT_THROW(build(Config::table({{"name", "ring"}, {"dequantise", true}})), RequestError);
  EXPECT_THROW(build(Config::table({{"name", "ring"}, {"noise", -1}})), RequestError);
  EXPECT_THROW(build(Config::table({{"name", "absent.csv"}})), WorkError);
  Config unread = Config::table({{"name", "banana"}, {"train", 10}, {"spacing", 2.0}});  // an option of another density
  build(unread);
  EXPECT_THROW(unread.require_all_read("data"), RequestError);
}

class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "gibbsite-make-XXXXXX").string();
    folder = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder); }
  std::string folder;
};

TEST_F(Files, CsvIsWhitenedOnItsTrainingRowsAndJitteredAfterwards) {
  const Tensor x = Rng(2, "x")
                       .normal({200, 3}, torch::kDouble)
                       .mm(torch::tensor({{1.0, 2.0, 0.0}, {0.0, 1.0, 5.0}, {1.0, 0.0, 1.0}}, torch::kDouble));
  write_csv(folder + "/x.csv", x, {"a", "b", "c"});
  const Config config =
      Config::table({{"name", folder + "/x.csv"}, {"scale", "whiten"}, {"noise", 0.05}, {"test", 20}});
  const auto data = make_data(config, Rng(1, "run"), DataPath());
  config.require_all_read("data");
  EXPECT_EQ(data->splits.train.size(), 160);
  const Tensor y = data->pipeline.forward(data->splits.train.x);
  EXPECT_TRUE(torch::allclose(y.t().mm(y) / 160, torch::eye(3, torch::kDouble), 0, 1e-10));
  const Tensor noise = data->prepared(data->splits.train, "train", torch::kDouble) - y;
  EXPECT_NEAR(noise.std().item<double>(), 0.05, 4 * 0.05 / std::sqrt(2 * 480.0));
  EXPECT_FALSE(torch::equal(data->loader().batch(0, 160).x, data->loader().batch(1, 160).x));

  Config once = config;
  once.set("noise_once", true);
  const Loader loader = make_data(once, Rng(1, "run"), DataPath())->loader();
  const Minibatch first = loader.batch(0, 160), second = loader.batch(1, 160);
  EXPECT_TRUE(
      torch::equal(first.x.index_select(0, first.index.argsort()), second.x.index_select(0, second.index.argsort())));
}

TEST_F(Files, ImagesArePaddedDequantisedScaledAndFlattened) {
  const Tensor images = Rng(2, "x").integers({60, 4, 4}, 256).to(torch::kByte);
  write_npy(folder + "/x.npy", images);
  const Config config = Config::table({{"name", folder + "/x.npy"},
                                       {"pad", 1},
                                       {"dequantise", true},
                                       {"scale", "unit"},
                                       {"logit", true},
                                       {"flatten", true},
                                       {"test", 0},
                                       {"split", "file"}});
  const auto data = make_data(config, Rng(1, "run"), DataPath());
  EXPECT_EQ(data->event(), (Shape{4, 4}));
  EXPECT_EQ(data->model_event(), (Shape{36}));
  const Tensor y = data->loader().batch(0, 8).x;
  EXPECT_EQ(y.sizes(), (Shape{8, 36}));
  EXPECT_TRUE(y.isfinite().all().item<bool>());
  const Minibatch batch = data->loader().batch(0, 8);
  // Back in original units the noise lies in (0, 1] above the pixel.
  const Tensor back = data->pipeline.inverse(batch.x.to(torch::kDouble)) - images.index_select(0, batch.index);
  EXPECT_GT(back.min().item<double>(), -1e-3);
  EXPECT_LT(back.max().item<double>(), 1.01);
  EXPECT_GT(back.std().item<double>(), 0.2);
}

TEST(Warnings, NameConstantColumnsAtomsAndJumps) {
  Dataset data;
  data.x = Rng(3, "x").normal({500, 3}, torch::kDouble);
  data.columns = {"good", "constant", "rounded"};
  data.source = "table";
  EXPECT_TRUE(score_matching_warnings(data).empty());
  data.x.select(1, 1).fill_(2);
  data.x.select(1, 2).mul_(2).round_();
  const auto warnings = score_matching_warnings(data);
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_NE(warnings[0].find("'constant'"), std::string::npos) << warnings[0];
  EXPECT_NE(warnings[1].find("'rounded'"), std::string::npos) << warnings[1];
  for (const std::string& warning : warnings) EXPECT_NE(warning.find("data.noise"), std::string::npos) << warning;
  EXPECT_TRUE(score_matching_warnings(data, 0.1).empty());

  const auto checkerboard = [](double noise) {
    return make_data(Config::table({{"name", "checkerboard"}, {"noise", noise}, {"train", 200}}), Rng(1, "run"),
                     DataPath());
  };
  ASSERT_EQ(score_matching_warnings(checkerboard(0)->splits.train).size(), 1u);
  EXPECT_NE(score_matching_warnings(checkerboard(0)->splits.train)[0].find("jumps"), std::string::npos);
  EXPECT_TRUE(score_matching_warnings(checkerboard(0.05)->splits.train).empty());
}

// Rows, dimensions and splits of the published density-estimation tables (fd_score_matching.md 5.2).
TEST(MakeData, UciSetsAreThoseOfThePublishedTables) {
  const DataPath path = DataPath::standard();
  if (!path.find("uci_wine/winequality-red.csv")) GTEST_SKIP() << "needs the real data sets in GIBBSITE_DATA";
  struct Set {
    const char* name;
    bool gaps;
    std::int64_t train, validation, test, d;
  };
  for (const Set& set : {Set{"parkinsons", false, 4760, 528, 587, 15}, Set{"redwine", true, 1296, 144, 159, 11},
                         Set{"whitewine", true, 3969, 440, 489, 11}}) {
    const auto data = make_data(Config::table({{"name", set.name},
                                               {"split", "numpy"},
                                               {"statistics", "all"},
                                               {"dequantise_gaps", set.gaps},
                                               {"scale", "whiten"},
                                               {"noise", 0.05},
                                               {"noise_once", true}}),
                                Rng(1, "run"), path);
    EXPECT_EQ(data->splits.train.size(), set.train) << set.name;
    EXPECT_EQ(data->splits.validation.size(), set.validation) << set.name;
    EXPECT_EQ(data->splits.test.size(), set.test) << set.name;
    EXPECT_EQ(data->model_event(), (Shape{set.d})) << set.name;
    // Whitened on all rows, test rows included, but for the noise drawn afresh and the jitter of 0.05.
    const Tensor all = torch::cat({data->prepared(data->splits.train, "train", torch::kDouble),
                                   data->prepared(data->splits.validation, "validation", torch::kDouble),
                                   data->prepared(data->splits.test, "test", torch::kDouble)});
    EXPECT_LT(all.mean(0).abs().max().item<double>(), 0.05) << set.name;
    const Tensor covariance = all.t().mm(all) / static_cast<double>(all.size(0));
    const Tensor target = torch::eye(set.d, torch::kDouble) * (1 + 0.05 * 0.05);
    EXPECT_LT((covariance - target).abs().max().item<double>(), 0.05) << set.name;
  }
  // The first training row is row 20 of the file, the last test row 1096 (NumPy, seed 2019).
  const auto wine = make_data(Config::table({{"name", "redwine"}, {"split", "numpy"}}), Rng(1, "run"), path);
  const Dataset file = *load_published("redwine", path).train;
  EXPECT_TRUE(torch::equal(wine->splits.train.x[0], file.x[20]));
  EXPECT_TRUE(torch::equal(wine->splits.test.x[158], file.x[1096]));
  // Gaps of the red wines as the sheet lists them.
  const std::vector<double> gaps = {0.1, 0.005, 0.01, 0.1, 0.001, 1, 1, 1e-5, 0.01, 0.01, 0.1};
  const Tensor found = fit_gap_dequantise(file.x)->state().front().second;
  EXPECT_TRUE(torch::allclose(found, torch::tensor(gaps, torch::kDouble), 1e-6, 1e-12));
}

TEST(ListData, NamesAreUniqueAndComplete) {
  std::set<std::string> names;
  for (const ListedData& listed : list_data()) {
    EXPECT_TRUE(names.insert(listed.name).second) << listed.name;
    EXPECT_FALSE(listed.summary.empty() || listed.paper.empty()) << listed.name;
  }
  for (const char* name : {"stacked-mnist",    "checkerboard", "25-gaussians", "ring",           "banana",
                           "gaussian-mixture", "two-moons",    "swiss-roll",   "mnist",          "fashion-mnist",
                           "notmnist",         "omniglot",     "frey-faces",   "olivetti-faces", "cifar10",
                           "cifar100",         "redwine",      "whitewine",    "parkinsons",     "optdigits"})
    EXPECT_EQ(names.count(name), 1u) << name;
}

}  // namespace
}  // namespace gibbsite
