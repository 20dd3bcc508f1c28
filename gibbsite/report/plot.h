// Curves and density maps as PNG files, drawn by gnuplot.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/core/tensor.h>

#include <string>
#include <vector>

namespace gibbsite {

struct Curve {
  std::string label;
  std::vector<double> x, y;
  std::vector<double> error;  ///< error bars on y; empty: none
  bool line = true;           ///< join the data points
  bool marks = true;          ///< mark them, where the plot marks any
};

struct CurvePlot {
  std::string title, x_label, y_label;
  bool log_x = false, log_y = false;
  std::vector<Curve> curves;
  bool points = true;       ///< mark the data points
  bool equal_axes = false;  ///< one unit has the same length on both axes
};

/// One panel of a density map.
struct DensityPanel {
  std::string title;
  Tensor values;  ///< [H (y, upwards), W (x)]; undefined: points on white
  double x_low = 0, x_high = 1, y_low = 0, y_high = 1;
  Tensor scatter;  ///< [N, 2] points drawn on top; undefined: none
};

/// Panels side by side with one colour scale.
struct DensityPlot {
  std::string title;
  std::string color_label = "density";
  std::vector<DensityPanel> panels;
  double color_high = 0;  ///< upper end of the scale; 0: the largest value
};

/// Draws with gnuplot. Where gnuplot or its pngcairo terminal is missing, each call returns false and the first says so
/// in one warning line.
class Plotter {
 public:
  explicit Plotter(Logger& logger, std::string gnuplot = "gnuplot");
  /// Throws WorkError if the picture cannot be written.
  bool curves(const std::string& path, const CurvePlot& plot);
  bool densities(const std::string& path, const DensityPlot& plot);

 private:
  Logger& logger_;
  std::string gnuplot_;
  bool checked_ = false;
  bool available_ = false;
  bool usable();
  void draw(const std::string& path, const std::string& commands);
};

}  // namespace gibbsite
