#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/report/html.h>
#include <gibbsite/report/image.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
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
                    {{"jet", "0.3321 ± 0.0012", "–"}, {"<script>", "-1.2", "0.25"}}}};
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

TEST(Html, EmbedsPicturesAndLoadsNothing) {
  const Tensor pixels = at::arange(48, at::TensorOptions().dtype(at::kByte)).view({4, 4, 3});
  const std::string html = html_text(example(pixels));
  std::smatch match;
  ASSERT_TRUE(std::regex_search(html, match, std::regex("src=\"data:image/png;base64,([A-Za-z0-9+/=]+)\"")));
  EXPECT_TRUE(decode_png(decode_base64(match[1].str())).equal(pixels));
  EXPECT_EQ(html.find("http:"), std::string::npos);
  EXPECT_EQ(html.find("https:"), std::string::npos);
  EXPECT_EQ(html.find("url("), std::string::npos);
  EXPECT_EQ(html.find("<link"), std::string::npos);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  EXPECT_NE(html.find("prefers-color-scheme: dark"), std::string::npos);
  EXPECT_EQ(html.find("nan"), std::string::npos);
}

TEST(Html, HoldsEverythingEscaped) {
  const std::string html = html_text(example(at::zeros({2, 2}, at::TensorOptions().dtype(at::kByte))));
  EXPECT_NE(html.find("<h1>Checkerboard &lt;b&gt;&amp;&quot;&#39;</h1>"), std::string::npos);
  EXPECT_NE(html.find("held-out log-likelihood 0.3321 ± 0.0012 (bound 0.3445)\nsamples &lt; 3 &amp; more"),
            std::string::npos);
  EXPECT_NE(html.find("<td>&lt;script&gt;</td>"), std::string::npos);
  EXPECT_NE(html.find("<td class=\"number\">0.3321 ± 0.0012</td>"), std::string::npos);
  EXPECT_NE(html.find(environment().commit), std::string::npos);
  EXPECT_NE(html.find("validation"), std::string::npos);
  // Every element that is opened is closed.
  for (const char* tag : {"table", "figure", "svg", "pre", "tr", "td", "th", "p", "div", "text"}) {
    const auto count = [&](const std::string& pattern) {
      const std::regex expression(pattern);
      return std::distance(std::sregex_iterator(html.begin(), html.end(), expression), std::sregex_iterator());
    };
    EXPECT_EQ(count(std::string("<") + tag + "[ >]"), count(std::string("</") + tag + ">")) << tag;
  }
  const std::string path = picture_folder() + "/report.html";
  write_html(path, example(at::zeros({2, 2}, at::TensorOptions().dtype(at::kByte))));
  EXPECT_GT(read_file(path).size(), 5000u);
}

TEST(Html, EmptyAndDegenerateReports) {
  Report report;
  report.title = "Empty";
  report.curves = {CurvePlot(), CurvePlot()};
  report.curves[1].curves = {{"one point", {1}, {5}, {}}};
  const std::string html = html_text(report);
  EXPECT_NE(html.find("no finite points"), std::string::npos);
  EXPECT_EQ(html.find("nan"), std::string::npos);
  EXPECT_EQ(html.find("inf"), std::string::npos);
}

TEST(Picture, OnlyPngFiles) {
  const std::string path = picture_folder() + "/not.png";
  write_file(path, "text");
  EXPECT_THROW(read_picture(path, ""), WorkError);
  EXPECT_THROW(read_picture(path + ".absent", ""), WorkError);
}

}  // namespace
}  // namespace gibbsite
