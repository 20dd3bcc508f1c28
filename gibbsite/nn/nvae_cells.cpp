#include <gibbsite/calculus/activation.h>
#include <gibbsite/nn/nvae_cells.h>
#include <gibbsite/nn/operations.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {
namespace {

constexpr double kMomentum = 0.05, kVarianceFloor = 1e-5, kBranchWeight = 0.1;
constexpr std::int64_t kSqueeze = 16, kNarrowest = 4, kDepthwiseSide = 5;

Tensor swish(const Tensor& x) { return activate(Activation::kSilu, x); }

class SqueezeExcite {
 public:
  SqueezeExcite(Parameters& parameters, const std::string& name, std::int64_t channels) {
    const std::int64_t hidden = std::max(channels / kSqueeze, kNarrowest);
    weights_[0] = parameters.weight(name + ".squeeze.weight", {hidden, channels});
    biases_[0] = parameters.bias(name + ".squeeze.bias", hidden, channels);
    weights_[1] = parameters.weight(name + ".excite.weight", {channels, hidden});
    biases_[1] = parameters.bias(name + ".excite.bias", channels, hidden);
  }
  Tensor forward(const Tensor& x) const {
    const Tensor hidden = at::linear(x.mean({2, 3}), weights_[0], biases_[0]).relu();
    return x * at::linear(hidden, weights_[1], biases_[1]).sigmoid().unsqueeze(2).unsqueeze(3);
  }

 private:
  Tensor weights_[2], biases_[2];
};

/// The skip of a cell.
class Skip {
 public:
  Skip(Parameters& parameters, const Rng& init, const std::string& name, std::int64_t in, std::int64_t out,
       CellKind kind)
      : kind_(kind) {
    if (kind == CellKind::kUp) convolutions_.emplace_back(parameters, init, name, ConvShape{in, out, 1});
    if (kind != CellKind::kDown) return;
    for (int phase = 0; phase < 4; ++phase)
      convolutions_.emplace_back(parameters, init, name + std::to_string(phase + 1),
                                 ConvShape{in, phase < 3 ? out / 4 : out - 3 * (out / 4), 1});
  }
  Tensor forward(const Tensor& x) const {
    if (kind_ == CellKind::kNormal) return x;
    if (kind_ == CellKind::kUp) return convolutions_[0].forward(resize(x, 2 * x.size(2), 2 * x.size(3)));
    const Tensor h = swish(x);
    // The phases in the order (0, 0), (1, 1), (0, 1), (1, 0) of row and column.
    constexpr std::int64_t kRows[] = {0, 1, 0, 1}, kColumns[] = {0, 1, 1, 0};
    std::vector<Tensor> parts;
    for (std::size_t i = 0; i < 4; ++i)
      parts.push_back(convolutions_[i].forward(h.slice(2, kRows[i], h.size(2), 2)
                                                   .slice(3, kColumns[i], h.size(3), 2)
                                                   .contiguous(at::MemoryFormat::ChannelsLast)));
    return torch::cat(parts, 1);
  }
  void list(CellPenalty& penalty) const {
    for (const SpectralConv& convolution : convolutions_) penalty.convolutions.push_back(&convolution);
  }

 private:
  CellKind kind_;
  std::vector<SpectralConv> convolutions_;
};

std::int64_t output_channels(std::int64_t channels, CellKind kind) {
  return kind == CellKind::kDown ? 2 * channels : kind == CellKind::kUp ? channels / 2 : channels;
}

class EncoderCell : public Cell {
 public:
  EncoderCell(Parameters& parameters, const Rng& init, const std::string& name, std::int64_t in, std::int64_t out,
              CellKind kind)
      : norms_{{parameters, name + ".norm1", in}, {parameters, name + ".norm2", out}},
        convolutions_{{parameters, init, name + ".conv1", {in, out, 3, true, kind == CellKind::kDown ? 2 : 1}},
                      {parameters, init, name + ".conv2", {out, out, 3}}},
        attention_(parameters, name, out),
        skip_(parameters, init, name + ".skip", in, out, kind) {}
  Tensor forward(const Tensor& x) const override {
    Tensor h = x;
    for (int i = 0; i < 2; ++i) h = convolutions_[i].forward(swish(norms_[i].forward(h)));
    return skip_.forward(x) + kBranchWeight * attention_.forward(h);
  }
  void list(CellPenalty& penalty) const override {
    for (int i = 0; i < 2; ++i) {
      penalty.norms.push_back(&norms_[i]);
      penalty.convolutions.push_back(&convolutions_[i]);
    }
    skip_.list(penalty);
  }

