#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/recipe/encode.h>
#include <gibbsite/recipe/score.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {
namespace {

constexpr std::int64_t kChunk = 512;

// What makes v: a state of the noise space of an auto-encoder whose density is corrected, or the latent maps of a hierarchy.
Tensor codes(const Parts& parts, const Tensor& v, const Rng& rng) {
  if (parts.vae.space) return parts.vae.encode(v, rng);
  Rng draws = rng.at_step(0);
  std::vector<Tensor> flat;
  for (const Tensor& group : parts.generator->evidence(v, draws).z) flat.push_back(group.flatten(1));
  return torch::cat(flat, 1);
}

PosteriorMoments moments_of_draws(const Parts& parts, const Tensor& v, std::int64_t draws, const Rng& rng) {
  const torch::NoGradGuard no_graph;
  Tensor mean, squares;
  for (std::int64_t draw = 0; draw < draws; ++draw) {
    const Tensor code = codes(parts, v, rng.stream(fmt::format("{}", draw))).to(torch::kDouble);
    if (draw == 0) {
      mean = torch::zeros_like(code);
      squares = torch::zeros_like(code);
    }
    // Welford's update.
    const Tensor before = code - mean;
    mean += before / static_cast<double>(draw + 1);
    squares += before * (code - mean);
  }
  return {mean, squares / static_cast<double>(std::max<std::int64_t>(draws - 1, 1))};
}

}  // namespace

Codes encode_points(const Parts& parts, const Tensor& x, std::int64_t draws, const Rng& rng, const Ports& ports) {
  if (!parts.encoder && !parts.generator && !parts.vae.space)
    throw RequestError("encode", fmt::format("'{}' has no encoder", parts.model_name));
  parts.freeze();
  std::vector<Tensor> means, variances;
  for (std::int64_t first = 0; first < x.size(0); first += kChunk) {
    if (ports.interrupt->requested()) throw Interrupted("encode", "stopped; nothing was written");
    const Tensor rows = x.narrow(0, first, std::min(kChunk, x.size(0) - first)).to(parts.dtype);
    const Tensor v = parts.transforms.pipeline.forward(rows).to(parts.like().options());
    Rng own = rng.at_step(0).at_row(first);
    const PosteriorMoments found =
        parts.encoder ? posterior_moments(*parts.encoder, v, draws, own) : moments_of_draws(parts, v, draws, own);
    means.push_back(found.mean.to(torch::kDouble).cpu());
    variances.push_back(found.variance.to(torch::kDouble).cpu());
    ports.logger->progress("encode", static_cast<double>(first) / static_cast<double>(x.size(0)));
  }
  Codes codes{torch::cat(means), torch::cat(variances)};
  check_finite("encode", "mean", codes.mean);
  return codes;
}

EncodeOutcome encode_run(const EncodeRequest& request, const Ports& ports) {
  const PointsRun points =
      open_points(request.run, request.data, request.out, request.device, "codes", request.path, *ports.logger);
  const Rng rng = Rng(static_cast<std::uint64_t>(request.seed.value_or(points.parts.general.seed)), "encode");
  EncodeOutcome outcome;
  static_cast<Codes&>(outcome) = encode_points(points.parts, points.rows.x, request.draws, rng, ports);
  outcome.file = points.file;
  write_arrays(outcome.file, {{"mean", outcome.mean}, {"variance", outcome.variance}}, {});
  return outcome;
}

}  // namespace gibbsite
