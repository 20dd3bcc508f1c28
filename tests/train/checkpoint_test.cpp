#include <gibbsite/core/error.h>
#include <gibbsite/train/checkpoint.h>
#include <sys/mount.h>
#include <torch/types.h>
#include <zlib.h>

#include <cstring>
#include <fstream>
#include <iterator>

#include "train/scratch.h"

namespace gibbsite {
namespace {

Checkpoint example(std::int64_t step = 7) {
  return {step,
          {{"recipe", "steps = 3\n# \"quoted\" ü\n"}},
          {{"part/weight", torch::linspace(-1, 1, 300, torch::kFloat).view({3, 100})},
           {"part/scalar", torch::full({}, 1e-300, torch::kDouble)},
           {"part/empty", torch::empty({0, 4})},
           {"step", torch::full({}, std::int64_t{1} << 60, torch::kLong)},
           {"mask", torch::tensor({true, false, true})}}};
}

std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void spill(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::string failure(const std::string& path) {
  try {
    read_checkpoint(path);
  } catch (const WorkError& error) {
    return error.what();
  }
  return "";
}

// A whole file around any header text, with checksums that hold.
std::string forged(const std::string& header, std::size_t payload_bytes) {
  const std::string payload(payload_bytes, 'x');
  std::string preamble(40, '\0');
  const std::uint64_t sizes[2] = {header.size(), payload.size()};
  const std::uint32_t version = 1;
  const auto* numbers = reinterpret_cast<const Bytef*>(payload.data());
  const auto payload_sum = static_cast<std::uint32_t>(crc32(0, numbers, static_cast<uInt>(payload.size())));
  std::memcpy(&preamble[0], "GIBBCKPT", 8);
  std::memcpy(&preamble[8], &version, 4);
  std::memcpy(&preamble[16], sizes, 16);
  std::memcpy(&preamble[32], &payload_sum, 4);
  const std::string covered = preamble.substr(16) + header;
  const auto sum = static_cast<std::uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(covered.data()), static_cast<uInt>(covered.size())));
  std::memcpy(&preamble[12], &sum, 4);
  return preamble + header + payload;
}

TEST(Checkpoint, RoundTripsEveryBit) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/a.pt";
  Checkpoint written = example();
  // Every float32 exponent and both signs, with denormals, infinities and NaN payloads among them.
  const Tensor bits = torch::arange(0, 1 << 16, torch::kInt).mul(65521);
  Tensor strange = torch::empty({1 << 16}, torch::kFloat);
  std::memcpy(strange.data_ptr(), bits.data_ptr(), strange.nbytes());
  written.tensors.emplace_back("strange", strange);
  written.tensors.emplace_back("transposed", torch::arange(12, torch::kFloat).view({3, 4}).t());
  write_checkpoint(path, written);
  const Checkpoint read = read_checkpoint(path);
  EXPECT_EQ(read.step, written.step);
  EXPECT_EQ(read.notes, written.notes);
  ASSERT_EQ(read.tensors.size(), written.tensors.size());
  for (std::size_t i = 0; i < read.tensors.size(); ++i) {
    const Tensor a = written.tensors[i].second.contiguous(), b = read.tensors[i].second;
    EXPECT_EQ(read.tensors[i].first, written.tensors[i].first);
    EXPECT_EQ(a.sizes(), b.sizes());
    ASSERT_EQ(a.scalar_type(), b.scalar_type());
    ASSERT_EQ(a.nbytes(), b.nbytes());
    EXPECT_TRUE(a.nbytes() == 0 || std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()) == 0) << read.tensors[i].first;
  }
  EXPECT_EQ(read.under("part/").size(), 3u);
  EXPECT_EQ(read.under("part/")[1].first, "scalar");
  EXPECT_THROW(read.at("absent"), WorkError);
  EXPECT_EQ(scratch.names(), std::set<std::string>{"a.pt"}) << "no temporary file stays";
}

TEST(Checkpoint, EveryTruncationIsNoticed) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/a.pt";
  write_checkpoint(path, example());
  const std::string whole = slurp(path);
  for (std::size_t length = 0; length < whole.size(); length += length < 60 ? 1 : 97) {
    spill(path, whole.substr(0, length));
    EXPECT_NE(failure(path).find("corrupt checkpoint"), std::string::npos) << length;
  }
  spill(path, whole + "x");
  EXPECT_NE(failure(path), "");
}

TEST(Checkpoint, EveryFlippedBitIsNoticed) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/a.pt";
  write_checkpoint(path, example());
  const std::string whole = slurp(path);
  for (std::size_t i = 0; i < whole.size(); i += i < 700 ? 1 : 13) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
    spill(path, damaged);
    EXPECT_NE(failure(path), "") << "byte " << i;
  }
}

