// Cells of the hierarchical auto-encoder of VAEBM (NVAE: Vahdat and Kautz 2020; protocol sheet 6.2). Every cell is
//
//   skip(x) + 0.1 · squeeze-excite(branch(x))
//
//   encoder   [batch norm, silu, 3x3] twice, the stride on the first
//   decoder   batch norm, 1x1 to e times the channels, batch norm, silu, 5x5 depthwise, batch norm, silu, 1x1, batch norm; after
//             nearest-neighbour doubling where it goes up; these convolutions have neither bias nor weight normalisation
//
// with the identity as skip, four 1x1 convolutions of the pixels' phases where it goes down, or bilinear doubling and a 1x1
// where it goes up.
#pragma once

#include <gibbsite/nn/spectral_conv.h>

#include <memory>
#include <string>
#include <vector>

namespace gibbsite {

/// γ (x - mean)/√(variance + 1e-5) + β per channel; of the batch while the module trains, which moves the running statistics by
/// 0.05, else with those.
class BatchNorm {
 public:
  BatchNorm(Parameters& parameters, const std::string& name, std::int64_t channels);
  Tensor forward(const Tensor& x) const;
  /// max |γ|, 0-dim.
  Tensor largest_scale() const;

 private:
  Tensor weight_, bias_, mean_, variance_;
  torch::nn::Module* module_;
};

/// What a network of such cells is regularised by.
struct CellPenalty {
  std::vector<const SpectralConv*> convolutions;
  std::vector<const BatchNorm*> norms;
  /// Σ σ_max + Σ max |γ|.
  Tensor sum() const;
};

enum class CellKind { kNormal, kDown, kUp };

class Cell {
 public:
  virtual ~Cell() = default;
  /// [B, in, H, W] -> [B, out, H, W], H and W halved by a cell that goes down and doubled by one that goes up.
  virtual Tensor forward(const Tensor& x) const = 0;
  virtual void list(CellPenalty& penalty) const = 0;
};

/// A cell keeps the channels, doubles them going down and halves them going up.
std::unique_ptr<Cell> make_encoder_cell(Parameters& parameters, const Rng& init, const std::string& name,
                                        std::int64_t channels, CellKind kind);
std::unique_ptr<Cell> make_decoder_cell(Parameters& parameters, const Rng& init, const std::string& name,
                                        std::int64_t channels, CellKind kind, std::int64_t expansion);

}  // namespace gibbsite
