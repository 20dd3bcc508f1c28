#include <fmt/format.h>
#include <gibbsite/report/chart.h>
#include <gibbsite/report/color_map.h>
#include <gibbsite/report/image.h>
#include <gibbsite/report/plot_data.h>
#include <gibbsite/report/rows.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

constexpr double kInner = 1000;  // extent of the inner graphic

// Pixels of the page without its script, which lays the chart out anew.
struct Frame {
  double width = 760, height = 380;
  double left = 76, right = 16, top = 10, bottom = 48;
  bool square = false;
};

// One axis: values, in logarithms if asked, to shares of its range.
struct Axis {
  bool logarithmic = false;
  double low = HUGE_VAL, high = -HUGE_VAL;

  double coordinate(double value) const { return logarithmic ? std::log10(value) : value; }
  bool holds(double value) const { return std::isfinite(value) && (!logarithmic || value > 0); }
  void include(double value) {
    if (!holds(value)) return;
    low = std::min(low, coordinate(value));
    high = std::max(high, coordinate(value));
  }
  void widen(double share) {
    // A constant still needs a range that floating point can divide.
    const double least = std::max(1e-12 * std::max(std::abs(low), std::abs(high)), 1e-300);
    const double margin = high - low > least ? share * (high - low) : std::max(0.5 * std::abs(low), least);
    low -= margin > 0 ? margin : 0.5;
    high += margin > 0 ? margin : 0.5;
  }
  double share(double value) const { return (coordinate(value) - low) / (high - low); }
};

struct Tick {
  double value;
  std::string text;
};

// At round values; page.js has the same rule for the part in view.
std::vector<Tick> ticks(const Axis& axis) {
  constexpr double kMost = 7;
  std::vector<Tick> result;
  double low = axis.low, high = axis.high;
  if (axis.logarithmic && high - low >= 1) {
    const double step = std::ceil((high - low) / kMost);
    const std::vector<double> within = high - low < 3 ? std::vector<double>{1, 2, 5} : std::vector<double>{1};
    for (double decade = std::floor(low / step) * step; decade <= high; decade += step)
      for (const double factor : within) {
        const double value = factor * std::pow(10, decade);
        if (std::log10(value) >= low && std::log10(value) <= high) result.push_back({value, format_number(value)});
      }
    return result;
  }
  if (axis.logarithmic) {
    low = std::pow(10, low);
    high = std::pow(10, high);
  }
  double step = std::pow(10, std::floor(std::log10((high - low) / 3)));
  for (const double factor : {2.0, 2.5, 2.0})
    if ((high - low) / step > kMost) step *= factor;
  const double largest = std::max(std::abs(low), std::abs(high));
  const int digits = static_cast<int>(std::clamp(std::floor(std::log10(largest / step)) + 2, 1.0, 12.0));
  for (double k = std::ceil(low / step); k * step <= high; ++k)
    result.push_back({k * step, format_number(k * step, digits)});
  return result;
}

