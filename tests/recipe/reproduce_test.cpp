#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/recipe/list.h>
#include <gibbsite/recipe/reproduce.h>
#include <gibbsite/report/rows.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <variant>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

TEST(List, IsAJsonArrayOfNameSummaryPaper) {
  for (const std::string& family : list_families()) {
    const nlohmann::json array = nlohmann::json::parse(json_text(list_family(family)));
    ASSERT_TRUE(array.is_array()) << family;
    std::set<std::string> names;
    for (const auto& entry : array) {
      EXPECT_TRUE(entry.contains("summary") && entry.contains("paper"));
      EXPECT_TRUE(names.insert(entry.at("name").get<std::string>()).second) << entry;
    }
  }
  EXPECT_THROW(list_family("modles"), RequestError);
}

TEST(Reproduce, RefusesUnknownNamesBeforeAnyWork) {
  const fs::path folder = fs::temp_directory_path() / ("gibbsite_refused_" + std::to_string(::getpid()));
  ReproduceRequest request;
  request.out = folder.string();
  request.experiment = "smoke/smm";
  EXPECT_THROW(reproduce(request, {}), RequestError);
  request.experiment = "smoke/ssm";
  request.scale = "dusk";
  EXPECT_THROW(reproduce(request, {}), RequestError);
  EXPECT_FALSE(fs::exists(folder));
}

// Hardly trained: the frame is tested here, the figures by the experiment itself.
ReproduceRequest short_smoke(const fs::path& folder) {
  ReproduceRequest request;
  request.experiment = "smoke/ssm";
  request.scale = "smoke";
  request.seed = 1;
  request.out = folder.string();
  request.set = {"train.steps=60", "train.batch_size=64", "model.hidden=[8]", "sample.burn_in=5", "sample.steps=10"};
  return request;
}

TEST(Reproduce, SeedsAccumulateAndRepeatsAddNothing) {
  const fs::path folder = fs::temp_directory_path() / ("gibbsite_reproduce_" + std::to_string(::getpid()));
  ReproduceRequest request = short_smoke(folder);
  const ReproduceOutcome first = reproduce(request, {});
  ASSERT_EQ(first.summary.size(), 5u);
  EXPECT_EQ(first.summary[0].find("held-out log-likelihood "), 0u);
  EXPECT_NE(first.summary[0].find("(bound 0.3445)"), std::string::npos) << first.summary[0];
  const std::size_t rows = first.result.rows.size();
  EXPECT_EQ(reproduce(request, {}).result.rows.size(), rows);
  request.seeds = 2;
  const ReproduceOutcome both = reproduce(request, {});
  EXPECT_EQ(both.result.rows.size(), 2 * rows);
  for (const char* name : {"result.json", "table.md", "report.html"}) EXPECT_TRUE(fs::exists(folder / name)) << name;
  request.scale = "desk";
  EXPECT_THROW(reproduce(request, {}), RequestError);
  fs::remove_all(folder);
}

TEST(Reproduce, StudiesRefuseDataThatRowsWouldNotNameAndModelsThatAreNotThere) {
  const fs::path folder = fs::temp_directory_path() / ("gibbsite_study_" + std::to_string(::getpid()));
  ReproduceRequest request;
  request.experiment = "cebm/few-label";
  request.scale = "smoke";
  request.out = folder.string();
  for (const std::string& assignment :
       {std::string("data.name=fashion-mnist"), "cebm.models=" + folder.string() + "/no"}) {
    request.set = {"method=cebm", assignment};
    EXPECT_THROW(reproduce(request, {}), RequestError) << assignment;
  }
  fs::remove_all(folder);
}

// Another call that ends while this one works.
class Meanwhile : public Logger {
 public:
  explicit Meanwhile(std::string file) : file_(std::move(file)) {}
  void info(const std::string& /*line*/) override { end(); }
  void progress(const std::string& /*line*/, double /*done*/) override { end(); }

 private:
  std::string file_;

  void end() {
    Result result;
    if (fs::exists(file_)) result = read_result(file_);
    result.experiment = "smoke/ssm";
    result.scale = "smoke";
    result.environment.commit = "earlier";
    Row row;
    row.method = "another";
    row.dataset = row.metric = row.unit = "1";
    row.value = 1;
    result.rows = {row};
    write_result(file_, result);
  }
};

TEST(Reproduce, KeepsRowsThatAnotherCallAddsAndSaysWhichCommitTheyAreOf) {
  const fs::path folder = fs::temp_directory_path() / ("gibbsite_meanwhile_" + std::to_string(::getpid()));
  Ports ports;
  Meanwhile other((folder / "result.json").string());
  ports.logger = &other;
  const Result result = reproduce(short_smoke(folder), ports).result;
  ASSERT_GT(result.rows.size(), 1u);
  EXPECT_EQ(result.rows[0].method, "another");
  EXPECT_EQ(result.rows[0].settings.at("commit"), Setting(std::string("earlier")));
  EXPECT_EQ(result.rows[1].settings.count("commit"), 0u);
  EXPECT_EQ(result.environment.commit, environment().commit);
  ReproduceRequest again = short_smoke(folder);
  again.force = true;
  EXPECT_EQ(reproduce(again, {}).result.rows.size(), result.rows.size() - 1);
  fs::remove_all(folder);
}

TEST(Reproduce, OtherSettingsHaveRowsAndRunsOfTheirOwn) {
  const fs::path folder = fs::temp_directory_path() / ("gibbsite_settings_" + std::to_string(::getpid()));
  ReproduceRequest request = short_smoke(folder);
  const std::size_t rows = reproduce(request, {}).result.rows.size();
  const auto folders = [&] {
    return std::distance(fs::directory_iterator(folder), {}) - 3;  // beside result.json, table.md and report.html
  };
  ASSERT_TRUE(fs::exists(folder / "seed-1,model.hidden=[8],train.batch_size=64"));
  ASSERT_EQ(folders(), 1);

  for (const char* rate : {"2e-3", "1e-3"}) request.set.push_back(fmt::format("optimizer.learning_rate={}", rate));
  const Result changed = reproduce(request, {}).result;
  EXPECT_EQ(changed.rows.size(), 2 * rows);
  EXPECT_EQ(std::get<std::string>(changed.rows.back().settings.at("set")),
            "model.hidden=[8] optimizer.learning_rate=1e-3 sample.burn_in=5 sample.steps=10 train.batch_size=64 "
            "train.steps=60");
  EXPECT_EQ(reproduce(request, {}).result.rows.size(), 2 * rows);
  EXPECT_EQ(folders(), 2);

  // Sampled otherwise or trained further the run is the same.
  request.set.push_back("sample.steps=11");
  request.set.push_back("train.steps=70");
  EXPECT_EQ(reproduce(request, {}).result.rows.size(), 3 * rows);
  EXPECT_EQ(folders(), 2);
  for (const char last : {'a', 'b'}) {
    request.set.push_back("title=\"" + std::string(300, 't') + last + '"');
    reproduce(request, {});
  }
  EXPECT_EQ(folders(), 4);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace gibbsite
