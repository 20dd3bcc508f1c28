// Laws of an observation given what a decoder network puts out:
//
//   bernoulli  independent bits with these logits
//   gaussian   N(mean, deviation² I), the mean being the output through `squash`
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/tensor.h>

namespace gibbsite {

struct ObservationOptions {
  std::string law = "bernoulli";
  double clamp = 0;
  double log_deviation = 0;
  std::string squash = "identity";
  void declare(OptionVisitor& o) {
    o.option("law", law, "law of v given the output of the network", {"bernoulli", "gaussian"});
    o.only_if(law == "bernoulli")
        .option("clamp", clamp, "probabilities are kept in [clamp, 1 - clamp] in log densities", between(0, 0.49));
    o.only_if(law == "gaussian").option("log_deviation", log_deviation, "log of the fixed standard deviation");
    o.only_if(law == "gaussian")
        .option("squash", squash, "what the mean is of the output", {"identity", "tanh", "sigmoid"});
  }
};

/// E[v] for an output of any shape.
Tensor observation_mean(const ObservationOptions& options, const Tensor& output);

/// log p(v | output), normalised: v [B, *event], output [L, B, *event] -> [L, B].
Tensor observation_log_prob(const ObservationOptions& options, const Tensor& v, const Tensor& output);

}  // namespace gibbsite
