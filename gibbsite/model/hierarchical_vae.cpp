#include <fmt/format.h>
#include <gibbsite/calculus/activation.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/hierarchical_vae.h>
#include <gibbsite/nn/nvae_cells.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

constexpr double kBound = 5, kLeastDeviation = 0.01;
constexpr std::int64_t kPostExpansion = 3;

Tensor activated(const Tensor& x) { return activate(Activation::kElu, x); }
Tensor bounded(const Tensor& x) { return (x / kBound).tanh() * kBound; }

struct Gaussian {
  Tensor mean, deviation;
};

// Means and logarithms of deviations lie side by side in the channels.
Gaussian gaussian(const Tensor& raw) {
  const std::vector<Tensor> halves = raw.chunk(2, 1);
  return {bounded(halves[0]), bounded(halves[1]).exp() + kLeastDeviation};
}

Tensor divergence(const Gaussian& q, const Gaussian& p) {
  const Tensor ratio = q.deviation / p.deviation;
  return sum_event(0.5 * (((q.mean - p.mean) / p.deviation).square() + ratio.square() - 1) - ratio.log());
}

using Cells = std::vector<std::unique_ptr<Cell>>;

Tensor through(const Cells& cells, Tensor x) {
  for (const auto& cell : cells) x = cell->forward(x);
  return x;
}

/// A group and what leads to it in the decoder.
struct Group {
  Shape shape;
  bool first = false, ends_scale = false;
  Cells encoder, decoder;                                                  // of the group, the way up and down
  std::vector<SpectralConv> posterior, prior, join_encoder, join_decoder;  // one each, or none
  Cells down, up;  // of the encoder before the group's cells, of the decoder after its latent maps
};

class Nvae : public HierarchicalVae {
 public:
  Nvae(const HierarchicalVaeOptions& options, const ModelContext& context)
      : event_(context.event), parameters_(context.init, context.dtype, context.device), init_(context.init) {
    const auto scales = static_cast<std::int64_t>(options.groups.size());
    const auto conv = [&](const std::string& name, std::int64_t in, std::int64_t out, std::int64_t side) {
      return SpectralConv(parameters_, init_, name, {in, out, side});
    };
    const auto encoder = [&](const std::string& name, std::int64_t channels, CellKind kind = CellKind::kNormal) {
      return make_encoder_cell(parameters_, init_, name, channels, kind);
    };
    const auto decoder = [&](const std::string& name, std::int64_t channels, CellKind kind = CellKind::kNormal,
                             std::int64_t expansion = 0) {
      return make_decoder_cell(parameters_, init_, name, channels, kind, expansion > 0 ? expansion : options.expansion);
    };
    const std::int64_t c = options.channels;
    ends_.push_back(conv("stem", event_[0], c, 3));
    before_.push_back(encoder("before1", c));
    before_.push_back(encoder("before2", c, CellKind::kDown));
    for (std::int64_t scale = 0; scale < scales; ++scale) {
      const std::int64_t halvings = scales - scale;  // from the data's resolution
      const std::int64_t channels = c << halvings;
      const std::int64_t count = options.groups[static_cast<std::size_t>(scale)];
      for (std::int64_t g = 0; g < count; ++g) {
        const std::string name = fmt::format("group{}", groups_.size() + 1);
        Group group;
        group.shape = {options.latent_channels, event_[1] >> halvings, event_[2] >> halvings};
        group.first = groups_.empty();
        group.ends_scale = g + 1 == count && scale + 1 < scales;
        for (std::int64_t i = 1; i <= options.cells; ++i) {
          group.encoder.push_back(encoder(fmt::format("{}.up{}", name, i), channels));
          if (!group.first) group.decoder.push_back(decoder(fmt::format("{}.down{}", name, i), channels));
        }
        group.posterior.push_back(conv(name + ".posterior", channels, 2 * options.latent_channels, 3));
        group.join_decoder.push_back(conv(name + ".join_decoder", channels + options.latent_channels, channels, 1));
        if (!group.first) {
          group.prior.push_back(conv(name + ".prior", channels, 2 * options.latent_channels, 1));
          group.join_encoder.push_back(conv(name + ".join_encoder", channels, channels, 1));
        }
        if (group.ends_scale) group.up.push_back(decoder(name + ".double", channels, CellKind::kUp));
        // The encoder passes from the scale below to this one before the cells of this scale's lowest group.
        if (g + 1 == count && scale + 1 < scales)
          group.down.push_back(encoder(name + ".halve", channels / 2, CellKind::kDown));
        groups_.push_back(std::move(group));
        alpha_.push_back(std::pow(4.0, static_cast<double>(scale)) / static_cast<double>(count));
      }
    }
    const double least = *std::min_element(alpha_.begin(), alpha_.end());
    for (double& alpha : alpha_) alpha /= least;
    const std::int64_t top = c << scales;
    ends_.push_back(conv("top", top, top, 1));
    Rng start = init_.stream("start");
    start_ = parameters_.given("start", start.uniform({top, event_[1] >> scales, event_[2] >> scales}, at::kDouble));
    after_.push_back(decoder("after1", 2 * c, CellKind::kUp, kPostExpansion));
    after_.push_back(decoder("after2", c, CellKind::kNormal, kPostExpansion));
    ends_.push_back(conv("output", c, 2 * event_[0], 3));
    list();
  }

  std::vector<Shape> groups() const override {
    std::vector<Shape> shapes;
    for (const Group& group : groups_) shapes.push_back(group.shape);
    return shapes;
  }
  Shape event() const override { return event_; }

