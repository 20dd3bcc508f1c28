#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/report/html.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace gibbsite {
namespace {

std::string escaped(const std::string& text) {
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

const char* const style = R"(
:root { color-scheme: light dark; --back: #ffffff; --text: #1d2129; --soft: #5c6470; --line: #d9dde3; --panel: #f5f6f8;
  --c0: #0072b2; --c1: #c24e00; --c2: #00805e; --c3: #b0568a; --c4: #a87400; --c5: #2a86c4; }
@media (prefers-color-scheme: dark) {
  :root { --back: #15181d; --text: #e4e7ec; --soft: #9aa3af; --line: #333a44; --panel: #1d2127;
    --c0: #56b4e9; --c1: #ff8c42; --c2: #2ec4a0; --c3: #e39ac4; --c4: #f0b429; --c5: #8ecbff; } }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .6rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .8rem 1rem; white-space: pre-wrap; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; } caption { text-align: left; color: var(--soft); padding: .3rem 0; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; }
th { border-bottom-width: 2px; } .number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .92rem; }
img { max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line); border-radius: 6px; }
img.pixels { image-rendering: pixelated; }
svg { width: 100%; height: auto; max-width: 48rem; } svg text { fill: var(--soft); font-size: 12px; }
.axis { stroke: var(--soft); fill: none; } .tick { stroke: var(--line); fill: none; }
.curve { fill: none; stroke-width: 1.8; } .bar { stroke-width: 1; }
)";

bool looks_numeric(const std::string& text) {
  return !text.empty() && (std::isdigit(static_cast<unsigned char>(text[0])) || text[0] == '-' || text == "–");
}

std::string table_html(const TextTable& table) {
  std::string html = "<div class=\"wide\"><table>";
  if (!table.title.empty()) html += fmt::format("<caption>{}</caption>", escaped(table.title));
  std::vector<bool> numeric(table.head.size(), !table.body.empty());
  for (const auto& row : table.body) {
    for (std::size_t i = 0; i < row.size() && i < numeric.size(); ++i) {
      if (!row[i].empty() && !looks_numeric(row[i])) numeric[i] = false;
    }
  }
  const auto cells = [&](const std::vector<std::string>& row, const char* tag) {
    html += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) {
      html += fmt::format("<{}{}>{}</{}>", tag, i < numeric.size() && numeric[i] ? " class=\"number\"" : "",
                          escaped(row[i]), tag);
    }
    html += "</tr>\n";
  };
  html += "<thead>";
  cells(table.head, "th");
  html += "</thead>\n<tbody>\n";
  for (const auto& row : table.body) cells(row, "td");
  return html + "</tbody></table></div>\n";
}

// One axis of a plot: maps values, in logarithms if asked, to pixels.
struct Axis {
  bool logarithmic = false;
  double low = HUGE_VAL, high = -HUGE_VAL;
  double from = 0, to = 1;  // pixels

