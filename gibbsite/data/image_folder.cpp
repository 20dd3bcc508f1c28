#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/image_file.h>
#include <gibbsite/data/image_folder.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <map>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

Tensor centred_square(const Tensor& image, std::int64_t crop, const std::string& path) {
  const std::int64_t height = image.size(1), width = image.size(2);
  const std::int64_t side = crop > 0 ? crop : std::min(height, width);
  if (side > std::min(height, width))
    throw WorkError(path, fmt::format("is {} × {} pixels, smaller than data.image_crop = {}", width, height, crop));
  return image.narrow(1, (height - side) / 2, side).narrow(2, (width - side) / 2, side);
}

}  // namespace

Tensor resize_images(const Tensor& images, std::int64_t size) {
  if (size == images.size(3)) return images.contiguous();
  std::vector<Tensor> chunks;
  for (const Tensor& chunk : images.split(256)) {
    const Tensor real = at::_upsample_bilinear2d_aa(chunk.to(at::kFloat), {size, size}, /*align_corners=*/false);
    chunks.push_back(real.round().clamp(0, 255).to(at::kByte));
  }
  return at::cat(chunks);
}

Dataset load_image_folder(const std::string& path, const ImageOptions& options) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(path, error), end; !error && at != end; at.increment(error))
    if (at->is_regular_file() && is_image_file(at->path().string())) files.push_back(at->path());
  if (error) throw WorkError(path, fmt::format("cannot be read: {}", error.message()));
  if (files.empty()) throw WorkError(path, "holds no PNG or JPEG images");
  std::sort(files.begin(), files.end());

  std::vector<Tensor> images;
  std::map<std::string, std::int64_t> classes;
  std::vector<std::string> folders;
  bool grey = true;
  for (const fs::path& file : files) {
    Tensor image = read_image(file.string());
    if (options.crop > 0 || options.size > 0) image = centred_square(image, options.crop, file.string()).contiguous();
    if (options.size > 0) image = resize_images(image.unsqueeze(0), options.size)[0];
    if (!images.empty() && image.sizes().slice(1) != images.front().sizes().slice(1))
      throw WorkError(file.string(),
                      fmt::format("is {} × {} pixels, others are {} × {}", image.size(2), image.size(1),
                                  images.front().size(2), images.front().size(1)),
                      "data.image_size brings images to one size");
    grey = grey && image.size(0) == 1;
    images.push_back(std::move(image));
    const fs::path below = fs::relative(file, path);
    folders.push_back(below.has_parent_path() ? below.begin()->string() : "");
    classes.emplace(folders.back(), 0);
  }
  if (!grey)
    for (Tensor& image : images) image = image.expand({3, -1, -1});

  Dataset data;
  data.x = at::stack(images);
  data.source = path;
  data.low = 0;
  data.high = 255;
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

}  // namespace gibbsite
