// Files made to hurt: sizes that multiply to nothing, claims that cost memory, numbers whose conversion is undefined.
#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/idx.h>
#include <gibbsite/data/image_file.h>
#include <gibbsite/data/mat.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/data/safetensors.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <unistd.h>
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <functional>

namespace gibbsite {
namespace {

std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const WorkError& error) {
    return error.what();
  }
  return "nothing was refused";
}

std::string little(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

std::string big(std::uint32_t value) {
  std::string text;
  for (int i = 3; i >= 0; --i) text += static_cast<char>(value >> (8 * i));
  return text;
}

void expect(const std::string& line, const std::string& part) { EXPECT_NE(line.find(part), std::string::npos) << line; }

TEST(HostileFile, EmptyArraysOfEnormousSizes) {
  const std::string idx = std::string("\0\0\x08\x08", 4) + big(0) + big(~0u) + big(~0u) + big(~0u) + big(~0u) +
                          big(~0u) + big(~0u) + big(~0u);
  expect(refusal([&] { parse_idx(idx, "f"); }), "f: the IDX header says");
  const std::string header = "{'descr': '<f8', 'fortran_order': False, 'shape': (0, 4611686018427387904, 4), }\n";
  expect(refusal([&] { parse_npy("\x93NUMPY\x01" + std::string(1, '\0') + little(header.size(), 2) + header, "f"); }),
         "f: the NPY header says");
  const std::string json = R"({"a":{"dtype":"F64","shape":[0,4611686018427387904,4],"data_offsets":[0,0]}})";
  expect(refusal([&] { parse_safetensors(little(json.size(), 8) + json, "f"); }), "does not fit");
}

// Entries that lie on top of each other would be a small file and a large answer.
TEST(HostileFile, NpzEntriesThatShareTheirBytes) {
  const std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("gibbsite_{}.npz", ::getpid())).string();
  write_npz(path, {{"x", torch::zeros({1000})}});
  const std::string file = read_file(path);
  std::filesystem::remove(path);
  EXPECT_EQ(parse_npz(file, "f").size(), 1u);
  const std::size_t begin = file.find("PK\x01\x02"), end = file.find("PK\x05\x06");
  const std::string entry = file.substr(begin, end - begin);
  std::string many = file.substr(0, begin);
  for (int i = 0; i < 1000; ++i) many += entry;
  many += "PK\x05\x06" + little(0, 4) + little(1000, 2) + little(1000, 2) + little(1000 * entry.size(), 4) +
          little(begin, 4) + little(0, 2);
  expect(refusal([&] { parse_npz(many, "f"); }), "damaged");
}

std::string mat_element(std::uint32_t type, const std::string& bytes) {
  return little(type, 4) + little(bytes.size(), 4) + bytes + std::string((8 - bytes.size() % 8) % 8, '\0');
}

std::string doubles(const std::vector<double>& values) {
  std::string bytes(8 * values.size(), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::string mat(const std::string& flags, const std::string& sizes, std::uint32_t stored, const std::string& numbers) {
  return "MATLAB 5.0 MAT-file" + std::string(105, ' ') + std::string("\0\1IM", 4) +
         mat_element(14, flags + sizes + mat_element(1, "a") + mat_element(stored, numbers));
}

TEST(HostileFile, MatNumbersThatDoNotConvert) {
  const std::string bytes_of = mat_element(6, little(9, 4) + little(0, 4)),
                    one = mat_element(5, little(1, 4) + little(1, 4));
  EXPECT_EQ(parse_mat(mat(bytes_of, one, 9, doubles({7})), "f").size(), 1u);
  for (const double value : {1e300, -1.0, 256.0, 0.5, std::nan("")})
    expect(refusal([&] { parse_mat(mat(bytes_of, one, 9, doubles({value})), "f"); }), "whole number");
  expect(refusal([&] { parse_mat(mat(mat_element(9, doubles({1e300})), one, 2, "x"), "f"); }), "whole number");
  expect(refusal([&] { parse_mat(mat(bytes_of, mat_element(9, doubles({1e300, 0})), 2, ""), "f"); }), "whole number");
  const std::string long_of = mat_element(6, little(15, 4) + little(0, 4));
  expect(refusal([&] { parse_mat(mat(long_of, one, 13, std::string(8, '\xff')), "f"); }), "whole number");
  EXPECT_EQ(parse_mat(mat(long_of, one, 12, little(~std::uint64_t{0}, 8)), "f")[0].second.item<std::int64_t>(), -1);
}

std::string chunk(const std::string& name, const std::string& content) {
  const std::string covered = name + content;
  return big(static_cast<std::uint32_t>(content.size())) + covered +
         big(static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(covered.data()), covered.size())));
}

// Both would take a gigabyte before they fail.
TEST(HostileFile, PicturesThatClaimMoreThanTheyHold) {
  const std::string png = "\x89PNG\r\n\x1a\n" +
                          chunk("IHDR", big(16000) + big(16000) + std::string("\x08\2\0\0\0", 5)) + chunk("IDAT", "x") +
                          chunk("IEND", "");
  expect(refusal([&] { decode_image(png, "f"); }),
         "f: cannot read the image: it claims 16000 × 16000 pixels in a file of");
  const std::string sizes("\x3e\x80\x3e\x80", 4);
  const std::string jpeg = "\xff\xd8\xff\xc2" + std::string("\0\x11\x08", 3) + sizes +
                           std::string("\3\1\x11\0\2\x11\0\3\x11\0", 10) + "\xff\xda" +
                           std::string("\0\x0c\3\1\0\2\0\3\0\0\0\0", 12);
  expect(refusal([&] { decode_image(jpeg, "f"); }),
         "f: cannot read the image: it claims 16000 × 16000 pixels in a file of");
  expect(refusal([&] { decode_image("RIFF\x10" + std::string(3, '\0') + "WEBPVP8 ", "f"); }), "it is WebP");
}

}  // namespace
}  // namespace gibbsite
