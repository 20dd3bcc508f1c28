#include <fcntl.h>
#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/core/process.h>
#include <gibbsite/report/color_map.h>
#include <gibbsite/report/plot.h>
#include <gibbsite/report/plot_data.h>
#include <sys/wait.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace gibbsite {
namespace {

// A folder of its own that goes away with its contents.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gibbsite-plot-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw WorkError(pattern, "cannot make a temporary folder");
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::string file(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

struct Outcome {
  bool succeeded;
  std::string output;
};

Outcome run(const std::string& command) {
  Outcome result{false, ""};
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return result;
  char buffer[4096];
  for (std::size_t size; (size = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) result.output.append(buffer, size);
  result.succeeded = ::pclose(pipe) == 0;
  return result;
}

// In single quotes, where gnuplot interprets nothing but the quote itself; texts are drawn with enhanced mode off.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? "''" : std::string(1, c == '\n' ? ' ' : c);
  return result + "'";
}

const char* const style = R"(
set encoding utf8
set border 3 linewidth 1 linecolor rgb '#555555'
set tics nomirror out scale 0.6 textcolor rgb '#333333'
set grid linecolor rgb '#dddddd' linetype 1 linewidth 1
)";

std::string palette() {
  std::string command = "set palette defined (";
  std::size_t i = 0;
  for (const std::string& color : color_anchors())
    command += fmt::format("{}{} '{}'", i > 0 ? ", " : "", i, color), ++i;
  return command + ")\n";
}

// Distinguishable with the common kinds of colour blindness (Okabe and Ito).
const char* const line_colors[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444"};

bool drawable(double value, bool logarithmic) { return std::isfinite(value) && (!logarithmic || value > 0); }

// The range of an axis with a margin, which on a logarithmic axis is one of ratios.
struct Span {
  bool logarithmic;
  double margin;
  double low = HUGE_VAL, high = -HUGE_VAL;

  Span(bool is_logarithmic, double share) : logarithmic(is_logarithmic), margin(share) {}
  void include(double value) {
    const double coordinate = logarithmic ? std::log10(value) : value;
    low = std::min(low, coordinate);
    high = std::max(high, coordinate);
  }
  std::string command(const char* axis) const {
    const double widening = high > low ? margin * (high - low) : std::max(0.5, 0.1 * std::abs(low));
    const double from = low - widening, to = high + widening;
    return fmt::format("set {}range [{:.9g}:{:.9g}]\n", axis, logarithmic ? std::pow(10, from) : from,
                       logarithmic ? std::pow(10, to) : to);
  }
};

std::string curve_data(const Curve& curve, const CurvePlot& plot, Span& x_span, Span& y_span) {
  if (curve.x.size() != curve.y.size() || (!curve.error.empty() && curve.error.size() != curve.y.size())) {
    throw WorkError("plot", fmt::format("curve '{}' has columns of different length", curve.label));
  }
  std::string text;
  for (std::size_t i = 0; i < curve.x.size(); ++i) {
    if (!drawable(curve.x[i], plot.log_x) || !drawable(curve.y[i], plot.log_y)) continue;
    const double error = curve.error.empty() || !std::isfinite(curve.error[i]) ? 0 : curve.error[i];
    // On a logarithmic axis a bar that reaches below zero ends at a thousandth of the value.
    const double low = plot.log_y ? std::max(curve.y[i] - error, curve.y[i] * 1e-3) : curve.y[i] - error;
    text += fmt::format("{:.9g} {:.9g} {:.9g} {:.9g}\n", curve.x[i], curve.y[i], low, curve.y[i] + error);
    x_span.include(curve.x[i]);
    y_span.include(low);
    y_span.include(curve.y[i] + error);
  }
  return text;
}

std::string matrix_data(const Tensor& values) {
  const Tensor v = values.detach().to(at::kCPU, at::kDouble).contiguous();
  if (v.dim() != 2) throw WorkError("plot", "a density panel needs values [H, W]");
  const double* p = v.data_ptr<double>();
  std::string text;
  for (std::int64_t y = 0; y < v.size(0); ++y) {
    for (std::int64_t x = 0; x < v.size(1); ++x, ++p) {
      if (std::isfinite(*p)) {
        fmt::format_to(std::back_inserter(text), "{:.5g} ", *p);
      } else {
        text += "NaN ";
      }
    }
    text += '\n';
  }
  return text;
}

std::string scatter_data(const Tensor& points) {
  const Tensor p = points.detach().to(at::kCPU, at::kDouble).contiguous();
  if (p.dim() != 2 || p.size(1) != 2) throw WorkError("plot", "scattered points need [N, 2]");
  std::string text;
  for (std::int64_t i = 0; i < p.size(0); ++i) {
    text += fmt::format("{:.6g} {:.6g}\n", p[i][0].item<double>(), p[i][1].item<double>());
  }
  return text;
}

bool is_whole_png(const std::string& bytes) {
  return bytes.size() > 20 && bytes.compare(0, 8, "\x89PNG\r\n\x1a\n") == 0 &&
         bytes.compare(bytes.size() - 8, 4, "IEND") == 0;
}

}  // namespace

Plotter::Plotter(Logger& logger, std::string gnuplot) : logger_(logger), gnuplot_(std::move(gnuplot)) {}

bool Plotter::usable() {
  if (checked_) return available_;
  checked_ = true;
  const Outcome outcome = run(shell_quoted(gnuplot_) + " -e 'set print \"-\"; print GPVAL_TERMINALS' 2>&1");
  available_ = outcome.succeeded && outcome.output.find("pngcairo") != std::string::npos;
  if (!available_) {
    logger_.warn(fmt::format(
        "pictures are left out: {} (install gnuplot-nox)",
        outcome.succeeded ? "gnuplot lacks its pngcairo terminal" : fmt::format("'{}' does not run", gnuplot_)));
  }
  return available_;
}

void Plotter::draw(const std::string& path, const std::string& commands) {
  const ScratchFolder scratch;
  const std::string script = scratch.file("plot.gp"), picture = scratch.file("plot.png");
  write_file(script, fmt::format("set output {}\n{}\nset output\n", quoted(picture), commands));
  const Outcome outcome = run(fmt::format("{} {} 2>&1", shell_quoted(gnuplot_), shell_quoted(script)));
  const std::string bytes = outcome.succeeded && std::filesystem::exists(picture) ? read_file(picture) : "";
  if (!is_whole_png(bytes)) {
    std::string reason = outcome.output.substr(0, 200);
    std::replace(reason.begin(), reason.end(), '\n', ' ');
    throw WorkError(path, fmt::format("gnuplot could not draw the picture: {}", reason));
  }
  write_file(path, bytes);
}

bool Plotter::curves(const std::string& path, const CurvePlot& plot) {
  if (!usable()) return false;
  std::string data, drawn;
  Span x_span{plot.log_x, 0.03}, y_span{plot.log_y, 0.06};
  std::size_t index = 0;
  for (const Curve& curve : plot.curves) {
    const std::string rows = curve_data(curve, plot, x_span, y_span);
    const std::size_t colors = std::size(line_colors);
    const char* color = line_colors[index % colors];
    // Curves of one colour have other marks.
    const std::size_t mark = 3 + 2 * ((index + index / colors) % 7);
    ++index;
    if (rows.empty()) continue;
    data += fmt::format("$curve{} << END_OF_DATA\n{}END_OF_DATA\n", index, rows);
    const std::string source = fmt::format("{}$curve{}", drawn.empty() ? "plot " : ", ", index);
    if (!curve.error.empty()) {
      drawn += fmt::format(
          "{} using 1:2:3:4 with yerrorbars notitle pointtype 7 pointsize 0 linewidth 1.5 linecolor "
          "rgb '{}'",
          source, color);
      drawn += fmt::format(", $curve{}", index);
    } else {
      drawn += source;
    }
    const bool marks = (plot.points && curve.marks) || !curve.line;
    drawn += fmt::format(" using 1:2 with {} title {} noenhanced linewidth 2 {} linecolor rgb '{}'",
                         !curve.line ? "points"
                         : marks     ? "linespoints"
                                     : "lines",
                         quoted(curve.label), marks ? fmt::format("pointtype {} pointsize 0.9", mark) : "", color);
  }
  if (drawn.empty()) throw WorkError(path, "nothing to draw: no curve has a finite point");
  std::string commands = "set terminal pngcairo noenhanced size 900,560 font 'Sans,12' background rgb 'white'\n";
  commands += style;
  commands += fmt::format("set title {} font 'Sans,14'\nset xlabel {}\nset ylabel {}\n", quoted(plot.title),
                          quoted(plot.x_label), quoted(plot.y_label));
  if (plot.equal_axes) commands += "set size ratio -1\n";
  if (plot.log_x) commands += "set logscale x\n";
  if (plot.log_y) commands += "set logscale y\nset format y '%g'\n";
  commands += x_span.command("x") + y_span.command("y");
  commands += plot.curves.size() > 1 ? "set key outside right top Left reverse width 1 samplen 2 spacing 1.3\n"
                                     : "set key off\n";
  draw(path, commands + data + drawn + "\n");
  return true;
}

bool Plotter::densities(const std::string& path, const DensityPlot& plot) {
  if (!usable()) return false;
  if (plot.panels.empty()) throw WorkError(path, "nothing to draw: no panels");
  const double high = color_high(plot);
  const int count = static_cast<int>(plot.panels.size());
  int last_with_values = -1;
  for (int i = 0; i < count; ++i) {
    if (plot.panels[static_cast<std::size_t>(i)].values.defined()) last_with_values = i;
  }
  const int panel_pixels = 400, left = 64, right = 122, top = 76, bottom = 62, gap = 28;
  const int width = left + count * panel_pixels + (count - 1) * gap + right, height = top + panel_pixels + bottom;
  std::string commands =
      fmt::format("set terminal pngcairo noenhanced size {},{} font 'Sans,12' background rgb 'white'\n", width, height);
  commands += style;
  commands += palette();
  commands += fmt::format("unset grid\nset border 15\nset cbrange [0:{:.6g}]\nset key off\nset multiplot\n", high);
  commands += fmt::format("set label 1 {} at screen 0.5, screen {:.4f} center font 'Sans,15' noenhanced\n",
                          quoted(plot.title), 1 - 22.0 / height);
  for (int i = 0; i < count; ++i) {
    const DensityPanel& panel = plot.panels[static_cast<std::size_t>(i)];
    const double from = left + i * (panel_pixels + gap);
    commands += fmt::format("set lmargin at screen {:.5f}\nset rmargin at screen {:.5f}\n", from / width,
                            (from + panel_pixels) / width);
    commands += fmt::format("set bmargin at screen {:.5f}\nset tmargin at screen {:.5f}\n",
                            static_cast<double>(bottom) / height, static_cast<double>(bottom + panel_pixels) / height);
    commands += fmt::format("set title {} offset 0,-0.4 font 'Sans,13'\n", quoted(panel.title));
    commands += fmt::format("set xrange [{:.9g}:{:.9g}]\nset yrange [{:.9g}:{:.9g}]\n", panel.x_low, panel.x_high,
                            panel.y_low, panel.y_high);
    if (i > 0) commands += "set format y ''\nunset label 1\n";
    if (i != last_with_values) {
      commands += "unset colorbox\n";
    } else {
      commands += fmt::format(
          "set colorbox user origin screen {:.5f}, screen {:.5f} size screen {:.5f}, screen {:.5f}\n"
          "set cblabel {} offset 0.6,0\nset cbtics scale 0.4\n",
          static_cast<double>(width - right + 16) / width, static_cast<double>(bottom) / height, 16.0 / width,
          static_cast<double>(panel_pixels) / height, quoted(plot.color_label));
    }
    if (!panel.values.defined() && !panel.scatter.defined()) throw WorkError(path, "a panel has nothing to draw");
    std::string drawn;
    if (panel.values.defined()) {
      commands += fmt::format("$values{} << END_OF_DATA\n{}END_OF_DATA\n", i, matrix_data(panel.values));
      const double step_x = (panel.x_high - panel.x_low) / static_cast<double>(panel.values.size(1));
      const double step_y = (panel.y_high - panel.y_low) / static_cast<double>(panel.values.size(0));
      drawn = fmt::format("$values{} matrix using ({:.9g}+{:.9g}*$1):({:.9g}+{:.9g}*$2):3 with image notitle", i,
                          panel.x_low + step_x / 2, step_x, panel.y_low + step_y / 2, step_y);
    }
    if (panel.scatter.defined()) {
      commands += fmt::format("$points{} << END_OF_DATA\n{}END_OF_DATA\n", i, scatter_data(panel.scatter));
      drawn += fmt::format("{}$points{} using 1:2 with points pointtype 7 pointsize 0.3 linecolor rgb '{}' notitle",
                           drawn.empty() ? "" : ", ", i, drawn.empty() ? "#400072b2" : "#60ff6040");
    }
    commands += "plot " + drawn + "\n";
  }
  draw(path, commands + "unset multiplot\n");
  return true;
}

}  // namespace gibbsite
