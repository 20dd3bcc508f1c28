#include <gibbsite/core/error.h>
#include <gibbsite/core/random.h>
#include <gibbsite/data/data.h>
#include <gibbsite/data/image_file.h>
#include <gibbsite/data/image_folder.h>
#include <gibbsite/data/named_set.h>
#include <gtest/gtest.h>
#include <png.h>
#include <torch/types.h>
#include <unistd.h>

#include <jpeglib.h>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

// image: [1 or 3, H, W] bytes.
void write_png(const std::string& path, const Tensor& image) {
  const Tensor rows = image.permute({1, 2, 0}).contiguous();
  png_image header = {};
  header.version = PNG_IMAGE_VERSION;
  header.height = static_cast<png_uint_32>(rows.size(0));
  header.width = static_cast<png_uint_32>(rows.size(1));
  header.format = rows.size(2) == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  ASSERT_NE(png_image_write_to_file(&header, path.c_str(), 0, rows.data_ptr(), 0, nullptr), 0);
}

void write_jpeg(const std::string& path, const Tensor& image) {
  const Tensor rows = image.permute({1, 2, 0}).contiguous();
  jpeg_compress_struct info = {};
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  std::FILE* file = std::fopen(path.c_str(), "wb");
  jpeg_stdio_dest(&info, file);
  info.image_height = static_cast<JDIMENSION>(rows.size(0));
  info.image_width = static_cast<JDIMENSION>(rows.size(1));
  info.input_components = static_cast<int>(rows.size(2));
  info.in_color_space = rows.size(2) == 3 ? JCS_RGB : JCS_GRAYSCALE;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 100, TRUE);
  jpeg_start_compress(&info, TRUE);
  for (std::int64_t y = 0; y < rows.size(0); ++y) {
    JSAMPROW row = rows.select(0, y).data_ptr<std::uint8_t>();
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::fclose(file);
}

Tensor ramp(std::int64_t channels, std::int64_t height, std::int64_t width) {
  const Tensor y = torch::arange(height, torch::kFloat).view({1, height, 1});
  const Tensor x = torch::arange(width, torch::kFloat).view({1, 1, width});
  const Tensor c = 40 * torch::arange(channels, torch::kFloat).view({channels, 1, 1});
  return (2 * y + 3 * x + c).to(torch::kByte).contiguous();
}

class ImageFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("gibbsite_images_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "a");
    fs::create_directories(folder_ / "b");
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  std::string failure(const ImageOptions& options = {}) const {
    try {
      load_image_folder(folder_.string(), options);
    } catch (const WorkError& error) {
      return error.what();
    }
    return "";
  }
  fs::path folder_;
};

TEST_F(ImageFolder, ReadsBothFormatsInTheOrderOfNamesWithFoldersAsLabels) {
  write_png(file("b/1.png"), ramp(3, 10, 12));
  write_png(file("b/0.PNG"), ramp(1, 10, 12));
  write_jpeg(file("a/2.jpg"), ramp(3, 10, 12));
  std::ofstream(file("a/readme.txt")) << "no image";
  const Dataset data = load_image_folder(folder_.string(), {});
  ASSERT_EQ(data.x.sizes(), (std::vector<std::int64_t>{3, 3, 10, 12}));
  EXPECT_TRUE(torch::equal(data.label, torch::tensor({0, 1, 1}, torch::kLong)));
  // Lossy, but a ramp at full quality changes by a few steps only.
  EXPECT_LE((data.x[0].to(torch::kInt) - ramp(3, 10, 12).to(torch::kInt)).abs().max().item<int>(), 8);
  EXPECT_TRUE(torch::equal(data.x[1], ramp(1, 10, 12).expand({3, -1, -1})));
  EXPECT_TRUE(torch::equal(data.x[2], ramp(3, 10, 12)));
  EXPECT_EQ(data.high, 255);
}

