// A directory that is gone after the test, and a logger that remembers.
#pragma once

#include <gibbsite/core/ports.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace gibbsite {

class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string pattern = testing::TempDir() + "gibbsite-train-XXXXXX";
    if (!::mkdtemp(pattern.data())) throw std::runtime_error("no temporary directory");
    path_ = pattern;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::set<std::string> names() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) names.insert(entry.path().filename().string());
    return names;
  }

 private:
  std::string path_;
};

class MemoryLogger : public Logger {
 public:
  std::vector<std::string> warnings, progress_lines;
  void warn(const std::string& line) override { warnings.push_back(line); }
  void progress(const std::string& line, double) override { progress_lines.push_back(line); }
};

}  // namespace gibbsite
