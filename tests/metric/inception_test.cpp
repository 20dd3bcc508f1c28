#include <gibbsite/core/digest.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/inception.h>
#include <gtest/gtest.h>
#include <torch/script.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

namespace gibbsite {
namespace {

class Inception : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("gibbsite_inception_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  InceptionOptions module(const std::string& body) const {
    torch::jit::Module made("m");
    made.define("def forward(self, x):\n  " + body + "\n");
    InceptionOptions options;
    options.module = (folder_ / "module.pt").string();
    made.save(options.module);
    return options;
  }
  std::filesystem::path folder_;
};

TEST_F(Inception, AnswersFeaturesAndLogitsOfResizedImages) {
  InceptionOptions options = module("return (x.mean(dim=[2, 3]), x[:, :, 0, 0] * x.size(2))");
  options.resize = 4;
  const Tensor grey = at::rand({70, 1, 8, 8});
  const InceptionOutput found = InceptionModule(options)(grey);
  ASSERT_EQ(found.features.sizes(), (std::vector<std::int64_t>{70, 3}));
  const Tensor small = at::upsample_bilinear2d(grey, {4, 4}, false).to(at::kDouble);
  EXPECT_LT((found.features.select(1, 2) - small.mean({1, 2, 3})).abs().max().item<double>(), 1e-6);
  EXPECT_LT((found.logits.select(1, 0) - 4 * small.select(3, 0).select(2, 0).select(1, 0)).abs().max().item<double>(),
            1e-6);
}

TEST_F(Inception, RefusesOtherFilesAndAnswersInOneLine) {
  const Tensor images = at::rand({2, 3, 8, 8});
  EXPECT_THROW(InceptionModule({(folder_ / "none.pt").string(), 0}), WorkError);
  std::ofstream((folder_ / "text.pt").string()) << "no module";
  EXPECT_THROW(InceptionModule({(folder_ / "text.pt").string(), 0}), WorkError);
  EXPECT_THROW(InceptionModule(module("return x"))(images), WorkError);
  EXPECT_THROW(InceptionModule(module("return (x, x)"))(images), WorkError);
  EXPECT_THROW(InceptionModule(module("return (x[:, :, 30, 0], x[:, :, 0, 0])"))(images), WorkError);
  EXPECT_THROW(InceptionModule(module("return (x, x)"))(at::rand({2, 4, 8, 8})), WorkError);
}

TEST_F(Inception, DigestIsThatOfTheFile) {
  const std::string path = (folder_ / "abc").string();
  std::ofstream(path) << "abc";
  // FIPS 180-4, example of one block.
  EXPECT_EQ(sha256_of_file(path), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const InceptionOptions options = module("return (x[:, :, 0, 0], x[:, :, 0, 0])");
  EXPECT_EQ(InceptionModule(options).sha256(), sha256_of_file(options.module));
}

// Certain and evenly spread over C classes: C. The same for all images: 1.
TEST_F(Inception, ScoreIsTheNumberOfClassesThatCertainSamplesSpreadOver) {
  const Tensor certain = 200 * at::eye(5, at::kDouble).repeat({20, 1});
  EXPECT_NEAR(inception_score(certain, 10).value, 5, 1e-9);
  EXPECT_NEAR(inception_score(at::ones({40, 5}), 10).value, 1, 1e-12);
  // Two classes with probabilities p and 1 - p in turns: 2 exp(-H(p)).
  const double p = 0.8, entropy = -(p * std::log(p) + (1 - p) * std::log(1 - p));
  const Tensor turns = at::tensor({std::log(p), std::log(1 - p), std::log(1 - p), std::log(p)}, at::kDouble);
  EXPECT_NEAR(inception_score(turns.view({2, 2}).repeat({20, 1}), 10).value, 2 * std::exp(-entropy), 1e-9);
  EXPECT_THROW(inception_score(at::ones({19, 5}), 10), WorkError);
}

}  // namespace
}  // namespace gibbsite
