#include <gibbsite/core/error.h>
#include <gibbsite/report/plot_data.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

TEST(PlotData, CurvesComeBack) {
  CurvePlot plot{"title \"q\" ü", "x", "y", true, false, {}, false, true};
  plot.curves = {{"a", {1, 2.5, 1e-9}, {NAN, -3, 123456.789}, {0.1, NAN, 0}}, {"b", {}, {}, {}, false, false}};
  const AnyPlot any = parse_plot(json_text(plot), "test");
  const auto& back = std::get<CurvePlot>(any);
  EXPECT_EQ(back.title, plot.title);
  EXPECT_EQ(back.x_label, "x");
  EXPECT_TRUE(back.log_x);
  EXPECT_FALSE(back.log_y);
  EXPECT_FALSE(back.points);
  EXPECT_TRUE(back.equal_axes);
  ASSERT_EQ(back.curves.size(), 2u);
  EXPECT_EQ(back.curves[0].x, plot.curves[0].x);
  EXPECT_TRUE(std::isnan(back.curves[0].y[0]));
  EXPECT_EQ(back.curves[0].y[2], 123456.789);
  EXPECT_TRUE(std::isnan(back.curves[0].error[1]));
  EXPECT_FALSE(back.curves[1].line);
  EXPECT_FALSE(back.curves[1].marks);
}

TEST(PlotData, DensitiesComeBackWithTheScaleThatIsDrawn) {
  DensityPlot plot;
  plot.title = "maps";
  plot.panels = {{"one", at::tensor({0.25, 1.5, 3.0, 0.125, 2.0, 1.0}).view({2, 3}), -2, 2, -1, 1, {}},
                 {"points", {}, 0, 1, 0, 1, at::tensor({0.5, 0.75}).view({1, 2})}};
  const AnyPlot any = parse_plot(json_text(plot), "test");
  const auto& back = std::get<DensityPlot>(any);
  EXPECT_EQ(back.color_high, 3);
  ASSERT_EQ(back.panels.size(), 2u);
  EXPECT_TRUE(at::equal(back.panels[0].values, plot.panels[0].values.to(at::kDouble)));
  EXPECT_FALSE(back.panels[0].scatter.defined());
  EXPECT_EQ(back.panels[0].x_low, -2);
  EXPECT_FALSE(back.panels[1].values.defined());
  EXPECT_TRUE(at::equal(back.panels[1].scatter, plot.panels[1].scatter.to(at::kDouble)));
}

TEST(PlotData, ForeignTextIsRefused) {
  const CurvePlot empty;
  std::string short_column = json_text(CurvePlot{"", "", "", false, false, {{"a", {1, 2}, {1, 2}, {}}}});
  short_column.replace(short_column.find("[1,2]"), 5, "[1]");
  for (const std::string& text : {std::string(), std::string("[]"), std::string("{\"kind\":\"pie\"}"),
                                  json_text(empty).substr(0, 40), short_column})
    EXPECT_THROW(parse_plot(text, "file.plot.json"), WorkError) << text;
}

TEST(PlotData, ThinningKeepsEverySpike) {
  Curve curve{"long", {}, {}, {}};
  for (int i = 0; i < 100000; ++i) {
    curve.x.push_back(i);
    curve.y.push_back(std::sin(i * 0.001));
  }
  curve.y[54321] = 50;
  curve.y[54322] = -50;
  curve.y[7] = NAN;
  const Curve thin = thinned(curve, 500);
  EXPECT_LE(thin.x.size(), 1000u);
  EXPECT_GT(thin.x.size(), 500u);
  EXPECT_EQ(*std::max_element(thin.y.begin(), thin.y.end()), 50);
  EXPECT_EQ(*std::min_element(thin.y.begin(), thin.y.end()), -50);
  EXPECT_TRUE(std::is_sorted(thin.x.begin(), thin.x.end()));
  EXPECT_EQ(std::adjacent_find(thin.x.begin(), thin.x.end()), thin.x.end());
  for (std::size_t i = 0; i < thin.x.size(); ++i)
    EXPECT_EQ(thin.y[i], curve.y[static_cast<std::size_t>(thin.x[i])]) << "points are points of the curve";
  EXPECT_EQ(thinned(thin, 500).x, thin.x);
}

}  // namespace
}  // namespace gibbsite