TEST(Checkpoint, ForgedHeadersCannotAskForMoreThanTheFileHolds) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/a.pt";
  const auto tensors = [](const std::string& list) { return R"({"step":1,"notes":[],"tensors":[)" + list + "]}"; };
  spill(path, forged(tensors(R"({"name":"a","dtype":"float32","shape":[2],"offset":0,"bytes":8})"), 8));
  EXPECT_EQ(failure(path), "") << "the forger's work is accepted when it is honest";
  for (
      const char* bad : {
          R"({"name":"a","dtype":"float32","shape":[1099511627776],"offset":0,"bytes":4398046511104})",
          R"({"name":"a","dtype":"float32","shape":[4294967296,4294967296],"offset":0,"bytes":0})",
          R"({"name":"a","dtype":"float32","shape":[-2],"offset":0,"bytes":8})",
          R"({"name":"a","dtype":"float32","shape":[2],"offset":64,"bytes":8})",
          R"({"name":"a","dtype":"float32","shape":[2],"offset":0,"bytes":12})",
          R"({"name":"a","dtype":"pickle","shape":[2],"offset":0,"bytes":8})",
          R"({"name":"a","dtype":"float32","shape":[2],"offset":0,"bytes":8},{"name":"b","dtype":"float32","shape":[2],"offset":0,"bytes":8})",
          R"({"name":"a","dtype":"float32","shape":["2"],"offset":0,"bytes":8})",
          R"({"name":"a","dtype":"float32","shape":[2.5],"offset":0,"bytes":8})",
          R"({"name":3})",
          R"({"name":"a","dtype":"float32","shape":[0,281474976710656,281474976710656],"offset":0,"bytes":0})",
          R"({"name":"a","dtype":"float32","shape":[2],"offset":0,"bytes":1e300})",
          R"({"name":"a","dtype":"float32","shape":[2],"offset":-1.5,"bytes":8})",
      }) {
    spill(path, forged(tensors(bad), 8));
    EXPECT_NE(failure(path).find("corrupt checkpoint"), std::string::npos) << bad;
  }
  for (const char* bad : {"", "[]", "{", "null", R"({"step":"x","notes":[],"tensors":[]})",
                          R"({"step":1e300,"notes":[],"tensors":[]})"}) {
    spill(path, forged(bad, 8));
    EXPECT_NE(failure(path).find("corrupt checkpoint"), std::string::npos) << bad;
  }
}

// Reading a bool that is neither 0 nor 1 is undefined.
TEST(Checkpoint, ForgedBoolsBecomeTrue) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/a.pt";
  spill(path,
        forged(R"({"step":1,"notes":[],"tensors":[{"name":"a","dtype":"bool","shape":[2],"offset":0,"bytes":2}]})", 2));
  const Tensor flags = read_checkpoint(path).at("a");
  EXPECT_EQ(static_cast<const unsigned char*>(flags.data_ptr())[1], 1);
}

TEST(Checkpoint, ForeignFilesAreRefused) {
  const ScratchDirectory scratch;
  const std::string path = scratch.path() + "/a.pt";
  spill(path, std::string(100, 'P'));
  EXPECT_NE(failure(path).find("not a gibbsite checkpoint"), std::string::npos);
  EXPECT_NE(failure(scratch.path() + "/absent.pt").find("No such file"), std::string::npos);
  EXPECT_NE(failure(scratch.path()).find("directory"), std::string::npos);
}

TEST(CheckpointStore, KeepsTheNewestTwoAndTheBest) {
  const ScratchDirectory scratch;
  const CheckpointStore store(scratch.path());
  for (const std::int64_t step : {5, 10, 15, 20, 100}) store.save(example(step), step == 10);
  EXPECT_EQ(scratch.names(), (std::set<std::string>{"checkpoint-20.pt", "checkpoint-100.pt", "checkpoint-best.pt"}));
  MemoryLogger logger;
  EXPECT_EQ(store.load_newest(logger).step, 100);
  EXPECT_EQ(store.load_best(logger).step, 10);
  store.save(example(120), true);
  EXPECT_EQ(store.load_best(logger).step, 120);
  store.save(example(120), true);
  store.save(example(110));
  EXPECT_EQ(scratch.names(), (std::set<std::string>{"checkpoint-100.pt", "checkpoint-110.pt", "checkpoint-best.pt"}))
      << "a course that was given up goes";
  EXPECT_TRUE(logger.warnings.empty());
}