 private:
  BatchNorm norms_[2];
  SpectralConv convolutions_[2];
  SqueezeExcite attention_;
  Skip skip_;
};

class DecoderCell : public Cell {
 public:
  DecoderCell(Parameters& parameters, const Rng& init, const std::string& name, std::int64_t in, std::int64_t out,
              CellKind kind, std::int64_t expansion)
      : kind_(kind),
        norms_{{parameters, name + ".norm1", in},
               {parameters, name + ".norm2", in * expansion},
               {parameters, name + ".norm3", in * expansion},
               {parameters, name + ".norm4", out}},
        convolutions_{{parameters, init, name + ".expand", {in, in * expansion, 1, false, 1, false, false}},
                      {parameters,
                       init,
                       name + ".depthwise",
                       {in * expansion, in * expansion, kDepthwiseSide, false, 1, true, false}},
                      {parameters, init, name + ".project", {in * expansion, out, 1, false, 1, false, false}}},
        attention_(parameters, name, out),
        skip_(parameters, init, name + ".skip", in, out, kind) {}
  Tensor forward(const Tensor& x) const override {
    Tensor h = kind_ == CellKind::kUp ? at::upsample_nearest2d(x, at::IntArrayRef{2 * x.size(2), 2 * x.size(3)},
                                                               c10::nullopt, c10::nullopt)
                                      : x;
    h = convolutions_[0].forward(norms_[0].forward(h));
    h = convolutions_[1].forward(swish(norms_[1].forward(h)));
    h = norms_[3].forward(convolutions_[2].forward(swish(norms_[2].forward(h))));
    return skip_.forward(x) + kBranchWeight * attention_.forward(h);
  }
  void list(CellPenalty& penalty) const override {
    for (const BatchNorm& norm : norms_) penalty.norms.push_back(&norm);
    for (const SpectralConv& convolution : convolutions_) penalty.convolutions.push_back(&convolution);
    skip_.list(penalty);
  }

 private:
  CellKind kind_;
  BatchNorm norms_[4];
  SpectralConv convolutions_[3];
  SqueezeExcite attention_;
  Skip skip_;
};

}  // namespace

BatchNorm::BatchNorm(Parameters& parameters, const std::string& name, std::int64_t channels)
    : module_(&parameters.module()) {
  weight_ = parameters.constant(name + ".weight", {channels}, 1);
  bias_ = parameters.constant(name + ".bias", {channels}, 0);
  std::string key = name;
  std::replace(key.begin(), key.end(), '.', '_');
  mean_ = module_->register_buffer(key + "_mean", torch::zeros_like(weight_.detach()));
  variance_ = module_->register_buffer(key + "_variance", torch::ones_like(weight_.detach()));
}

Tensor BatchNorm::forward(const Tensor& x) const {
  return at::batch_norm(x, weight_, bias_, mean_, variance_, module_->is_training(), kMomentum, kVarianceFloor,
                        /*cudnn_enabled=*/true);
}

Tensor BatchNorm::largest_scale() const { return weight_.abs().max(); }

Tensor CellPenalty::sum() const {
  Tensor total;
  const auto add = [&](const Tensor& term) { total = total.defined() ? total + term : term; };
  for (const SpectralConv* convolution : convolutions) add(convolution->spectral_norm());
  for (const BatchNorm* norm : norms) add(norm->largest_scale());
  return total;
}

std::unique_ptr<Cell> make_encoder_cell(Parameters& parameters, const Rng& init, const std::string& name,
                                        std::int64_t channels, CellKind kind) {
  return std::make_unique<EncoderCell>(parameters, init, name, channels, output_channels(channels, kind), kind);
}

std::unique_ptr<Cell> make_decoder_cell(Parameters& parameters, const Rng& init, const std::string& name,
                                        std::int64_t channels, CellKind kind, std::int64_t expansion) {
  return std::make_unique<DecoderCell>(parameters, init, name, channels, output_channels(channels, kind), kind,
                                       expansion);
}

}  // namespace gibbsite
