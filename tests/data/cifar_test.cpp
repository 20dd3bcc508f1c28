#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/cifar.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <unistd.h>

#include <filesystem>

namespace gibbsite {
namespace {

TEST(Cifar, RecordsAreCountedBySizeAndARemainderIsAnError) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("gibbsite_cifar_" + std::to_string(getpid()))).string();
  std::string content;
  for (int record = 0; record < 3; ++record) {
    content += static_cast<char>(record + 5);
    for (int pixel = 0; pixel < 3072; ++pixel) content += static_cast<char>((pixel + record) % 251);
  }
  write_file(path, content);
  const Dataset data = read_cifar(path);
  EXPECT_EQ(data.x.sizes(), (Shape{3, 3, 32, 32}));
  EXPECT_TRUE(torch::equal(data.label, torch::tensor({5, 6, 7})));
  // Planes of red, green and blue, rows from the top: pixel (y, x) of plane c is byte 1024 c + 32 y + x.
  EXPECT_EQ(data.x[1][2][3][4].item<int>(), (2048 + 96 + 4 + 1) % 251);
  EXPECT_EQ(data.high, 255);
  // Two label bytes: coarse, then fine.
  std::string fine;
  for (int record = 0; record < 2; ++record) {
    fine += '\x01';
    fine += static_cast<char>(40 + record);
    fine.append(3072, '\x07');
  }
  write_file(path, fine);
  EXPECT_TRUE(torch::equal(read_cifar(path, 2).label, torch::tensor({40, 41})));
  write_file(path, content + "x");
  EXPECT_THROW(read_cifar(path), WorkError);
  write_file(path, "");
  EXPECT_THROW(read_cifar(path), WorkError);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace gibbsite
