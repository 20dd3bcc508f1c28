#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/core/text.h>
#include <gibbsite/data/csv.h>
#include <gibbsite/data/gzip.h>
#include <torch/types.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <set>

namespace gibbsite {
namespace {

std::string trimmed(const std::string& text) {
  const char* blanks = " \t\r";
  const std::size_t begin = text.find_first_not_of(blanks);
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

// Fields of one line; a quoted field may hold separators and doubled quotes.
std::vector<std::string> fields_of(const std::string& line, char separator) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '"') {
      if (quoted && i + 1 < line.size() && line[i + 1] == '"')
        fields.back() += line[++i];
      else
        quoted = !quoted;
    } else if (c == separator && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  for (std::string& field : fields) field = trimmed(field);
  return fields;
}

char detect_separator(const std::string& line) {
  char best = ',';
  std::size_t most = fields_of(line, ',').size();
  for (const char candidate : {';', '\t'})
    if (const std::size_t count = fields_of(line, candidate).size(); count > most) {
      most = count;
      best = candidate;
    }
  return best;
}

std::optional<double> number(const std::string& field) {
  double value = 0;
  const char* begin = field.data() + (!field.empty() && field[0] == '+' ? 1 : 0);
  const char* end = field.data() + field.size();
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (begin == end || stop != end) return std::nullopt;
  if (error == std::errc::result_out_of_range) return std::numeric_limits<double>::infinity();
  if (error != std::errc()) return std::nullopt;
  return value;
}

bool is_missing(const std::string& field) {
  static const std::set<std::string> markers = {"", "NA", "N/A", "na", "n/a", "null", "NULL", "None", "?", "-"};
  return markers.count(field) > 0;
}

std::string shown(const std::string& field) {
  std::string text = field.substr(0, 24);
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 32 || static_cast<unsigned char>(c) > 126) c = '.';
  return text;
}

std::int64_t find_label(const std::string& label_column, const std::vector<std::string>& columns,
                        const std::string& where) {
  const auto named = std::find(columns.begin(), columns.end(), label_column);
  if (named != columns.end()) return named - columns.begin();
  std::size_t index = 0;
  const auto [stop, error] = std::from_chars(label_column.data(), label_column.data() + label_column.size(), index);
  if (error == std::errc() && stop == label_column.data() + label_column.size() && index < columns.size())
    return static_cast<std::int64_t>(index);
  throw RequestError("data.label_column", fmt::format("'{}' is no column of {}", label_column, where),
                     name_hint(label_column, columns));
}

Tensor number_labels(const std::vector<std::string>& texts) {
  std::vector<std::int64_t> labels;
  const bool integers = std::all_of(texts.begin(), texts.end(), [&](const std::string& text) {
    const auto value = number(text);
    if (!value || !(std::abs(*value) < 1e15) || *value != std::floor(*value)) return false;
    labels.push_back(static_cast<std::int64_t>(*value));
    return true;
  });
  if (!integers) {
    const std::set<std::string> known(texts.begin(), texts.end());
    const std::vector<std::string> sorted(known.begin(), known.end());
    labels.clear();
    for (const std::string& text : texts)
      labels.push_back(std::lower_bound(sorted.begin(), sorted.end(), text) - sorted.begin());
  }
  return torch::tensor(labels, torch::kLong);
}

std::string quoted(const std::string& name) {
  if (name.find_first_of(",;\t\"") == std::string::npos) return name;
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string(2, c) : std::string(1, c);
  return text + "\"";
}

}  // namespace

CsvTable parse_csv(const std::string& content, const std::string& where, const std::string& label_column) {
  CsvTable table;
  std::vector<double> values;
  std::vector<std::string> labels;
  std::int64_t label = -1;
  std::size_t width = 0;
  char separator = ',';
  std::int64_t line_number = 0, rows = 0;
  std::size_t begin = content.compare(0, 3, "\xef\xbb\xbf") == 0 ? 3 : 0;
  while (begin < content.size()) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    const std::string line = content.substr(begin, end - begin);
    begin = end + 1;
    ++line_number;
    if (trimmed(line).empty()) continue;
    if (width == 0) separator = detect_separator(line);
    const std::vector<std::string> fields = fields_of(line, separator);
    if (width == 0) {
      width = fields.size();
      const bool header = std::any_of(fields.begin(), fields.end(),
                                      [](const std::string& field) { return !number(field) && !is_missing(field); });
      for (std::size_t i = 0; i < width; ++i)
        table.columns.push_back(header ? fields[i] : fmt::format("column {}", i + 1));
      if (!label_column.empty()) label = find_label(label_column, table.columns, where);
      if (header) continue;
    }
    const auto fail = [&](std::size_t column, const std::string& what) {
      throw WorkError(fmt::format("{}:{}", where, line_number),
                      fmt::format("column {} ('{}') {}", column + 1, shown(table.columns[column]), what));
    };
    if (fields.size() != width)
      throw WorkError(fmt::format("{}:{}", where, line_number),
                      fmt::format("{} fields, expected {}", fields.size(), width));
    for (std::size_t i = 0; i < width; ++i) {
      if (is_missing(fields[i])) fail(i, "is missing");
      if (static_cast<std::int64_t>(i) == label) {
        labels.push_back(fields[i]);
        continue;
      }
      const auto value = number(fields[i]);
      if (!value) fail(i, fmt::format("is '{}', not a number", shown(fields[i])));
      if (!std::isfinite(*value)) fail(i, fmt::format("is {}, not a finite number", shown(fields[i])));
      values.push_back(*value);
    }
    ++rows;
  }
  if (rows == 0) throw WorkError(where, "no rows of numbers");
  if (label >= 0) {
    table.columns.erase(table.columns.begin() + label);
    table.label = number_labels(labels);
  }
  table.x = torch::empty({rows, static_cast<std::int64_t>(table.columns.size())}, torch::kDouble);
  std::copy(values.begin(), values.end(), table.x.data_ptr<double>());
  return table;
}

CsvTable read_csv(const std::string& path, const std::string& label_column) {
  return parse_csv(read_maybe_gzip(path), path, label_column);
}

bool has_names(const std::vector<std::string>& columns) {
  for (std::size_t i = 0; i < columns.size(); ++i)
    if (columns[i] != fmt::format("column {}", i + 1)) return true;
  return false;
}

void write_csv(const std::string& path, const Tensor& x, const std::vector<std::string>& columns) {
  std::string text;
  for (std::size_t i = 0; i < columns.size(); ++i) text += quoted(columns[i]) + (i + 1 < columns.size() ? "," : "\n");
  const Tensor rows = (x.dim() == 1 ? x.unsqueeze(1) : x.flatten(1)).detach().cpu();
  const auto append = [&](const Tensor& typed) {
    AT_DISPATCH_ALL_TYPES(typed.scalar_type(), "write_csv", [&] {
      const auto* value = typed.data_ptr<scalar_t>();
      for (std::int64_t r = 0; r < typed.size(0); ++r)
        for (std::int64_t c = 0; c < typed.size(1); ++c)
          text += fmt::format("{}{}", *value++, c + 1 < typed.size(1) ? "," : "\n");
    });
  };
  const bool exact = rows.scalar_type() == torch::kDouble || rows.scalar_type() == torch::kFloat;
  append((exact ? rows : rows.is_floating_point() ? rows.to(torch::kFloat) : rows.to(torch::kLong)).contiguous());
  write_file(path, text);
}

}  // namespace gibbsite
