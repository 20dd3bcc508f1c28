#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/data.h>
#include <gibbsite/data/named_set.h>
#include <gibbsite/data/numpy_shuffle.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

constexpr double kGeneratedRows = 50000;

std::string origin_of(const Config& data, const std::string& key) {
  const Config* node = data.find(key);
  return node ? node->origin() : data.origin();
}

Dataset generate(const Density& density, const std::string& name, double rows, Rng rng) {
  Dataset data;
  data.x = density.sample(static_cast<std::int64_t>(std::round(rows)), rng);
  data.source = name;
  data.has_jumps = density.has_jumps();
  return data;
}

Splits generate_splits(const Density& density, const DataOptions& options, const Rng& rng, const std::string& origin) {
  const double train = options.train > 0 ? options.train : kGeneratedRows;
  if (train < 1) throw RequestError(origin, "data.train is a share of a generated density, expected a number of rows");
  const auto rows = [&](double size) { return size >= 1 ? size : std::floor(size * train); };
  return {generate(density, options.name, train, rng.stream("train")),
          generate(density, options.name, rows(options.validation), rng.stream("validation")),
          generate(density, options.name, rows(options.test), rng.stream("test"))};
}

Splits load_splits(const Config& config, const DataOptions& options, const Rng& rng, const DataPath& path) {
  Published published = load_published(
      options.name, path,
      {options.label_column, {options.image_crop, options.image_size, options.image_left, options.image_top}},
      origin_of(config, "name"));
  SplitSizes sizes{options.train, options.validation, options.test};
  const SplitOrder order = options.split == "random" ? SplitOrder::kRandom : SplitOrder::kFile;
  if (options.split == "numpy" && published.train) {
    const std::int64_t n = published.train->size();
    published.train = published.train->rows(numpy_shuffle(static_cast<std::uint32_t>(options.split_seed), n));
    if (!published.test && options.validation < 1) {
      const double test = options.test >= 1 ? options.test : std::floor(options.test * static_cast<double>(n));
      // A count, but for none at all, which is a share of nothing.
      sizes.validation = std::floor(options.validation * (static_cast<double>(n) - test));
    }
  }
  if (!published.test) return split(*published.train, sizes, order, rng);
  if (published.train) return split_official(*published.train, *published.test, sizes, order, rng);
  return {published.test->rows(0, 0), published.test->rows(0, 0), *published.test};
}

/// The range of the values in original units: the known one, or that of `rows`.
std::pair<double, double> range_of(const Dataset& train, const Tensor& rows) {
  if (train.high > train.low || train.size() == 0) return {train.low, train.high};
  return {rows.min().item<double>(), rows.max().item<double>()};
}

void build_pipeline(const Config& config, Data& data) {
  const DataOptions& options = data.options;
  const Dataset& train = data.splits.train.size() > 0 ? data.splits.train : data.splits.test;
  Pipeline& pipeline = data.pipeline;
  if (options.flip && train.event().size() < 2) throw RequestError(origin_of(config, "flip"), "data.flip needs images");
  if (options.logit && options.scale != "unit")
    throw RequestError(origin_of(config, "logit"), "data.logit needs values in [0, 1]", "set data.scale = \"unit\"");
  if (options.binarise && options.scale != "unit")
    throw RequestError(origin_of(config, "binarise"), "data.binarise needs values in [0, 1]",
                       "set data.scale = \"unit\"");
  if (options.logit && options.logit_alpha + options.clamp < 1e-12)
    throw RequestError(origin_of(config, "logit_alpha"), "the logit of 0 and 1 is infinite",
                       "set data.logit_alpha or data.clamp");
  if (options.flip) pipeline.append(make_flip());
  if (options.pad > 0) pipeline.append(make_pad(options.pad, train.low));
  if (options.dequantise) {
    const bool integers = !train.x.is_floating_point() || (train.x == train.x.round()).all().item<bool>();
    if (!integers)
      throw RequestError(origin_of(config, "dequantise"),
                         fmt::format("data.dequantise needs integer values, {} has others", train.source));
    pipeline.append(make_dequantise(1));
  }
  const Tensor rows = options.statistics == "all"
                          ? at::cat({data.splits.train.x, data.splits.validation.x, data.splits.test.x})
                          : train.x;
  if (options.dequantise_gaps) pipeline.append(fit_gap_dequantise(pipeline.forward(rows)));
  auto [low, high] =
      options.scale == "unit" || options.scale == "symmetric" ? range_of(train, rows) : std::pair(0.0, 0.0);
  if (options.dequantise) high += 1;
  // Statistics are those of the rows a model will see, so they include the noise so far.
  const auto fitted = [&] { return pipeline.prepare(rows, data.rng.stream("fit")); };
  if (options.scale == "unit" || options.scale == "symmetric")
    pipeline.append(make_range(low, high, options.scale == "symmetric"));
  if (options.scale == "standardise") pipeline.append(fit_standardise(fitted()));
  if (options.scale == "whiten") pipeline.append(fit_whiten(fitted()));
  if (options.uniform_noise > 0) pipeline.append(make_dequantise(options.uniform_noise, -options.uniform_noise / 2));
  if (options.binarise) pipeline.append(make_binarise());
  if (options.logit && options.clamp > 0) pipeline.append(make_clamp(options.clamp, 1 - options.clamp));
  if (options.logit) pipeline.append(make_logit(options.logit_alpha));
  if (options.noise > 0 && !data.density) pipeline.append(make_jitter(options.noise));
  const Shape event = pipeline.output_event(train.event());
  if (options.flatten && event.size() != 1) pipeline.append(make_reshape(event, {event_size(event)}));
}

