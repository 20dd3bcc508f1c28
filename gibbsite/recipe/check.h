// The service behind `gibbsite check`.
#pragma once

#include <gibbsite/recipe/train.h>

#include <string>
#include <vector>

namespace gibbsite {

struct CheckOutcome {
  std::vector<std::string> summary;  ///< lines about model, data and objectives
  std::vector<std::string> warnings;
  std::string resolved;  ///< TOML
};

/// Everything train_recipe refuses before it works, without the work.
CheckOutcome check_recipe(const TrainRequest& request);

}  // namespace gibbsite
