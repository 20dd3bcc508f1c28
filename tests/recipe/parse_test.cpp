#include <gibbsite/core/error.h>
#include <gibbsite/core/random.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/write.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "recipe/failure.h"

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

// Integers from one stream of draws, for making trees.
class Draws {
 public:
  explicit Draws(std::uint64_t seed) : rng_(seed, "trees") {}
  std::int64_t below(std::int64_t n) { return rng_.at_step(step_++).integers({1}, n).item<std::int64_t>(); }

 private:
  Rng rng_;
  std::uint64_t step_ = 0;
};

std::string any_text(Draws& draws) {
  static const std::vector<std::string> pieces = {"a",  "Z",  "9", "_", "-", ".",    " ", "\"", "\\",
                                                  "\n", "\t", "é", "=", "#", "\x01", "'", "["};
  std::string text;
  for (std::int64_t i = draws.below(6); i-- > 0;) text += pieces[draws.below(pieces.size())];
  return text;
}

Config any_value(Draws& draws, int depth);

Config any_table(Draws& draws, int depth) {
  Config table = Config::table();
  const std::int64_t values = draws.below(4), tables = depth > 0 ? draws.below(3) : 0;
  for (std::int64_t i = 0; i < values; ++i) {
    Config value = any_value(draws, depth);
    table.set(any_text(draws) + std::to_string(i), std::move(value));
  }
  for (std::int64_t i = 0; i < tables; ++i) {
    const std::string key = any_text(draws) + "t" + std::to_string(i);
    if (draws.below(3) == 0) {
      std::vector<Config> items;
      for (std::int64_t k = 1 + draws.below(2); k-- > 0;) items.push_back(any_table(draws, depth - 1));
      table.set(key, Config::array(std::move(items)));
    } else {
      table.set(key, any_table(draws, depth - 1));
    }
  }
  return table;
}

Config any_value(Draws& draws, int depth) {
  switch (draws.below(depth > 0 ? 6 : 5)) {
    case 0: return Config(draws.below(2) == 0);
    case 1: return Config((draws.below(2) == 0 ? 1 : -1) * (draws.below(1 << 30) << draws.below(32)));
    case 2: return Config(any_text(draws));
    case 3: {
      static const double odd[] = {0.1, 1.0, -0.0, 1e300, 5e-324, 1.0 / 3, INFINITY, -INFINITY, 123456789.0, 1e22};
      return Config(odd[draws.below(10)]);
    }
    case 4: return Config(static_cast<double>(draws.below(1 << 30)) / 7e5);
    default: {
      std::vector<Config> items;
      for (std::int64_t k = draws.below(4); k-- > 0;) items.push_back(any_value(draws, depth - 1));
      return Config::array(std::move(items));
    }
  }
}

TEST(Toml, ReadsBackWhatItWrites) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Draws draws(seed);
    const Config tree = any_table(draws, 3);
    const std::string text = write_toml(tree);
    const Config back = parse_toml(text, "tree");
    ASSERT_TRUE(back == tree) << text;
    ASSERT_EQ(write_toml(back), text);
  }
}

// A file has values before tables; settings made in another order are the same ones, also within arrays.
TEST(Toml, ReadsBackTablesThatWereMadeBeforeValues) {
  Config phase = Config::table({{"sampler", Config::table({{"name", "langevin"}})}, {"steps", 10}});
  Config config = Config::table();
  config.set("phase", Config::array({Config::table({{"objective", phase}, {"name", "energy"}})}));
  EXPECT_TRUE(parse_toml(write_toml(config), "a file") == config) << write_toml(config);
  phase.set("steps", 11);
  Config other = Config::table();
  other.set("phase", Config::array({Config::table({{"objective", phase}, {"name", "energy"}})}));
  EXPECT_FALSE(other == config);
  phase.set("more", 1);
  other.set("phase", Config::array({Config::table({{"objective", phase}, {"name", "energy"}})}));
  EXPECT_FALSE(other == config);
  EXPECT_FALSE(config == other);
}

