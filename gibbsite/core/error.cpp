#include <gibbsite/core/error.h>

namespace gibbsite {
namespace {

std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text;
}

}  // namespace

Error::Error(int exit_code, const std::string& where, const std::string& what, const std::string& hint)
    : std::runtime_error(
          one_line((where.empty() ? "" : where + ": ") + what + (hint.empty() ? "" : " (" + hint + ")"))),
      exit_code_(exit_code) {}

}  // namespace gibbsite
