#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/lmdb.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <vector>

namespace gibbsite {
namespace {

constexpr std::uint64_t kPageHeader = 16, kNodeHeader = 8, kMetaBytes = 152, kNoPage = ~std::uint64_t{0};
constexpr std::uint64_t kMagic = 0xbeefc0de, kVersion = 1, kSmallestPage = 256, kLargestPage = 65536;
constexpr std::uint64_t kBranch = 1, kLeaf = 2, kOverflow = 4;
constexpr std::uint64_t kLargeValue = 1, kDatabase = 2, kSeveralValues = 4;
constexpr int kDeepest = 32;

class Tree {
 public:
  using Use = std::function<void(std::string_view, const std::string&)>;
  Tree(const std::string& path, const Use& use) : path_(path), use_(use), file_(path, std::ios::binary) {
    std::error_code failed;
    bytes_ = std::filesystem::file_size(path, failed);
    if (failed || !file_) throw WorkError(path, "cannot be read");
  }

  void walk() {
    const std::uint64_t root = find_root();
    visited_.assign(static_cast<std::size_t>(bytes_ / page_), false);
    if (root != kNoPage) walk_page(root, 1);
  }

 private:
  std::string path_;
  const Use& use_;
  std::ifstream file_;
  std::uint64_t bytes_ = 0, page_ = 0;
  std::vector<bool> visited_;

  WorkError damaged(const char* what) const { return WorkError(path_, fmt::format("damaged LMDB file: {}", what)); }

  std::string read(std::uint64_t begin, std::uint64_t size) {
    if (begin > bytes_ || size > bytes_ - begin) throw damaged("it is cut off");
    std::string bytes(static_cast<std::size_t>(size), '\0');
    file_.seekg(static_cast<std::streamoff>(begin));
    if (!file_.read(bytes.data(), static_cast<std::streamsize>(size))) throw damaged("it is cut off");
    return bytes;
  }

  static std::uint64_t little(const std::string& bytes, std::uint64_t at, int count) {
    std::uint64_t value = 0;
    for (int i = 0; i < count; ++i)
      value |=
          std::uint64_t{static_cast<unsigned char>(bytes[static_cast<std::size_t>(at) + static_cast<std::size_t>(i)])}
          << (8 * i);
    return value;
  }

  std::uint64_t find_root() {
    std::uint64_t root = kNoPage, last = 0, latest = 0;
    for (int k = 0; k < 2; ++k) {
      if (bytes_ < kMetaBytes) throw WorkError(path_, "not an LMDB file");
      const std::string meta = read(k == 0 ? 0 : page_, kMetaBytes);
      if (little(meta, 16, 4) != kMagic || little(meta, 20, 4) != kVersion)
        throw WorkError(path_, "not an LMDB file of version 1");
      const std::uint64_t page = little(meta, 40, 4), transaction = little(meta, 144, 8);
      if (page < kSmallestPage || page > kLargestPage || (page & (page - 1)) != 0 || (k == 1 && page != page_))
        throw damaged("its page size");
      page_ = page;
      if (k == 1 && transaction < latest) continue;
      latest = transaction;
      root = little(meta, 128, 8);
      last = little(meta, 136, 8);
    }
    if (last >= bytes_ / page_) throw damaged("it is cut off");
    return root;
  }

  // Every page belongs to one place of a sound tree, so the walk ends.
  void visit(std::uint64_t first, std::uint64_t count) {
    if (first > visited_.size() || count > visited_.size() - first) throw damaged("a page lies outside");
    for (std::uint64_t page = first; page < first + count; ++page) {
      if (visited_[static_cast<std::size_t>(page)]) throw damaged("a page is used twice");
      visited_[static_cast<std::size_t>(page)] = true;
    }
  }

  // Every page says its own number.
  void check_number(const std::string& head, std::uint64_t number) const {
    if (little(head, 0, 8) != number) throw damaged("a page is another one");
  }

  void walk_page(std::uint64_t number, int depth) {
    if (depth > kDeepest) throw damaged("it is too deep");
    visit(number, 1);
    const std::string page = read(number * page_, page_);
    check_number(page, number);
    const std::uint64_t flags = little(page, 10, 2), lower = little(page, 12, 2);
    const bool branch = (flags & kBranch) != 0;
    if (branch == ((flags & kLeaf) != 0) || (flags & kOverflow) != 0) throw damaged("a page is of no kind");
    if (lower < kPageHeader || lower > page_) throw damaged("the offsets of a page");
    for (std::uint64_t at = kPageHeader; at + 2 <= lower; at += 2) {
      const std::uint64_t node = little(page, at, 2);
      if (node < kPageHeader || node > page_ || page_ - node < kNodeHeader)
        throw damaged("a node lies outside its page");
      const std::uint64_t low = little(page, node, 4), node_flags = little(page, node + 4, 2);
      if (branch) {
        walk_page(low | node_flags << 32, depth + 1);
        continue;
      }
      const std::uint64_t key_size = little(page, node + 6, 2), key = node + kNodeHeader;
      const bool large = (node_flags & kLargeValue) != 0;
      const std::uint64_t here = large ? 8 : low;
      if (key_size > page_ - key || here > page_ - key - key_size) throw damaged("a node lies outside its page");
      if (node_flags & kSeveralValues) throw WorkError(path_, "is an LMDB file with several values for a key");
      if (node_flags & kDatabase) continue;
      const std::string_view name =
          std::string_view(page).substr(static_cast<std::size_t>(key), static_cast<std::size_t>(key_size));
      use_(name, large ? large_value(little(page, key + key_size, 8), low)
                       : page.substr(static_cast<std::size_t>(key + key_size), static_cast<std::size_t>(low)));
    }
  }

  std::string large_value(std::uint64_t first, std::uint64_t size) {
    if (first >= visited_.size()) throw damaged("a page lies outside");
    const std::string head = read(first * page_, kPageHeader);
    check_number(head, first);
    const std::uint64_t pages = little(head, 12, 4);
    if ((little(head, 10, 2) & kOverflow) == 0 || pages * page_ < kPageHeader + size) throw damaged("a large value");
    visit(first, pages);
    return read(first * page_ + kPageHeader, size);
  }
};

std::string file_of(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored) ? (std::filesystem::path(path) / "data.mdb").string() : path;
}

}  // namespace

void read_lmdb(const std::string& path, const std::function<void(std::string_view, const std::string&)>& use) {
  Tree(file_of(path), use).walk();
}

bool is_lmdb(const std::string& path) {
  const std::string file = file_of(path);
  std::error_code ignored;
  return std::filesystem::path(file).extension() == ".mdb" && std::filesystem::is_regular_file(file, ignored);
}

}  // namespace gibbsite
