#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/core/text.h>
#include <gibbsite/data/csv.h>
#include <gibbsite/data/density.h>
#include <gibbsite/data/gzip.h>
#include <gibbsite/data/idx.h>
#include <gibbsite/data/lmdb.h>
#include <gibbsite/data/mat.h>
#include <gibbsite/data/named_set.h>
#include <gibbsite/data/npy.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>

namespace gibbsite {
namespace {

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

bool ends_with_any(const std::string& text, std::initializer_list<const char*> ends) {
  return std::any_of(ends.begin(), ends.end(), [&](const char* end) { return ends_with(text, end); });
}

void know_range(Dataset& data) {
  if (data.x.scalar_type() == torch::kByte) {
    data.low = 0;
    data.high = 255;
  }
}

void check_labels(const Dataset& data, const std::string& where) {
  if (data.label.defined() && (data.label.dim() != 1 || data.label.size(0) != data.x.size(0)))
    throw WorkError(where, fmt::format("{} labels for {} rows", data.label.numel(), data.x.size(0)));
}

Dataset from_table(const CsvTable& table, const std::string& source) {
  Dataset data;
  data.x = table.x;
  data.label = table.label;
  data.columns = table.columns;
  data.source = source;
  return data;
}

Dataset load_idx(const std::string& path) {
  Dataset data;
  data.x = read_idx(path);
  if (data.x.dim() == 1) data.x = data.x.unsqueeze(1);
  data.source = path;
  know_range(data);
  // The label file of the MNIST naming, where it lies beside the images.
  std::string labels = path;
  const std::size_t at = labels.rfind("images-idx3");
  if (at != std::string::npos) {
    labels.replace(at, 11, "labels-idx1");
    std::error_code ignored;
    if (std::filesystem::is_regular_file(labels, ignored)) data.label = read_idx(labels).to(torch::kLong);
    check_labels(data, labels);
  }
  return data;
}

Dataset from_array(const Tensor& x, const std::string& path) {
  if (x.dim() == 0) throw WorkError(path, "a single number is no data set");
  Dataset data;
  data.x = x.dim() == 1 ? x.unsqueeze(1) : x;
  data.source = path;
  if (data.x.is_floating_point() && !data.x.isfinite().all().item<bool>()) {
    const Tensor bad = (~data.x.isfinite()).flatten(1).nonzero()[0];
    throw WorkError(path, fmt::format("row {}, column {} is not a finite number", bad[0].item<std::int64_t>(),
                                      bad[1].item<std::int64_t>()));
  }
  know_range(data);
  return data;
}

Dataset load_npz(const std::string& path) {
  const NamedTensors arrays = read_npz(path);
  if (arrays.empty()) throw WorkError(path, "holds no array");
  Tensor x = arrays.front().second, label;
  for (const auto& [name, value] : arrays) {
    if (name == "x") x = value;
    if (name == "label") label = value.to(torch::kLong);
  }
  Dataset data = from_array(x, path);
  data.label = label;
  check_labels(data, path);
  return data;
}

// Images stored as height × width (× channels) × number, as MATLAB's toolboxes do, get the number first.
Tensor number_first(const Tensor& x) {
  if (x.dim() == 4) return x.permute({3, 2, 0, 1}).contiguous();
  return x.dim() == 3 ? x.permute({2, 0, 1}).contiguous() : x;
}

Dataset load_mat(const std::string& path) {
  Tensor x, label;
  for (const auto& [name, value] : read_mat(path)) {
    if (!x.defined() || name == "X" || name == "x") x = value;
    if (name == "y" || name == "label") label = value;
  }
  Dataset data = from_array(number_first(x), path);
  if (label.defined() && label.numel() == data.x.size(0)) data.label = label.flatten().to(torch::kLong);
  return data;
}

}  // namespace

Dataset load_file(const std::string& path, const FileOptions& options) {
  std::error_code ignored;
  if (is_lmdb(path)) return load_image_lmdb(path, options.images);
  if (std::filesystem::is_directory(path, ignored)) return load_image_folder(path, options.images);
  const std::string name = ends_with(path, ".gz") ? path.substr(0, path.size() - 3) : path;
  if (ends_with_any(name, {".csv", ".tsv", ".data", ".txt", ".tra", ".tes"}))
    return from_table(read_csv(path, options.label_column), path);
  if (ends_with(path, ".npy")) return from_array(read_npy(path), path);
  if (ends_with(path, ".npz")) return load_npz(path);
  if (ends_with(path, ".mat")) return load_mat(path);
  if (ends_with_any(name, {"-ubyte", ".idx"})) return load_idx(path);
  const std::string content = read_maybe_gzip(path);
  if (content.compare(0, 6, "\x93NUMPY") == 0) return from_array(parse_npy(content, path), path);
  if (content.size() >= 4 && content[0] == 0 && content[1] == 0) return load_idx(path);
  throw WorkError(path, "its kind of data is not known",
                  "CSV, NPY, NPZ, MAT and IDX files are read, and folders and LMDB databases of images");
}

Published load_published(const std::string& name_or_file, const DataPath& path, const FileOptions& options,
                         const std::string& origin) {
  for (const NamedSet& set : named_sets())
    if (set.name == name_or_file) return set.load(set, path, options);
  const bool looks_like_a_file = name_or_file.find_first_of("/.") != std::string::npos;
  std::error_code ignored;
  if (looks_like_a_file || std::filesystem::exists(name_or_file, ignored)) {
    std::string file = name_or_file;
    if (!std::filesystem::exists(file, ignored)) file = path.find(name_or_file).value_or(name_or_file);
    return {load_file(file, options), std::nullopt};
  }
  std::vector<std::string> names;
  for (const ListedData& listed : list_data()) {
    if (listed.name == name_or_file)
      throw RequestError(origin, fmt::format("'{}' is a generated density, there is no file of it", name_or_file));
    names.push_back(listed.name);
  }
  throw RequestError(origin, fmt::format("unknown data set '{}'", name_or_file), name_hint(name_or_file, names));
}

Dataset load_for_evaluation(const std::string& name_or_file, const DataPath& path, const std::string& origin,
                            const FileOptions& options) {
  const Published published = load_published(name_or_file, path, options, origin);
  Dataset rows = published.test ? *published.test : *published.train;
  const std::int64_t size = options.images.size;
  if (size > 0 && rows.x.dim() == 4 && rows.x.scalar_type() == torch::kByte && rows.x.size(2) == rows.x.size(3))
    rows.x = resize_images(rows.x, size);
  return rows;
}

std::vector<ListedData> list_data() {
  std::vector<ListedData> list;
  for (const auto& entry : density_table()) list.push_back({entry.name, entry.summary, entry.paper});
  for (const NamedSet& set : named_sets()) list.push_back({set.name, set.summary, set.paper});
  return list;
}

}  // namespace gibbsite
