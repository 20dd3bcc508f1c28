// A tree of settings as a recipe states them, independent of the file format. Every node knows where it was written and
// whether anybody read it, so that a key nobody reads is an error.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace gibbsite {

class Config {
 public:
  enum class Kind { kNone, kBoolean, kInteger, kReal, kString, kArray, kTable };

  Config() = default;
  Config(bool value) : kind_(Kind::kBoolean), boolean_(value) {}
  Config(int value) : kind_(Kind::kInteger), integer_(value) {}
  Config(std::int64_t value) : kind_(Kind::kInteger), integer_(value) {}
  Config(double value) : kind_(Kind::kReal), real_(value) {}
  Config(const char* value) : kind_(Kind::kString), string_(value) {}
  Config(std::string value) : kind_(Kind::kString), string_(std::move(value)) {}
  static Config array(std::vector<Config> items);
  static Config table(std::initializer_list<std::pair<std::string, Config>> entries = {});

  Kind kind() const { return kind_; }
  bool is_table() const { return kind_ == Kind::kTable; }
  /// "a string", "an integer", … for messages.
  std::string kind_name() const;

  /// Each throws RequestError naming the origin unless the node has the kind; real() takes integers too.
  bool boolean() const;
  std::int64_t integer() const;
  double real() const;
  const std::string& string() const;
  const std::vector<Config>& items() const;

  /// Table access. find() returns null for an absent key and marks a present one as read.
  const Config* find(const std::string& key) const;
  bool contains(const std::string& key) const;
  /// An empty table if absent.
  const Config& at_table(const std::string& key) const;
  std::vector<std::string> keys() const;
  Config& set(const std::string& key, Config value);
  /// Node for a dotted path, created as tables where absent. Throws RequestError if a part is not a table.
  Config& at_path(const std::string& dotted);
  void erase(const std::string& key);

  /// Overrides this table by `other`, table by table; other kinds are replaced.
  void merge(const Config& other);

  /// Where it was written, e.g. "recipe.toml:12"; "" if made in code.
  const std::string& origin() const { return origin_; }
  void set_origin(std::string origin) { origin_ = std::move(origin); }

  void mark_read() const { read_ = true; }
  void mark_all_read() const;
  /// Keys that some reader of this table knows; feeds the nearest-key hint.
  void declare_key(const std::string& key) const { declared_.insert(key); }
  /// Throws RequestError for the first key of this tree that nobody read, with the nearest key its readers know.
  void require_all_read(const std::string& path = "") const;

  bool operator==(const Config& other) const;

 private:
  Kind kind_ = Kind::kNone;
  bool boolean_ = false;
  std::int64_t integer_ = 0;
  double real_ = 0;
  std::string string_;
  std::vector<Config> items_;
  std::vector<std::pair<std::string, Config>> entries_;
  std::string origin_;
  mutable bool read_ = false;
  mutable std::set<std::string> declared_;

  [[noreturn]] void wrong_kind(const char* expected) const;
};

}  // namespace gibbsite
