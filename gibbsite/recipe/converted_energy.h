// A model of a run in another precision, on another device or with other options that keep its parameters.
#pragma once

#include <gibbsite/recipe/build.h>

#include <memory>
#include <string>
#include <vector>

namespace gibbsite {

/// The energy of `parts` with its parameter values, built with `set` ("key=value" of the table model) on top of its options.
std::unique_ptr<Energy> converted_energy(const Parts& parts, const std::vector<std::string>& set, at::ScalarType dtype,
                                         at::Device device);

}  // namespace gibbsite
