#include <gtest/gtest.h>
#include <png.h>
#include <torch/types.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "report/picture_test_helpers.h"

namespace gibbsite {

Tensor decode_png(const std::string& bytes) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) == 0) return {};
  const bool color = (image.format & PNG_FORMAT_FLAG_COLOR) != 0;
  image.format = color ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  const Tensor pixels = at::empty({image.height, image.width, color ? 3 : 1}, at::TensorOptions().dtype(at::kByte));
  const bool read = png_image_finish_read(&image, nullptr, pixels.data_ptr<std::uint8_t>(), 0, nullptr) != 0;
  return read ? pixels : Tensor();
}

std::string picture_folder() {
  const char* asked = std::getenv("GIBBSITE_TEST_PICTURES");
  const std::filesystem::path folder =
      asked != nullptr ? std::filesystem::path(asked)
                       : std::filesystem::temp_directory_path() / ("gibbsite_pictures_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  return folder.string();
}

namespace {

class RemovePictures : public testing::Environment {
  void TearDown() override {
    if (std::getenv("GIBBSITE_TEST_PICTURES") == nullptr) std::filesystem::remove_all(picture_folder());
  }
};

const auto* const registered = testing::AddGlobalTestEnvironment(new RemovePictures);

}  // namespace
}  // namespace gibbsite
