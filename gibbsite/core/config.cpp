#include <fmt/format.h>
#include <gibbsite/core/config.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>

#include <algorithm>

namespace gibbsite {

Config Config::array(std::vector<Config> items) {
  Config config;
  config.kind_ = Kind::kArray;
  config.items_ = std::move(items);
  return config;
}

Config Config::table(std::initializer_list<std::pair<std::string, Config>> entries) {
  Config config;
  config.kind_ = Kind::kTable;
  for (const auto& [key, value] : entries) config.set(key, value);
  return config;
}

std::string Config::kind_name() const {
  switch (kind_) {
    case Kind::kNone: return "nothing";
    case Kind::kBoolean: return "a boolean";
    case Kind::kInteger: return "an integer";
    case Kind::kReal: return "a number";
    case Kind::kString: return "a string";
    case Kind::kArray: return "an array";
    case Kind::kTable: return "a table";
  }
  return "";
}

void Config::wrong_kind(const char* expected) const {
  throw RequestError(origin_, fmt::format("expected {}, got {}", expected, kind_name()));
}

bool Config::boolean() const {
  if (kind_ != Kind::kBoolean) wrong_kind("a boolean");
  read_ = true;
  return boolean_;
}

std::int64_t Config::integer() const {
  if (kind_ != Kind::kInteger) wrong_kind("an integer");
  read_ = true;
  return integer_;
}

double Config::real() const {
  if (kind_ != Kind::kReal && kind_ != Kind::kInteger) wrong_kind("a number");
  read_ = true;
  return kind_ == Kind::kReal ? real_ : static_cast<double>(integer_);
}

const std::string& Config::string() const {
  if (kind_ != Kind::kString) wrong_kind("a string");
  read_ = true;
  return string_;
}

const std::vector<Config>& Config::items() const {
  if (kind_ != Kind::kArray) wrong_kind("an array");
  read_ = true;
  return items_;
}

const Config* Config::find(const std::string& key) const {
  if (kind_ == Kind::kNone) return nullptr;
  if (kind_ != Kind::kTable) wrong_kind("a table");
  read_ = true;
  for (const auto& entry : entries_)
    if (entry.first == key) {
      entry.second.read_ = true;
      return &entry.second;
    }
  return nullptr;
}

bool Config::contains(const std::string& key) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& entry) { return entry.first == key; });
}

const Config& Config::at_table(const std::string& key) const {
  static const Config empty = Config::table();
  declare_key(key);
  const Config* node = find(key);
  if (!node) return empty;
  if (node->kind_ != Kind::kTable) node->wrong_kind("a table");
  return *node;
}

std::vector<std::string> Config::keys() const {
  std::vector<std::string> names;
  for (const auto& entry : entries_) names.push_back(entry.first);
  return names;
}

Config& Config::set(const std::string& key, Config value) {
  if (kind_ == Kind::kNone) kind_ = Kind::kTable;
  if (kind_ != Kind::kTable) wrong_kind("a table");
  for (auto& entry : entries_)
    if (entry.first == key) return entry.second = std::move(value);
  entries_.emplace_back(key, std::move(value));
  return entries_.back().second;
}

Config& Config::at_path(const std::string& dotted) {
  Config* node = this;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = dotted.find('.', begin);
    const std::string key = dotted.substr(begin, end == std::string::npos ? std::string::npos : end - begin);
    if (node->kind_ == Kind::kArray) {
      if (key.empty() || key.find_first_not_of("0123456789") != std::string::npos ||
          std::stoul(key) >= node->items_.size())
        throw RequestError(node->origin_, fmt::format("'{}' is not an index of an array of {} ({})", key,
                                                      node->items_.size(), dotted));
      node = &node->items_[std::stoul(key)];
    } else {
      if (node->kind_ != Kind::kTable && node->kind_ != Kind::kNone)
        throw RequestError(node->origin_,
                           fmt::format("'{}' goes through {}, which is {}", dotted, key, node->kind_name()));
      if (!node->contains(key)) node->set(key, Config());
      node = const_cast<Config*>(node->find(key));
    }
    if (end == std::string::npos) return *node;
    begin = end + 1;
  }
}

void Config::erase(const std::string& key) {
  entries_.erase(
      std::remove_if(entries_.begin(), entries_.end(), [&](const auto& entry) { return entry.first == key; }),
      entries_.end());
}

void Config::merge(const Config& other) {
  if (kind_ != Kind::kTable || other.kind_ != Kind::kTable) {
    *this = other;
    return;
  }
  for (const auto& [key, value] : other.entries_) {
    const auto mine =
        std::find_if(entries_.begin(), entries_.end(), [&, k = key](const auto& e) { return e.first == k; });
    if (mine == entries_.end())
      entries_.emplace_back(key, value);
    else
      mine->second.merge(value);
  }
}

void Config::mark_all_read() const {
  read_ = true;
  for (const auto& entry : entries_) entry.second.mark_all_read();
  for (const Config& item : items_) item.mark_all_read();
}

void Config::require_all_read(const std::string& path) const {
  for (const auto& [key, value] : entries_) {
    const std::string full = path.empty() ? key : path + "." + key;
    if (!value.read_) {
      const bool known = declared_.count(key) > 0;
      std::vector<std::string> candidates(declared_.begin(), declared_.end());
      throw RequestError(value.origin_,
                         known ? fmt::format("key '{}' is read by nothing in this recipe", full)
                               : fmt::format("unknown key '{}'", full),
                         known ? "remove it" : name_hint(key, candidates));
    }
    value.require_all_read(full);
  }
  for (std::size_t i = 0; i < items_.size(); ++i) items_[i].require_all_read(fmt::format("{}.{}", path, i));
}

bool Config::operator==(const Config& other) const {
  if (kind_ != other.kind_) return false;
  switch (kind_) {
    case Kind::kNone: return true;
    case Kind::kBoolean: return boolean_ == other.boolean_;
    case Kind::kInteger: return integer_ == other.integer_;
    case Kind::kReal: return real_ == other.real_;
    case Kind::kString: return string_ == other.string_;
    case Kind::kArray: return items_ == other.items_;
    case Kind::kTable:  // in any order: a file has values before tables, whatever the order they were set in
      return entries_.size() == other.entries_.size() &&
             std::all_of(entries_.begin(), entries_.end(), [&](const std::pair<std::string, Config>& entry) {
               return std::any_of(other.entries_.begin(), other.entries_.end(),
                                  [&](const std::pair<std::string, Config>& one) { return one == entry; });
             });
  }
  return false;
}

}  // namespace gibbsite
