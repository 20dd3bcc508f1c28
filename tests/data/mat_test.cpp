#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/data_path.h>
#include <gibbsite/data/idx.h>
#include <gibbsite/data/mat.h>
#include <gibbsite/data/named_set.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>

namespace gibbsite {
namespace {

std::string word(std::uint32_t value, bool big) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(value >> (big ? 24 - 8 * i : 8 * i) & 255);
  return bytes;
}

std::string element(std::uint32_t type, const std::string& bytes, bool big = false) {
  return word(type, big) + word(static_cast<std::uint32_t>(bytes.size()), big) + bytes +
         std::string((8 - bytes.size() % 8) % 8, '\0');
}

std::string header(bool big = false) {
  return "MATLAB 5.0 MAT-file" + std::string(105, ' ') + (big ? std::string("\1\0MI", 4) : std::string("\0\1IM", 4));
}

// Class, sizes, name, and the numbers in the given storage.
std::string matrix(std::uint32_t kind, const std::vector<std::uint32_t>& sizes, const std::string& name,
                   const std::string& numbers, bool big = false) {
  std::string dimensions;
  for (const std::uint32_t size : sizes) dimensions += word(size, big);
  return element(
      14,
      element(6, word(kind, big) + word(0, big), big) + element(5, dimensions, big) + element(1, name, big) + numbers,
      big);
}

std::string compressed(const std::string& bytes) {
  std::string packed(compressBound(bytes.size()), '\0');
  uLongf size = packed.size();
  EXPECT_EQ(compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(bytes.data()),
                     bytes.size()),
            Z_OK);
  packed.resize(size);
  return word(15, false) + word(static_cast<std::uint32_t>(size), false) + packed;
}

std::string refusal(const std::string& content) {
  try {
    parse_mat(content, "f.mat");
  } catch (const WorkError& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was refused";
  return "";
}

TEST(Mat, ReadsArraysInMatlabsOrder) {
  // [1 2 3; 4 5 6] as doubles that are stored as bytes, by columns.
  const std::string two = matrix(6, {2, 3}, "a", element(2, std::string("\1\4\2\5\3\6", 6)));
  // The same tag, small: type and length in one word.
  const std::string small = matrix(9, {1, 3}, "b", word(3u << 16 | 2, false) + std::string("\7\x8\xff\0", 4));
  const std::string text = matrix(4, {1, 1}, "c", element(4, std::string("x\0", 2)));
  const NamedTensors arrays = parse_mat(header() + two + compressed(small) + text + compressed(two), "f.mat");
  ASSERT_EQ(arrays.size(), 3u);
  EXPECT_EQ(arrays[0].first, "a");
  EXPECT_TRUE(torch::equal(arrays[0].second, torch::tensor({{1, 2, 3}, {4, 5, 6}}, torch::kDouble)));
  EXPECT_TRUE(torch::equal(arrays[1].second, torch::tensor({{7, 8, 255}}, torch::kByte)));
  EXPECT_TRUE(torch::equal(arrays[2].second, arrays[0].second));
  const std::string big =
      header(true) + matrix(12, {1, 2}, "d", element(5, word(7, true) + word(0xfffffffe, true), true), true);
  EXPECT_TRUE(torch::equal(parse_mat(big, "f.mat")[0].second, torch::tensor({{7, -2}}, torch::kLong)));
}

TEST(Mat, DamagedFilesAreRefusedInOneLine) {
  const std::string good = header() + matrix(6, {2, 3}, "a", element(2, std::string("\1\4\2\5\3\6", 6)));
  for (std::size_t length = 0; length < good.size(); ++length) {
    const std::string line = refusal(good.substr(0, length));
    EXPECT_EQ(line.find("f.mat: "), 0u) << line;
  }
  EXPECT_NE(refusal(header() + matrix(6, {2, 4}, "a", element(2, "123456"))).find("claims [4, 2]"), std::string::npos);
  EXPECT_NE(refusal(header() + matrix(6, {0xffffffff, 1}, "a", element(2, "1"))).find("negative"), std::string::npos);
  EXPECT_NE(
      refusal(header() + matrix(6, {2000000000, 2000000000}, "a", element(9, std::string(8, 'x')))).find("claims"),
      std::string::npos);
  std::string torn = header() + compressed(matrix(6, {1, 1}, "a", element(9, std::string(8, '\0'))));
  torn[torn.size() - 2] ^= 1;  // its checksum
  EXPECT_NE(refusal(torn).find("damaged"), std::string::npos);
  EXPECT_NE(refusal("\x89HDF\r\n" + std::string(200, ' ')).find("-v7"), std::string::npos);
  EXPECT_NE(refusal(std::string(300, 'x')).find("Level 5"), std::string::npos);
}

TEST(Mat, ImagesComeNumberFirstWithTheirLabels) {
  std::string pixels, labels;
  for (int i = 0; i < 2 * 3 * 3 * 4; ++i) pixels += static_cast<char>(i);
  labels = {1, 10, 3, 4};
  const std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("gibbsite_{}.mat", ::getpid())).string();
  write_file(path,
             header() + matrix(9, {2, 3, 3, 4}, "X", element(2, pixels)) + matrix(9, {4, 1}, "y", element(2, labels)));
  const Dataset data = load_file(path);
  std::filesystem::remove(path);
  EXPECT_EQ(data.x.sizes().vec(), (Shape{4, 3, 2, 3}));
  // Row 1, column 2, channel 2 of image 3: column-major place 1 + 2·2 + 6·2 + 18·3.
  EXPECT_EQ(data.x[3][2][1][2].item<int>(), 71);
  EXPECT_TRUE(torch::equal(data.label, torch::tensor({1, 10, 3, 4}, torch::kLong)));
  EXPECT_EQ(data.high, 255);
}

TEST(Mat, RealFilesAgreeWithTheirIdxForms) {
  const DataPath path = DataPath::standard();
  const auto frey = path.find("frey_faces/frey_rawface.mat"), faces = path.find("olivetti_faces/olivettifaces.mat");
  if (!frey || !faces) GTEST_SKIP() << "needs the real data sets in GIBBSITE_DATA";
  const Tensor frames = read_mat(*frey).front().second;
  EXPECT_TRUE(torch::equal(frames.t().reshape({1965, 28, 20}).to(torch::kByte),
                           read_idx(*path.find("frey_faces/frey-images-idx3-ubyte.gz"))));
  for (const auto& [name, array] : read_mat(*faces))
    if (name == "faces")
      EXPECT_TRUE(torch::equal(array.t().reshape({400, 64, 64}).transpose(1, 2).to(torch::kByte),
                               read_idx(*path.find("olivetti_faces/olivetti-images-idx3-ubyte.gz"))));
}

}  // namespace
}  // namespace gibbsite
