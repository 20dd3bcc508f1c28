#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/report/chart.h>
#include <gibbsite/report/html.h>
#include <gibbsite/report/image.h>
#include <gibbsite/report/plot_data.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <regex>

#include "report/picture_test_helpers.h"

namespace gibbsite {
namespace {

std::string decode_base64(const std::string& text) {
  static const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t word = 0;
  int bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    word = word << 6 | static_cast<std::uint32_t>(digits.find(c));
    bits += 6;
    if (bits >= 8) bytes += static_cast<char>(word >> (bits -= 8) & 255);
  }
  return bytes;
}

Report example(const Tensor& pixels) {
  Report report;
  report.title = "Checkerboard <b>&\"'";
  report.summary = {"held-out log-likelihood 0.3321 ± 0.0012 (bound 0.3445)", "samples < 3 & more"};
  report.tables = {{"fd/derivative-cost, scale desk",
                    {"method", "measured", "published"},
                    {{"25-jets", "0.3321 ± 0.0012", "–"}, {"<script>", "-1.2", "0.25"}}}};
  report.pictures = {{"learned density", png_bytes(pixels)}};
  CurvePlot curves;
  curves.title = "Training";
  curves.x_label = "step";
  curves.y_label = "loss";
  curves.points = false;
  for (const char* label : {"loss", "validation"}) {
    Curve curve{label, {}, {}, {}};
    for (int i = 1; i <= 200; ++i) {
      curve.x.push_back(10 * i);
      curve.y.push_back((label[0] == 'l' ? 1 : 1.3) * std::exp(-i / 60.0) - 0.2 + 0.02 * std::sin(i * 1.7));
    }
    curve.y[50] = NAN;
    curves.curves.push_back(curve);
  }
  report.curves = {curves};
  CurvePlot decades = curves;
  decades.title = "Error";
  decades.log_y = true;
  decades.points = true;
  decades.curves = {{"jet", {1, 2, 3, 4}, {1e-15, 3e-14, 2e-13, 1e-12}, {}},
                    {"fd", {1, 2, 3}, {1e-6, 1e-4, 1e-2}, {2e-7, 3e-5, 5e-3}}};
  report.curves.push_back(decades);
  report.environment = named_strings(environment());
  return report;
}

// The JSON inside the page, as a browser takes it: raw text up to the first end of a script.
nlohmann::json page_data(const std::string& html) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const std::size_t begin = html.find(open) + open.size();
  return nlohmann::json::parse(html.substr(begin, html.find("</script", begin) - begin));
}

std::ptrdiff_t count(const std::string& text, const std::string& pattern) {
  const std::regex expression(pattern);
  return std::distance(std::sregex_iterator(text.begin(), text.end(), expression), std::sregex_iterator());
}

// Without style sheet and scripts.
std::string markup(const std::string& html) {
  std::string text = html;
  for (const char* tag : {"style", "script"})
    for (std::size_t begin; (begin = text.find(std::string("<") + tag)) != std::string::npos;) {
      const std::string end = std::string("</") + tag + ">";
      text.erase(begin, text.find(end, begin) + end.size() - begin);
    }
  return text;
}

TEST(Html, EmbedsPicturesAndLoadsNothing) {
  const Tensor pixels = at::arange(48, at::TensorOptions().dtype(at::kByte)).view({4, 4, 3});
  const std::string html = html_text(example(pixels));
  std::smatch match;
  ASSERT_TRUE(std::regex_search(html, match, std::regex("<img[^>]* src=\"data:image/png;base64,([A-Za-z0-9+/=]+)\"")));
  EXPECT_TRUE(decode_png(decode_base64(match[1].str())).equal(pixels));
  const std::string body = markup(html);
  // No address but the name of a namespace inside the script.
  EXPECT_EQ(body.find("://"), std::string::npos);
  EXPECT_EQ(count(html, "://"), count(html, "http://www.w3.org/2000/svg"));
  for (const char* loader : {"url(", "@import", "<link", "fetch(", "XMLHttpRequest", "WebSocket", "import(", "eval("})
    EXPECT_EQ(html.find(loader), std::string::npos) << loader;
  EXPECT_NE(html.find("default-src 'none'; img-src data:"), std::string::npos);
  EXPECT_EQ(html.find("unsafe"), std::string::npos);
  EXPECT_EQ(count(body, " style="), 0) << "the policy refuses styles of elements";
  EXPECT_EQ(count(body, " on[a-z]+="), 0);
  EXPECT_NE(html.find("prefers-color-scheme: dark"), std::string::npos);
  EXPECT_EQ(body.find("nan"), std::string::npos);
}

