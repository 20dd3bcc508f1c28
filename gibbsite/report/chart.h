// Plots as vector graphics for report.html, readable by themselves. The page's script (page.js) moves the view box of the
// inner graphic and draws the ticks again, so that zooming needs no second way of drawing.
#pragma once

#include <gibbsite/report/plot.h>

#include <string>

namespace gibbsite {

/// `text` with &, <, >, " and ' as character references.
std::string html_escaped(const std::string& text);

/// The base64 digits of bytes.
std::string base64(const std::string& bytes);

/// An element of class "chart": axes with ticks around a graphic whose coordinates run from 0 to 1000 over the ranges in its
/// data-x and data-y ("low high", decimal logarithms on a logarithmic axis). A sentence where nothing is finite.
std::string chart_html(const CurvePlot& plot, std::size_t index);

/// The same for one panel of a density map: an embedded picture of its cells, points on top.
std::string chart_html(const DensityPlot& plot, std::size_t index, std::size_t panel);

/// The colour scale of a density map.
std::string color_scale_html(const DensityPlot& plot);

}  // namespace gibbsite
