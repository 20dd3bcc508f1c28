#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/safetensors.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <filesystem>

namespace gibbsite {
namespace {

std::string with_header(const std::string& header, const std::string& data, std::uint64_t length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>((length >> (8 * i)) & 0xff);
  return bytes + header + data;
}

std::string with_header(const std::string& header, const std::string& data) {
  return with_header(header, data, header.size());
}

// The error of these bytes, "" if they are read.
std::string refusal(const std::string& bytes) {
  try {
    parse_safetensors(bytes, "file");
  } catch (const WorkError& error) {
    return error.what();
  }
  return "";
}

TEST(Safetensors, ReadsABufferWorkedByHand) {
  // Two tensors out of order in the header: b = [1, 2] as bytes, then a = 1.5 as a little-endian float.
  const std::string data = std::string("\x01\x02", 2) + std::string("\x00\x00\xc0\x3f", 4);
  const Safetensors read =
      parse_safetensors(with_header(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[2,6]},"__metadata__":{"k":"v"},)"
                                    R"("b":{"dtype":"U8","shape":[2,1],"data_offsets":[0,2]}}  )",
                                    data),
                        "file");
  ASSERT_EQ(read.tensors.size(), 2u);
  EXPECT_EQ(read.tensors[0].first, "b");
  EXPECT_TRUE(torch::equal(read.tensors[0].second, torch::tensor({1, 2}, torch::kByte).view({2, 1})));
  EXPECT_EQ(read.tensors[1].first, "a");
  EXPECT_EQ(read.tensors[1].second.dim(), 0);
  EXPECT_EQ(read.tensors[1].second.item<float>(), 1.5F);
  EXPECT_EQ(read.metadata, (std::vector<std::pair<std::string, std::string>>{{"k", "v"}}));
}

TEST(Safetensors, WritesWhatItReads) {
  const std::string path = (std::filesystem::temp_directory_path() / "gibbsite-safetensors-test").string();
  Safetensors content;
  content.metadata = {{"format", "pt"}, {"text", "a \"quoted\"\nline"}};
  for (const auto type : {torch::kDouble, torch::kFloat, torch::kHalf, torch::kBFloat16, torch::kLong, torch::kInt,
                          torch::kShort, torch::kChar, torch::kByte, torch::kBool})
    content.tensors.emplace_back(c10::toString(type), torch::arange(6).view({2, 3}).to(type));
  content.tensors.emplace_back("empty", torch::zeros({3, 0}));
  content.tensors.emplace_back("turned", torch::arange(6.0).view({2, 3}).t());
  write_safetensors(path, content);
  const std::string bytes = read_file(path);
  EXPECT_EQ(static_cast<unsigned char>(bytes[0]) % 8, 0) << "the data are aligned";
  const Safetensors back = read_safetensors(path);
  std::filesystem::remove(path);
  EXPECT_EQ(back.metadata, content.metadata);
  ASSERT_EQ(back.tensors.size(), content.tensors.size());
  for (std::size_t i = 0; i < back.tensors.size(); ++i)
    for (const auto& [name, tensor] : content.tensors)
      if (name == back.tensors[i].first) {
        EXPECT_EQ(back.tensors[i].second.scalar_type(), tensor.scalar_type()) << name;
        EXPECT_TRUE(torch::equal(back.tensors[i].second, tensor)) << name;
      }
  content.tensors.emplace_back("Float", torch::zeros(1));
  EXPECT_THROW(write_safetensors(path, content), WorkError);
}

TEST(Safetensors, RefusesWhatTheFileCannotHold) {
  const std::string four(4, '\0');
  const auto entry = [](const std::string& shape, const std::string& offsets, const std::string& dtype = "F32") {
    return R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  EXPECT_EQ(refusal(with_header(entry("[1]", "[0,4]"), four)), "");
  EXPECT_NE(refusal(""), "");
  EXPECT_NE(refusal("short"), "");
  EXPECT_NE(refusal(with_header("{}", "", 3)), "");
  EXPECT_NE(refusal(with_header("{}", "", ~std::uint64_t{0})), "");
  EXPECT_NE(refusal(with_header("{}", "", ~std::uint64_t{0} - 7)), "");
  EXPECT_NE(refusal(with_header("nonsense", "")), "");
  EXPECT_NE(refusal(with_header("[]", "")), "");
  EXPECT_NE(refusal(with_header("{}", "rest")), "") << "bytes of no tensor";
  EXPECT_NE(refusal(with_header(entry("[2]", "[0,4]"), four)), "");
  EXPECT_NE(refusal(with_header(entry("[1]", "[0,8]"), four)), "");
  EXPECT_NE(refusal(with_header(entry("[1]", "[4,0]"), four)), "");
  EXPECT_NE(refusal(with_header(entry("[-1]", "[0,4]"), four)), "");
  EXPECT_NE(refusal(with_header(entry("[1.0]", "[0,4]"), four)), "");
  EXPECT_NE(refusal(with_header(entry("[1]", "[0,4]", "C64"), four)), "");
  EXPECT_NE(refusal(with_header(entry("[1]", "[0]"), four)), "");
  EXPECT_NE(refusal(with_header(entry("1", "[0,4]"), four)), "");
  // 2^32 · 2^32 · 4 bytes wrap to nothing; one size alone is larger than any file; an empty tensor owns no bytes.
  EXPECT_NE(refusal(with_header(entry("[4294967296,4294967296]", "[0,0]"), "")), "");
  EXPECT_NE(refusal(with_header(entry("[18446744073709551615]", "[0,4]"), four)), "");
  EXPECT_NE(refusal(with_header(entry("[0,9223372036854775807]", "[0,0]"), "")), "");
  EXPECT_NE(refusal(with_header(entry("[0]", "[0,4]"), four)), "");
  const std::string hole = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                           R"("b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})";
  EXPECT_NE(refusal(with_header(hole, "abc")), "");
  const std::string overlap = R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                              R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})";
  EXPECT_NE(refusal(with_header(overlap, "abc")), "");
  const std::string twice = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                            R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})";
  EXPECT_NE(refusal(with_header(twice, "ab")).find("twice"), std::string::npos);
  EXPECT_NE(refusal(with_header(std::string(100000, '['), "")), "");
  EXPECT_NE(refusal(with_header(R"({"__metadata__":{"k":1}})", "")), "");
}

TEST(Safetensors, SurvivesEveryTruncationAndByteFlip) {
  const std::string path = (std::filesystem::temp_directory_path() / "gibbsite-safetensors-flip").string();
  write_safetensors(path, {{{"a", torch::arange(4.0)}, {"b", torch::zeros({2, 2}, torch::kLong)}}, {{"k", "v"}}});
  const std::string bytes = read_file(path);
  std::filesystem::remove(path);
  for (std::size_t n = 0; n < bytes.size(); ++n) EXPECT_NE(refusal(bytes.substr(0, n)), "") << n;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (const char mask : {'\x01', '\x10', '\x80', '\xff'}) {
      std::string flipped = bytes;
      flipped[i] = static_cast<char>(flipped[i] ^ mask);
      refusal(flipped);  // either way without a crash
    }
}

}  // namespace
}  // namespace gibbsite