  Generated generate(const std::vector<Tensor>& noise) const override {
    Generated made;
    const Gaussian x =
        descend(noise.at(0).size(0), [&](std::size_t l, const Tensor&, const Tensor&, const Gaussian& prior) {
          const Tensor log_sum = sum_event(prior.deviation.log().expand_as(noise[l]));
          made.log_deviation = l == 0 ? log_sum : made.log_deviation + log_sum;
          made.z.push_back(prior.mean + prior.deviation * noise[l]);
          return made.z.back();
        });
    made.mean = x.mean;
    made.deviation = x.deviation;
    return made;
  }

  std::vector<Tensor> noise_of(const std::vector<Tensor>& z) const override {
    std::vector<Tensor> noise;
    descend(z.at(0).size(0), [&](std::size_t l, const Tensor&, const Tensor&, const Gaussian& prior) {
      noise.push_back((z[l] - prior.mean) / prior.deviation);
      return z[l];
    });
    return noise;
  }

  Evidence evidence(const Tensor& x, Rng& rng) const override {
    const std::vector<Tensor> features = ascend(x);
    Evidence found;
    const Gaussian law =
        descend(x.size(0), [&](std::size_t l, const Tensor& state, const Tensor& raw, const Gaussian& prior) {
          const Group& group = groups_[l];
          Tensor feature = features[l];
          if (!group.first) feature = feature + group.join_encoder[0].forward(state);
          const Tensor moved = group.posterior[0].forward(feature);
          const Gaussian q = gaussian(group.first ? moved : raw + moved);
          found.divergence.push_back(divergence(q, prior));
          found.z.push_back(q.mean + q.deviation * rng.normal(q.mean.sizes(), q.mean));
          return found.z.back();
        });
    const Tensor standard = (x - law.mean) / law.deviation;
    found.log_prob = sum_event(-0.5 * standard.square() - law.deviation.log() - 0.5 * std::log(2 * M_PI));
    found.mean = law.mean;
    return found;
  }

  Tensor penalty() const override { return penalty_.sum(); }
  std::vector<double> balance() const override { return alpha_; }
  torch::nn::Module& module() override { return parameters_.module(); }

 private:
  Shape event_;
  Parameters parameters_;
  Rng init_;
  std::vector<SpectralConv> ends_;  // stem, top, output
  Cells before_, after_;
  std::vector<Group> groups_;
  std::vector<double> alpha_;
  Tensor start_;
  CellPenalty penalty_;

  void list() {
    for (const SpectralConv& conv : ends_) penalty_.convolutions.push_back(&conv);
    const auto add = [&](const Cells& cells) {
      for (const auto& cell : cells) cell->list(penalty_);
    };
    add(before_);
    add(after_);
    for (const Group& group : groups_) {
      for (const Cells* cells : {&group.encoder, &group.decoder, &group.down, &group.up}) add(*cells);
      for (const auto* convs : {&group.posterior, &group.prior, &group.join_encoder, &group.join_decoder})
        for (const SpectralConv& conv : *convs) penalty_.convolutions.push_back(&conv);
    }
  }

  // What the posterior of every group sees of x.
  std::vector<Tensor> ascend(const Tensor& x) const {
    std::vector<Tensor> features(groups_.size());
    Tensor h = through(before_, ends_[0].forward(x.contiguous(at::MemoryFormat::ChannelsLast)));
    for (std::size_t l = groups_.size(); l-- > 0;) {
      h = through(groups_[l].encoder, through(groups_[l].down, h));
      features[l] = h;
    }
    features[0] = activated(ends_[1].forward(activated(h)));
    return features;
  }

  // The way down: `choose` gives the latent maps of group l from the state of the decoder, the raw output of the prior's head
  // (undefined for the first group) and the prior.
  template <class Choose>
  Gaussian descend(std::int64_t rows, const Choose& choose) const {
    Shape sizes = start_.sizes().vec();
    sizes.insert(sizes.begin(), rows);
    Tensor state = start_.unsqueeze(0).expand(sizes).contiguous(at::MemoryFormat::ChannelsLast);
    for (std::size_t l = 0; l < groups_.size(); ++l) {
      const Group& group = groups_[l];
      state = through(group.decoder, state);
      Tensor raw;
      Gaussian prior;
      if (group.first) {
        prior = {torch::zeros({}, state.options()), torch::full({}, 1 + kLeastDeviation, state.options())};
      } else {
        raw = group.prior[0].forward(activated(state));
        prior = gaussian(raw);
      }
      const Tensor z = choose(l, state, raw, prior);
      state = group.join_decoder[0].forward(torch::cat({state, z}, 1));
      state = through(group.up, state);
    }
    return gaussian(ends_[2].forward(activated(through(after_, state))));
  }
};

}  // namespace

void readjust_batch_norms(HierarchicalVae& vae, double temperature, std::int64_t passes, const Rng& rng) {
  constexpr std::int64_t kRows = 16;
  const torch::NoGradGuard no_graph;
  const bool training = vae.module().is_training();
  vae.module().train();
  const Tensor like = vae.module().parameters().at(0);
  for (std::int64_t pass = 0; pass < passes; ++pass) {
    Rng draws = rng.at_step(static_cast<std::uint64_t>(pass));
    vae.generate(prior_noise(vae, kRows, temperature, like, draws));
  }
  vae.module().train(training);
}

std::unique_ptr<HierarchicalVae> make_hierarchical_vae(const HierarchicalVaeOptions& options,
                                                       const ModelContext& context) {
  const auto factor = std::int64_t{1} << options.groups.size();
  if (options.groups.empty()) throw RequestError("generator.groups", "there is no group");
  if (context.event.size() != 3 || context.event[1] % factor != 0 || context.event[2] % factor != 0)
    throw RequestError("generator", fmt::format("needs images [C, H, W] with sides that divide by {}, not {}", factor,
                                                format_shape(context.event)));
  return std::make_unique<Nvae>(options, context);
}

}  // namespace gibbsite
