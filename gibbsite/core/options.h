// Options are declared once. A component keeps its settings in a plain struct with one method
//
//   void declare(OptionVisitor& o) {
//     o.option("step_size", step_size, "η in x <- x - (η/2) grad E + ...", positive());
//   }
//
// and that declaration parses, checks, documents and echoes: `read_options` fills the struct from a recipe table,
// `describe_options` lists name, type, default, range and help, `echo_options` writes the resolved values.
#pragma once

#include <gibbsite/core/config.h>

#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace gibbsite {

/// An interval that a number must lie in.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
  bool high_open = false;
  bool holds(double value) const;
  std::string text() const;  ///< "> 0", "in [0, 1]", "" when unbounded
};

Range anything();
Range positive();
Range non_negative();
Range at_least(double low);
Range between(double low, double high);

using Choices = std::vector<std::string>;

class OptionVisitor {
 public:
  virtual ~OptionVisitor() = default;
  /// The next option counts only if `holds`. Where it does not, a recipe that gives it has a key that nobody reads, and
  /// an echo leaves it out.
  OptionVisitor& only_if(bool holds) {
    conditional_ = true;
    holds_ = holds;
    return *this;
  }
  virtual void option(const std::string& name, bool& value, const std::string& help) = 0;
  virtual void option(const std::string& name, std::int64_t& value, const std::string& help, Range range = {}) = 0;
  virtual void option(const std::string& name, double& value, const std::string& help, Range range = {}) = 0;
  /// `choices` empty: any text.
  virtual void option(const std::string& name, std::string& value, const std::string& help, Choices choices = {}) = 0;
  virtual void option(const std::string& name, std::vector<std::int64_t>& value, const std::string& help,
                      Range range = {}) = 0;
  virtual void option(const std::string& name, std::vector<double>& value, const std::string& help,
                      Range range = {}) = 0;

 protected:
  struct Condition {
    bool conditional, holds;
  };
  /// What only_if said of the option at hand.
  Condition condition() {
    const Condition said{conditional_, holds_};
    conditional_ = false;
    holds_ = true;
    return said;
  }

 private:
  bool conditional_ = false, holds_ = true;
};

struct OptionDescription {
  std::string name, type, default_value, range, help;
  bool conditional = false;  ///< counts only for some values of other options
};

/// Fills a struct from a table; absent keys keep their defaults. Errors name file, line, key and what was expected.
class OptionReader : public OptionVisitor {
 public:
  /// `path` names the table in messages, e.g. "sampler".
  OptionReader(const Config& table, std::string path) : table_(table), path_(std::move(path)) {}
  void option(const std::string& name, bool& value, const std::string& help) override;
  void option(const std::string& name, std::int64_t& value, const std::string& help, Range range) override;
  void option(const std::string& name, double& value, const std::string& help, Range range) override;
  void option(const std::string& name, std::string& value, const std::string& help, Choices choices) override;
  void option(const std::string& name, std::vector<std::int64_t>& value, const std::string& help, Range range) override;
  void option(const std::string& name, std::vector<double>& value, const std::string& help, Range range) override;

 private:
  const Config& table_;
  std::string path_;
  const Config* find(const std::string& name);
  template <class T, class Get>
  void number(const std::string& name, T& value, const Range& range, Get get, const char* expected);
};

class OptionDescriber : public OptionVisitor {
 public:
  std::vector<OptionDescription> descriptions;
  void option(const std::string& name, bool& value, const std::string& help) override;
  void option(const std::string& name, std::int64_t& value, const std::string& help, Range range) override;
  void option(const std::string& name, double& value, const std::string& help, Range range) override;
  void option(const std::string& name, std::string& value, const std::string& help, Choices choices) override;
  void option(const std::string& name, std::vector<std::int64_t>& value, const std::string& help, Range range) override;
  void option(const std::string& name, std::vector<double>& value, const std::string& help, Range range) override;

 private:
  void add(const std::string& name, const char* type, std::string value, std::string range, const std::string& help);
};

class OptionEcho : public OptionVisitor {
 public:
  explicit OptionEcho(Config& table) : table_(table) {}
  void option(const std::string& name, bool& value, const std::string& help) override;
  void option(const std::string& name, std::int64_t& value, const std::string& help, Range range) override;
  void option(const std::string& name, double& value, const std::string& help, Range range) override;
  void option(const std::string& name, std::string& value, const std::string& help, Choices choices) override;
  void option(const std::string& name, std::vector<std::int64_t>& value, const std::string& help, Range range) override;
  void option(const std::string& name, std::vector<double>& value, const std::string& help, Range range) override;

 private:
  Config& table_;
  void set(const std::string& name, Config value);
};

/// Reads a settings struct from a table of a recipe. Throws RequestError on a wrong type or a value out of range.
/// A key the struct does not declare is found later, by Config::require_all_read.
template <class Settings>
Settings read_options(const Config& table, const std::string& path, Settings settings = {}) {
  OptionReader reader(table, path);
  settings.declare(reader);
  return settings;
}

template <class Settings>
std::vector<OptionDescription> describe_options() {
  Settings settings;
  OptionDescriber describer;
  settings.declare(describer);
  return describer.descriptions;
}

/// Writes the settings, defaults included, into `table`.
template <class Settings>
void echo_options(Settings settings, Config& table) {
  OptionEcho echo(table);
  settings.declare(echo);
}

}  // namespace gibbsite
