#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/recipe/build.h>
#include <gibbsite/recipe/frozen_vae.h>
#include <gibbsite/recipe/named_table.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <utility>
#include <vector>

namespace gibbsite {
namespace {

/// Whether both take points of original units to the same numbers, noise apart.
bool same_scale(const StoredTransforms& one, const StoredTransforms& other) {
  if (one.event != other.event) return false;
  Shape sizes = one.event;
  sizes.insert(sizes.begin(), 4);
  const bool known = one.value_high > one.value_low;
  const double low = known ? one.value_low : -1, width = known ? one.value_high - one.value_low : 2;
  const Tensor probe = Rng(0, "probe").uniform(sizes, torch::kDouble) * width + low;
  return torch::allclose(one.pipeline.forward(probe), other.pipeline.forward(probe), 1e-6, 1e-9, /*equal_nan=*/true);
}

/// Keeps the buffers of a network, which it has again afterwards.
class BatchNormStatistics {
 public:
  explicit BatchNormStatistics(HierarchicalVae* vae) {
    if (!vae) return;
    for (const Tensor& buffer : vae->module().buffers()) kept_.emplace_back(buffer, buffer.clone());
  }
  ~BatchNormStatistics() {
    const torch::NoGradGuard no_graph;
    for (auto& [buffer, value] : kept_) buffer.copy_(value);
  }
  BatchNormStatistics(const BatchNormStatistics&) = delete;
  BatchNormStatistics& operator=(const BatchNormStatistics&) = delete;

 private:
  std::vector<std::pair<Tensor, Tensor>> kept_;
};

}  // namespace

Tensor FrozenVae::encode(const Tensor& x, const Rng& rng) const { return state_of(x, rng.at_step(0)); }

Tensor FrozenVae::reconstruct(const Tensor& x, const Rng& rng) const {
  const torch::NoGradGuard no_graph;
  return space->points(state_of(x, rng));
}

Tensor FrozenVae::state_of(const Tensor& x, Rng draws) const {
  const torch::NoGradGuard no_graph;
  if (hierarchy) return space->encode(x, hierarchy->evidence(x, draws).z);
  return space->encode(x, {parts->encoder->sample(x, 1, draws).select(0, 0)});
}

Tensor FrozenVae::start(std::int64_t n, const Rng& rng) const {
  const Tensor like = parts->like();
  Rng draws = rng.stream("start").at_step(0);
  if (options.start == "prior") {
    Tensor state = draws.normal({n, space->size()}, like);
    state.narrow(1, 0, space->latent_size()).mul_(options.temperature);
    return state;
  }
  Tensor images;
  {
    const BatchNormStatistics kept(hierarchy.get());
    if (hierarchy && options.readjust > 0)
      readjust_batch_norms(*hierarchy, options.temperature, options.readjust, rng.stream("readjust"));
    images = generated_means(*generator, n, options.temperature, like, draws);
  }
  return encode(images, rng.stream("encode").at_row(rng.first_row()));
}

Tensor FrozenVae::point(const Tensor& state) const {
  const torch::NoGradGuard no_graph;
  const NoiseSpace& noise = space ? *space : *starts;
  return options.samples == "mean" ? noise.means(state) : noise.points(state);
}

Tensor FrozenVae::draws(std::int64_t n, Rng& rng, const Tensor& like) const {
  return point(rng.normal({n, (space ? *space : *starts).size()}, like));
}

FrozenVae load_frozen_vae(const Config& recipe, Parts& parts) {
  FrozenVae vae;
  recipe.declare_key("vae");
  if (!recipe.contains("vae")) return vae;
  const Config& table = recipe.at_table("vae");
  vae.options = read_options<VaeOptions>(table, "vae");
  parts.resolved.set("vae", echoed(vae.options));
  const std::string origin = table.contains("run") ? table.find("run")->origin() : table.origin();
  if (vae.options.run.empty()) throw RequestError(origin, "vae.run names no run");
  if (!parts.energy || parts.encoder)
    throw RequestError(origin, "[vae] goes with [model] alone: an energy that corrects the auto-encoder");
  Logger quiet;
  const auto loaded = std::make_shared<Parts>(
      load_run(RunDirectory::open(vae.options.run), {"device=" + parts.device.str()}, false, DataPath{}, quiet));
  const auto refuse = [&](const std::string& what, const std::string& hint) {
    throw RequestError(origin, fmt::format("the run '{}' {}", vae.options.run, what), hint);
  };
  if (!loaded->decoder && !loaded->generator)
    refuse("has no decoder", "train one with [encoder], [decoder] and [latent], or a [generator]");
  if (loaded->decoder && (loaded->prior->manifold() || !loaded->prior->standard()))
    refuse("has codes on a manifold, and noise space knows N(0, I)", "latent.space = \"euclidean\"");
  if (loaded->transforms.model_event != parts.transforms.model_event)
    refuse(fmt::format("has points of shape {}, these are {}", format_shape(loaded->transforms.model_event),
                       format_shape(parts.transforms.model_event)),
           "the energy and the auto-encoder see the same data");
  if (!same_scale(parts.transforms, loaded->transforms))
    refuse("scales its data otherwise", "give both recipes the same [data]");
  if (loaded->dtype != parts.dtype) refuse(fmt::format("is of {}", loaded->general.dtype), "give both the same dtype");
  loaded->freeze();
  vae.hierarchy = loaded->generator;
  if (vae.hierarchy)
    vae.generator = vae.hierarchy;
  else
    vae.generator = make_decoder_generator(*loaded->decoder);
  if (!vae.hierarchy && vae.options.readjust > 0)
    throw RequestError(origin, "vae.readjust belongs to a [generator], whose batch norms it moves");
  (vae.options.role == "product" ? vae.space : vae.starts) = std::make_shared<NoiseSpace>(*vae.generator, vae.options);
  if (vae.options.trainable) {
    if (vae.hierarchy) throw RequestError(origin, "vae.trainable moves a decoder, and this is a [generator]");
    parts.vae_decoder = loaded->decoder;
    for (Tensor& parameter : loaded->decoder->module().parameters()) parameter.requires_grad_(true);
  }
  vae.parts = loaded;
  return vae;
}

}  // namespace gibbsite
