#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/image_file.h>
#include <gibbsite/data/lmdb.h>
#include <gibbsite/data/named_set.h>
#include <gtest/gtest.h>
#include <lmdb.h>
#include <png.h>
#include <torch/types.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

using Entries = std::map<std::string, std::string>;

Entries read(const std::string& path) {
  Entries entries;
  std::string last;
  read_lmdb(path, [&](std::string_view key, const std::string& value) {
    EXPECT_LT(last, key);
    last = key;
    entries[last] = value;
  });
  return entries;
}

std::string refusal(const std::string& path) {
  try {
    read(path);
  } catch (const WorkError& error) {
    return error.what();
  }
  return "";
}

// A PNG of one colour.
std::string picture(std::uint32_t width, std::uint32_t height, unsigned char value) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_RGB;
  const std::vector<unsigned char> pixels(PNG_IMAGE_SIZE(image), value);
  png_alloc_size_t size = 0;
  EXPECT_NE(png_image_write_to_memory(&image, nullptr, &size, 0, pixels.data(), 0, nullptr), 0);
  std::string file(size, '\0');
  EXPECT_NE(png_image_write_to_memory(&image, file.data(), &size, 0, pixels.data(), 0, nullptr), 0);
  file.resize(size);
  return file;
}

class Lmdb : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = (fs::temp_directory_path() / fmt::format("gibbsite_lmdb_{}", ::getpid())).string();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // Writes them with the library itself, each of `rounds` in a transaction of its own.
  std::string write(const std::string& name, const std::vector<Entries>& rounds, unsigned flags = 0) {
    std::string path = folder_ + "/" + name;
    fs::create_directories(path);
    MDB_env* environment = nullptr;
    EXPECT_EQ(mdb_env_create(&environment), 0);
    EXPECT_EQ(mdb_env_set_mapsize(environment, std::size_t{64} << 20), 0);
    EXPECT_EQ(mdb_env_open(environment, path.c_str(), 0, 0644), 0);
    for (const Entries& entries : rounds) {
      MDB_txn* transaction = nullptr;
      MDB_dbi database = 0;
      EXPECT_EQ(mdb_txn_begin(environment, nullptr, 0, &transaction), 0);
      EXPECT_EQ(mdb_dbi_open(transaction, nullptr, flags, &database), 0);
      for (const auto& [key, value] : entries) {
        MDB_val k{key.size(), const_cast<char*>(key.data())}, v{value.size(), const_cast<char*>(value.data())};
        EXPECT_EQ(mdb_put(transaction, database, &k, &v, 0), 0);
      }
      EXPECT_EQ(mdb_txn_commit(transaction), 0);
    }
    mdb_env_close(environment);
    return path;
  }

  std::string folder_;
};

TEST_F(Lmdb, ReadsWhatTheLibraryWrote) {
  // Small values, values of many pages, an empty one; several levels of the tree.
  Entries first, second, all;
  for (int i = 0; i < 3000; ++i)
    first[fmt::format("key {:05}", i * 7919 % 3000)] =
        std::string(static_cast<std::size_t>(i % 300), static_cast<char>(i));
  for (int i = 0; i < 40; ++i)
    first[fmt::format("large {:02}", i)] = std::string(static_cast<std::size_t>(3000 + 997 * i), static_cast<char>(i));
  second["key 00007"] = "changed later";
  second["zzz"] = "";
  all = first;
  for (const auto& [key, value] : second) all[key] = value;
  EXPECT_EQ(read(write("one", {first})), first);
  const std::string path = write("two", {first, second});
  EXPECT_EQ(read(path), all);
  EXPECT_EQ(read(path + "/data.mdb"), all);
  EXPECT_TRUE(is_lmdb(path));
  EXPECT_TRUE(read(write("none", {})).empty());
}