TEST(Html, HoldsEverythingEscaped) {
  const std::string html = html_text(example(at::zeros({2, 2}, at::TensorOptions().dtype(at::kByte))));
  EXPECT_NE(html.find("<h1>Checkerboard &lt;b&gt;&amp;&quot;&#39;</h1>"), std::string::npos);
  EXPECT_NE(html.find("held-out log-likelihood 0.3321 ± 0.0012 (bound 0.3445)\nsamples &lt; 3 &amp; more"),
            std::string::npos);
  EXPECT_NE(html.find("<td>&lt;script&gt;</td>"), std::string::npos);
  EXPECT_NE(html.find("<td class=\"number\">0.3321 ± 0.0012</td>"), std::string::npos);
  EXPECT_NE(html.find("<td>25-jets</td>"), std::string::npos) << "a name is no number";
  EXPECT_NE(html.find(environment().commit), std::string::npos);
  EXPECT_NE(html.find("validation"), std::string::npos);
  // Every element that is opened is closed.
  const std::string body = markup(html);
  for (const char* tag : {"table", "figure", "svg", "pre", "tr", "td", "th", "p", "div", "text", "section", "button"})
    EXPECT_EQ(count(body, std::string("<") + tag + "[ >]"), count(body, std::string("</") + tag + ">")) << tag;
  const std::string path = picture_folder() + "/report.html";
  write_html(path, example(at::zeros({2, 2}, at::TensorOptions().dtype(at::kByte))));
  EXPECT_GT(read_file(path).size(), 5000u);
}

TEST(Html, DataSurviveHostileTextAndNumbersThatAreNone) {
  const std::string hostile = "</script><!--<script>alert(1)&\"'\\ \xE2\x80\xA8 \n";
  Report report;
  report.title = hostile;
  CurvePlot plot;
  plot.title = plot.x_label = plot.y_label = hostile;
  plot.curves = {{hostile, {1, 2, 3, 4}, {NAN, HUGE_VAL, -HUGE_VAL, 5}, {0.1, NAN, 0.1, 0.2}}, {hostile, {1}, {2}, {}}};
  report.curves = {plot};
  DensityPlot map;
  map.title = map.color_label = hostile;
  map.panels = {{hostile, at::full({2, 3}, NAN), 0, 1, 0, 1, at::full({1, 2}, HUGE_VAL)}};
  map.panels[0].values[0][1] = 2.5;
  report.densities = {map};
  report.tables = {{hostile, {hostile}, {{hostile}}}};
  report.settings = report.tables;
  report.environment = {{hostile, hostile}};
  const std::string html = html_text(report);
  EXPECT_EQ(html.find("<script>alert"), std::string::npos);
  EXPECT_EQ(html.find("<!--"), std::string::npos);
  const nlohmann::json data = page_data(html);
  ASSERT_EQ(data["plots"].size(), 2u);
  EXPECT_EQ(data["plots"][0]["panels"][0]["title"], hostile);
  EXPECT_EQ(data["plots"][0]["color_high"], 2.5);
  EXPECT_EQ(data["plots"][0]["panels"][0]["values"].dump(), "[[null,2.5,null],[null,null,null]]");
  const nlohmann::json& curve = data["plots"][1]["curves"][0];
  EXPECT_EQ(curve["label"], hostile);
  EXPECT_EQ(curve["y"].dump(), "[null,null,null,5]");
  EXPECT_EQ(curve["error"].dump(), "[0.1,null,0.1,0.2]");
  EXPECT_EQ(markup(html).find("nan"), std::string::npos);
  EXPECT_EQ(markup(html).find("inf"), std::string::npos);
}