TEST(CheckpointStore, TruncatedNewestCostsOneWarning) {
  const ScratchDirectory scratch;
  const CheckpointStore store(scratch.path());
  store.save(example(1), true);
  store.save(example(2));
  store.save(example(3));
  std::filesystem::resize_file(store.path(3), 200);
  MemoryLogger logger;
  EXPECT_EQ(store.load_newest(logger).step, 2);
  ASSERT_EQ(logger.warnings.size(), 1u);
  EXPECT_NE(logger.warnings[0].find("checkpoint-3.pt"), std::string::npos);
  EXPECT_NE(logger.warnings[0].find("checkpoint-2.pt"), std::string::npos);
  EXPECT_EQ(logger.warnings[0].find('\n'), std::string::npos);

  std::filesystem::resize_file(store.path(2), 0);
  logger.warnings.clear();
  EXPECT_EQ(store.load_newest(logger).step, 1) << "the best one is the last resort";
  EXPECT_EQ(logger.warnings.size(), 1u);

  std::filesystem::resize_file(store.best_path(), 10);
  logger.warnings.clear();
  try {
    store.load_newest(logger);
    FAIL();
  } catch (const WorkError& error) {
    const std::string line = error.what();
    EXPECT_NE(line.find(scratch.path() + ": no readable checkpoint"), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos);
  }
  EXPECT_TRUE(logger.warnings.empty());
  EXPECT_THROW(CheckpointStore(scratch.path() + "/absent").load_newest(logger), WorkError);
}

TEST(CheckpointStore, UnwritableDirectoryIsOneLine) {
  const ScratchDirectory scratch;
  spill(scratch.path() + "/file", "in the way");
  const CheckpointStore store(scratch.path() + "/file");
  try {
    store.save(example());
    FAIL();
  } catch (const WorkError& error) {
    const std::string line = error.what();
    EXPECT_NE(line.find(scratch.path() + "/file"), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos);
  }
}

TEST(CheckpointStore, LeftoversOfAKilledProcessGo) {
  const ScratchDirectory scratch;
  spill(scratch.path() + "/checkpoint-3.pt.12.part", "half");
  CheckpointStore(scratch.path()).save(example(4));
  EXPECT_EQ(scratch.names(), std::set<std::string>{"checkpoint-4.pt"});
}

TEST(CheckpointStore, FailedWriteLeavesEarlierFilesAndNoTemporary) {
  const ScratchDirectory scratch;
  const CheckpointStore store(scratch.path());
  store.save(example(1));
  const std::string before = slurp(store.path(1));
  // rename() onto a directory fails after everything has been written.
  std::filesystem::create_directory(store.path(2));
  EXPECT_THROW(store.save(example(2)), WorkError);
  EXPECT_EQ(scratch.names(), (std::set<std::string>{"checkpoint-1.pt", "checkpoint-2.pt"}));
  EXPECT_EQ(slurp(store.path(1)), before);
}

TEST(CheckpointStore, FullDisk) {
  const ScratchDirectory scratch;
  const std::string mount_point = scratch.path() + "/small";
  std::filesystem::create_directory(mount_point);
  if (::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP() << "cannot mount a small tmpfs: " << std::strerror(errno);
  struct Unmount {
    std::string path;
    ~Unmount() { ::umount2(path.c_str(), MNT_DETACH); }
  } const unmount{mount_point};
  const CheckpointStore store(mount_point);
  store.save(example(1));
  const std::string before = slurp(store.path(1));
  Checkpoint large = example(2);
  large.tensors.emplace_back("large", torch::ones({100000}));
  try {
    store.save(large);
    FAIL();
  } catch (const WorkError& error) {
    const std::string line = error.what();
    EXPECT_NE(line.find("No space left on device"), std::string::npos) << line;
    EXPECT_NE(line.find("checkpoint-2.pt"), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos);
  }
  EXPECT_EQ(store.steps(), std::vector<std::int64_t>{1});
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(mount_point), {}), 1);
  EXPECT_EQ(slurp(store.path(1)), before);
}

TEST(CopyTensors, NamesWhatDoesNotFit) {
  const Tensor live = torch::zeros({2});
  EXPECT_THROW(copy_tensors({}, {{"a", live}}, "x"), WorkError);
  EXPECT_THROW(copy_tensors({{"a", torch::zeros({3})}}, {{"a", live}}, "x"), WorkError);
  EXPECT_THROW(copy_tensors({{"a", torch::zeros({2}, torch::kDouble)}}, {{"a", live}}, "x"), WorkError);
  copy_tensors({{"b", torch::zeros({9})}, {"a", torch::ones({2})}}, {{"a", live}}, "x");
  EXPECT_TRUE(torch::equal(live, torch::ones({2})));
}

}  // namespace
}  // namespace gibbsite
