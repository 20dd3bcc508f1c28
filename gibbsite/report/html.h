// report.html: one file that opens without a network, in light and dark, on paper and on a phone. It is readable without
// its script, which adds zoom, values under the pointer or the arrow keys, and tables that sort.
#pragma once

#include <gibbsite/core/environment.h>
#include <gibbsite/report/plot.h>
#include <gibbsite/report/rows.h>

#include <string>
#include <vector>

namespace gibbsite {

struct Picture {
  std::string caption;
  std::string png;  ///< the bytes of a PNG file
};

/// Reads a picture. Throws WorkError if the file is missing or is not a PNG.
Picture read_picture(const std::string& path, const std::string& caption);

struct Report {
  std::string title;
  std::vector<std::string> summary;    ///< lines under the title
  std::vector<TextTable> comparisons;  ///< ours beside published numbers
  std::vector<DensityPlot> densities;
  std::vector<CurvePlot> curves;
  std::vector<Picture> pictures;
  std::vector<TextTable> tables;
  std::vector<TextTable> settings;  ///< folded away until asked for
  NamedStrings environment;
};

/// Adds rows to the tables of a report, and to its comparisons where some have published numbers.
void add_result(Report& report, const Result& result);

/// Pictures are embedded, text is escaped, nothing is loaded: the page's own policy forbids it, and any script but ours.
std::string html_text(const Report& report);
void write_html(const std::string& path, const Report& report);

}  // namespace gibbsite
