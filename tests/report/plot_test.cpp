#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/core/random.h>
#include <gibbsite/report/plot.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <filesystem>

#include "report/picture_test_helpers.h"

namespace gibbsite {
namespace {

class RecordingLogger : public Logger {
 public:
  std::vector<std::string> warnings;
  void warn(const std::string& line) override { warnings.push_back(line); }
};

// Tests of drawn pictures need gnuplot, which the set-up scripts install.
bool gnuplot_runs() {
  Logger quiet;
  CurvePlot plot;
  plot.curves = {{"", {0, 1}, {0, 1}, {}}};
  return Plotter(quiet).curves(picture_folder() + "/probe.png", plot);
}

std::int64_t pixels_near(const Tensor& picture, int red, int green, int blue) {
  const Tensor wanted = at::tensor({red, green, blue}, at::TensorOptions().dtype(at::kInt));
  return (picture.to(at::kInt) - wanted).abs().amax(2).le(12).sum().item<std::int64_t>();
}

TEST(Plotter, CurvesAreDrawnInTheirColours) {
  if (!gnuplot_runs()) GTEST_SKIP() << "gnuplot is not installed";
  CurvePlot plot;
  plot.title = "Time of one directional derivative, it's 2 cores_and 100 % {T}";
  plot.x_label = "order T";
  plot.y_label = "seconds";
  plot.log_y = true;
  plot.curves = {{"jet", {1, 2, 3, 4, 5, 6, 7, 8}, {1, 1.6, 2.3, 3.1, 4, 5, 6.1, 7.3}, {}},
                 {"nested 'auto_grad'", {1, 2, 3, 4, 5, 6}, {1, 2.4, 5.7, 14, 33, 80}, {.1, .2, .5, 1, 3, 8}},
                 {"with holes", {1, 2, 3, 4}, {NAN, 20, -1, 30}, {}},
                 {"nothing", {1}, {NAN}, {}}};
  RecordingLogger logger;
  Plotter plotter(logger);
  const std::string path = picture_folder() + "/curves.png";
  ASSERT_TRUE(plotter.curves(path, plot));
  EXPECT_TRUE(logger.warnings.empty());
  const Tensor picture = decode_png(read_file(path));
  ASSERT_TRUE(picture.defined());
  EXPECT_EQ(Shape(picture.sizes().vec()), (Shape{560, 900, 3}));
  EXPECT_GT(pixels_near(picture, 0x00, 0x72, 0xb2), 300);
  EXPECT_GT(pixels_near(picture, 0xd5, 0x5e, 0x00), 300);
  plot.curves = {{"nothing", {1}, {NAN}, {}}};
  EXPECT_THROW(plotter.curves(path, plot), WorkError);
  plot.curves = {{"ragged", {1, 2}, {1}, {}}};
  EXPECT_THROW(plotter.curves(path, plot), WorkError);
}

TEST(Plotter, DensityPanelsShareTheScaleAndAreTheRightWayUp) {
  if (!gnuplot_runs()) GTEST_SKIP() << "gnuplot is not installed";
  const Tensor axis = at::linspace(-2, 2, 200);
  const Tensor y = axis.unsqueeze(1), x = axis.unsqueeze(0);
  // A peak at (1, 1), which must appear at the upper right.
  const Tensor truth = (-8 * ((x - 1).square() + (y - 1).square())).exp();
  DensityPlot plot;
  plot.title = "Checkerboard with jitter";
  Rng rng(1, "points");
  plot.panels = {{"exact density", truth, -2, 2, -2, 2, {}},
                 {"learned density", 0.5 * truth, -2, 2, -2, 2, {}},
                 {"samples on a density", truth, -2, 2, -2, 2, 0.25 * rng.normal({500, 2}) - 1},
                 {"samples", {}, -2, 2, -2, 2, 0.25 * rng.normal({5000, 2}) - 1}};
  Logger quiet;
  Plotter plotter(quiet);
  const std::string path = picture_folder() + "/densities.png";
  ASSERT_TRUE(plotter.densities(path, plot));
  const Tensor picture = decode_png(read_file(path));
  ASSERT_TRUE(picture.defined());
  // Panels of 400 pixels from 64 on, 28 apart, below 76 pixels of titles; the peak is a quarter from the right and top.
  const auto pixel = [&](int column, int row) {
    return std::vector<int>{picture[row][column][0].item<int>(), picture[row][column][1].item<int>(),
                            picture[row][column][2].item<int>()};
  };
  const std::vector<int> bright = pixel(64 + 300, 76 + 100), dark = pixel(64 + 100, 76 + 300),
                         half = pixel(64 + 428 + 300, 76 + 100);
  EXPECT_GT(bright[0], 230);
  EXPECT_GT(bright[1], 200);
  EXPECT_LT(dark[1], 40);
  // The scale stands right of the last panel, though that one holds points only.
  EXPECT_GT(pixel(64 + 3 * 428 + 400 + 24, 76 + 10)[0], 200);
  EXPECT_LT(pixel(64 + 3 * 428 + 400 + 24, 76 + 10)[2], 90);
  // Half the scale is the middle of the palette, #21908d.
  EXPECT_NEAR(half[0], 0x21, 25);
  EXPECT_NEAR(half[1], 0x90, 25);
  EXPECT_NEAR(half[2], 0x8d, 25);
}

TEST(Plotter, MissingGnuplotWarnsOnceAndDrawsNothing) {
  RecordingLogger logger;
  Plotter plotter(logger, "/nonexistent/gnu plot");
  CurvePlot plot;
  plot.curves = {{"", {0, 1}, {0, 1}, {}}};
  const std::string path = picture_folder() + "/missing.png";
  EXPECT_FALSE(plotter.curves(path, plot));
  EXPECT_FALSE(plotter.densities(path, {}));
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_EQ(logger.warnings.size(), 1u);
  EXPECT_EQ(logger.warnings[0].find('\n'), std::string::npos);
  // A program that runs and has no such terminal.
  RecordingLogger second;
  EXPECT_FALSE(Plotter(second, "true").curves(path, plot));
  EXPECT_EQ(second.warnings.size(), 1u);
}

}  // namespace
}  // namespace gibbsite
