#include <fmt/format.h>
#include <gibbsite/core/digest.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/report/chart.h>
#include <gibbsite/report/html.h>
#include <gibbsite/report/page.h>
#include <gibbsite/report/plot_data.h>

#include <algorithm>
#include <cstdlib>

namespace gibbsite {
namespace {

// A number, alone or with an error after it; or none.
bool looks_numeric(const std::string& text) {
  if (text.empty() || text == "–") return true;
  char* end = nullptr;
  std::strtod(text.c_str(), &end);
  return end != text.c_str() && (*end == '\0' || *end == ' ');
}

std::string table_html(const TextTable& table) {
  std::string html = "<div class=\"wide\" tabindex=\"0\"><table>\n";
  if (!table.title.empty()) html += fmt::format("<caption>{}</caption>\n", html_escaped(table.title));
  std::vector<bool> numeric(table.head.size(), !table.body.empty());
  for (const auto& row : table.body)
    for (std::size_t i = 0; i < row.size() && i < numeric.size(); ++i)
      if (!looks_numeric(row[i])) numeric[i] = false;
  const auto cells = [&](const std::vector<std::string>& row, const char* open, const char* close) {
    html += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i)
      html += fmt::format("<{}{}>{}</{}>", open, i < numeric.size() && numeric[i] ? " class=\"number\"" : "",
                          html_escaped(row[i]), close);
    html += "</tr>\n";
  };
  html += "<thead>";
  cells(table.head, "th scope=\"col\"", "th");
  html += "</thead>\n<tbody>\n";
  for (const auto& row : table.body) cells(row, "td", "td");
  return html + "</tbody>\n</table></div>\n";
}

std::string figure_html(const CurvePlot& plot, std::size_t index) {
  std::string html = fmt::format("<figure class=\"plot\"><figcaption>{}</figcaption>\n{}", html_escaped(plot.title),
                                 chart_html(plot, index));
  if (plot.curves.size() > 1) {
    html += "<p class=\"keys\">";
    for (std::size_t i = 0; i < plot.curves.size(); ++i)
      html += fmt::format("<button type=\"button\" class=\"key s{}\" disabled><span></span>{}</button> ", i % 12,
                          html_escaped(plot.curves[i].label));
    html += "</p>\n";
  }
  return html + "</figure>\n";
}

std::string figure_html(const DensityPlot& plot, std::size_t index) {
  std::string html = fmt::format("<figure class=\"maps\"><figcaption>{}</figcaption>\n<div class=\"panels\">\n",
                                 html_escaped(plot.title));
  for (std::size_t panel = 0; panel < plot.panels.size(); ++panel)
    html += fmt::format("<div class=\"panel plot\"><p class=\"name\">{}</p>\n{}</div>\n",
                        html_escaped(plot.panels[panel].title), chart_html(plot, index, panel));
  return html + "</div>\n" + color_scale_html(plot) + "</figure>\n";
}

const char png_signature[] = "\x89PNG\r\n\x1a\n";

// Width in the header of a PNG: big-endian at byte 16.
std::uint32_t png_width(const std::string& png) {
  std::uint32_t width = 0;
  for (std::size_t i = 16; i < 20 && i < png.size(); ++i) width = width << 8 | static_cast<unsigned char>(png[i]);
  return width;
}

std::string figure_html(const Picture& picture) {
  constexpr std::uint32_t kWide = 400;
  const std::uint32_t width = std::max<std::uint32_t>(png_width(picture.png), 1);
  // Small pictures are grids of pixels: whole multiples, which smoothing would blur.
  const std::uint32_t factor = std::max<std::uint32_t>(kWide / width, 1);
  return fmt::format(
      "<figure class=\"picture\"><img{} width=\"{}\" alt=\"{}\" src=\"data:image/png;base64,{}\">"
      "<figcaption>{}</figcaption></figure>\n",
      width < kWide ? " class=\"pixels\"" : "", factor * width, html_escaped(picture.caption), base64(picture.png),
      html_escaped(picture.caption));
}

// Inside <script> only "<" could end the element or open a comment.
std::string script_safe(const std::string& json) {
  std::string result;
  for (const char c : json) result += c == '<' ? "\\u003c" : std::string(1, c);
  return result;
}

std::string source_hash(const std::string& source) { return "'sha256-" + base64(sha256(source)) + "'"; }

// A section with a link to it where it has content.
struct Page {
  std::string links, body;

