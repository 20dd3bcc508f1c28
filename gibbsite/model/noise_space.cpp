#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/noise_space.h>
#include <gibbsite/sampler/validated.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

Shape with_rows(std::int64_t rows, const Shape& event) {
  Shape sizes = event;
  sizes.insert(sizes.begin(), rows);
  return sizes;
}

Tensor half_square(const Tensor& state) { return 0.5 * state.square().sum(1); }

}  // namespace

NoiseSpace::NoiseSpace(const Generator& generator, const NoiseSpaceOptions& options)
    : generator_(generator),
      options_(validated(options, "noise_space")),
      groups_(generator.groups()),
      event_(generator.event()),
      event_size_(options.points == "mean" ? 0 : gibbsite::event_size(event_)) {
  for (const Shape& group : groups_) latent_size_ += gibbsite::event_size(group);
  const std::vector<double>& clamp = options_.clamp;
  if (!clamp.empty() && !(clamp.size() == 2 && clamp[0] < clamp[1]))
    throw RequestError("noise_space.clamp", "expected [low, high] with low < high");
  if (of_means() && options_.potential == "published")
    throw RequestError("noise_space.points", "the published potential is one of x, not of its mean");
}

Tensor NoiseSpace::pack(const Noise& noise) const {
  if (noise.z.size() != groups_.size())
    throw WorkError("noise space", fmt::format("{} groups of noise for {}", noise.z.size(), groups_.size()));
  std::vector<Tensor> flat;
  for (std::size_t l = 0; l < groups_.size(); ++l) {
    check_event("noise space", fmt::format("the noise of group {}", l + 1), noise.z[l], groups_[l]);
    flat.push_back(noise.z[l].flatten(1));
  }
  if (!of_means()) {
    check_event("noise space", "the noise of x", noise.x, event_);
    flat.push_back(noise.x.flatten(1));
  }
  return torch::cat(flat, 1);
}

Noise NoiseSpace::unpack(const Tensor& state) const {
  check_event("noise space", "a state", state, {size()});
  Noise noise;
  std::int64_t first = 0;
  for (const Shape& group : groups_) {
    const std::int64_t length = gibbsite::event_size(group);
    noise.z.push_back(state.narrow(1, first, length).view(with_rows(state.size(0), group)));
    first += length;
  }
  if (!of_means()) noise.x = state.narrow(1, first, event_size_).view(with_rows(state.size(0), event_));
  return noise;
}

Tensor NoiseSpace::clamped(const Tensor& x) const {
  return options_.clamp.empty() ? x : x.clamp(options_.clamp[0], options_.clamp[1]);
}

Tensor NoiseSpace::point(const Noise& noise, const Generated& made) const {
  return clamped(of_means() ? made.mean : made.mean + made.deviation * noise.x);
}

Tensor NoiseSpace::points(const Tensor& state) const {
  const Noise noise = unpack(state);
  return point(noise, generator_.generate(noise.z));
}

Tensor NoiseSpace::means(const Tensor& state) const { return generator_.generate(unpack(state).z).mean; }

Tensor NoiseSpace::encode(const Tensor& x, const std::vector<Tensor>& z) const {
  Noise noise;
  noise.z = generator_.noise_of(z);
  if (!of_means()) {
    const Generated made = generator_.generate(noise.z);
    noise.x = (x - made.mean) / made.deviation;
  }
  return pack(noise);
}

// What the energy of x is added to.
Tensor NoiseSpace::prior(const Tensor& state, const Generated& made, const Tensor& x) const {
  if (options_.potential == "exact") return half_square(state);
  const Tensor sigma = made.deviation.clamp_min(options_.deviation_floor).expand_as(made.mean);
  Tensor u =
      half_square(state.narrow(1, 0, latent_size_)) + sum_event(0.5 * ((x - made.mean) / sigma).square() + sigma.log());
  return made.log_deviation.defined() ? u + made.log_deviation : u;
}

Target NoiseSpace::target(EnergyFn energy) const {
  Target target;
  if (options_.potential == "exact") {
    target.reference = half_square;
    target.draw_reference = [](const Tensor& like, Rng& rng) { return rng.normal(like.sizes(), like); };
  } else {
    target.reference = [this](const Tensor& state) {
      const Noise noise = unpack(state);
      const Generated made = generator_.generate(noise.z);
      return prior(state, made, point(noise, made));
    };
  }
  if (!energy) {
    target.energy = target.reference;
    return target;
  }
  target.energy = [this, energy = std::move(energy)](const Tensor& state) {
    const Noise noise = unpack(state);
    const Generated made = generator_.generate(noise.z);
    const Tensor x = point(noise, made);
    return energy(x) + prior(state, made, x);
  };
  return target;
}

}  // namespace gibbsite
