#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/recipe/conditional.h>
#include <gibbsite/recipe/score.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>

namespace gibbsite {
namespace {

// Rows of a file as points of the run, [R, *event]. Numbers may be missing from NPY files.
Tensor read_points(const std::string& path, const Parts& parts, const char* option) {
  Dataset rows;
  if (std::filesystem::path(path).extension() == ".npy")
    rows.x = read_npy(path);
  else
    rows = in_columns_of_run(load_file(path), parts, option);
  const Shape& event = parts.transforms.event;
  if (rows.x.sizes() == at::IntArrayRef(event)) rows.x = rows.x.unsqueeze(0);
  if (rows.x.dim() == 0 || rows.x.size(0) == 0 || rows.event() != event)
    throw RequestError(
        option, fmt::format("{} is {}, expected rows of {}", path, format_shape(rows.x.sizes()), format_shape(event)));
  return rows.x.to(torch::kDouble);
}

Tensor rows_of(const Tensor& x, std::int64_t n) {
  return x.index_select(0, torch::arange(n, torch::kLong).remainder(x.size(0)));
}

// Unknown entries take the middle of the training range, which every transform can take.
Tensor filled(const Given& given, const Parts& parts) {
  const StoredTransforms& stored = parts.transforms;
  const Tensor middle = stored.pipeline.inverse(((stored.low + stored.high) / 2).unsqueeze(0)).to(torch::kDouble);
  return torch::where(given.free, middle.expand_as(given.points), given.points);
}

// Places in model units of entries that are marked in original units, for transforms that do not mix entries.
Tensor moved_marks(const Tensor& free, const Parts& parts) {
  Tensor marks = free;
  for (const TransformPointer& transform : parts.transforms.pipeline.transforms()) {
    if (transform->kind() == "pad" || transform->kind() == "reshape") {
      // Padding is known: its value as a mark is 0 minus what it adds to zeros.
      const Tensor zeros = torch::zeros(marks.sizes(), torch::kDouble);
      marks = transform->forward(marks.to(torch::kDouble)).ne(transform->forward(zeros));
    }
  }
  return marks;
}

bool mixes(const Pipeline& pipeline) {
  const auto& all = pipeline.transforms();
  return std::any_of(all.begin(), all.end(), [](const auto& transform) { return transform->kind() == "whiten"; });
}

// d y / d x of an affine pipeline: [model size, size] float64.
Tensor slope(const Parts& parts) {
  const Shape& event = parts.transforms.event;
  const std::int64_t size = event_size(event);
  Shape rows = event;
  rows.insert(rows.begin(), size + 1);
  const Tensor units =
      torch::cat({torch::zeros({1, size}, torch::kDouble), torch::eye(size, torch::kDouble)}).view(rows);
  const Tensor y = parts.transforms.pipeline.forward(units).flatten(1);
  return (y.narrow(0, 1, size) - y.narrow(0, 0, 1)).t();
}

}  // namespace

Given read_given(const std::string& path, const std::string& mask, double noise, const Parts& parts) {
  Given given;
  given.points = read_points(path, parts, "--given");
  given.noise = noise;
  if (mask.empty()) {
    given.free = given.points.isnan();
  } else {
    const Tensor marks = read_points(mask, parts, "--mask");
    const std::int64_t rows = given.points.size(0);
    if (marks.size(0) != 1 && marks.size(0) != rows)
      throw RequestError("--mask", fmt::format("{} has {} rows, expected 1 or {}", mask, marks.size(0), rows));
    if (marks.isnan().any().item<bool>())
      throw RequestError("--mask", fmt::format("{} has entries that are not a number", mask));
    given.free = marks.ne(0).expand_as(given.points).contiguous();
  }
  const Tensor missing = (~given.points.isfinite() & ~given.free).flatten(1);
  if (missing.any().item<bool>()) {
    const Tensor at = missing.nonzero()[0];
    throw RequestError("--given", fmt::format("{}: entry {} of row {} is given and is not a finite number", path,
                                              at[1].item<std::int64_t>(), at[0].item<std::int64_t>()));
  }
  const Tensor counts = given.free.flatten(1).sum(1);
  if (noise == 0 && counts.min().item<std::int64_t>() == 0)
    throw RequestError(mask.empty() ? "--given" : "--mask",
                       fmt::format("row {} has no entry to sample", counts.argmin().item<std::int64_t>()),
                       "nonzero marks an entry to sample");
  given.points = filled(given, parts);
  return given;
}

Given given_rows(const Given& given, std::int64_t n) {
  return {rows_of(given.points, n), rows_of(given.free, n), given.noise};
}

FreeCoordinates free_coordinates(const Given& given, const Parts& parts) {
  const auto options = parts.like().options();
  const Tensor y = parts.transforms.pipeline.forward(given.points);
  if (!mixes(parts.transforms.pipeline))
    return FreeCoordinates::entries(y.to(options), moved_marks(given.free, parts).to(parts.device));
  const Tensor free = given.free.flatten(1);
  const Tensor counts = free.sum(1);
  if (!counts.eq(counts[0]).all().item<bool>())
    throw RequestError("--mask", "the rows of whitened data must have the same number of entries to sample");
  if (y.dim() != 2) throw RequestError("--mask", "whitened images are not sampled entry by entry");
  const Tensor linear = slope(parts);
  const bool same = free.eq(free[0]).all().item<bool>();
  std::vector<Tensor> frames;
  for (std::int64_t row = 0; row < (same ? 1 : free.size(0)); ++row)
    frames.push_back(std::get<0>(torch::linalg_qr(linear.index_select(1, free[row].nonzero().flatten()))));
  return FreeCoordinates::directions(y.to(options), torch::stack(frames).to(options));
}

Target observed(const Target& target, const Given& given, const Parts& parts) {
  if (!(given.noise > 0)) throw RequestError("--given-noise", fmt::format("is {}, expected > 0", given.noise));
  const auto options = parts.like().options();
  const auto misfit = [&pipeline = parts.transforms.pipeline, points = given.points.to(options),
                       known = (~given.free).to(options), weight = 0.5 / (given.noise * given.noise)](const Tensor& y) {
    // Rows come R B in number where replicas serve a chain.
    const std::int64_t copies = y.size(0) / points.size(0);
    const Tensor here = copies == 1 ? points : points.repeat_interleave(copies, 0);
    const Tensor counted = copies == 1 ? known : known.repeat_interleave(copies, 0);
    return weight * sum_event((pipeline.inverse(y) - here).square() * counted);
  };
  Target made;
  if (target.energy) made.energy = [=, whole = target.energy](const Tensor& y) { return whole(y) + misfit(y); };
  if (target.score)
    made.score = [=, whole = target.score](const Tensor& y) {
      Target alone;
      alone.energy = misfit;
      return whole(y) + score_of(alone, y);
    };
  return made;
}

Tensor with_known(const Given& given, const Tensor& x) {
  return given.noise > 0 ? x : torch::where(given.free, x, given.points.to(x.scalar_type()));
}

}  // namespace gibbsite
