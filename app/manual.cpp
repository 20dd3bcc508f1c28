// The manual page, written from the parser itself.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/core/environment.h>

#include <algorithm>

#include "command.h"

namespace gibbsite::app {
namespace {

/// Text as roff takes it: no line starts a request, and a minus is a minus.
std::string roff(const std::string& text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
    line_start = c == '\n';
  }
  return out;
}

std::string label(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("\\fB\\-" + roff(name) + "\\fR");
  for (const std::string& name : option.get_lnames()) names.push_back("\\fB\\-\\-" + roff(name) + "\\fR");
  std::string text = fmt::format("{}", fmt::join(names, ", "));
  if (names.empty())
    text = "\\fI" + roff(option.get_single_name()) + "\\fR";
  else if (option.get_items_expected_max() > 0)
    text += " \\fI" + roff(option.get_type_name()) + "\\fR";
  return text;
}

/// `common`: help texts of options that every subcommand has, left out here.
std::string section(const CLI::App& command, const std::string& path, const std::vector<std::string>& common) {
  std::string heading = path, options;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_positional())
      heading += option->get_required() ? fmt::format(" {}", option->get_single_name())
                                        : fmt::format(" [{}]", option->get_single_name());
    if (std::find(common.begin(), common.end(), option->get_single_name()) != common.end()) continue;
    options += fmt::format(".TP\n{}\n{}\n", label(*option), roff(option->get_description()));
  }
  std::string text;
  const std::vector<const CLI::App*> nested = command.get_subcommands({});
  if (nested.empty()) text = fmt::format(".SS {}\n{}\n{}", roff(heading), roff(command.get_description()), options);
  for (const CLI::App* child : nested) text += section(*child, path + " " + child->get_name(), common);
  return text;
}

std::string manual(const CLI::App& parser) {
  const std::vector<std::string> common = {"help", "threads", "device", "data-dir", "seed", "json"};
  std::string text = fmt::format(
      ".TH GIBBSITE 1 \"\" \"gibbsite {}\" \"User Commands\"\n"
      ".SH NAME\ngibbsite \\- energy\\-based models: train, sample, score, evaluate\n"
      ".SH SYNOPSIS\n.B gibbsite\n.I command\n[\\fIoption\\fR]...\n"
      ".SH DESCRIPTION\n{}\n",
      roff(environment().version), roff(parser.get_description()));
  text += ".SH COMMON OPTIONS\n";
  const CLI::App* any = parser.get_subcommands({}).front();
  for (const CLI::Option* option : any->get_options())
    if (std::find(common.begin(), common.end(), option->get_single_name()) != common.end())
      text += fmt::format(".TP\n{}\n{}\n", label(*option), roff(option->get_description()));
  text += ".SH COMMANDS\n";
  for (const CLI::App* command : parser.get_subcommands({})) text += section(*command, command->get_name(), common);
  text +=
      ".SH EXIT STATUS\n.TP\n0\nthe work is done\n.TP\n1\nthe work failed\n.TP\n2\nthe request was wrong\n"
      ".TP\n130\ninterrupted, with the state saved\n"
      ".SH ENVIRONMENT\n.TP\n.B GIBBSITE_DATA\nwhere data sets are looked for after \\fB\\-\\-data\\-dir\\fR\n"
      ".TP\n.B XDG_DATA_HOME\nits folder gibbsite is looked in last; ~/.local/share if unset\n"
      ".TP\n.B OMP_NUM_THREADS\nthreads, where \\fB\\-\\-threads\\fR does not say\n";
  return text;
}

}  // namespace

void add_manual(CLI::App& app, Context& context) {
  subcommand(app, context, "manual", "the manual page, on stdout", [&app] { fmt::print("{}", manual(app)); });
}

}  // namespace gibbsite::app