  void section(const char* id, const char* name, const std::string& content) {
    if (content.empty()) return;
    links += fmt::format("<a href=\"#{}\">{}</a> ", id, name);
    body +=
        fmt::format("<section id=\"{0}\" aria-labelledby=\"{0}-name\">\n<h2 id=\"{0}-name\">{1}</h2>\n{2}</section>\n",
                    id, name, content);
  }
};

template <class Part>
std::string joined(const std::vector<Part>& parts, std::string (*html)(const Part&)) {
  std::string result;
  for (const Part& part : parts) result += html(part);
  return result;
}

}  // namespace

Picture read_picture(const std::string& path, const std::string& caption) {
  Picture picture{caption, read_file(path)};
  if (picture.png.compare(0, 8, png_signature) != 0) throw WorkError(path, "is not a PNG file");
  return picture;
}

void add_result(Report& report, const Result& result) {
  TextTable published = published_table(result);
  if (!published.body.empty()) report.comparisons.push_back(std::move(published));
  report.tables.push_back(summary_table(result));
}

std::string html_text(const Report& report) {
  Page page;
  std::string data = "{\"plots\":[", densities, curves, summary, environment;
  std::size_t index = 0;
  const auto add = [&](const auto& plot, std::string& section) {
    section += figure_html(plot, index);
    data += (index++ > 0 ? ",\n" : "") + json_text(plot);
  };
  for (const DensityPlot& plot : report.densities) add(plot, densities);
  for (const CurvePlot& plot : report.curves) add(plot, curves);
  data += "]}";
  for (const std::string& line : report.summary) summary += html_escaped(line) + "\n";
  if (!summary.empty()) page.body += "<pre class=\"summary\">" + summary + "</pre>\n";
  if (!report.comparisons.empty())
    page.section(
        "comparison", "Beside published numbers",
        "<p>Published numbers are of the papers' own settings and machines; the page of the experiment says what "
        "differs here. Differences are ours less published.</p>\n" +
            joined(report.comparisons, table_html));
  page.section("densities", "Densities", densities);
  page.section("curves", "Curves", curves.empty() ? "" : "<div class=\"curves\">\n" + curves + "</div>\n");
  const std::string pictures = joined(report.pictures, static_cast<std::string (*)(const Picture&)>(figure_html));
  page.section("pictures", "Pictures", pictures.empty() ? "" : "<div class=\"pictures\">\n" + pictures + "</div>\n");
  page.section("results", "Results", joined(report.tables, table_html));
  std::string settings;
  for (const TextTable& table : report.settings) {
    TextTable inner = table;
    inner.title.clear();
    settings +=
        fmt::format("<details><summary>{}</summary>\n{}</details>\n", html_escaped(table.title), table_html(inner));
  }
  page.section("settings", "Settings", settings);
  for (const auto& [name, value] : report.environment)
    environment +=
        fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", html_escaped(name), html_escaped(value));
  if (!environment.empty())
    environment = "<div class=\"wide\" tabindex=\"0\"><table>\n" + environment + "</table></div>\n";
  page.section("environment", "Environment", environment);

  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src {}; "
      "script-src {}; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n",
      source_hash(page_style), source_hash(page_script), html_escaped(report.title));
  html += "<style>" + page_style + "</style>\n</head>\n<body>\n";
  html += fmt::format("<header>\n<h1>{}</h1>\n<nav aria-label=\"Sections\">{}</nav>\n</header>\n<main>\n{}</main>\n",
                      html_escaped(report.title), page.links, page.body);
  html += "<script type=\"application/json\" id=\"data\">" + script_safe(data) + "</script>\n";
  return html + "<script>" + page_script + "</script>\n</body>\n</html>\n";
}

void write_html(const std::string& path, const Report& report) { write_file(path, html_text(report)); }

}  // namespace gibbsite
