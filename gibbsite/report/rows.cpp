#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/report/rows.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

namespace gibbsite {
namespace {

using Json = nlohmann::ordered_json;

const std::set<std::string> contract_keys{"method", "dataset", "metric", "value", "stderr", "unit", "published"};

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

// Whole numbers without a fraction, so that order = 3 is not read as 3.0.
Json setting_json(const Setting& setting) {
  if (const auto* text = std::get_if<std::string>(&setting)) return *text;
  const double value = std::get<double>(setting);
  if (std::nearbyint(value) == value && std::abs(value) < 9e15) return static_cast<std::int64_t>(value);
  return number(value);
}

double number_or_nan(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

Json row_json(const Row& row) {
  Json json{{"method", row.method},
            {"dataset", row.dataset},
            {"metric", row.metric},
            {"value", number(row.value)},
            {"stderr", number(row.standard_error)},
            {"unit", row.unit},
            {"published", row.published ? number(*row.published) : Json(nullptr)}};
  for (const auto& [name, setting] : row.settings) {
    if (contract_keys.count(name)) throw RequestError("result row", fmt::format("'{}' cannot be a setting", name));
    json[name] = setting_json(setting);
  }
  return json;
}

Row parse_row(const Json& json) {
  Row row;
  row.method = json.at("method").get<std::string>();
  row.dataset = json.at("dataset").get<std::string>();
  row.metric = json.at("metric").get<std::string>();
  row.value = number_or_nan(json.at("value"));
  row.standard_error = number_or_nan(json.at("stderr"));
  row.unit = json.at("unit").get<std::string>();
  if (!json.at("published").is_null()) row.published = json.at("published").get<double>();
  for (const auto& [name, value] : json.items()) {
    if (contract_keys.count(name)) continue;
    if (value.is_string()) {
      row.settings[name] = value.get<std::string>();
    } else {
      row.settings[name] = number_or_nan(value);
    }
  }
  return row;
}

Environment parse_environment(const Json& json) {
  Environment result;
  result.version = json.at("version").get<std::string>();
  result.commit = json.at("commit").get<std::string>();
  result.libtorch = json.at("libtorch").get<std::string>();
  result.blas = json.at("blas").get<std::string>();
  result.cpu = json.at("cpu").get<std::string>();
  result.capability = json.at("capability").get<std::string>();
  result.threads = json.at("threads").get<std::int64_t>();
  result.os = json.at("os").get<std::string>();
  return result;
}

std::string setting_text(const Setting& setting) {
  if (const auto* text = std::get_if<std::string>(&setting)) return *text;
  return format_number(std::get<double>(setting), 6);
}

// The commit is where a row was made, not what it measures.
std::map<std::string, Setting> identity(const Row& row) {
  std::map<std::string, Setting> settings = row.settings;
  settings.erase("commit");
  return settings;
}

bool same_number(const Row& a, const Row& b) {
  return a.method == b.method && a.dataset == b.dataset && a.metric == b.metric && identity(a) == identity(b);
}

// Rows that differ in the seed alone.
struct Group {
  const Row* first;
  std::map<std::string, Setting> settings;
  std::vector<const Row*> rows;
};

std::vector<Group> group_over_seeds(const std::vector<Row>& rows) {
  std::vector<Group> groups;
  for (const Row& row : rows) {
    std::map<std::string, Setting> settings = identity(row);
    settings.erase("seed");
    const auto found = std::find_if(groups.begin(), groups.end(), [&](const Group& group) {
      return group.first->method == row.method && group.first->dataset == row.dataset &&
             group.first->metric == row.metric && group.settings == settings;
    });
    if (found == groups.end()) {
      groups.push_back({&row, std::move(settings), {&row}});
    } else {
      found->rows.push_back(&row);
    }
  }
  return groups;
}

// Over seeds; with one seed, the row's own standard error.
Estimate measured(const Group& group) {
  const double n = static_cast<double>(group.rows.size());
  double mean = 0, square = 0;
  for (const Row* row : group.rows) mean += row->value / n;
  for (const Row* row : group.rows) square += (row->value - mean) * (row->value - mean);
  Estimate estimate;
  estimate.value = mean;
  estimate.standard_error = group.rows.size() == 1 ? group.first->standard_error : std::sqrt(square / (n - 1) / n);
  return estimate;
}

// Head and first cells of the lines of a table: method, data set, the settings in the order of their names; one that every
// row has with one value goes to the title. Then the further heads.
TextTable settings_table(const Result& result, const std::vector<Group>& groups,
                         const std::vector<std::string>& further) {
  std::map<std::string, std::vector<Setting>> values;
  for (const Group& group : groups) {
    for (const auto& [name, setting] : group.settings) values[name].push_back(setting);
  }
  std::vector<std::string> varying;
  std::string constant;
  for (const auto& [name, settings] : values) {
    const bool same = std::equal(settings.begin() + 1, settings.end(), settings.begin());
    if (same && settings.size() == groups.size() && groups.size() > 1) {
      constant += fmt::format(", {} {}", name, setting_text(settings[0]));
    } else {
      varying.push_back(name);
    }
  }
  TextTable table;
  table.title = fmt::format("{}, scale {}{}", result.experiment, result.scale, constant);
  table.head = {"method", "dataset"};
  table.head.insert(table.head.end(), varying.begin(), varying.end());
  table.head.insert(table.head.end(), further.begin(), further.end());
  for (const Group& group : groups) {
    std::vector<std::string> cells{group.first->method, group.first->dataset};
    for (const std::string& name : varying) {
      const auto found = group.settings.find(name);
      cells.push_back(found == group.settings.end() ? "" : setting_text(found->second));
    }
    table.body.push_back(std::move(cells));
  }
  return table;
}

// A pipe would end the cell.
std::string cell(const std::string& text) {
  std::string result;
  for (const char c : text) result += c == '|' ? "\\|" : std::string(1, c == '\n' ? ' ' : c);
  return result;
}

std::string line(const std::vector<std::string>& cells) {
  std::string result = "|";
  for (const std::string& text : cells) result += " " + cell(text) + " |";
  return result + "\n";
}

}  // namespace

std::string json_text(const Result& result) {
  Json json{{"experiment", result.experiment},
            {"scale", result.scale},
            {"seed", result.seed},
            {"version", result.environment.version},
            {"environment", Json::parse(json_text(result.environment))},
            {"rows", Json::array()}};
  for (const Row& row : result.rows) json["rows"].push_back(row_json(row));
  return json.dump(1) + "\n";
}

Result parse_result(const std::string& text, const std::string& where) {
  try {
    const Json json = Json::parse(text);
    Result result;
    result.experiment = json.at("experiment").get<std::string>();
    result.scale = json.at("scale").get<std::string>();
    result.seed = json.at("seed").get<std::uint64_t>();
    result.environment = parse_environment(json.at("environment"));
    for (const Json& row : json.at("rows")) result.rows.push_back(parse_row(row));
    return result;
  } catch (const Json::exception& error) {
    throw WorkError(where, fmt::format("is not a result file: {}", error.what()));
  }
}

void write_result(const std::string& path, const Result& result) { write_file(path, json_text(result)); }

Result read_result(const std::string& path) { return parse_result(read_file(path), path); }

void accumulate(Result& result, const Result& more) {
  if (result.experiment != more.experiment || result.scale != more.scale) {
    throw RequestError("result", fmt::format("holds {} at scale {}, not {} at scale {}", result.experiment,
                                             result.scale, more.experiment, more.scale));
  }
  if (result.environment.commit != more.environment.commit) {
    for (Row& row : result.rows) row.settings.emplace("commit", result.environment.commit);
    result.environment = more.environment;
  }
  for (const Row& row : more.rows) {
    const auto found =
        std::find_if(result.rows.begin(), result.rows.end(), [&](const Row& known) { return same_number(known, row); });
    if (found == result.rows.end()) {
      result.rows.push_back(row);
    } else {
      *found = row;
    }
  }
}

bool has_rows(const std::vector<Row>& rows, const std::string& method, const std::string& dataset, std::uint64_t seed) {
  return std::any_of(rows.begin(), rows.end(), [&](const Row& row) {
    const auto found = row.settings.find("seed");
    return row.method == method && row.dataset == dataset && found != row.settings.end() &&
           found->second == Setting(static_cast<double>(seed));
  });
}

std::string format_number(double value, int digits) {
  if (!std::isfinite(value)) return "–";
  if (value == 0) return "0";
  const std::string scientific = fmt::format("{:.{}e}", value, digits - 1);
  const std::size_t e = scientific.find('e');
  const int exponent = std::stoi(scientific.substr(e + 1));
  const bool fixed = exponent >= -4 && exponent < 6;
  std::string text =
      fixed ? fmt::format("{:.{}f}", value, std::max(digits - 1 - exponent, 0)) : scientific.substr(0, e);
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return fixed ? text : text + "e" + std::to_string(exponent);
}

std::string format_estimate(double value, double standard_error) {
  if (!std::isfinite(value)) return "–";
  if (!std::isfinite(standard_error)) {
    if (std::nearbyint(value) == value && std::abs(value) < 1e7) return fmt::format("{:.0f}", value);
    return format_number(value);
  }
  if (standard_error <= 0) return fmt::format("{:.6g} ± 0", value);
  const double larger = std::max(std::abs(value), standard_error);
  const int decimals = 1 - static_cast<int>(std::floor(std::log10(standard_error)));
  if (larger >= 1e7 || larger < 1e-3 || decimals > 8) return fmt::format("{:.4g} ± {:.2g}", value, standard_error);
  return fmt::format("{:.{}f} ± {:.{}f}", value, std::max(decimals, 0), standard_error, std::max(decimals, 0));
}

TextTable summary_table(const Result& result) {
  const std::vector<Group> groups = group_over_seeds(result.rows);
  TextTable table = settings_table(result, groups, {"metric", "measured", "unit", "published", "seeds"});
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const Row& first = *groups[i].first;
    const Estimate ours = measured(groups[i]);
    for (const std::string& text :
         {first.metric, format_estimate(ours.value, ours.standard_error), first.unit,
          first.published ? format_number(*first.published, 6) : "–", std::to_string(groups[i].rows.size())})
      table.body[i].push_back(text);
  }
  return table;
}

TextTable published_table(const Result& result) {
  Result with = result;
  with.rows.clear();
  for (const Row& row : result.rows)
    if (row.published && std::isfinite(*row.published)) with.rows.push_back(row);
  const std::vector<Group> groups = group_over_seeds(with.rows);
  TextTable table = settings_table(
      with, groups, {"metric", "measured", "published", "difference", "in standard errors", "unit", "seeds"});
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const Row& first = *groups[i].first;
    const Estimate ours = measured(groups[i]);
    const double difference = ours.value - *first.published, errors = difference / ours.standard_error;
    for (const std::string& text :
         {first.metric, format_estimate(ours.value, ours.standard_error), format_number(*first.published, 6),
          format_number(difference, 3), format_number(errors, 2), first.unit, std::to_string(groups[i].rows.size())})
      table.body[i].push_back(text);
  }
  return table;
}

std::string markdown_text(const Result& result) {
  const TextTable table = summary_table(result);
  std::string text = fmt::format("# {}\n\n", table.title);
  text += "Measured: mean ± standard error over seeds; with one seed, the value and its own standard error.\n\n";
  text += line(table.head);
  text += "|";
  for (const std::string& name : table.head) {
    text += name == "measured" || name == "published" || name == "seeds" ? " ---: |" : " --- |";
  }
  text += "\n";
  for (const auto& cells : table.body) text += line(cells);
  text += "\n";
  for (const auto& [name, value] : named_strings(result.environment)) text += fmt::format("* {}: {}\n", name, value);
  return text;
}

void write_table(const std::string& path, const Result& result) { write_file(path, markdown_text(result)); }

}  // namespace gibbsite
