// Ports for tests of work that is stopped and goes on.
#pragma once

#include <gibbsite/core/ports.h>

#include <map>
#include <string>

namespace gibbsite {

/// Asks to stop at a question of that number, from 1, and at all that follow.
class StopAt : public Interrupt {
 public:
  explicit StopAt(int question) : left_(question) {}
  bool requested() override { return --left_ <= 0; }

 private:
  int left_;
};

class MemoryStore : public StateStore {
 public:
  NamedTensors load(const std::string& name) override { return states_[name]; }
  void save(const std::string& name, const NamedTensors& state) override {
    NamedTensors& kept = states_[name];
    kept.clear();
    for (const auto& [key, tensor] : state) kept.emplace_back(key, tensor.clone());
  }

 private:
  std::map<std::string, NamedTensors> states_;
};

}  // namespace gibbsite
