// One line for every failure: `gibbsite: error: WHERE: WHAT (hint)`, with the exit code that scripts depend on.
#pragma once

#include <stdexcept>
#include <string>

namespace gibbsite {

/// Base of every error gibbsite throws. `what()` is the line without the `gibbsite: error:` prefix.
class Error : public std::runtime_error {
 public:
  Error(int exit_code, const std::string& where, const std::string& what, const std::string& hint);
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

/// The request was wrong (unknown key, wrong type, value out of range, impossible combination): exit code 2.
class RequestError : public Error {
 public:
  RequestError(const std::string& where, const std::string& what, const std::string& hint = "")
      : Error(2, where, what, hint) {}
};

/// The request was fine and the work failed (missing file, corrupt data, full disk, divergence): exit code 1.
class WorkError : public Error {
 public:
  WorkError(const std::string& where, const std::string& what, const std::string& hint = "")
      : Error(1, where, what, hint) {}
};

/// The user interrupted; the state was saved: exit code 130.
class Interrupted : public Error {
 public:
  Interrupted(const std::string& where, const std::string& what) : Error(130, where, what, "") {}
};

}  // namespace gibbsite
