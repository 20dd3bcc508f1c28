#include <gibbsite/core/error.h>
#include <gibbsite/metric/ais.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <functional>

#include "core/stopping.h"

namespace gibbsite {
namespace {

class Progress : public Logger {
 public:
  int lines = 0;
  void progress(const std::string&, double) override { ++lines; }
};

// Stops the work at its 8th temperature again and again.
template <class Work>
auto in_pieces(const Work& work, int& stops) {
  MemoryStore store;
  for (;;) {
    StopAt stop(8);
    Ports ports;
    ports.interrupt = &stop;
    ports.states = &store;
    try {
      return work(ports);
    } catch (const Interrupted&) {
      ++stops;
    }
  }
}

TEST(AisGoingOn, HasTheBitsOfARunThatWasNotStopped) {
  Target from, to;
  from.energy = [](const Tensor& x) { return 0.5 * x.square().sum(1); };
  to.energy = [](const Tensor& x) { return (x.square() - 1).square().sum(1); };
  const Tensor x = Rng(1, "x").normal({6, 2}, torch::kDouble);
  AisOptions options;
  options.temperatures = 30;
  options.transitions = 2;
  options.step_size = 0.1;
  const auto work = [&](const Ports& ports) { return annealed_importance(from, to, x, options, Rng(2, "ais"), ports); };
  Progress progress;
  Ports ports;
  ports.logger = &progress;
  const AisResult straight = work(ports);
  EXPECT_EQ(progress.lines, 30);
  int stops = 0;
  const AisResult resumed = in_pieces(work, stops);
  EXPECT_EQ(stops, 4);
  EXPECT_TRUE(torch::equal(resumed.log_weights, straight.log_weights));
  EXPECT_TRUE(torch::equal(resumed.x, straight.x));
  EXPECT_EQ(resumed.acceptance, straight.acceptance);
  EXPECT_EQ(resumed.step_size, straight.step_size);
}

TEST(AisGoingOn, AlongPathsForwardsAndBackwards) {
  AnnealingPath path;
  path.energy = [](const Tensor& x, double beta) { return (0.5 + beta) * x.square().sum(1); };
  path.transition = [](const Tensor& x, double beta, Rng& rng) { return rng.normal(x.sizes(), x) / (1 + beta); };
  const Tensor x = Rng(1, "x").normal({6, 2}, torch::kDouble);
  int stops = 0;
  const auto forwards = [&](const Ports& ports) {
    return annealed_importance(path, x, 25, Rng(3, "ais"), ports).log_weights;
  };
  EXPECT_TRUE(torch::equal(in_pieces(forwards, stops), forwards({})));
  const auto backwards = [&](const Ports& ports) {
    return reverse_annealed_log_density(path, 0.3, x, 3, 25, Rng(3, "ais"), ports);
  };
  EXPECT_TRUE(torch::equal(in_pieces(backwards, stops), backwards({})));
  EXPECT_GE(stops, 6);
}

}  // namespace
}  // namespace gibbsite
