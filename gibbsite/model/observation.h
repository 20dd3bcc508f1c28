// Laws of an observation given what a decoder network puts out:
//
//   bernoulli  independent bits with these logits
//   gaussian   N(mean, deviation²), the mean being the output through `squash`; the deviation is one number for all, or the
//              network puts out the logarithms of its own for every value, after the means
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/tensor.h>

namespace gibbsite {

struct ObservationOptions {
  std::string law = "bernoulli";
  double clamp = 0;
  std::string deviation = "fixed";
  double log_deviation = 0;
  double log_deviation_low = -4;
  double log_deviation_high = 2;
  std::string squash = "identity";
  double stretch = 1;
  void declare(OptionVisitor& o) {
    o.option("law", law, "law of v given the output of the network", {"bernoulli", "gaussian"});
    o.only_if(law == "bernoulli")
        .option("clamp", clamp, "probabilities are kept in [clamp, 1 - clamp] in log densities", between(0, 0.49));
    const bool gaussian = law == "gaussian", fixed = deviation == "fixed";
    o.only_if(gaussian).option("deviation", deviation,
                               "the deviation is one fixed number, or an output of the network for every value",
                               {"fixed", "network"});
    o.only_if(gaussian && fixed).option("log_deviation", log_deviation, "log of the fixed standard deviation");
    o.only_if(gaussian && !fixed).option("log_deviation_low", log_deviation_low, "log deviations below are moved here");
    o.only_if(gaussian && !fixed)
        .option("log_deviation_high", log_deviation_high, "log deviations above are moved here");
    o.only_if(gaussian).option("squash", squash, "what the mean is of the output", {"identity", "tanh", "sigmoid"});
    o.only_if(gaussian).option("stretch", stretch,
                               "factor on the mean, above 1 so that a squashed one reaches the edge of the data",
                               positive());
  }
};

/// Outputs of the network per value of v: 2 where it gives deviations too.
std::int64_t observation_outputs(const ObservationOptions& options);

/// E[v]: [N, outputs, *event] -> [N, *event].
Tensor observation_mean(const ObservationOptions& options, const Tensor& output);

/// The standard deviation of a Gaussian law, [N, *event], or [] where it is fixed.
Tensor observation_deviation(const ObservationOptions& options, const Tensor& output);

/// log p(v | output), normalised: v [B, *event], output [L B, outputs, *event] -> [L, B].
Tensor observation_log_prob(const ObservationOptions& options, const Tensor& v, const Tensor& output);

}  // namespace gibbsite
