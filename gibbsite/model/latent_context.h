// What the networks of a latent-variable model are built from.
#pragma once

#include <gibbsite/model/energy.h>

namespace gibbsite {

/// `event` is that of v.
struct LatentContext : ModelContext {
  std::int64_t latent_size = 1;  ///< K, size of h
};

}  // namespace gibbsite
