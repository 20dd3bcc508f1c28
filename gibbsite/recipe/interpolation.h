// Figure 4 of VaGES: images that a deep latent-variable energy gives along a line of latent variables.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/recipe/reproduce.h>

#include <string>

namespace gibbsite {

/// Set by --set experiment.<key>=<value>.
struct InterpolationOptions {
  std::string run;
  double radius = 1;
  std::int64_t points = 10;
  std::int64_t states = 10;
  void declare(OptionVisitor& o) {
    o.option("run", run, "run of a latent-variable energy; empty: one of vages/deep-eblvm is trained first");
    o.option("radius", radius, "r: the line goes from r μ to -r μ, μ the encoder's mean of a training image",
             positive());
    o.option("points", points, "points of the line", at_least(3));
    o.option("states", states, "states of every trajectory in the picture", at_least(1));
  }
};

/// Every point starts from the same image and takes the same noise, so that only its latent variables differ. Rows of method
/// vages-mdsm, distances of last images in units of the mean distance between neighbours: largest_step, of neighbours, and
/// end_distance, of the two ends.
ExperimentOutcome reproduce_interpolation(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
