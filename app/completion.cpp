// Shell completion, written from the parser itself and from the tables that recipes name entries of.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/recipe/export.h>
#include <gibbsite/recipe/list.h>
#include <gibbsite/recipe/parse.h>

#include <memory>

#include "command.h"

namespace gibbsite::app {
namespace {

/// What may stand in a place of the command line.
struct Values {
  std::vector<std::string> words;
  bool files = true;
};

const std::vector<std::string> kShells = {"bash", "zsh", "fish"};

std::vector<std::string> names_of(const std::string& family) {
  std::vector<std::string> names;
  for (const Listed& entry : list_family(family)) names.push_back(entry.name);
  return names;
}

/// An option means the same in every subcommand, so its name decides.
Values values_of(const CLI::Option& option) {
  const std::string& name = option.get_single_name();
  if (name == "recipe") return {recipe_names(), true};
  if (name == "experiment") return {names_of("experiments"), false};
  if (name == "family") return {list_families(), false};
  if (name == "shell") return {kShells, false};
  if (name == "metric") return {names_of("metrics"), false};
  if (name == "data") return {names_of("datasets"), true};
  if (name == "name") return {names_of("datasets"), false};
  if (name == "scale") return {{"smoke", "desk", "paper"}, false};
  if (name == "format") return {export_formats(), false};
  if (name == "device") return {{"cpu", "cuda"}, false};
  if (name == "set") {
    Values values{setting_names(), false};
    for (std::string& word : values.words) word += '=';
    return values;
  }
  return {{}, option.get_type_name() == "TEXT"};
}

bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

/// "--out" and the like of an option, "-n" among them.
std::vector<std::string> spellings(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  return names;
}

struct Command {
  std::string path;  ///< "train", "data get"
  std::string help;
  std::vector<const CLI::Option*> options, positionals;
};

void collect(const CLI::App& app, const std::string& path, std::vector<Command>& commands) {
  for (const CLI::App* child : app.get_subcommands({})) {
    Command command{
        path.empty() ? child->get_name() : path + " " + child->get_name(), child->get_description(), {}, {}};
    for (const CLI::Option* option : child->get_options())
      (option->get_positional() ? command.positionals : command.options).push_back(option);
    commands.push_back(command);
    collect(*child, command.path, commands);
  }
}

/// The subcommands right below `path`.
std::vector<std::string> children(const std::vector<Command>& commands, const std::string& path) {
  std::vector<std::string> names;
  const std::string prefix = path.empty() ? "" : path + " ";
  for (const Command& command : commands)
    if (command.path.rfind(prefix, 0) == 0 && command.path.find(' ', prefix.size()) == std::string::npos)
      names.push_back(command.path.substr(prefix.size()));
  return names;
}

std::string bash_reply(const Values& values) {
  std::string text;
  if (!values.words.empty())
    text += fmt::format("COMPREPLY+=($(compgen -W '{}' -- \"$current\")); ", fmt::join(values.words, " "));
  if (values.files) text += "COMPREPLY+=($(compgen -f -- \"$current\")); compopt -o filenames 2>/dev/null; ";
  return text;
}

std::string bash(const std::vector<Command>& commands) {
  std::string text =
      "# Completion of gibbsite for bash; `gibbsite completion bash` writes it.\n"
      "_gibbsite() {\n"
      "  local current previous words cword command i\n"
      "  COMPREPLY=()\n"
      "  # A key and its value are one word here, as in the shell.\n"
      "  _get_comp_words_by_ref -n =: current previous words cword 2>/dev/null ||\n"
      "    { current=$2 previous=$3 words=(\"${COMP_WORDS[@]}\") cword=$COMP_CWORD; }\n"
      "  command=${words[1]}\n"
      "  [ \"$cword\" -gt 1 ] || command=\n"
      "  case $command in\n";
  const std::vector<std::string> first = children(commands, "");
  for (const Command& command : commands) {
    const std::size_t space = command.path.find(' ');
    const std::vector<std::string> nested = children(commands, command.path);
    if (space != std::string::npos) continue;
    if (!nested.empty())
      text += fmt::format("    {0}) [ \"$cword\" -gt 2 ] && command=\"{0} ${{words[2]}}\" ;;\n", command.path);
  }
  text += "  esac\n  case $command in\n";
  text += fmt::format("    '') COMPREPLY=($(compgen -W '{} --help --version' -- \"$current\")) ;;\n",
                      fmt::join(first, " "));
  for (const Command& command : commands) {
    text += fmt::format("    '{}')\n      case $previous in\n", command.path);
    std::vector<std::string> all;
    for (const CLI::Option* option : command.options) {
      for (const std::string& name : spellings(*option)) all.push_back(name);
      if (is_flag(*option)) continue;
      const bool set = option->get_single_name() == "set";
      text += fmt::format("        {}) {}{}return ;;\n", fmt::join(spellings(*option), " | "),
                          bash_reply(values_of(*option)), set ? "compopt -o nospace 2>/dev/null; " : "");
    }
    text += "      esac\n";
    text += fmt::format("      case $current in -*) COMPREPLY=($(compgen -W '{}' -- \"$current\")); return ;; esac\n",
                        fmt::join(all, " "));
    if (const auto nested = children(commands, command.path); !nested.empty())
      text += "      " + bash_reply({nested, false}) + "\n";
    for (const CLI::Option* option : command.positionals)
      if (const std::string reply = bash_reply(values_of(*option)); !reply.empty()) text += "      " + reply + "\n";
    text += "      ;;\n";
  }
  text += "  esac\n}\ncomplete -F _gibbsite gibbsite\n";
  return text;
}

/// Text between single quotes of zsh or fish.
std::string quoted(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '\'' ? "’" : std::string(1, c);
  return out;
}

std::string fish(const std::vector<Command>& commands) {
  std::string text =
      "# Completion of gibbsite for fish; `gibbsite completion fish` writes it.\n"
      "complete -c gibbsite -f\n"
      "complete -c gibbsite -n __fish_use_subcommand -l version -d 'version of the program'\n";
  for (const Command& command : commands) {
    const std::size_t space = command.path.find(' ');
    const std::string name = space == std::string::npos ? command.path : command.path.substr(space + 1);
    std::string here = "__fish_seen_subcommand_from " + name;
    if (space == std::string::npos) {
      text += fmt::format("complete -c gibbsite -n __fish_use_subcommand -a {} -d '{}'\n", name, quoted(command.help));
      // `list` is a subcommand of its own and one of `data`.
      if (command.path != "data") here = "not __fish_seen_subcommand_from data; and " + here;
    } else {
      const std::string parent = command.path.substr(0, space);
      const std::string others = fmt::format("{}", fmt::join(children(commands, parent), " "));
      text += fmt::format(
          "complete -c gibbsite -n '__fish_seen_subcommand_from {}; and not __fish_seen_subcommand_from {}' -a {} -d "
          "'{}'\n",
          parent, others, name, quoted(command.help));
      here = fmt::format("__fish_seen_subcommand_from {}; and {}", parent, here);
    }
    const auto arguments = [](const Values& values) {
      return (values.words.empty() ? std::string() : fmt::format(" -a '{}'", fmt::join(values.words, " "))) +
             (values.files ? " -F" : "");
    };
    for (const CLI::Option* option : command.options) {
      text += fmt::format("complete -c gibbsite -n '{}'", here);
      for (const std::string& long_name : option->get_lnames()) text += " -l " + long_name;
      for (const std::string& short_name : option->get_snames()) text += " -s " + short_name;
      if (!is_flag(*option)) text += " -r" + arguments(values_of(*option));
      text += fmt::format(" -d '{}'\n", quoted(option->get_description()));
    }
    for (const CLI::Option* option : command.positionals)
      if (const std::string values = arguments(values_of(*option)); !values.empty())
        text += fmt::format("complete -c gibbsite -n '{}'{}\n", here, values);
  }
  return text;
}

std::string script(const std::string& shell, const CLI::App& parser) {
  std::vector<Command> commands;
  collect(parser, "", commands);
  if (shell == "bash") return bash(commands);
  // zsh reads bash's own completion functions.
  if (shell == "zsh")
    return "#compdef gibbsite\nautoload -U +X bashcompinit && bashcompinit\n" + bash(commands) +
           "_bash_complete -F _gibbsite\n";
  if (shell == "fish") return fish(commands);
  throw RequestError("completion", fmt::format("unknown shell '{}'", shell), name_hint(shell, kShells));
}

}  // namespace

void add_completion(CLI::App& app, Context& context) {
  const auto shell = std::make_shared<std::string>();
  CLI::App* command = subcommand(app, context, "completion", "a completion script for a shell, on stdout",
                                 [shell, &app] { fmt::print("{}", script(*shell, app)); });
  command->add_option("shell", *shell, "bash, zsh or fish")->required();
}

}  // namespace gibbsite::app
