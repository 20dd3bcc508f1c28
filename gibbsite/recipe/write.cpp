#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/core/error.h>
#include <gibbsite/recipe/write.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += {'\\', c};
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\r')
      out += "\\r";
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    else
      out += c;
  }
  return out + "\"";
}

std::string key_text(const std::string& key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) {
    return c < 0x80 && (std::isalnum(c) || c == '_' || c == '-');
  });
  return bare ? key : quoted(key);
}

std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

bool is_table_array(const Config& value) {
  if (value.kind() != Config::Kind::kArray || value.items().empty()) return false;
  return std::all_of(value.items().begin(), value.items().end(), [](const Config& item) { return item.is_table(); });
}

void write_table(std::string& out, const Config& table, const std::string& path) {
  std::vector<std::string> tables;
  for (const std::string& key : table.keys()) {
    const Config& value = *table.find(key);
    if (value.is_table() || is_table_array(value))
      tables.push_back(key);
    else if (value.kind() != Config::Kind::kNone)
      out += fmt::format("{} = {}\n", key_text(key), write_value(value));
  }
  for (const std::string& key : tables) {
    const Config& value = *table.find(key);
    const std::string name = path.empty() ? key_text(key) : path + "." + key_text(key);
    const auto head = [&](const char* form) {
      if (!out.empty()) out += "\n";
      out += fmt::format(fmt::runtime(form), name);
    };
    if (value.is_table()) {
      head("[{}]\n");
      write_table(out, value, name);
    } else {
      for (const Config& item : value.items()) {
        head("[[{}]]\n");
        write_table(out, item, name);
      }
    }
  }
}

}  // namespace

std::string write_value(const Config& value) {
  switch (value.kind()) {
    case Config::Kind::kNone: return "\"\"";
    case Config::Kind::kBoolean: return value.boolean() ? "true" : "false";
    case Config::Kind::kInteger: return fmt::format("{}", value.integer());
    case Config::Kind::kReal: return real_text(value.real());
    case Config::Kind::kString: return quoted(value.string());
    case Config::Kind::kArray: {
      std::vector<std::string> items;
      for (const Config& item : value.items()) items.push_back(write_value(item));
      return fmt::format("[{}]", fmt::join(items, ", "));
    }
    case Config::Kind::kTable: {
      std::vector<std::string> entries;
      for (const std::string& key : value.keys())
        entries.push_back(fmt::format("{} = {}", key_text(key), write_value(*value.find(key))));
      return entries.empty() ? "{}" : fmt::format("{{ {} }}", fmt::join(entries, ", "));
    }
  }
  return "";
}

std::string write_toml(const Config& config) {
  std::string out;
  write_table(out, config, "");
  return out;
}

}  // namespace gibbsite
