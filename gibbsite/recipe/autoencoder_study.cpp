#include <fmt/format.h>
#include <gibbsite/recipe/autoencoder_study.h>
#include <gibbsite/recipe/sample.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {

MeasuredLikelihood measure_likelihood(const Parts& model, const std::string& method, const std::string& dataset,
                                      const LikelihoodOptions& options, const Ports& ports) {
  const Tensor test = model.data->prepared(model.data->splits.test, "test", model.dtype);
  const Tensor v = test.narrow(0, 0, std::min(options.images, test.size(0)));
  const std::unique_ptr<LatentEnergy> joint = make_decoder_energy(*model.decoder, *model.prior);
  ports.logger->info(fmt::format("{}: likelihood of {} images", method, v.size(0)));
  const LatentAisResult found = latent_annealed_importance(*joint, *model.prior, v, options, model.rng("ais"), ports);
  const auto row = [&](const char* metric, const Estimate& estimate, const char* unit) {
    Row made;
    made.method = method;
    made.dataset = dataset;
    made.metric = metric;
    made.value = estimate.value;
    made.standard_error = estimate.standard_error;
    made.unit = unit;
    made.settings["images"] = static_cast<double>(v.size(0));
    made.settings["chains"] = static_cast<double>(options.chains);
    made.settings["temperatures"] = static_cast<double>(options.temperatures);
    return made;
  };
  MeasuredLikelihood measured;
  measured.log_likelihood = found.log_likelihood;
  const Estimate nll = mean_estimate(-found.log_likelihood);
  measured.rows = {row("nll", nll, "nats"), row("ess", mean_estimate(found.effective), "chains")};
  measured.summary = fmt::format("{}: NLL {} nats on {} images, acceptance {:.2f}, {:.1f} of {} chains count", method,
                                 format_estimate(nll.value, nll.standard_error), v.size(0), found.acceptance,
                                 measured.rows[1].value, options.chains);
  ports.logger->info(measured.summary);
  return measured;
}

Picture decoded_picture(const Parts& model, const std::string& file, const std::string& method, const Ports& ports) {
  constexpr std::int64_t kSamples = 64;
  const Tensor x = model.transforms.pipeline.inverse(draw(model, kSamples, model.rng("samples"), {}).x);
  write_picture(file, x, model, *ports.logger);
  return read_picture(file, fmt::format("{}: means of v given codes of the prior", method));
}

}  // namespace gibbsite
