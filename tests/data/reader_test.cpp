#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/core/random.h>
#include <gibbsite/data/csv.h>
#include <gibbsite/data/data_path.h>
#include <gibbsite/data/gzip.h>
#include <gibbsite/data/idx.h>
#include <gibbsite/data/named_set.h>
#include <gibbsite/data/npy.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>

namespace gibbsite {
namespace {

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gibbsite-data-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string operator/(const std::string& name) const { return path + "/" + name; }
  std::string path;
};

std::string gzip(const std::string& content) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, content.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// The one line of a WorkError; fails the test if there is none.
template <class Call>
std::string work_error(Call call) {
  try {
    call();
  } catch (const WorkError& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    EXPECT_EQ(error.exit_code(), 1);
    return error.what();
  }
  ADD_FAILURE() << "no WorkError";
  return "";
}

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

const std::string kIdx("\0\0\x08\x02\0\0\0\x02\0\0\0\x03\x01\x02\x03\x04\x05\xff", 18);

TEST(Idx, ReadsPlainAndCompressed) {
  const Folder folder;
  write_file(folder / "a", kIdx);
  write_file(folder / "b.gz", gzip(kIdx));
  const Tensor expected = torch::tensor({{1, 2, 3}, {4, 5, 255}}, torch::kByte);
  EXPECT_TRUE(torch::equal(read_idx(folder / "a"), expected));
  EXPECT_TRUE(torch::equal(read_idx(folder / "b.gz"), expected));
  // Two members one after the other are one stream.
  write_file(folder / "c.gz", gzip(kIdx.substr(0, 9)) + gzip(kIdx.substr(9)));
  EXPECT_TRUE(torch::equal(read_idx(folder / "c.gz"), expected));
}

TEST(Idx, ReadsBigEndianNumbers) {
  const std::string numbers("\0\0\x0c\x01\0\0\0\x02\0\0\x01\x02\xff\xff\xff\xfe", 16);
  EXPECT_TRUE(torch::equal(parse_idx(numbers, "x"), torch::tensor({258, -2}, torch::kInt)));
  const std::string real("\0\0\x0d\x01\0\0\0\x01\x3f\xc0\0\0", 12);
  EXPECT_TRUE(torch::equal(parse_idx(real, "x"), torch::tensor({1.5f})));
}

TEST(Idx, RefusesDamagedFilesInOneLine) {
  const Folder folder;
  EXPECT_HAS(work_error([&] { read_idx(folder / "absent"); }), "absent");
  std::string wrong = kIdx;
  wrong[0] = 'P';
  EXPECT_HAS(work_error([&] { parse_idx(wrong, "file"); }), "not an IDX file");
  std::string large = kIdx;
  large[4] = '\x7f';  // two thousand million rows
  EXPECT_HAS(work_error([&] { parse_idx(large, "file"); }), "the file holds 6");
  large[8] = '\x7f';
  EXPECT_HAS(work_error([&] { parse_idx(large, "file"); }), "the file holds 6");
  EXPECT_HAS(work_error([&] { parse_idx(kIdx + "x", "file"); }), "1 bytes after");
  EXPECT_HAS(work_error([&] { parse_idx(kIdx.substr(0, 7), "file"); }), "cut off");
  EXPECT_HAS(work_error([&] { parse_idx("", "file"); }), "too few");
  const std::string packed = gzip(kIdx);
  for (const std::size_t length : {packed.size() - 1, packed.size() - 8, packed.size() / 2, std::size_t{11}}) {
    write_file(folder / "cut.gz", packed.substr(0, length));
    EXPECT_HAS(work_error([&] { read_idx(folder / "cut.gz"); }), "ends early");
  }
  std::string damaged = packed;
  damaged[packed.size() - 6] = static_cast<char>(damaged[packed.size() - 6] ^ 1);  // its checksum
  write_file(folder / "bad.gz", damaged);
  EXPECT_HAS(work_error([&] { read_idx(folder / "bad.gz"); }), "damaged");
}

TEST(Csv, ReadsHeaderLabelAndSeparators) {
  const CsvTable semicolon = parse_csv("\"a b\";\"c\";\"quality\"\r\n1;2.5;3\r\n-4;5e-3;6\r\n", "f", "quality");
  EXPECT_EQ(semicolon.columns, (std::vector<std::string>{"a b", "c"}));
  EXPECT_TRUE(torch::equal(semicolon.x, torch::tensor({{1.0, 2.5}, {-4.0, 5e-3}}, torch::kDouble)));
  EXPECT_TRUE(torch::equal(semicolon.label, torch::tensor({3, 6}, torch::kLong)));
  const CsvTable bare = parse_csv("1,2,7\n3,+4,8", "f", "2");
  EXPECT_EQ(bare.columns, (std::vector<std::string>{"column 1", "column 2"}));
  EXPECT_TRUE(torch::equal(bare.x, torch::tensor({{1, 2}, {3, 4}}, torch::kDouble)));
  EXPECT_TRUE(torch::equal(bare.label, torch::tensor({7, 8}, torch::kLong)));
  const CsvTable tabs = parse_csv("\xef\xbb\xbfx\ty\n\n1\t2\n", "f");
  EXPECT_EQ(tabs.columns, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(tabs.x.size(0), 1);
  EXPECT_FALSE(tabs.label.defined());
  const CsvTable words = parse_csv("x,kind\n1,pear\n2,apple\n3,pear\n", "f", "kind");
  EXPECT_TRUE(torch::equal(words.label, torch::tensor({1, 0, 1}, torch::kLong)));
}

TEST(Csv, ReportsFileLineAndColumn) {
  for (const char* bad : {"nan", "NaN", "inf", "-inf", "1e999"}) {
    const std::string line = work_error([&] { parse_csv(std::string("a,b\n1,2\n3,") + bad + "\n", "t.csv"); });
    EXPECT_HAS(line, "t.csv:3");
    EXPECT_HAS(line, "column 2 ('b')");
    EXPECT_HAS(line, "not a finite number");
  }
  for (const char* missing : {"", "NA", "?", " "}) {
    const std::string line = work_error([&] { parse_csv(std::string("a,b\n") + missing + ",2\n", "t.csv"); });
    EXPECT_HAS(line, "t.csv:2: column 1 ('a') is missing");
  }
  EXPECT_HAS(work_error([] { parse_csv("1,2\n3,x\n", "t.csv"); }), "'x', not a number");
  EXPECT_HAS(work_error([] { parse_csv("1,2\n3\n", "t.csv"); }), "1 fields, expected 2");
  EXPECT_HAS(work_error([] { parse_csv("a,b\n", "t.csv"); }), "no rows");
  EXPECT_HAS(work_error([] { parse_csv("", "t.csv"); }), "no rows");
  EXPECT_THROW(parse_csv("a,b\n1,2\n", "t.csv", "c"), RequestError);
}

TEST(Csv, WritesNumbersThatReadBackToTheSameBits) {
  const Folder folder;
  const Tensor x = Rng(1, "csv").normal({5, 3}, torch::kDouble) / 3;
  write_csv(folder / "x.csv", x, {"a", "b", "c"});
  const CsvTable back = read_csv(folder / "x.csv");
  EXPECT_TRUE(torch::equal(back.x, x));
  EXPECT_EQ(back.columns, (std::vector<std::string>{"a", "b", "c"}));
  write_csv(folder / "f.csv", x.to(torch::kFloat).view({5, 3, 1}));
  EXPECT_TRUE(torch::equal(read_csv(folder / "f.csv").x.to(torch::kFloat), x.to(torch::kFloat)));
  write_csv(folder / "i.csv", torch::arange(3).to(torch::kByte));
  EXPECT_EQ(read_file(folder / "i.csv"), "0\n1\n2\n");
}

TEST(Npy, RoundTripsEveryType) {
  const Folder folder;
  for (const auto type : {torch::kFloat, torch::kDouble, torch::kByte, torch::kInt, torch::kLong, torch::kBool})
    for (const Shape& shape : std::vector<Shape>{{}, {0}, {3}, {2, 3, 4}}) {
      const Tensor x = (torch::arange(event_size(shape)).view(shape) % 7).to(type);
      write_npy(folder / "x.npy", x);
      const Tensor back = read_npy(folder / "x.npy");
      EXPECT_EQ(back.scalar_type(), type);
      EXPECT_TRUE(torch::equal(back, x));
    }
  write_npy(folder / "t.npy", torch::arange(6).view({2, 3}).t());
  EXPECT_TRUE(torch::equal(read_npy(folder / "t.npy"), torch::arange(6).view({2, 3}).t()));
}

// Built here by the format's description, not by write_npy.
std::string npy(const std::string& dictionary, const std::string& values, int version = 1) {
  std::string out = "\x93NUMPY";
  out += static_cast<char>(version);
  out += '\0';
  out += static_cast<char>(dictionary.size());
  out += '\0';
  if (version == 2) out += std::string(2, '\0');
  return out + dictionary + values;
}

TEST(Npy, ReadsFortranOrderAndVersionTwo) {
  std::string values(6, '\0');
  for (int i = 0; i < 6; ++i) values[static_cast<std::size_t>(i)] = static_cast<char>(i);
  const Tensor columns = parse_npy(npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }\n", values), "x");
  EXPECT_TRUE(torch::equal(columns, torch::tensor({{0, 2, 4}, {1, 3, 5}}, torch::kByte)));
  const Tensor rows = parse_npy(npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }\n", values, 2), "x");
  EXPECT_TRUE(torch::equal(rows, torch::tensor({{0, 1, 2}, {3, 4, 5}}, torch::kByte)));
}

TEST(Npy, RefusesDamagedFilesInOneLine) {
  const std::string good = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }\n", std::string(4, '\0'));
  EXPECT_HAS(work_error([&] { parse_npy(good + "x", "f"); }), "holds 5");
  for (std::size_t length = 0; length < good.size(); ++length)
    work_error([&] { parse_npy(good.substr(0, length), "f"); });
  EXPECT_HAS(
      work_error([&] { parse_npy(npy("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", "abcd"), "f"); }),
      ">f4");
  EXPECT_HAS(work_error([&] {
               parse_npy(npy("{'descr': [('a','<f4')], 'fortran_order': False, 'shape': (1,), }", "abcd"), "f");
             }),
             "a structure");
  EXPECT_HAS(
      work_error([&] {
        parse_npy(
            npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9000000000000000000, 9000000000000000000), }", ""),
            "f");
      }),
      "the file holds 0");
  work_error([&] { parse_npy(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", ""), "f"); });
}

TEST(Npz, RoundTripsAndNoticesDamage) {
  const Folder folder;
  const NamedTensors arrays = {{"energy", torch::arange(5, torch::kFloat)},
                               {"score", torch::ones({5, 2}, torch::kDouble)}};
  write_npz(folder / "x.npz", arrays);
  const NamedTensors back = read_npz(folder / "x.npz");
  ASSERT_EQ(back.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(back[i].first, arrays[i].first);
    EXPECT_TRUE(torch::equal(back[i].second, arrays[i].second));
  }
  const std::string content = read_file(folder / "x.npz");
  std::string flipped = content;
  flipped[180] = static_cast<char>(flipped[180] ^ 1);  // a value of the first array
  work_error([&] { parse_npz(flipped, "f"); });
  for (std::size_t length = 0; length < content.size(); length += 3)
    work_error([&] { parse_npz(content.substr(0, length), "f"); });
}

TEST(DataPath, SearchesInOrderAndSaysWhere) {
  const Folder first, second;
  write_file(second / "set/a.gz", "second");
  DataPath path;
  path.folders = {first.path, second.path};
  EXPECT_EQ(path.require("set", "set/a.gz", "how"), second / "set/a.gz");
  write_file(first / "set/a", "first, without .gz");
  EXPECT_EQ(path.require("set", "set/a.gz", "how"), first / "set/a");
  const std::string line = work_error([&] { path.require("mnist", "mnist/b.gz", "get it there"); });
  for (const std::string& part : {std::string("mnist/b.gz"), first.path, second.path, std::string("get it there")})
    EXPECT_HAS(line, part);
  // Every named set reports its missing files that way.
  DataPath nowhere;
  nowhere.folders = {first.path + "/nothing"};
  for (const NamedSet& set : named_sets())
    if (set.how != "generated")
      EXPECT_HAS(work_error([&] { load_published(set.name, nowhere); }), first.path + "/nothing") << set.name;
}

TEST(NamedSets, ConstantImagesHaveOneColourEach) {
  for (const auto& [name, event] :
       {std::pair("constants", Shape{28, 28}), std::pair("colour-constants", Shape{3, 32, 32})}) {
    const Tensor x = load_for_evaluation(name, {}).x;
    EXPECT_EQ(event_shape(x), event);
    EXPECT_EQ(x.scalar_type(), torch::kByte);
    const Tensor channels = x.view({x.size(0), -1, event[event.size() - 1] * event[event.size() - 1]});
    EXPECT_TRUE(channels.amax(2).equal(channels.amin(2)));
    // Uniform on 0 … 255: mean 127.5, variance (256² - 1)/12.
    const Tensor levels = channels.select(2, 0).to(torch::kDouble);
    const double error = std::sqrt((65536.0 - 1) / 12 / static_cast<double>(levels.numel()));
    EXPECT_NEAR(levels.mean().item<double>(), 127.5, 4 * error);
    EXPECT_EQ(levels.min().item<double>(), 0);
    EXPECT_EQ(levels.max().item<double>(), 255);
  }
}

TEST(LoadFile, TellsKindsByExtensionAndMagic) {
  const Folder folder;
  write_file(folder / "a.csv", "x,y\n1,2\n3,4\n");
  EXPECT_EQ(load_file(folder / "a.csv").columns.size(), 2u);
  write_file(folder / "images-idx3-ubyte.gz",
             gzip(std::string("\0\0\x08\x03\0\0\0\x02\0\0\0\1\0\0\0\x01\x05\x06", 18)));
  write_file(folder / "labels-idx1-ubyte.gz", gzip(std::string("\0\0\x08\x01\0\0\0\x02\x07\x08", 10)));
  const Dataset images = load_file(folder / "images-idx3-ubyte.gz");
  EXPECT_EQ(images.event(), (Shape{1, 1}));
  EXPECT_TRUE(torch::equal(images.label, torch::tensor({7, 8}, torch::kLong)));
  EXPECT_EQ(images.high, 255);
  write_file(folder / "unnamed", kIdx);
  EXPECT_EQ(load_file(folder / "unnamed").x.size(0), 2);
  write_npy(folder / "renamed", torch::ones({3, 2}));
  EXPECT_EQ(load_file(folder / "renamed").x.size(0), 3);
  write_npz(folder / "z.npz", {{"label", torch::arange(3)}, {"x", torch::ones({3, 2})}});
  EXPECT_TRUE(load_file(folder / "z.npz").label.defined());
  write_file(folder / "other", "hello");
  EXPECT_HAS(work_error([&] { load_file(folder / "other"); }), "not known");
  write_npy(folder / "nan.npy", torch::tensor({{1.0, 2.0}, {3.0, std::nan("")}}));
  EXPECT_HAS(work_error([&] { load_file(folder / "nan.npy"); }), "row 1, column 1");
  EXPECT_THROW(load_published("mnits", DataPath()), RequestError);
  EXPECT_THROW(load_published("ring", DataPath()), RequestError);
  EXPECT_HAS(work_error([&] { load_published(folder / "no.csv", DataPath()); }), "no.csv");
}

TEST(NamedSets, ReadTheRealFiles) {
  if (!std::getenv("GIBBSITE_DATA")) GTEST_SKIP() << "needs the real data sets in GIBBSITE_DATA";
  const DataPath path = DataPath::standard();
  if (!path.find("mnist/train-images-idx3-ubyte.gz")) GTEST_SKIP() << "needs the real data sets in GIBBSITE_DATA";
  const auto check = [&](const std::string& name, std::int64_t train, std::int64_t test, const Shape& event,
                         bool labels) {
    const Published set = load_published(name, path);
    EXPECT_EQ(set.train ? set.train->size() : 0, train) << name;
    EXPECT_EQ(set.test ? set.test->size() : 0, test) << name;
    const Dataset& part = set.train ? *set.train : *set.test;
    EXPECT_EQ(part.event(), event) << name;
    EXPECT_EQ(part.label.defined(), labels) << name;
    return part;
  };
  const Dataset mnist = check("mnist", 60000, 10000, {28, 28}, true);
  EXPECT_EQ(mnist.label[0].item<int>(), 5);
  EXPECT_NEAR(mnist.x.sum(torch::kLong).item<double>() / (60000 * 784.0) / 255, 0.1307, 1e-4);  // the known mean
  check("fashion-mnist", 60000, 10000, {28, 28}, true);
  check("notmnist", 0, 10000, {28, 28}, true);
  check("omniglot", 4840, 0, {28, 28}, true);
  check("frey-faces", 1965, 0, {28, 20}, false);
  check("olivetti-faces", 400, 0, {64, 64}, true);
  check("cifar10", 9980, 9966, {3, 32, 32}, true);  // what is here of it
  const Dataset cifar = check("cifar100", 0, 10000, {3, 32, 32}, true);
  EXPECT_TRUE((torch::bincount(cifar.label) == 100).all().item<bool>());
  const Dataset wine = check("redwine", 1599, 0, {11}, true);
  EXPECT_EQ(wine.columns.front(), "fixed acidity");
  EXPECT_EQ(wine.columns.back(), "alcohol");
  EXPECT_NEAR(wine.x[0][10].item<double>(), 9.4, 1e-12);
  EXPECT_EQ(wine.label[0].item<int>(), 5);
  check("whitewine", 4898, 0, {11}, true);
  EXPECT_EQ(check("parkinsons", 5875, 0, {15}, false).columns.front(), "test_time");
  EXPECT_EQ(check("optdigits", 3823, 1797, {64}, true).high, 16);
}

}  // namespace
}  // namespace gibbsite
