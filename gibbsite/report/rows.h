// Result rows are a contract that scripts depend on: result.json holds one row per number and seed, table.md the means
// over seeds with the published number beside.
#pragma once

#include <gibbsite/core/environment.h>
#include <gibbsite/metric/estimate.h>

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace gibbsite {

using Setting = std::variant<double, std::string>;

struct Row {
  std::string method, dataset, metric;  ///< exact slugs
  double value = std::numeric_limits<double>::quiet_NaN();
  double standard_error = std::numeric_limits<double>::quiet_NaN();  ///< "stderr" in the file
  std::string unit;
  std::optional<double> published;
  std::map<std::string, Setting> settings;  ///< further keys of the row: "seed", "order", "dtype", "against", …
};

struct Result {
  std::string experiment;  ///< e.g. "fd/derivative-cost"
  std::string scale;       ///< "smoke", "desk" or "paper"
  std::uint64_t seed = 0;  ///< the first seed; every row has its own
  Environment environment;
  std::vector<Row> rows;
};

/// {experiment, scale, seed, version, environment, rows}; NaN and infinities become null.
std::string json_text(const Result& result);
/// Throws WorkError naming `where` unless the text follows the contract.
Result parse_result(const std::string& text, const std::string& where);
void write_result(const std::string& path, const Result& result);
Result read_result(const std::string& path);

/// Adds rows to a result: a row with the same method, dataset, metric and settings (seed included) is replaced. Throws
/// RequestError if experiment or scale differ. Rows kept from another commit get a setting "commit".
void accumulate(Result& result, const Result& more);

/// True if some row has this method, data set and seed: a reproduction that was interrupted skips it.
bool has_rows(const std::vector<Row>& rows, const std::string& method, const std::string& dataset, std::uint64_t seed);

/// A table with a heading row, for Markdown and HTML.
struct TextTable {
  std::string title;
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> body;
};

/// The rows of summary_table with a published number, and how far ours is from it, in its unit and in our standard errors.
/// Empty body where there are none.
TextTable published_table(const Result& result);

/// One line per method, data set, metric and settings other than the seed: mean ± standard error over seeds (with one
/// seed, the row's own standard error), the published number and the count of seeds. Settings that never differ are in
/// the title.
TextTable summary_table(const Result& result);

/// The table.md of a result: heading, table, environment.
std::string markdown_text(const Result& result);
void write_table(const std::string& path, const Result& result);

/// A number as tables, axes and the report's script write it: so many significant digits without trailing zeros, an
/// exponent ("1.5e-7") below 1e-4 and from 1e6 on, "–" for what is not finite.
std::string format_number(double value, int digits = 4);

/// "0.3321 ± 0.0012": the error to two digits and the value to the same place; without an error, four digits.
std::string format_estimate(double value, double standard_error);

}  // namespace gibbsite
