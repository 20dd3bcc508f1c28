#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/report/plot_data.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace gibbsite {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kCurveDigits = 9, kMapDigits = 4;

std::string quoted(const std::string& text) { return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace); }

template <class Number>
std::string numbers(const Number* begin, std::int64_t count, int digits) {
  std::string text = "[";
  for (std::int64_t i = 0; i < count; ++i) {
    if (i > 0) text += ',';
    if (std::isfinite(begin[i]))
      fmt::format_to(std::back_inserter(text), "{:.{}g}", begin[i], digits);
    else
      text += "null";
  }
  return text + "]";
}

std::string numbers(const std::vector<double>& values) {
  return numbers(values.data(), static_cast<std::int64_t>(values.size()), kCurveDigits);
}

// [rows, columns] as an array of arrays; undefined: null.
std::string rows_text(const Tensor& x) {
  if (!x.defined()) return "null";
  const Tensor v = x.detach().to(torch::kCPU, torch::kDouble).contiguous();
  if (v.dim() != 2) throw WorkError("plot", "a panel needs tables of numbers");
  std::string text = "[";
  for (std::int64_t i = 0; i < v.size(0); ++i)
    text += (i > 0 ? "," : "") + numbers(v.data_ptr<double>() + i * v.size(1), v.size(1), kMapDigits);
  return text + "]";
}

double number_or_nan(const Json& json) { return json.is_null() ? std::nan("") : json.get<double>(); }

std::vector<double> parse_numbers(const Json& json) {
  std::vector<double> values;
  for (const Json& value : json) values.push_back(number_or_nan(value));
  return values;
}

Tensor parse_rows(const Json& json, std::int64_t columns, const std::string& where) {
  if (json.is_null()) return {};
  std::vector<double> values;
  const auto rows = static_cast<std::int64_t>(json.size());
  for (const Json& row : json) {
    if (columns < 0) columns = static_cast<std::int64_t>(row.size());
    if (static_cast<std::int64_t>(row.size()) != columns)
      throw WorkError(where, "is not a plot: rows differ in length");
    for (const Json& value : row) values.push_back(number_or_nan(value));
  }
  return torch::tensor(values, torch::kDouble).view({rows, std::max<std::int64_t>(columns, 0)});
}

CurvePlot parse_curves(const Json& json, const std::string& where) {
  CurvePlot plot;
  plot.title = json.at("title").get<std::string>();
  plot.x_label = json.at("x_label").get<std::string>();
  plot.y_label = json.at("y_label").get<std::string>();
  plot.log_x = json.at("log_x").get<bool>();
  plot.log_y = json.at("log_y").get<bool>();
  plot.equal_axes = json.at("equal_axes").get<bool>();
  plot.points = json.at("points").get<bool>();
  for (const Json& entry : json.at("curves")) {
    Curve curve;
    curve.label = entry.at("label").get<std::string>();
    curve.line = entry.at("line").get<bool>();
    curve.marks = entry.at("marks").get<bool>();
    curve.x = parse_numbers(entry.at("x"));
    curve.y = parse_numbers(entry.at("y"));
    curve.error = parse_numbers(entry.at("error"));
    if (curve.x.size() != curve.y.size() || (!curve.error.empty() && curve.error.size() != curve.y.size()))
      throw WorkError(where, "is not a plot: columns differ in length");
    plot.curves.push_back(std::move(curve));
  }
  return plot;
}

DensityPlot parse_densities(const Json& json, const std::string& where) {
  DensityPlot plot;
  plot.title = json.at("title").get<std::string>();
  plot.color_label = json.at("color_label").get<std::string>();
  plot.color_high = json.at("color_high").get<double>();
  for (const Json& entry : json.at("panels")) {
    DensityPanel panel;
    panel.title = entry.at("title").get<std::string>();
    panel.x_low = entry.at("x_low").get<double>();
    panel.x_high = entry.at("x_high").get<double>();
    panel.y_low = entry.at("y_low").get<double>();
    panel.y_high = entry.at("y_high").get<double>();
    panel.values = parse_rows(entry.at("values"), -1, where);
    panel.scatter = parse_rows(entry.at("scatter"), 2, where);
    plot.panels.push_back(std::move(panel));
  }
  return plot;
}

}  // namespace

