#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/report/rows.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace gibbsite {
namespace {

Result example(double value, double seed) {
  Result result;
  result.experiment = "fd/derivative-cost";
  result.scale = "desk";
  result.seed = 3;
  result.environment = environment();
  Row row;
  row.method = "jet";
  row.dataset = "mnist";
  row.metric = "relative_error";
  row.value = value;
  row.standard_error = 0.02;
  row.unit = "1";
  row.settings = {{"order", 4.0}, {"dtype", std::string("float64")}, {"seed", seed}};
  result.rows.push_back(row);
  row.method = "nested";
  row.value = std::nan("");
  row.published = 0.25;
  result.rows.push_back(row);
  return result;
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

TEST(Result, RoundTripThroughAFile) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("gibbsite_rows_" + std::to_string(::getpid())) / "result.json")
          .string();
  const Result result = example(0.1234567890123456, 1);
  write_result(path, result);
  const Result back = read_result(path);
  std::filesystem::remove_all(std::filesystem::path(path).parent_path());
  EXPECT_EQ(back.experiment, result.experiment);
  EXPECT_EQ(back.scale, result.scale);
  EXPECT_EQ(back.seed, result.seed);
  EXPECT_TRUE(back.environment == result.environment);
  ASSERT_EQ(back.rows.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(back.rows[i].method, result.rows[i].method);
    EXPECT_TRUE(same(back.rows[i].value, result.rows[i].value));
    EXPECT_TRUE(same(back.rows[i].standard_error, result.rows[i].standard_error));
    EXPECT_EQ(back.rows[i].published, result.rows[i].published);
    EXPECT_EQ(back.rows[i].settings, result.rows[i].settings);
  }
}

TEST(Result, FollowsTheContractOfRows) {
  const nlohmann::json json = nlohmann::json::parse(json_text(example(0.5, 1)));
  for (const char* key : {"experiment", "scale", "seed", "version", "environment", "rows"})
    EXPECT_TRUE(json.contains(key));
  const nlohmann::json& row = json["rows"][0];
  for (const char* key : {"method", "dataset", "metric", "value", "stderr", "unit", "published"}) {
    EXPECT_TRUE(row.contains(key)) << key;
  }
  EXPECT_TRUE(row["published"].is_null());
  EXPECT_TRUE(row["order"].is_number_integer());
  EXPECT_EQ(row["dtype"], "float64");
  EXPECT_TRUE(json["rows"][1]["value"].is_null());
  EXPECT_EQ(json["rows"][1]["published"], 0.25);

  Result infinite = example(HUGE_VAL, 1);
  EXPECT_TRUE(nlohmann::json::parse(json_text(infinite))["rows"][0]["value"].is_null());
  infinite.rows[0].settings["metric"] = std::string("no");
  EXPECT_THROW(json_text(infinite), RequestError);
}

