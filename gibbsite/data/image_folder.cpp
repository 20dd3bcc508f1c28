#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/image_file.h>
#include <gibbsite/data/image_folder.h>
#include <gibbsite/data/lmdb.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <map>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

Dataset stacked(const ImageStack& stack, const std::string& path) {
  if (stack.size() == 0) throw WorkError(path, "holds no PNG or JPEG images");
  Dataset data;
  data.x = stack.images();
  data.source = path;
  data.low = 0;
  data.high = 255;
  return data;
}

}  // namespace

Dataset load_image_folder(const std::string& path, const ImageOptions& options) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(path, error), end; !error && at != end; at.increment(error))
    if (at->is_regular_file() && is_image_file(at->path().string())) files.push_back(at->path());
  if (error) throw WorkError(path, fmt::format("cannot be read: {}", error.message()));
  std::sort(files.begin(), files.end());

  ImageStack stack(options);
  std::map<std::string, std::int64_t> classes;
  std::vector<std::string> folders;
  for (const fs::path& file : files) {
    stack.add(read_image(file.string()), file.string());
    const fs::path below = fs::relative(file, path);
    folders.push_back(below.has_parent_path() ? below.begin()->string() : "");
    classes.emplace(folders.back(), 0);
  }
  Dataset data = stacked(stack, path);
  if (classes.count("") == 0) {
    std::int64_t next = 0;
    for (auto& [name, number] : classes) number = next++;
    std::vector<std::int64_t> labels;
    labels.reserve(folders.size());
    for (const std::string& folder : folders) labels.push_back(classes.at(folder));
    data.label = torch::tensor(labels, torch::kLong);
  }
  return data;
}

Dataset load_images(const std::string& folder, const std::vector<std::string>& names, const ImageOptions& options) {
  ImageStack stack(options);
  for (const std::string& name : names) {
    const std::string file = (fs::path(folder) / name).string();
    stack.add(read_image(file), file);
  }
  return stacked(stack, folder);
}

Dataset load_image_lmdb(const std::string& path, const ImageOptions& options) {
  ImageStack stack(options);
  read_lmdb(path, [&](std::string_view key, const std::string& value) {
    std::string name(key.substr(0, 64));
    for (char& c : name)
      if (static_cast<unsigned char>(c) < 32 || static_cast<unsigned char>(c) > 126) c = '.';
    const std::string where = fmt::format("{}, key '{}'", path, name);
    stack.add(decode_image(value, where), where);
  });
  return stacked(stack, path);
}

}  // namespace gibbsite
