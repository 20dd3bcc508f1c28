#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/linear_probe.h>
#include <linear.h>
#include <torch/types.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace gibbsite {
namespace {

void print_nothing(const char*) {}

struct Release {
  void operator()(model* fitted) const { free_and_destroy_model(&fitted); }
};

// Rows as the library wants them: pairs of an index from 1 and a value, the last index -1.
std::vector<feature_node> nodes_of(const Tensor& rows, double bias) {
  const std::int64_t n = rows.size(0), k = rows.size(1);
  const auto* value = rows.data_ptr<double>();
  std::vector<feature_node> nodes;
  nodes.reserve(static_cast<std::size_t>(n * (k + 2)));
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < k; ++j) nodes.push_back({static_cast<int>(j + 1), value[i * k + j]});
    nodes.push_back({static_cast<int>(k + 1), bias});
    nodes.push_back({-1, 0});
  }
  return nodes;
}

}  // namespace

Tensor LinearProbe::scores(const Tensor& features) const {
  return at::addmm(intercept, features.to(torch::kDouble).cpu(), weight.t());
}

LinearProbe fit_linear_probe(const Tensor& features, const Tensor& labels, std::int64_t classes,
                             const LinearProbeOptions& options) {
  if (features.dim() != 2 || labels.dim() != 1 || labels.size(0) != features.size(0))
    throw WorkError("linear probe", "expected features [N, K] and labels [N]");
  const Tensor rows = features.to(torch::kDouble).cpu().contiguous(), wanted = labels.to(torch::kLong).cpu();
  if (!rows.isfinite().all().item<bool>()) throw WorkError("linear probe", "a feature is not a finite number");
  const Tensor counts = wanted.bincount({}, classes);
  if (counts.size(0) != classes || counts.min().item<std::int64_t>() == 0)
    throw WorkError("linear probe", fmt::format("labels are not of {} classes with an example each", classes));

  constexpr double kIntercept = 1;
  std::vector<feature_node> nodes = nodes_of(rows, kIntercept);
  const std::int64_t n = rows.size(0), k = rows.size(1);
  std::vector<feature_node*> first;
  for (std::int64_t i = 0; i < n; ++i) first.push_back(nodes.data() + i * (k + 2));
  Tensor y = wanted.to(torch::kDouble).contiguous();
  problem given = {};
  given.l = static_cast<int>(n);
  given.n = static_cast<int>(k + 1);
  given.x = first.data();
  given.bias = kIntercept;
  parameter how = {};
  how.solver_type = L2R_LR;
  how.eps = options.tolerance;
  how.C = options.cost;
  set_print_string_function(print_nothing);

  LinearProbe probe;
  Tensor both = torch::empty({classes, k + 1}, torch::kDouble);
  // Class by class, as the library itself does, so that two classes are no special case; each is a problem of its own.
  at::parallel_for(0, classes, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) {
      Tensor sign = at::where(wanted == c, torch::ones_like(y), -torch::ones_like(y)).contiguous();
      problem own = given;
      own.y = sign.data_ptr<double>();
      const std::unique_ptr<model, Release> fitted(train(&own, &how));
      // Of labels ±1, whichever comes first, the weights speak for +1.
      std::copy(fitted->w, fitted->w + k + 1, both.data_ptr<double>() + c * (k + 1));
    }
  });
  probe.weight = both.narrow(1, 0, k).contiguous();
  probe.intercept = both.select(1, k) * kIntercept;
  return probe;
}

Tensor draw_labelled_rows(const Tensor& labels, std::int64_t classes, std::int64_t per_class, Rng rng) {
  const Tensor of = labels.to(torch::kLong).cpu();
  std::vector<Tensor> chosen;
  for (std::int64_t c = 0; c < classes; ++c) {
    const Tensor rows = (of == c).nonzero().squeeze(1);
    if (rows.size(0) < per_class)
      throw RequestError("labels", fmt::format("class {} has {} examples, {} are wanted", c, rows.size(0), per_class));
    chosen.push_back(
        rows.index_select(0, rng.stream(fmt::format("class/{}", c)).permutation(rows.size(0)).narrow(0, 0, per_class)));
  }
  return torch::cat(chosen);
}

}  // namespace gibbsite
