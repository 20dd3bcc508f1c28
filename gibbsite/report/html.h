// report.html: one file that opens without a network, in light and dark.
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
  std::vector<std::string> summary;  ///< lines under the title
  std::vector<TextTable> tables;
  std::vector<Picture> pictures;
  std::vector<CurvePlot> curves;  ///< drawn as vector graphics inside the page, e.g. the training log
  NamedStrings environment;
};

/// Pictures are embedded, text is escaped, nothing is loaded from elsewhere.
std::string html_text(const Report& report);
void write_html(const std::string& path, const Report& report);

}  // namespace gibbsite
