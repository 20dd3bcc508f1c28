// What score matching cannot train, found before any work.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/recipe/build.h>

#include <string>
#include <vector>

namespace gibbsite {

/// Under objectives with second derivatives: throws RequestError for ReLU, leaky ReLU, max pooling and batch norm in the
/// energy, naming the layer and the remedy; returns a line for ELU, whose second derivative jumps.
std::vector<std::string> guard_layers(const std::vector<LayerNote>& layers, const std::string& objective,
                                      const std::string& origin);

/// The same for score networks, which such objectives differentiate once: throws RequestError for batch norm; returns a
/// line for layers with kinks.
std::vector<std::string> guard_score_layers(const std::vector<LayerNote>& layers, const std::string& objective,
                                            const std::string& origin);

/// Both for every phase, and the data's own warnings (constant columns, repeated values, jumps).
std::vector<std::string> guard(const Parts& parts);

}  // namespace gibbsite