std::string json_text(const CurvePlot& plot) {
  std::string text = fmt::format(
      "{{\"kind\":\"curves\",\"title\":{},\"x_label\":{},\"y_label\":{},\"log_x\":{},\"log_y\":{},\"equal_axes\":{},"
      "\"points\":{},\"curves\":[",
      quoted(plot.title), quoted(plot.x_label), quoted(plot.y_label), plot.log_x, plot.log_y, plot.equal_axes,
      plot.points);
  for (std::size_t i = 0; i < plot.curves.size(); ++i) {
    const Curve& curve = plot.curves[i];
    text += fmt::format("{}{{\"label\":{},\"line\":{},\"marks\":{},\"x\":{},\"y\":{},\"error\":{}}}", i > 0 ? "," : "",
                        quoted(curve.label), curve.line, curve.marks, numbers(curve.x), numbers(curve.y),
                        numbers(curve.error));
  }
  return text + "]}";
}

std::string json_text(const DensityPlot& plot) {
  std::string text =
      fmt::format("{{\"kind\":\"densities\",\"title\":{},\"color_label\":{},\"color_high\":{:.9g},\"panels\":[",
                  quoted(plot.title), quoted(plot.color_label), color_high(plot));
  for (std::size_t i = 0; i < plot.panels.size(); ++i) {
    const DensityPanel& panel = plot.panels[i];
    text += fmt::format(
        "{}{{\"title\":{},\"x_low\":{:.9g},\"x_high\":{:.9g},\"y_low\":{:.9g},\"y_high\":{:.9g},\"values\":{},"
        "\"scatter\":{}}}",
        i > 0 ? "," : "", quoted(panel.title), panel.x_low, panel.x_high, panel.y_low, panel.y_high,
        rows_text(panel.values), rows_text(panel.scatter));
  }
  return text + "]}";
}

double color_high(const DensityPlot& plot) {
  double high = plot.color_high;
  if (high > 0) return high;
  for (const DensityPanel& panel : plot.panels)
    if (panel.values.defined() && panel.values.numel() > 0)
      high = std::max(high, panel.values.detach().to(torch::kDouble).nan_to_num(0, 0, 0).max().item<double>());
  return high > 0 ? high : 1;
}

AnyPlot parse_plot(const std::string& text, const std::string& where) {
  try {
    const Json json = Json::parse(text);
    const auto kind = json.at("kind").get<std::string>();
    if (kind == "curves") return parse_curves(json, where);
    if (kind == "densities") return parse_densities(json, where);
    throw WorkError(where, fmt::format("is not a plot: kind '{}'", kind));
  } catch (const Json::exception& error) {
    throw WorkError(where, fmt::format("is not a plot: {}", error.what()));
  }
}

Curve thinned(const Curve& curve, std::size_t stretches) {
  if (curve.y.size() <= 2 * stretches || !curve.error.empty()) return curve;
  Curve result = curve;
  result.x.clear();
  result.y.clear();
  for (std::size_t s = 0; s < stretches; ++s) {
    const std::size_t begin = s * curve.y.size() / stretches, end = (s + 1) * curve.y.size() / stretches;
    std::size_t least = end, largest = end;
    for (std::size_t i = begin; i < end; ++i) {
      if (!std::isfinite(curve.y[i])) continue;
      if (least == end || curve.y[i] < curve.y[least]) least = i;
      if (largest == end || curve.y[i] > curve.y[largest]) largest = i;
    }
    if (least == end) least = largest = begin;
    for (const std::size_t i : {std::min(least, largest), std::max(least, largest)}) {
      if (i == least && i == largest && !result.x.empty() && result.x.back() == curve.x[i]) continue;
      result.x.push_back(curve.x[i]);
      result.y.push_back(curve.y[i]);
    }
  }
  return result;
}

}  // namespace gibbsite
