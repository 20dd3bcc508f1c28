// One file that holds what a stopped service needs to go on: states of its loops, and texts.
#pragma once

#include <gibbsite/core/ports.h>

#include <chrono>
#include <map>
#include <string>

namespace gibbsite {

class PartialFile : public StateStore {
 public:
  /// Takes over what `path` holds if it was written for the same `request` (any text that tells requests apart); what is of
  /// another request or unreadable is left out, with an info line.
  PartialFile(std::string path, std::string request, Logger& logger);

  NamedTensors load(const std::string& name) override;
  /// Kept in memory; write() or a due save brings it to the disk.
  void save(const std::string& name, const NamedTensors& state) override;
  /// True once a minute.
  bool due() override;

  /// "" if there is none.
  std::string text(const std::string& name) const;
  void set_text(const std::string& name, const std::string& text) { texts_[name] = text; }

  /// Whether an earlier process left something.
  bool resumes() const { return resumes_; }
  const std::string& path() const { return path_; }
  void write();
  /// Removes the file.
  void remove();

 private:
  std::string path_, request_;
  std::map<std::string, NamedTensors> states_;
  std::map<std::string, std::string> texts_;
  std::chrono::steady_clock::time_point written_;
  bool resumes_ = false;
};

}  // namespace gibbsite