std::string frame_html(const Frame& f, const Axis& x, const Axis& y, const std::string& x_label,
                       const std::string& y_label, const std::string& label, const std::string& place,
                       const std::string& inside) {
  const double width = f.width - f.left - f.right, height = f.height - f.top - f.bottom;
  std::string html = fmt::format(
      "<div class=\"chart{}\" {} data-x=\"{:.17g} {:.17g}\" data-y=\"{:.17g} {:.17g}\">\n<svg viewBox=\"0 0 {} {}\" "
      "role=\"img\" aria-label=\"{}\">\n<g class=\"grid\">\n",
      f.square ? " square" : "", place, x.low, x.high, y.low, y.high, f.width, f.height, html_escaped(label));
  for (const Tick& tick : ticks(x))
    html += fmt::format("<path d=\"M{0:.1f} {1}V{2}\"/><text x=\"{0:.1f}\" y=\"{3}\" class=\"below\">{4}</text>\n",
                        f.left + x.share(tick.value) * width, f.top, f.top + height, f.top + height + 18, tick.text);
  for (const Tick& tick : ticks(y))
    html += fmt::format("<path d=\"M{0} {1:.1f}H{2}\"/><text x=\"{3}\" y=\"{4:.1f}\" class=\"beside\">{5}</text>\n",
                        f.left, f.top + (1 - y.share(tick.value)) * height, f.left + width, f.left - 8,
                        f.top + (1 - y.share(tick.value)) * height + 4, tick.text);
  html += fmt::format(
      "</g>\n<svg class=\"inner\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {} {}\" "
      "preserveAspectRatio=\"none\">\n{}</svg>\n",
      f.left, f.top, width, height, kInner, kInner, inside);
  html += fmt::format("<path class=\"axis\" d=\"M{0} {1}V{2}H{3}\"/>\n", f.left, f.top, f.top + height, f.left + width);
  html += fmt::format("<text class=\"x-label below\" x=\"{}\" y=\"{}\">{}</text>\n", f.left + width / 2, f.height - 8,
                      html_escaped(x_label));
  html += fmt::format("<text class=\"y-label below\" transform=\"translate(14 {}) rotate(-90)\">{}</text>\n",
                      f.top + height / 2, html_escaped(y_label));
  return html + "</svg>\n</div>\n";
}

std::string path(const char* kind, const std::string& data) {
  return data.empty() ? "" : fmt::format("<path class=\"{}\" d=\"{}\"/>", kind, data);
}

std::string curve_path(const Curve& curve, bool marked, const Axis& x, const Axis& y) {
  std::string line, dots, bars;
  bool pen_down = false;
  for (std::size_t i = 0; i < std::min(curve.x.size(), curve.y.size()); ++i) {
    if (!x.holds(curve.x[i]) || !y.holds(curve.y[i])) {
      pen_down = false;
      continue;
    }
    const double u = kInner * x.share(curve.x[i]), v = kInner * (1 - y.share(curve.y[i]));
    const std::string point = fmt::format("{:.2f} {:.2f}", u, v);
    line += (pen_down ? "L" : "M") + point;
    pen_down = true;
    // A line without length and with round ends is a dot that zooming does not distort.
    if (marked) dots += "M" + point + "h0";
    if (i >= curve.error.size() || !(curve.error[i] > 0) || !std::isfinite(curve.error[i])) continue;
    const double high = curve.y[i] + curve.error[i], low = curve.y[i] - curve.error[i];
    bars += fmt::format("M{:.2f} {:.2f}V{:.2f}", u, kInner * (1 - y.share(high)),
                        y.holds(low) ? kInner * (1 - y.share(low)) : kInner);
  }
  return path("bars", bars) + (curve.line ? path("line", line) : "") + path("dots", dots);
}

}  // namespace

std::string html_escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      case '\'': result += "&#39;"; break;
      default: result += c;
    }
  }
  return result;
}

std::string base64(const std::string& bytes) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  result.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      word = word << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      result += i + k <= bytes.size() ? digits[word >> (18 - 6 * k) & 63] : '=';
    }
  }
  return result;
}

