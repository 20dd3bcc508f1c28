// Noise laws with a known density: what denoising score matching adds to data, and what noise-contrastive estimation
// compares them with. With σ the scale,
//
//   gaussian  N(0, σ² I)
//   laplace   independent coordinates, Laplace of scale σ plus N(0, (smoothing σ)²), which rounds its kink
//   student   multivariate Student t of `degrees` degrees of freedom and scale σ, heavy-tailed in ‖n‖
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>

#include <memory>
#include <string>

namespace gibbsite {

struct NoiseLawOptions {
  std::string law = "gaussian";
  std::int64_t degrees = 5;
  double smoothing = 0.2;
  /// `counts`: whether the objective draws from a law at all.
  void declare(OptionVisitor& o, bool counts = true) {
    o.only_if(counts).option("law", law, "law of the noise", {"gaussian", "laplace", "student"});
    o.only_if(counts && law == "student").option("degrees", degrees, "degrees of freedom", at_least(1));
    o.only_if(counts && law == "laplace")
        .option("smoothing", smoothing, "standard deviation of the Gaussian that rounds the kink, in units of sigma",
                positive());
  }
};

class NoiseLaw {
 public:
  virtual ~NoiseLaw() = default;
  /// [B, *event], dtype and device of `like`.
  virtual Tensor sample(at::IntArrayRef sizes, const Tensor& like, Rng& rng) const = 0;
  /// grad log q(n), like n; detached.
  virtual Tensor score(const Tensor& n) const = 0;
  /// log q(n), normalised: [B]; detached.
  virtual Tensor log_density(const Tensor& n) const = 0;
};

std::unique_ptr<const NoiseLaw> make_noise_law(const NoiseLawOptions& options, double sigma);

}  // namespace gibbsite
