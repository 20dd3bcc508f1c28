#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/options.h>
#include <gibbsite/core/text.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {

bool Range::holds(double value) const {
  return !std::isnan(value) && (low_open ? value > low : value >= low) && (high_open ? value < high : value <= high);
}

std::string Range::text() const {
  const bool has_low = std::isfinite(low), has_high = std::isfinite(high);
  if (has_low && has_high) return fmt::format("in {}{}, {}{}", low_open ? "(" : "[", low, high, high_open ? ")" : "]");
  if (has_low) return fmt::format("{} {}", low_open ? ">" : ">=", low);
  if (has_high) return fmt::format("{} {}", high_open ? "<" : "<=", high);
  return "";
}

Range anything() { return {}; }
Range positive() { return {0, std::numeric_limits<double>::infinity(), true, true}; }
Range non_negative() { return {0, std::numeric_limits<double>::infinity(), false, true}; }
Range at_least(double low) { return {low, std::numeric_limits<double>::infinity(), false, true}; }
Range between(double low, double high) { return {low, high, false, false}; }

// ---- reading

const Config* OptionReader::find(const std::string& name) {
  table_.declare_key(name);
  return condition().holds ? table_.find(name) : nullptr;
}

template <class T, class Get>
void OptionReader::number(const std::string& name, T& value, const Range& range, Get get, const char* expected) {
  const Config* node = find(name);
  if (!node) return;
  const auto out_of_range = [&](double got) {
    throw RequestError(node->origin(), fmt::format("{}.{} is {}, expected {}", path_, name, got,
                                                   range.text().empty() ? "a number" : range.text()));
  };
  const auto convert = [&](const Config& item) {
    try {
      return get(item);
    } catch (const RequestError&) {
      throw RequestError(node->origin(),
                         fmt::format("{}.{}: expected {}, got {}", path_, name, expected, item.kind_name()));
    }
  };
  if constexpr (std::is_arithmetic_v<T>) {
    value = convert(*node);
    if (!range.holds(static_cast<double>(value))) out_of_range(static_cast<double>(value));
  } else {
    if (node->kind() != Config::Kind::kArray)
      throw RequestError(node->origin(),
                         fmt::format("{}.{}: expected {}, got {}", path_, name, expected, node->kind_name()));
    value.clear();
    for (const Config& item : node->items()) {
      value.push_back(convert(item));
      if (!range.holds(static_cast<double>(value.back()))) out_of_range(static_cast<double>(value.back()));
      item.mark_read();
    }
  }
}

void OptionReader::option(const std::string& name, bool& value, const std::string&) {
  const Config* node = find(name);
  if (!node) return;
  if (node->kind() != Config::Kind::kBoolean)
    throw RequestError(node->origin(),
                       fmt::format("{}.{}: expected true or false, got {}", path_, name, node->kind_name()));
  value = node->boolean();
}

void OptionReader::option(const std::string& name, std::int64_t& value, const std::string&, Range range) {
  number(
      name, value, range, [](const Config& c) { return c.integer(); }, "an integer");
}

void OptionReader::option(const std::string& name, double& value, const std::string&, Range range) {
  number(
      name, value, range, [](const Config& c) { return c.real(); }, "a number");
}

void OptionReader::option(const std::string& name, std::string& value, const std::string&, Choices choices) {
  const Config* node = find(name);
  if (!node) return;
  if (node->kind() != Config::Kind::kString)
    throw RequestError(node->origin(), fmt::format("{}.{}: expected a string, got {}", path_, name, node->kind_name()));
  value = node->string();
  if (!choices.empty() && std::find(choices.begin(), choices.end(), value) == choices.end())
    throw RequestError(node->origin(),
                       fmt::format("{}.{} is '{}', expected one of {}", path_, name, value, fmt::join(choices, ", ")),
                       nearest_name(value, choices).empty() ? "" : name_hint(value, choices));
}

void OptionReader::option(const std::string& name, std::vector<std::int64_t>& value, const std::string&, Range range) {
  number(
      name, value, range, [](const Config& c) { return c.integer(); }, "an array of integers");
}

void OptionReader::option(const std::string& name, std::vector<double>& value, const std::string&, Range range) {
  number(
      name, value, range, [](const Config& c) { return c.real(); }, "an array of numbers");
}

// ---- describing

void OptionDescriber::add(const std::string& name, const char* type, std::string value, std::string range,
                          const std::string& help) {
  descriptions.push_back({name, type, std::move(value), std::move(range), help, condition().conditional});
}
void OptionDescriber::option(const std::string& name, bool& value, const std::string& help) {
  add(name, "boolean", value ? "true" : "false", "", help);
}
void OptionDescriber::option(const std::string& name, std::int64_t& value, const std::string& help, Range range) {
  add(name, "integer", fmt::format("{}", value), range.text(), help);
}
void OptionDescriber::option(const std::string& name, double& value, const std::string& help, Range range) {
  add(name, "number", fmt::format("{}", value), range.text(), help);
}
void OptionDescriber::option(const std::string& name, std::string& value, const std::string& help, Choices choices) {
  add(name, "string", fmt::format("\"{}\"", value),
      choices.empty() ? "" : fmt::format("one of {}", fmt::join(choices, ", ")), help);
}
void OptionDescriber::option(const std::string& name, std::vector<std::int64_t>& value, const std::string& help,
                             Range range) {
  add(name, "integers", fmt::format("[{}]", fmt::join(value, ", ")), range.text(), help);
}
void OptionDescriber::option(const std::string& name, std::vector<double>& value, const std::string& help,
                             Range range) {
  add(name, "numbers", fmt::format("[{}]", fmt::join(value, ", ")), range.text(), help);
}

// ---- echoing

void OptionEcho::set(const std::string& name, Config value) {
  if (condition().holds) table_.set(name, std::move(value));
}
void OptionEcho::option(const std::string& name, bool& value, const std::string&) { set(name, Config(value)); }
void OptionEcho::option(const std::string& name, std::int64_t& value, const std::string&, Range) {
  set(name, Config(value));
}
void OptionEcho::option(const std::string& name, double& value, const std::string&, Range) { set(name, Config(value)); }
void OptionEcho::option(const std::string& name, std::string& value, const std::string&, Choices) {
  set(name, Config(value));
}
void OptionEcho::option(const std::string& name, std::vector<std::int64_t>& value, const std::string&, Range) {
  std::vector<Config> items(value.begin(), value.end());
  set(name, Config::array(std::move(items)));
}
void OptionEcho::option(const std::string& name, std::vector<double>& value, const std::string&, Range) {
  std::vector<Config> items(value.begin(), value.end());
  set(name, Config::array(std::move(items)));
}

}  // namespace gibbsite