std::string chart_html(const CurvePlot& plot, std::size_t index) {
  Axis x, y;
  x.logarithmic = plot.log_x, y.logarithmic = plot.log_y;
  for (const Curve& curve : plot.curves) {
    for (std::size_t i = 0; i < std::min(curve.x.size(), curve.y.size()); ++i) {
      if (!x.holds(curve.x[i]) || !y.holds(curve.y[i])) continue;
      x.include(curve.x[i]);
      y.include(curve.y[i]);
      if (i >= curve.error.size() || !std::isfinite(curve.error[i])) continue;
      y.include(curve.y[i] + curve.error[i]);
      // A bar that reaches below zero would stretch a logarithmic axis without end.
      if (!plot.log_y || curve.y[i] - curve.error[i] > 1e-3 * curve.y[i]) y.include(curve.y[i] - curve.error[i]);
    }
  }
  if (x.low > x.high) return "<p>(no finite points)</p>\n";
  x.widen(0.01);
  y.widen(0.05);
  Frame frame;
  if (plot.equal_axes && !plot.log_x && !plot.log_y) {
    const double extent = std::max(x.high - x.low, y.high - y.low);
    for (Axis* axis : {&x, &y}) {
      const double middle = (axis->low + axis->high) / 2;
      axis->low = middle - extent / 2;
      axis->high = middle + extent / 2;
    }
    frame.square = true;
    frame.height = 560;
    frame.width = frame.height - frame.top - frame.bottom + frame.left + frame.right;
  }
  std::string inside;
  for (std::size_t i = 0; i < plot.curves.size(); ++i) {
    const Curve& curve = plot.curves[i];
    const bool marked = (plot.points && curve.marks) || !curve.line;
    inside += fmt::format("<g class=\"series s{}\">{}</g>\n", i % 12, curve_path(curve, marked, x, y));
  }
  return frame_html(frame, x, y, plot.x_label, plot.y_label,
                    fmt::format("{}: {} over {}", plot.title, plot.y_label, plot.x_label),
                    fmt::format("data-plot=\"{}\"", index), inside);
}

std::string chart_html(const DensityPlot& plot, std::size_t index, std::size_t number) {
  const DensityPanel& panel = plot.panels.at(number);
  Axis x, y;
  x.low = panel.x_low, x.high = panel.x_high, y.low = panel.y_low, y.high = panel.y_high;
  if (!(x.high > x.low) || !(y.high > y.low)) return "<p>(no finite points)</p>\n";
  std::string inside;
  if (panel.values.defined())
    inside += fmt::format(
        "<image width=\"{0}\" height=\"{0}\" preserveAspectRatio=\"none\" href=\"data:image/png;base64,{1}\"/>\n",
        kInner, base64(png_bytes(colored(panel.values.flip(0), color_high(plot)))));
  if (panel.scatter.defined()) {
    const Tensor points = panel.scatter.detach().to(torch::kCPU, torch::kDouble).contiguous();
    const double* p = points.data_ptr<double>();
    std::string dots;
    for (std::int64_t i = 0; i < points.size(0); ++i, p += 2)
      if (std::isfinite(p[0]) && std::isfinite(p[1]))
        dots += fmt::format("M{:.2f} {:.2f}h0", kInner * x.share(p[0]), kInner * (1 - y.share(p[1])));
    inside += path(panel.values.defined() ? "scatter over" : "scatter", dots) + "\n";
  }
  Frame frame;
  frame.width = 400, frame.left = 56;
  const double aspect = std::clamp((y.high - y.low) / (x.high - x.low), 0.4, 2.0);
  frame.height = (frame.width - frame.left - frame.right) * aspect + frame.top + frame.bottom;
  return frame_html(frame, x, y, "", "", fmt::format("{}: {}, {}", plot.title, panel.title, plot.color_label),
                    fmt::format("data-plot=\"{}\" data-panel=\"{}\"", index, number), inside);
}

std::string color_scale_html(const DensityPlot& plot) {
  const bool maps =
      std::any_of(plot.panels.begin(), plot.panels.end(), [](const DensityPanel& p) { return p.values.defined(); });
  if (!maps) return "";
  constexpr std::int64_t kColors = 128;
  const Tensor ramp = (torch::arange(kColors, torch::kDouble) / (kColors - 1)).unsqueeze(0);
  return fmt::format(
      "<p class=\"scale\">{} <span>0</span> <img alt=\"dark to light\" width=\"180\" height=\"12\" "
      "src=\"data:image/png;base64,{}\"> <span>{}</span></p>\n",
      html_escaped(plot.color_label), base64(png_bytes(colored(ramp, 1))), format_number(color_high(plot)));
}

}  // namespace gibbsite