TEST(Toml, NamesLineAndFileOfASyntaxError) {
  const std::string line = failure([] { parse_toml("a = 1\nb = = 2\n", "x.toml"); });
  EXPECT_EQ(line.find("x.toml:2: "), 0u) << line;
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

// What the parser of TOML itself trips over.
TEST(Toml, RefusesWhatItsParserIsNotMadeFor) {
  const auto refusal = [](const std::string& text) { return failure([&] { parse_toml(text, "f.toml"); }); };
  EXPECT_EQ(refusal("[# Table 1]").find("f.toml:1: "), 0u);
  EXPECT_EQ(refusal("a = 1\npad\u00d7 = 2").find("f.toml:2: "), 0u);
  EXPECT_EQ(refusal("a = \u00e9").find("f.toml:1: "), 0u);
  std::string endless = "a = 1\nb";
  for (int i = 0; i < 1'000'000; ++i) endless += ".c";
  EXPECT_NE(refusal(endless + " = 2").find("f.toml:2: a key of more than 200 parts"), std::string::npos);
  EXPECT_EQ(parse_toml("text = \"\u00e9\" # \u00d7\n\"\u00e9\" = [0.1, 0.2]", "f.toml").keys().size(), 2u);
}

TEST(Toml, KnowsWhereEveryKeyWasWritten) {
  const Config tree = parse_toml("a = 1\n\n[t]\nb = [1,\n 2]\n", "x.toml");
  EXPECT_EQ(tree.find("a")->origin(), "x.toml:1");
  EXPECT_EQ(tree.find("t")->origin(), "x.toml:3");
  EXPECT_EQ(tree.find("t")->find("b")->origin(), "x.toml:4");
  EXPECT_EQ(tree.find("t")->find("b")->items()[1].origin(), "x.toml:5");
}

TEST(Toml, KeepsTheOrderOfTheFile) {
  EXPECT_EQ(parse_toml("z = 1\na = 2\n[y]\n[b]\n", "x").keys(), (std::vector<std::string>{"z", "a", "y", "b"}));
}

TEST(Override, ParsesValuesAndFallsBackToText) {
  Config recipe = parse_toml("[t]\na = 1\n[[phase]]\nsteps = 1\n[[phase]]\nsteps = 2\n", "x");
  apply_override(recipe, "t.a=2.5");
  apply_override(recipe, "t.name=mala");
  apply_override(recipe, "t.list=[1, 2]");
  apply_override(recipe, "t.text=a=b");
  apply_override(recipe, "phase.1.steps=7");
  apply_override(recipe, "new.deep.key=true");
  EXPECT_TRUE(recipe == parse_toml("[t]\na = 2.5\nname = \"mala\"\nlist = [1, 2]\ntext = \"a=b\"\n[[phase]]\nsteps = "
                                   "1\n[[phase]]\nsteps = 7\n[new.deep]\nkey = true\n",
                                   "x"));
  EXPECT_EQ(recipe.at_path("t.a").origin(), "--set t.a");
  EXPECT_NE(failure([&] { apply_override(recipe, "t.a"); }).find("key=value"), std::string::npos);
  EXPECT_NE(failure([&] { apply_override(recipe, "phase.2.steps=1"); }).find("phase.2"), std::string::npos);
}

TEST(Override, AnUnknownKeyIsStillUnread) {
  Config recipe = parse_toml("[t]\na = 1\n", "x");
  apply_override(recipe, "t.step_sise=2");
  recipe.find("t")->find("a");
  recipe.find("t")->declare_key("step_size");
  EXPECT_EQ(failure([&] { recipe.require_all_read(); }),
            "--set t.step_sise: unknown key 't.step_sise' (did you mean 'step_size'?)");
}

class Extends : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("gibbsite_extends_" + std::to_string(::getpid()));
    fs::create_directories(folder_ / "base");
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  fs::path folder_;
};

TEST_F(Extends, OverridesTableByTable) {
  write("base/root.toml", "seed = 1\n[t]\na = 1\nb = 2\n");
  write("base/other.toml", "extends = \"root.toml\"\n[t]\nb = 3\n[u]\nc = [1, 2, 3]\n");
  write("base/more.toml", "[t]\ne = 9\n");
  const std::string path =
      write("top.toml", "extends = [\"base/other.toml\", \"base/more.toml\"]\n[u]\nc = [4]\n[t]\nd = 5\n");
  const Config recipe = load_recipe(path, {"t.a=0"});
  EXPECT_TRUE(recipe == parse_toml("seed = 1\n[t]\na = 0\nb = 3\ne = 9\nd = 5\n[u]\nc = [4]\n", "x"));
  EXPECT_NE(recipe.find("t")->find("b")->origin().find("other.toml:3"), std::string::npos);
}

TEST_F(Extends, RefusesCyclesAndMissingFiles) {
  write("a.toml", "extends = \"b.toml\"\n");
  const std::string b = write("b.toml", "extends = \"a.toml\"\n");
  EXPECT_NE(failure([&] { load_recipe(b); }).find("extends itself"), std::string::npos);
  const std::string c = write("c.toml", "extends = \"nowhere.toml\"\n");
  EXPECT_NE(failure([&] { load_recipe(c); }).find("nowhere.toml"), std::string::npos);
  EXPECT_NE(failure([&] { find_recipe("no/such/recipe"); }).find("looked in"), std::string::npos);
}

TEST(Assignment, IsOfSamplingByItsTableOrKey) {
  EXPECT_EQ(assigned_key("model.hidden=[8]"), "model.hidden");
  EXPECT_EQ(table_of("model.hidden"), "model");
  EXPECT_EQ(table_of("device"), "device");
  for (const char* key : {"sample.steps", "sampler.step_size", "vae.temperature", "vae.start"})
    EXPECT_TRUE(covers(settings_of_sampling(), key)) << key;
  for (const char* key : {"vae.run", "model.hidden", "samples", "train.steps"})
    EXPECT_FALSE(covers(settings_of_sampling(), key)) << key;
}

}  // namespace
}  // namespace gibbsite