std::string column_name(const Dataset& data, std::int64_t column) {
  const auto at = static_cast<std::size_t>(column);
  return at < data.columns.size() ? fmt::format("'{}'", data.columns[at]) : fmt::format("number {}", column);
}

}  // namespace

std::unique_ptr<Data> make_data(const Config& config, const Rng& rng, const DataPath& path) {
  auto data = std::make_unique<Data>();
  data->options = read_options<DataOptions>(config, "data");
  data->rng = rng.stream("data");
  const DataOptions& options = data->options;
  if (options.name.empty())
    throw RequestError(config.origin(), "data.name is missing", "gibbsite list datasets shows the names");
  const auto& table = density_table();
  const auto entry = std::find_if(table.begin(), table.end(), [&](const auto& e) { return e.name == options.name; });
  if (entry != table.end()) {
    data->density = entry->make(config);
    data->splits = generate_splits(*data->density, options, data->rng, origin_of(config, "train"));
  } else {
    if (options.fresh)
      throw RequestError(origin_of(config, "fresh"),
                         fmt::format("data.fresh needs a generated density, {} is none", options.name));
    data->splits = load_splits(config, options, data->rng, path);
  }
  build_pipeline(config, *data);
  return data;
}

Loader Data::loader(at::ScalarType dtype) const {
  if (options.fresh) return Loader(density, pipeline, rng, dtype);
  if (!options.noise_once || !pipeline.has_noise() || splits.train.size() == 0)
    return Loader(splits.train, pipeline, rng, dtype);
  Dataset once = splits.train;
  once.x = prepared(splits.train, "train", dtype);
  return Loader(once, Pipeline(), rng, dtype);
}

Tensor Data::prepared(const Dataset& split, const std::string& split_name, at::ScalarType dtype) const {
  return pipeline.prepare(split.x, rng.stream("prepared/" + split_name)).to(dtype);
}

Shape Data::event() const { return splits.train.event(); }
Shape Data::model_event() const { return pipeline.output_event(event()); }

std::vector<std::string> score_matching_warnings(const Dataset& data, double noise) {
  std::vector<std::string> warnings;
  if (noise > 0) return warnings;
  const std::string remedy = "score matching is unbounded below there; set data.noise";
  if (data.has_jumps)
    warnings.push_back(fmt::format(
        "the density of {} jumps at its edges: score matching is unbounded below there; set data.noise (0.05, say)",
        data.source));
  constexpr std::int64_t kRowsLooked = 4000;
  const Tensor rows = data.x.slice(0, 0, kRowsLooked).flatten(1).to(torch::kDouble);
  const std::int64_t n = rows.size(0), columns = n > 0 ? rows.size(1) : 0;
  if (n < 20) return warnings;
  const Tensor sorted = std::get<0>(rows.sort(0));
  const Tensor constant = sorted[0] == sorted[n - 1];
  if (const Tensor which = constant.nonzero(); which.size(0) > 0)
    warnings.push_back(fmt::format("{} of {} columns of {} are constant (first {}): {}", which.size(0), columns,
                                   data.source, column_name(data, which[0].item<std::int64_t>()), remedy));
  // In sorted order, equal entries a twentieth of the rows apart are a value that at least that share of rows repeats.
  const std::int64_t apart = n / 20;
  const Tensor atom = (sorted.slice(0, apart) == sorted.slice(0, 0, n - apart)).any(0) & ~constant;
  if (const Tensor which = atom.nonzero(); which.size(0) > 0) {
    const Tensor first = sorted.select(1, which[0].item<std::int64_t>());
    const Tensor value = std::get<0>(first.mode());
    warnings.push_back(fmt::format("{} of {} columns of {} repeat a value (first {}, {} in {:.0f} % of the rows): {}",
                                   which.size(0), columns, data.source,
                                   column_name(data, which[0].item<std::int64_t>()), value.item<double>(),
                                   100 * (first == value).to(torch::kDouble).mean().item<double>(), remedy));
  }
  return warnings;
}

}  // namespace gibbsite
