#include <gibbsite/core/error.h>
#include <gibbsite/recipe/partial_file.h>
#include <gibbsite/train/checkpoint.h>
#include <torch/types.h>

#include <filesystem>

namespace gibbsite {
namespace {

const char* const kRequest = "request";
constexpr auto kInterval = std::chrono::seconds(60);

}  // namespace

PartialFile::PartialFile(std::string path, std::string request, Logger& logger)
    : path_(std::move(path)), request_(std::move(request)), written_(std::chrono::steady_clock::now()) {
  std::error_code ignored;
  if (!std::filesystem::exists(path_, ignored)) return;
  Checkpoint kept;
  try {
    kept = read_checkpoint(path_);
  } catch (const WorkError& error) {
    logger.info(std::string("starting anew: ") + error.what());
    return;
  }
  std::map<std::string, std::string> texts(kept.notes.begin(), kept.notes.end());
  if (texts[kRequest] != request_) {
    logger.info("starting anew: " + path_ + " is of another request");
    return;
  }
  texts.erase(kRequest);
  texts_ = std::move(texts);
  for (const auto& [name, tensor] : kept.tensors) {
    const std::size_t at = name.rfind('\n');
    states_[name.substr(0, at)].emplace_back(name.substr(at + 1), tensor);
  }
  resumes_ = true;
  logger.info("going on from " + path_);
}

NamedTensors PartialFile::load(const std::string& name) {
  const auto found = states_.find(name);
  return found == states_.end() ? NamedTensors() : found->second;
}

void PartialFile::save(const std::string& name, const NamedTensors& state) {
  NamedTensors& kept = states_[name];
  kept.clear();
  for (const auto& [key, tensor] : state) kept.emplace_back(key, tensor.detach().cpu().clone());
  if (due()) write();
}

bool PartialFile::due() { return std::chrono::steady_clock::now() - written_ > kInterval; }

std::string PartialFile::text(const std::string& name) const {
  const auto found = texts_.find(name);
  return found == texts_.end() ? "" : found->second;
}

void PartialFile::write() {
  Checkpoint kept;
  kept.notes.emplace_back(kRequest, request_);
  kept.notes.insert(kept.notes.end(), texts_.begin(), texts_.end());
  for (const auto& [name, state] : states_)
    for (const auto& [key, tensor] : state) kept.tensors.emplace_back(name + "\n" + key, tensor);
  const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  std::error_code ignored;
  if (!folder.empty()) std::filesystem::create_directories(folder, ignored);
  write_checkpoint(path_, kept);
  written_ = std::chrono::steady_clock::now();
}

void PartialFile::remove() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

}  // namespace gibbsite