TEST(Html, EmptyAndDegenerateReports) {
  Report report;
  report.title = "Empty";
  report.curves = {CurvePlot(), CurvePlot()};
  report.curves[1].curves = {{"one point", {1}, {5}, {}}};
  const std::string html = html_text(report);
  EXPECT_NE(html.find("no finite points"), std::string::npos);
  EXPECT_EQ(markup(html).find("nan"), std::string::npos);
  EXPECT_EQ(markup(html).find("inf"), std::string::npos);
}

TEST(Chart, PointsLieWhereTheirValuesAre) {
  CurvePlot plot;
  plot.title = "line";
  plot.log_y = true;
  plot.curves = {{"decades", {0, 10}, {1, 100}, {0.5, 0}}};
  const std::string html = chart_html(plot, 3);
  std::smatch m;
  const std::string number = "(-?[0-9.e+-]+)";
  ASSERT_TRUE(std::regex_search(
      html, m,
      std::regex("data-plot=\"3\" data-x=\"" + number + " " + number + "\" data-y=\"" + number + " " + number + "\"")));
  const double x_low = std::stod(m[1]), x_high = std::stod(m[2]), y_low = std::stod(m[3]), y_high = std::stod(m[4]);
  EXPECT_LT(x_low, 0);
  EXPECT_GT(x_high, 10);
  EXPECT_NEAR(y_high, 2 + 0.05 * (2 - std::log10(0.5)), 1e-9) << "coordinates of a logarithmic axis are decades";
  ASSERT_TRUE(std::regex_search(
      html, m, std::regex("class=\"line\" d=\"M" + number + " " + number + "L" + number + " " + number + "\"")));
  EXPECT_NEAR(std::stod(m[1]), 1000 * (0 - x_low) / (x_high - x_low), 0.01);
  EXPECT_NEAR(std::stod(m[2]), 1000 * (y_high - 0) / (y_high - y_low), 0.01);
  EXPECT_NEAR(std::stod(m[3]), 1000 * (10 - x_low) / (x_high - x_low), 0.01);
  EXPECT_NEAR(std::stod(m[4]), 1000 * (y_high - 2) / (y_high - y_low), 0.01);
  for (const char* tick : {">1<", ">10<", ">100<"}) EXPECT_NE(html.find(tick), std::string::npos) << tick;
}

TEST(Chart, DensityMapsHaveTheirFirstRowBelow) {
  DensityPlot plot;
  DensityPanel panel;
  panel.values = at::zeros({2, 2});
  panel.values[0][0] = 1;  // lower left
  plot.panels = {panel};
  std::smatch match;
  const std::string html = chart_html(plot, 0, 0);
  ASSERT_TRUE(std::regex_search(html, match, std::regex("href=\"data:image/png;base64,([A-Za-z0-9+/=]+)\"")));
  const Tensor pixels = decode_png(decode_base64(match[1].str()));
  const auto color = [&](int row, int column) {
    return pixels[row][column].to(at::kLong).equal(at::tensor({253, 231, 37}, at::kLong));
  };
  EXPECT_TRUE(color(1, 0));
  EXPECT_FALSE(color(0, 0));
  EXPECT_FALSE(color(1, 1));
}

TEST(Picture, OnlyPngFiles) {
  const std::string path = picture_folder() + "/not.png";
  write_file(path, "text");
  EXPECT_THROW(read_picture(path, ""), WorkError);
  EXPECT_THROW(read_picture(path + ".absent", ""), WorkError);
}

}  // namespace
}  // namespace gibbsite
