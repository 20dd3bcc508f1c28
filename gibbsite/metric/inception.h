// Fréchet distance and inception score by a network given as a file, so that its numbers compare with published ones of the
// same network (Heusel et al. 2017; Salimans et al. 2016).
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/metric/estimate.h>

#include <memory>
#include <string>

namespace gibbsite {

struct InceptionOptions {
  std::string module;
  std::int64_t resize = 0;
  void declare(OptionVisitor& o) {
    o.option(
        "module", module,
        "TorchScript file of a network that maps [B, 3, H, W] in [0, 1] to (features [B, D], logits [B, C]); empty: "
        "none");
    o.option("resize", resize,
             "side in pixels that images are brought to first, bilinearly with aligned pixel centres; 0: as they are",
             at_least(0));
  }
};

struct InceptionOutput {
  Tensor features, logits;  ///< [N, D], [N, C] float64 on the CPU
};

class InceptionModule {
 public:
  /// Throws WorkError where the file is missing or no TorchScript module.
  explicit InceptionModule(const InceptionOptions& options);
  /// images: [N, 1 or 3, H, W] in [0, 1]; grey ones are repeated. Throws WorkError where the module answers anything else
  /// than the two tensors.
  InceptionOutput operator()(const Tensor& images) const;
  /// Of the file.
  const std::string& sha256() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

/// exp of the mean divergence of p(class | image) from p(class), averaged over `splits` consecutive parts of the rows; the
/// standard error is that of the mean over parts. logits: [N, C], N at least 2 splits.
Estimate inception_score(const Tensor& logits, std::int64_t splits = 10);

}  // namespace gibbsite
