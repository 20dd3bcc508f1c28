#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/report/event_file.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <map>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

// A reader that shares nothing with the writer: bitwise CRC, fields by number, no schema.
std::uint32_t bitwise_crc(const std::string& bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const char c : bytes)
    for (int bit = 0; bit < 8; ++bit) {
      const std::uint32_t in = static_cast<unsigned char>(c) >> bit & 1;
      const std::uint32_t out = (crc ^ in) & 1;
      crc >>= 1;
      if (out) crc ^= 0x82f63b78;
    }
  return crc ^ 0xffffffff;
}

template <class T>
T number_at(const std::string& bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

std::uint32_t unmasked(std::uint32_t value) {
  const std::uint32_t rotated = value - 0xa282ead8;
  return rotated << 15 | rotated >> 17;
}

using Message = std::multimap<int, std::string>;  // raw bytes of every field; varints as eight of them

Message parse(const std::string& bytes) {
  Message message;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(at++));
      value |= static_cast<std::uint64_t>(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.size()) {
    const std::uint64_t key = varint();
    std::string content;
    switch (key & 7) {
      case 0: {
        const std::uint64_t value = varint();
        content.assign(reinterpret_cast<const char*>(&value), 8);
        break;
      }
      case 1: content = bytes.substr(at, 8), at += 8; break;
      case 5: content = bytes.substr(at, 4), at += 4; break;
      case 2: {
        const std::uint64_t size = varint();
        content = bytes.substr(at, size);
        EXPECT_EQ(content.size(), size);
        at += size;
        break;
      }
      default: ADD_FAILURE() << "kind " << (key & 7);
    }
    message.emplace(static_cast<int>(key >> 3), content);
  }
  return message;
}

std::vector<Message> read_events(const std::string& path) {
  const std::string file = read_file(path);
  std::vector<Message> events;
  for (std::size_t at = 0; at < file.size();) {
    const auto size = number_at<std::uint64_t>(file, at);
    EXPECT_EQ(unmasked(number_at<std::uint32_t>(file, at + 8)), bitwise_crc(file.substr(at, 8)));
    const std::string payload = file.substr(at + 12, size);
    EXPECT_EQ(unmasked(number_at<std::uint32_t>(file, at + 12 + size)), bitwise_crc(payload));
    events.push_back(parse(payload));
    at += 16 + size;
  }
  return events;
}

std::int64_t step_of(const Message& event) { return number_at<std::int64_t>(event.find(2)->second, 0); }

std::vector<Message> values_of(const Message& event) {
  std::vector<Message> values;
  const Message summary = parse(event.find(5)->second);
  for (auto [first, last] = summary.equal_range(1); first != last; ++first) values.push_back(parse(first->second));
  return values;
}

class Events : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = (fs::temp_directory_path() / fmt::format("gibbsite_events_{}", ::getpid())).string();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string folder_;
};

TEST(Crc32c, HasTheCheckValue) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720, B.4
}

TEST_F(Events, ReadBackByAnotherReader) {
  EventFile writer(folder_, 0);
  EXPECT_EQ(fs::path(writer.path()).filename().string().rfind("events.out.tfevents.", 0), 0u);
  writer.write(300, "main", {{"loss", -1.5}, {"norm", 2}});
  writer.images(301, "data", torch::linspace(0, 1, 2 * 3 * 4).view({2, 3, 4}));
  const Tensor x = torch::tensor({-1.0, 0.0, 0.5, 3.0, 3.0, std::nan("")}, torch::kDouble);
  writer.histogram(302, "weights", x, 4);
  writer.histogram(303, "constant", torch::full({7}, 2.0));
  writer.flush();
  const std::vector<Message> events = read_events(writer.path());
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[0].find(3)->second, "brain.Event:2");
  EXPECT_GT(number_at<double>(events[0].find(1)->second, 0), 1.6e9);

  EXPECT_EQ(step_of(events[1]), 300);
  const std::vector<Message> scalars = values_of(events[1]);
  ASSERT_EQ(scalars.size(), 2u);
  EXPECT_EQ(scalars[0].find(1)->second, "main/loss");
  EXPECT_EQ(number_at<float>(scalars[0].find(2)->second, 0), -1.5f);

  const Message image = parse(values_of(events[2])[0].find(4)->second);
  const std::string& png = image.find(4)->second;
  EXPECT_EQ(png.substr(1, 3), "PNG");
  // Height and width are those in the PNG's own header, big-endian.
  EXPECT_EQ(number_at<std::int64_t>(image.find(1)->second, 0), static_cast<unsigned char>(png[23]));
  EXPECT_EQ(number_at<std::int64_t>(image.find(2)->second, 0), static_cast<unsigned char>(png[19]));
  EXPECT_EQ(number_at<std::int64_t>(image.find(3)->second, 0), 1);

  const Message histogram = parse(values_of(events[3])[0].find(5)->second);
  const auto number = [&](int field) { return number_at<double>(histogram.find(field)->second, 0); };
  EXPECT_EQ(number(1), -1);
  EXPECT_EQ(number(2), 3);
  EXPECT_EQ(number(3), 5);
  EXPECT_EQ(number(4), 5.5);
  EXPECT_EQ(number(5), 19.25);
  const std::vector<double> limits = {0, 1, 2, 3}, counts = {1, 2, 0, 2};
  ASSERT_EQ(histogram.find(6)->second.size(), 32u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(number_at<double>(histogram.find(6)->second, 8 * i), limits[i]);
    EXPECT_EQ(number_at<double>(histogram.find(7)->second, 8 * i), counts[i]);
  }
  const Message constant = parse(values_of(events[4])[0].find(5)->second);
  EXPECT_EQ(number_at<double>(constant.find(7)->second, 0), 7);
}

TEST_F(Events, ARunThatGoesOnSaysFromWhere) {
  EventFile writer(folder_, 41);
  const std::vector<Message> events = read_events(writer.path());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(step_of(events[1]), 41);
  EXPECT_EQ(number_at<std::int64_t>(parse(events[1].find(7)->second).find(1)->second, 0), 1);
  EXPECT_THROW(EventFile("/proc/nowhere", 0), WorkError);
}

// A clock that went backwards between two parts of a run leaves a file of the future.
TEST_F(Events, NamesFollowEachOtherWhateverTheClockDoes) {
  const std::string future = folder_ + "/events.out.tfevents.4102444800.host.1";
  write_file(future, "");
  const std::string first = EventFile(folder_, 0).path();
  EXPECT_GT(first, future);
  EXPECT_NE(first.find("tfevents.4102444801."), std::string::npos) << first;
  EXPECT_GT(EventFile(folder_, 20).path(), first);
}

}  // namespace
}  // namespace gibbsite
