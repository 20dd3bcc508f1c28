// The noise-conditional score network of Song and Ermon (2019): a conditional RefineNet on images in [0, 1]
// (protocol sheet 5.8).
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/model/network_energy.h>
#include <gibbsite/model/noise_levels.h>

namespace gibbsite {

struct NcsnOptions : NetworkOptions {
  std::int64_t filters = 16;
  std::int64_t levels = 10;
  double sigma_max = 1;
  double sigma_min = 0.01;
  NcsnOptions() { activation = "elu"; }
  void declare(OptionVisitor& o) {
    NetworkOptions::declare(o);
    o.option("filters", filters, "filters g of the first stage; the others have 2g", at_least(2));
    o.option("levels", levels, "noise levels the network is told, geometric", at_least(1));
    o.option("sigma_max", sigma_max, "noise of the first level", positive());
    o.option("sigma_min", sigma_min, "noise of the last level, at most that of the first", positive());
  }
};

/// The network sees 2x - 1; its output is the score itself, not divided by σ. Events are images [C, H, W] of even height
/// and width; throws RequestError for other shapes and for levels that grow.
std::unique_ptr<ScoreNetwork> make_ncsn(const NcsnOptions& options, const ModelContext& context);

}  // namespace gibbsite
