// The numbers behind a plot, as JSON: inside report.html, and beside a picture as <name>.plot.json.
#pragma once

#include <gibbsite/report/plot.h>

#include <string>
#include <variant>

namespace gibbsite {

/// {kind: "curves", title, x_label, y_label, log_x, log_y, equal_axes, points, curves: [{label, line, marks, x, y, error}]};
/// numbers to nine digits, what is not finite as null.
std::string json_text(const CurvePlot& plot);

/// {kind: "densities", title, color_label, color_high, panels: [{title, x_low, x_high, y_low, y_high, values, scatter}]};
/// values, rows upwards, and points to four digits; what is not finite as null. color_high is the one that is drawn.
std::string json_text(const DensityPlot& plot);

/// Upper end of the colour scale: the plot's, or where it is 0 the largest finite value; 1 where none is positive.
double color_high(const DensityPlot& plot);

/// How the names of files with such JSON end.
constexpr const char* kPlotFile = ".plot.json";

using AnyPlot = std::variant<CurvePlot, DensityPlot>;
/// Throws WorkError naming `where` unless it is one of the two.
AnyPlot parse_plot(const std::string& text, const std::string& where);

/// The same curve with at most two points for each of so many stretches of it, the least and the largest: no spike is lost.
/// Unchanged where it is short or has error bars.
Curve thinned(const Curve& curve, std::size_t stretches = 1000);

}  // namespace gibbsite