  double coordinate(double value) const { return logarithmic ? std::log10(value) : value; }
  bool holds(double value) const { return std::isfinite(value) && (!logarithmic || value > 0); }
  void include(double value) {
    if (!holds(value)) return;
    low = std::min(low, coordinate(value));
    high = std::max(high, coordinate(value));
  }
  void widen(double share) {
    if (high <= low) {
      low -= 0.5;
      high += 0.5;
    }
    const double margin = share * (high - low);
    low -= margin;
    high += margin;
  }
  double pixel(double value) const { return from + (coordinate(value) - low) / (high - low) * (to - from); }
  std::vector<double> ticks() const {
    std::vector<double> result;
    if (logarithmic && high - low >= 1) {
      const double step = std::ceil((high - low) / 6);
      for (double decade = std::ceil(low); decade <= high; decade += step) result.push_back(std::pow(10, decade));
      return result;
    }
    double step = std::pow(10, std::floor(std::log10((high - low) / 4)));
    for (const double factor : {2.0, 2.5, 2.0}) {
      if ((high - low) / step > 7) step *= factor;
    }
    for (double value = std::ceil(low / step) * step; value <= high; value += step) {
      result.push_back(logarithmic ? std::pow(10, value) : std::abs(value) < step / 1e6 ? 0 : value);
    }
    return result;
  }
};

std::string svg(const CurvePlot& plot) {
  const double width = 760, height = 360, left = 76, right = 20, top = 16, bottom = 52;
  Axis x, y;
  x.logarithmic = plot.log_x, y.logarithmic = plot.log_y;
  x.from = left, x.to = width - right, y.from = height - bottom, y.to = top;
  for (const Curve& curve : plot.curves) {
    for (std::size_t i = 0; i < std::min(curve.x.size(), curve.y.size()); ++i) {
      if (!x.holds(curve.x[i]) || !y.holds(curve.y[i])) continue;
      x.include(curve.x[i]);
      y.include(curve.y[i]);
      if (i < curve.error.size() && std::isfinite(curve.error[i])) {
        y.include(curve.y[i] + curve.error[i]);
        y.include(curve.y[i] - curve.error[i]);
      }
    }
  }
  if (x.low > x.high) return "<p>(no finite points)</p>\n";
  x.widen(0.01);
  y.widen(0.05);

  std::string html =
      fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n", width, height, escaped(plot.title));
  for (const double tick : x.ticks()) {
    html += fmt::format(
        "<path class=\"tick\" d=\"M{0:.1f} {1}V{2}\"/><text x=\"{0:.1f}\" y=\"{3}\" "
        "text-anchor=\"middle\">{4:.4g}</text>\n",
        x.pixel(tick), y.from, y.to, y.from + 18, tick);
  }
  for (const double tick : y.ticks()) {
    html += fmt::format(
        "<path class=\"tick\" d=\"M{0} {1:.1f}H{2}\"/><text x=\"{3}\" y=\"{4:.1f}\" "
        "text-anchor=\"end\">{5:.4g}</text>\n",
        x.from, y.pixel(tick), x.to, x.from - 8, y.pixel(tick) + 4, tick);
  }
  html += fmt::format("<path class=\"axis\" d=\"M{0} {1}V{2}H{3}\"/>\n", x.from, y.to, y.from, x.to);
  html += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", (x.from + x.to) / 2, height - 12,
                      escaped(plot.x_label));
  html += fmt::format("<text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                      (y.from + y.to) / 2, escaped(plot.y_label));
  std::size_t index = 0;
  for (const Curve& curve : plot.curves) {
    const std::string color = fmt::format("var(--c{})", index % 6);
    std::string path;
    bool pen_down = false;
    for (std::size_t i = 0; i < std::min(curve.x.size(), curve.y.size()); ++i) {
      if (!x.holds(curve.x[i]) || !y.holds(curve.y[i])) {
        pen_down = false;
        continue;
      }
      const double px = x.pixel(curve.x[i]), py = y.pixel(curve.y[i]);
      path += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", px, py);
      pen_down = true;
      if (i < curve.error.size() && y.holds(curve.y[i] - curve.error[i]) && y.holds(curve.y[i] + curve.error[i])) {
        html += fmt::format("<path class=\"bar\" stroke=\"{}\" d=\"M{:.1f} {:.1f}V{:.1f}\"/>\n", color, px,
                            y.pixel(curve.y[i] - curve.error[i]), y.pixel(curve.y[i] + curve.error[i]));
      }
      if ((plot.points && curve.marks) || !curve.line)
        html += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", px, py, color);
    }
    if (curve.line) html += fmt::format("<path class=\"curve\" stroke=\"{}\" d=\"{}\"/>\n", color, path);
    ++index;
  }
  html += "</svg>\n";
  if (plot.curves.size() > 1) {
    html += "<figcaption>";
    for (std::size_t i = 0; i < plot.curves.size(); ++i) {
      html += fmt::format("<span style=\"color:var(--c{})\">■</span> {} &nbsp; ", i % 6, escaped(plot.curves[i].label));
    }
    html += "</figcaption>\n";
  }
  return html;
}

const char png_signature[] = "\x89PNG\r\n\x1a\n";

// Width in the header of a PNG: big-endian at byte 16.
std::uint32_t png_width(const std::string& png) {
  std::uint32_t width = 0;
  for (std::size_t i = 16; i < 20 && i < png.size(); ++i) width = width << 8 | static_cast<unsigned char>(png[i]);
  return width;
}

}  // namespace

Picture read_picture(const std::string& path, const std::string& caption) {
  Picture picture{caption, read_file(path)};
  if (picture.png.compare(0, 8, png_signature) != 0) throw WorkError(path, "is not a PNG file");
  return picture;
}

std::string html_text(const Report& report) {
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
      "'unsafe-inline'\">\n<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<h1>{}</h1>\n",
      escaped(report.title), style, escaped(report.title));
  if (!report.summary.empty()) {
    html += "<pre>";
    for (std::size_t i = 0; i < report.summary.size(); ++i) html += (i ? "\n" : "") + escaped(report.summary[i]);
    html += "</pre>\n";
  }
  if (!report.pictures.empty()) html += "<h2>Pictures</h2>\n";
  for (const Picture& picture : report.pictures) {
    // Small pictures are pixel grids, which smoothing would blur when the page is enlarged.
    html +=
        fmt::format("<figure><img{} alt=\"{}\" src=\"data:image/png;base64,{}\"><figcaption>{}</figcaption></figure>\n",
                    png_width(picture.png) < 400 ? " class=\"pixels\"" : "", escaped(picture.caption),
                    base64(picture.png), escaped(picture.caption));
  }
  if (!report.tables.empty()) html += "<h2>Results</h2>\n";
  for (const TextTable& table : report.tables) html += table_html(table);
  if (!report.curves.empty()) html += "<h2>Curves</h2>\n";
  for (const CurvePlot& plot : report.curves) {
    html += fmt::format("<figure><strong>{}</strong>\n{}</figure>\n", escaped(plot.title), svg(plot));
  }
  if (!report.environment.empty()) {
    html += "<h2>Environment</h2>\n<table>\n";
    for (const auto& [name, value] : report.environment) {
      html += fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", escaped(name), escaped(value));
    }
    html += "</table>\n";
  }
  return html + "</body>\n</html>\n";
}

void write_html(const std::string& path, const Report& report) { write_file(path, html_text(report)); }

}  // namespace gibbsite
