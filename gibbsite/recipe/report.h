// The service behind `gibbsite report`.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/report/html.h>

#include <string>
#include <vector>

namespace gibbsite {

/// One page about runs and reproductions: of a run the curves of its training, samples and chains in samples/, results and
/// settings; of a reproduction its rows, plots and pictures. `out` empty: report.html in the first directory.
/// Returns the file. Throws RequestError where none is named, WorkError for a directory that is neither.
std::string report_directories(const std::vector<std::string>& directories, const std::string& out, const Ports& ports);

/// Plots below a directory from their numbers; other pictures as they are, under their paths.
void add_pictures(Report& report, const std::string& directory);

/// The training losses of the runs below a directory, a curve plot each; none where there are too many to look at.
void add_training(Report& report, const std::string& directory);

}  // namespace gibbsite