TEST(Result, BrokenFilesAreNamed) {
  for (const char* text : {"", "{", "{}", "[1]", "{\"experiment\": 3}"}) {
    try {
      parse_result(text, "some/result.json");
      ADD_FAILURE() << text;
    } catch (const WorkError& error) {
      EXPECT_NE(std::string(error.what()).find("some/result.json"), std::string::npos);
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
}

TEST(Result, AccumulatesSeedsAndReplacesRepeats) {
  Result all = example(1, 1);
  accumulate(all, example(2, 2));
  EXPECT_EQ(all.rows.size(), 4u);
  accumulate(all, example(5, 2));
  ASSERT_EQ(all.rows.size(), 4u);
  EXPECT_EQ(all.rows[2].value, 5);
  EXPECT_TRUE(has_rows(all.rows, "jet", "mnist", 2));
  EXPECT_FALSE(has_rows(all.rows, "jet", "mnist", 3));
  EXPECT_FALSE(has_rows(all.rows, "jet", "cifar10", 2));

  Result newer = example(7, 1);
  newer.environment.commit = "ffff";
  accumulate(all, newer);
  EXPECT_EQ(all.environment.commit, "ffff");
  ASSERT_EQ(all.rows.size(), 4u);
  EXPECT_EQ(all.rows[0].settings.count("commit"), 0u);
  EXPECT_EQ(all.rows[2].settings.at("commit"), Setting(environment().commit));

  Result other = example(1, 1);
  other.scale = "paper";
  EXPECT_THROW(accumulate(all, other), RequestError);
}

TEST(Table, MeansOverSeedsBesideThePublishedNumber) {
  Result result = example(1, 1);
  accumulate(result, example(2, 2));
  accumulate(result, example(6, 3));
  for (Row& row : result.rows) {
    if (row.method == "nested") row.value = 0.2;
  }
  const std::string text = markdown_text(result);
  // Mean 3, deviation sqrt(7), over sqrt(3): 1.53.
  EXPECT_NE(text.find("| jet | mnist | relative_error | 3.0 ± 1.5 | 1 | – | 3 |"), std::string::npos) << text;
  EXPECT_NE(text.find("| nested | mnist | relative_error | 0.2 ± 0 | 1 | 0.25 | 3 |"), std::string::npos) << text;
  EXPECT_NE(text.find("# fd/derivative-cost, scale desk, dtype float64, order 4\n"), std::string::npos) << text;
  EXPECT_NE(text.find("* commit: "), std::string::npos);

  // A setting that differs becomes a column; a single seed shows the row's own error.
  Result varied = example(1, 1);
  varied.rows[1].settings["order"] = 5.0;
  varied.rows[1].value = 0.9;
  const TextTable table = summary_table(varied);
  EXPECT_EQ(table.head, (std::vector<std::string>{"method", "dataset", "order", "metric", "measured", "unit",
                                                  "published", "seeds"}));
  EXPECT_EQ(table.body[0],
            (std::vector<std::string>{"jet", "mnist", "4", "relative_error", "1.000 ± 0.020", "1", "–", "1"}));
  varied.rows[0].method = "a|b";
  EXPECT_NE(markdown_text(varied).find("| a\\|b |"), std::string::npos);
}

TEST(FormatEstimate, TwoDigitsOfTheError) {
  EXPECT_EQ(format_estimate(0.33214, 0.00123), "0.3321 ± 0.0012");
  EXPECT_EQ(format_estimate(-67.234, 0.51), "-67.23 ± 0.51");
  EXPECT_EQ(format_estimate(12345.6, 678), "12346 ± 678");
  EXPECT_EQ(format_estimate(3e-10, 2e-12), "3e-10 ± 2e-12");
  EXPECT_EQ(format_estimate(131072, std::nan("")), "131072");
  EXPECT_EQ(format_estimate(0.123456, std::nan("")), "0.1235");
  EXPECT_EQ(format_estimate(std::nan(""), 1), "–");
}

TEST(Rows, NumbersAreWrittenInOneWay) {
  const std::pair<double, const char*> cases[] = {{0, "0"},
                                                  {1, "1"},
                                                  {-2.5, "-2.5"},
                                                  {0.33214, "0.3321"},
                                                  {123456, "123456"},
                                                  {1234567, "1.235e6"},
                                                  {1e-4, "0.0001"},
                                                  {1.5e-7, "1.5e-7"},
                                                  {99999.96, "100000"},
                                                  {999999.7, "1e6"},
                                                  {NAN, "–"},
                                                  {HUGE_VAL, "–"},
                                                  {-1.23456e-12, "-1.235e-12"},
                                                  {20, "20"},
                                                  {100, "100"}};
  for (const auto& [value, text] : cases) EXPECT_EQ(format_number(value), text);
  EXPECT_EQ(format_number(1000.125, 7), "1000.125");
  EXPECT_EQ(format_number(1000.125, 1), "1000");
}

TEST(Rows, PublishedNumbersBesideOurs) {
  Result result;
  result.experiment = "fd/deep-ebm";
  result.scale = "desk";
  Row row;
  row.method = "dsm";
  row.dataset = "mnist";
  row.metric = "sm_loss";
  row.value = -9.5;
  row.standard_error = 0.25;
  row.published = -10;
  row.settings["seed"] = 1.0;
  Row other = row;
  other.method = "ssm";
  other.published.reset();
  result.rows = {row, other};
  const TextTable table = published_table(result);
  ASSERT_EQ(table.body.size(), 1u);
  EXPECT_EQ(table.head, (std::vector<std::string>{"method", "dataset", "metric", "measured", "published", "difference",
                                                  "in standard errors", "unit", "seeds"}));
  EXPECT_EQ(table.body[0],
            (std::vector<std::string>{"dsm", "mnist", "sm_loss", "-9.50 ± 0.25", "-10", "0.5", "2", "", "1"}));
  result.rows = {other};
  EXPECT_TRUE(published_table(result).body.empty());
}

}  // namespace
}  // namespace gibbsite
