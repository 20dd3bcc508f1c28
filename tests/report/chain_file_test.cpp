#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/core/random.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/report/chain_file.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <unistd.h>

#include <filesystem>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

class ChainFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = (fs::temp_directory_path() / fmt::format("gibbsite_chains_{}", ::getpid())).string();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const std::string& name) const { return folder_ + "/" + name; }
  static Tensor draw(std::uint64_t t) { return Rng(1, "draws").at_step(t).normal({3, 2, 2}); }
  std::string folder_;
};

TEST_F(ChainFiles, NpyIsReadableAfterEveryDraw) {
  {
    const auto writer = make_chain_file(file("a.npy"), {});
    for (std::int64_t t = 0; t < 12; ++t) {
      writer->write(t + 1, draw(static_cast<std::uint64_t>(t)));
      const Tensor read = read_npy(file("a.npy"));
      ASSERT_EQ(read.sizes().vec(), (Shape{t + 1, 3, 2, 2}));
      ASSERT_TRUE(torch::equal(read[t], draw(static_cast<std::uint64_t>(t))));
    }
  }
  const std::string whole = read_file(file("a.npy"));
  // A run that was stopped after draw 7 left two draws more than its state knows.
  {
    const auto writer = make_chain_file(file("b.npy"), {});
    for (std::uint64_t t = 0; t < 9; ++t) writer->write(0, draw(t));
  }
  ChainFileOptions resumed;
  resumed.keep = 7;
  {
    const auto writer = make_chain_file(file("b.npy"), resumed);
    for (std::uint64_t t = 7; t < 12; ++t) writer->write(0, draw(t));
  }
  EXPECT_EQ(read_file(file("b.npy")), whole);
  resumed.keep = 13;
  EXPECT_THROW(make_chain_file(file("b.npy"), resumed)->write(0, draw(0)), WorkError);
}

TEST_F(ChainFiles, CsvHasOneFilePerChainAsCmdStanWritesThem) {
  ChainFileOptions options;
  options.columns = {"a", "b", "c", "d"};
  options.notes = {{"seed", "4"}};
  const auto write = [&](const std::string& name, std::int64_t keep, std::uint64_t first, std::uint64_t last) {
    options.keep = keep;
    const auto writer = make_chain_file(file(name), options);
    for (std::uint64_t t = first; t < last; ++t) {
      writer->write(0, draw(t));
      writer->note(0, {{"energy", torch::tensor({0.5, 1.5, -2.0}) + static_cast<double>(t)},
                       {"acceptance", torch::ones({3})},
                       {"divergent", torch::tensor({false, true, false})}});
    }
    return writer->files();
  };
  const std::vector<std::string> files = write("run.csv", 0, 0, 5);
  ASSERT_EQ(files.size(), 3u);
  EXPECT_EQ(fs::path(files[1]).filename(), "run_2.csv");
  const std::string text = read_file(files[1]);
  EXPECT_EQ(text.find("# seed = 4\n# id = 2\nlp__,accept_stat__,divergent__,a,b,c,d\n-1.5,1,1,"), 0u) << text;
  const Tensor first = draw(0)[1].flatten();
  EXPECT_NE(text.find(fmt::format("-1.5,1,1,{},{},", first[0].item<float>(), first[1].item<float>())),
            std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 8);
  write("other.csv", 0, 0, 4);
  write("other.csv", 3, 3, 5);
  for (int c = 1; c <= 3; ++c)
    EXPECT_EQ(read_file(file(fmt::format("other_{}.csv", c))), read_file(file(fmt::format("run_{}.csv", c))));
  EXPECT_THROW(write("other.csv", 6, 6, 7), WorkError);
  options.keep = 0;
  EXPECT_THROW(make_chain_file(file("x.txt"), options), RequestError);
}

// A kernel without an acceptance test notes nothing.
TEST_F(ChainFiles, CsvWithoutNotesHasTheCoordinatesAlone) {
  { make_chain_file(file("plain.csv"), {})->write(1, torch::tensor({{1.0, 2.5}}, torch::kDouble)); }
  EXPECT_EQ(read_file(file("plain_1.csv")), "# id = 1\nx.1,x.2\n1,2.5\n");
}

}  // namespace
}  // namespace gibbsite