TEST_F(ImageFolder, CropsTheCentreAndResizes) {
  write_png(file("0.png"), ramp(1, 16, 24));
  const Dataset cropped = load_image_folder(folder_.string(), {8, 0});
  EXPECT_TRUE(torch::equal(cropped.x[0], ramp(1, 16, 24).narrow(1, 4, 8).narrow(2, 8, 8)));
  EXPECT_FALSE(cropped.label.defined());
  // Away from the edges a ramp averages to the ramp at the centre of the new pixel.
  const Dataset halved = load_image_folder(folder_.string(), {0, 8});
  ASSERT_EQ(halved.x.sizes(), (std::vector<std::int64_t>{1, 1, 8, 8}));
  const Tensor square = ramp(1, 16, 24).narrow(2, 4, 16).to(torch::kFloat);
  const Tensor expected = square.view({8, 2, 8, 2}).mean({1, 3});
  const Tensor error = (halved.x[0][0].to(torch::kFloat) - expected).abs();
  EXPECT_LE(error.narrow(0, 1, 6).narrow(1, 1, 6).max().item<float>(), 0.51F);
}

// The crop of aligned faces that is not in the middle (VAEBM).
TEST_F(ImageFolder, CutsTheSquareWhereAsked) {
  write_png(file("0.png"), ramp(1, 16, 24));
  const Dataset data = load_image_folder(folder_.string(), {8, 0, 3, 7});
  EXPECT_TRUE(torch::equal(data.x[0], ramp(1, 16, 24).narrow(1, 7, 8).narrow(2, 3, 8)));
  EXPECT_TRUE(torch::equal(load_image_folder(folder_.string(), {8, 0, -1, 7}).x[0],
                           ramp(1, 16, 24).narrow(1, 7, 8).narrow(2, 8, 8)));
  EXPECT_NE(failure({8, 0, 17, 0}).find("the square of 8 at left 17, top 0 leaves it"), std::string::npos);
  EXPECT_NE(failure({8, 0, 0, 9}).find("leaves it"), std::string::npos);
}

TEST_F(ImageFolder, NamesWhatIsWrong) {
  EXPECT_NE(failure().find("holds no PNG or JPEG"), std::string::npos);
  write_png(file("0.png"), ramp(1, 16, 24));
  write_png(file("1.png"), ramp(1, 16, 20));
  EXPECT_NE(failure().find("1.png: is 20 × 16 pixels"), std::string::npos);
  EXPECT_NE(failure({18, 0}).find("smaller than data.image_crop"), std::string::npos);
  for (const char* name : {"2.png", "2.jpg"}) {
    (std::string(name) == "2.png" ? write_png : write_jpeg)(file(name), ramp(3, 32, 32));
    EXPECT_EQ(failure({8, 0}), "");
    fs::resize_file(file(name), fs::file_size(file(name)) / 2);
    EXPECT_NE(failure({8, 0}).find(std::string(name) + ": cannot read the image"), std::string::npos) << name;
    std::ofstream(file(name)) << "text";
    EXPECT_NE(failure({8, 0}).find("neither PNG nor JPEG"), std::string::npos) << name;
    fs::remove(file(name));
  }
}

TEST_F(ImageFolder, IsADataSetOfARecipe) {
  for (int i = 0; i < 8; ++i) write_png(file("a/" + std::to_string(i) + ".png"), ramp(3, 12, 12));
  Config config = Config::table({{"name", Config(folder_.filename().string() + "/a")},
                                 {"image_size", Config(8)},
                                 {"scale", Config("unit")},
                                 {"flip", Config(true)},
                                 {"test", Config(0.25)}});
  DataPath path;
  path.folders = {folder_.parent_path().string()};
  const auto data = make_data(config, Rng(1, "data"), path);
  EXPECT_EQ(data->model_event(), (Shape{3, 8, 8}));
  EXPECT_EQ(data->splits.test.size(), 2);
  // Mirrored or not, row by row.
  const Tensor plain = data->pipeline.forward(data->splits.train.x.narrow(0, 0, 1));
  const Tensor batch = data->loader().batch(0, 64).x;
  const Tensor same = (batch - plain).abs().amax({1, 2, 3}) < 1e-6;
  const Tensor mirrored = (batch - plain.flip(-1)).abs().amax({1, 2, 3}) < 1e-6;
  EXPECT_TRUE(same.logical_xor(mirrored).all().item<bool>());
  EXPECT_GT(same.sum().item<int>(), 16);
  EXPECT_GT(mirrored.sum().item<int>(), 16);
  // Other images are brought to the run's size.
  FileOptions options;
  options.images.size = 6;
  EXPECT_EQ(load_for_evaluation(file("a"), path, "test", options).event(), (Shape{3, 6, 6}));
}

}  // namespace
}  // namespace gibbsite