TEST_F(Lmdb, DamageIsRefusedInOneLine) {
  Entries entries;
  // Leaves below a branch, and two large values.
  for (int i = 0; i < 40; ++i) entries[fmt::format("key {:03}", i)] = std::string(i % 20 == 7 ? 6000 : 300, 'v');
  const std::string path = write("sound", {entries}) + "/data.mdb", sound = read_file(path);
  const std::string broken = folder_ + "/broken.mdb";
  for (std::size_t length = 0; length < sound.size(); length += 2048) {
    write_file(broken, sound.substr(0, length));
    EXPECT_EQ(refusal(broken).find(broken + ": "), 0u) << length;
  }
  // Every byte of the pages' heads and some others: never anything but entries or a refusal.
  write_file(broken, sound);
  const auto change = [&](std::size_t at, char byte) {
    std::fstream file(broken, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file.put(byte);
  };
  int refused = 0, tried = 0;
  for (std::size_t at = 0; at < sound.size(); at += at % 4096 < 64 ? 1 : 64)
    for (const unsigned char bits : {0xff, 0x01}) {
      change(at, static_cast<char>(sound[at] ^ bits));
      try {
        read_lmdb(broken, [](std::string_view, const std::string&) {});
      } catch (const WorkError&) {
        ++refused;
      }
      change(at, sound[at]);
      ++tried;
    }
  EXPECT_GT(refused, tried / 10);
  write_file(broken, std::string(5000, 'x'));
  EXPECT_NE(refusal(broken).find("not an LMDB file"), std::string::npos);
  EXPECT_NE(refusal(folder_ + "/absent.mdb").find("cannot be read"), std::string::npos);
}

// A branch whose child is itself would be walked for ever.
TEST_F(Lmdb, ATreeThatContainsItselfIsRefused) {
  Entries entries;
  for (int i = 0; i < 300; ++i) entries[fmt::format("key {:03}", i)] = std::string(100, 'v');
  const std::string path = write("sound", {entries}) + "/data.mdb";
  std::string file = read_file(path);
  const auto little = [&](std::size_t at, int count) {
    std::size_t value = 0;
    for (int i = 0; i < count; ++i)
      value |= std::size_t{static_cast<unsigned char>(file[at + static_cast<std::size_t>(i)])} << (8 * i);
    return value;
  };
  const std::size_t meta = little(4096 + 144, 8) > little(144, 8) ? 4096 : 0, root = little(meta + 128, 8);
  ASSERT_EQ(little(root * 4096 + 10, 2) & 1, 1u) << "the root is a branch";
  const std::size_t node = root * 4096 + little(root * 4096 + 16, 2);
  for (int i = 0; i < 4; ++i) file[node + static_cast<std::size_t>(i)] = static_cast<char>(root >> (8 * i));
  write_file(path, file);
  EXPECT_NE(refusal(path).find("a page is used twice"), std::string::npos) << refusal(path);
}

TEST_F(Lmdb, SeveralValuesForAKeyAreRefused) {
  const std::string path = write("several", {{{"a", "1"}}, {{"a", "2"}}}, MDB_DUPSORT);
  EXPECT_NE(refusal(path).find("several values"), std::string::npos);
}

TEST_F(Lmdb, IsADataSetOfPictures) {
  const std::string path = write("pictures", {{{"b", picture(20, 16, 9)}, {"a", picture(12, 16, 4)}}});
  FileOptions options;
  options.images = {12, 6};
  const Dataset data = load_file(path, options);
  ASSERT_EQ(data.x.sizes().vec(), (Shape{2, 3, 6, 6}));
  EXPECT_TRUE((data.x[0] == 4).all().item<bool>());
  EXPECT_TRUE((data.x[1] == 9).all().item<bool>());
  const std::string webp = write("webp", {{{"k1", "RIFF" + std::string(4, '\0') + "WEBPVP8 "}}});
  try {
    load_file(webp, options);
    FAIL();
  } catch (const WorkError& error) {
    EXPECT_NE(std::string(error.what()).find("key 'k1': cannot read the image: it is WebP"), std::string::npos)
        << error.what();
  }
}

TEST_F(Lmdb, ChurchesAreANamedSet) {
  fs::create_directories(folder_ + "/lsun");
  write("lsun/church_outdoor_train_lmdb", {{{"b", picture(20, 16, 9)}, {"a", picture(12, 16, 4)}}});
  write("lsun/church_outdoor_val_lmdb", {{{"c", picture(12, 12, 5)}}});
  DataPath path;
  path.folders = {folder_};
  FileOptions options;
  options.images.size = 8;
  const Published published = load_published("lsun-church", path, options);
  EXPECT_EQ(published.train->x.sizes().vec(), (Shape{2, 3, 8, 8}));
  EXPECT_EQ(published.test->x.sizes().vec(), (Shape{1, 3, 8, 8}));
}

// The list says which part a face belongs to; validation faces end the training rows.
TEST_F(Lmdb, FacesFollowTheirListAndTheBoxIsCut) {
  std::string list;
  for (int i = 0; i < 5; ++i) {
    const std::string name = fmt::format("{:06}.jpg", i + 1);
    write_file(folder_ + "/celeba/img_align_celeba/" + name, picture(178, 218, static_cast<unsigned char>(i)));
    list += fmt::format("{} {}\n", name, std::vector<int>{0, 2, 1, 0, 2}[static_cast<std::size_t>(i)]);
  }
  write_file(folder_ + "/celeba/list_eval_partition.txt", list);
  DataPath path;
  path.folders = {folder_};
  FileOptions options;
  options.images = {148, 0, 15, 40};
  const Published published = load_published("celeba", path, options);
  EXPECT_EQ(published.train->x.sizes().vec(), (Shape{3, 3, 148, 148}));
  EXPECT_TRUE(
      torch::equal(published.train->x.select(1, 0).select(1, 0).select(1, 0), torch::tensor({0, 3, 2}, torch::kByte)));
  EXPECT_TRUE(
      torch::equal(published.test->x.select(1, 0).select(1, 0).select(1, 0), torch::tensor({1, 4}, torch::kByte)));
}

}  // namespace
}  // namespace gibbsite
