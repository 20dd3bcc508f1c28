// Deep kernel exponential family (Wenliang et al. 2019), as finite-difference score matching trains it:
//
//   E(x) = ‖x‖² / (2 s²) − Σ_m α_m k(x, z_m),   k = Σ_i w_i exp(−‖φ_i(x) − φ_i(z)‖² / (2·10^{ℓ_i})),   w = softmax(c)
//
// The networks φ_i, inducing points z, widths ℓ and mixture c are parameters, and so is the ridge of the problem that
// fixes α in closed form. Derivatives of k come from one jet of φ per data point; networks never see pairs (x, z).
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/model/closed_form_energy.h>

namespace gibbsite {

struct DkefOptions {
  std::vector<double> log_widths = {0, 0.5185, 1};
  std::int64_t inducing = 200;
  std::vector<std::int64_t> hidden = {30, 30};
  std::int64_t features = 30;
  double log_ridge = -2;
  double base_deviation = 2;
  std::string operations = "fast";
  void declare(OptionVisitor& o) {
    o.option("log_widths", log_widths, "initial ℓ_i of the kernels, one each: widths are 10^ℓ");
    o.option("inducing", inducing, "inducing points z, at first random training points", at_least(1));
    o.option("hidden", hidden, "widths of the hidden layers of every φ_i, softplus between", at_least(1));
    o.option("features", features, "outputs of every φ_i, a linear map of the input added", at_least(1));
    o.option("log_ridge", log_ridge, "initial ℓ of the ridge λ = 10^ℓ");
    o.option("base_deviation", base_deviation, "s of the Gaussian exponent ‖x‖²/(2 s²)", positive());
    o.option("operations", operations,
             "fast, or stock: networks on every pair (x, z) and nested reverse passes, the published code's way, as a "
             "baseline",
             {"fast", "stock"});
  }
};

/// Without training rows in the context the inducing points are standard normal. Weights are at first those that sliced
/// score matching gives on the inducing points. Best in float64.
std::unique_ptr<Energy> make_dkef(const DkefOptions& options, const ModelContext& context);

}  // namespace gibbsite
