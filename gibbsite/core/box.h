// An axis-aligned box.
#pragma once

#include <vector>

namespace gibbsite {

struct Box {
  std::vector<double> low, high;  ///< [d] each
};

}  // namespace gibbsite
