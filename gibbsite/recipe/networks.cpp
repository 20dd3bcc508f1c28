#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/manifold/sphere.h>
#include <gibbsite/posterior/conjugate.h>
#include <gibbsite/posterior/corrected.h>
#include <gibbsite/posterior/variational_score.h>
#include <gibbsite/recipe/named_table.h>
#include <gibbsite/recipe/networks.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

const char* const kTables[] = {"model",  "score",     "encoder",   "decoder",          "generator",
                               "latent", "estimator", "corrector", "variational_score"};

/// A part from the entry its table names.
template <class Factory, class Context>
auto make_part(const Table<Factory>& entries, const Config& recipe, const std::string& key, const Context& context,
               Config& resolved) {
  const Config& table = recipe.at_table(key);
  const Entry<Factory>& entry = find_part(entries, key.c_str(), table, key);
  auto made = entry.make(table, context);
  resolved.set(key, resolved_part(entry, table));
  return made;
}

LatentContext latent_context(const ModelContext& context, std::int64_t latent_size) {
  LatentContext latent;
  static_cast<ModelContext&>(latent) = context;
  latent.latent_size = latent_size;
  return latent;
}

/// Refuses `table` where the recipe has none of the tables it belongs to.
void refuse_alone(const Config& recipe, const char* table, const char* needed) {
  if (recipe.contains(table) && !recipe.contains(needed))
    throw RequestError(recipe.find(table)->origin(),
                       fmt::format("[{}] goes with [{}], which is missing", table, needed));
}

void make_latent_energy(const Config& recipe, const MakeContext& context, Networks& made, Config& resolved) {
  made.latent_model = make_part(latent_model_table(), recipe, "model", context("init"), resolved);
  made.energy = std::dynamic_pointer_cast<Energy>(made.latent_model);
  const LatentModel& joint = *made.latent_model;
  made.encoder = make_part(posterior_table(), recipe, "encoder",
                           latent_context(context("init/encoder"), joint.latent_size()), resolved);
  if (joint.discrete() != made.encoder->discrete())
    throw RequestError(
        recipe.at_table("encoder").find("name")->origin(),
        fmt::format("the latent variables of model '{}' are {}, those of the encoder are not",
                    recipe.at_table("model").find("name")->string(), joint.discrete() ? "binary" : "real"),
        joint.discrete() ? "encoder.name = \"bernoulli\"" : "encoder.name = \"gaussian\"");
  if (recipe.contains("corrector")) {
    const auto options = read_options<CorrectorOptions>(recipe.at_table("corrector"), "corrector");
    made.corrected = make_corrected_posterior(options, joint, *made.encoder);
    resolved.set("corrector", echoed(options));
  }
  if (recipe.contains("variational_score")) {
    const auto options =
        read_options<VariationalScoreOptions>(recipe.at_table("variational_score"), "variational_score");
    made.variational_score = make_variational_score(options, joint, made.corrected ? *made.corrected : *made.encoder);
    resolved.set("variational_score", echoed(options));
  }
}

void make_energy(const Config& recipe, const MakeContext& context, Networks& made, Config& resolved) {
  made.energy = make_part(energy_table(), recipe, "model", context("init"), resolved);
  // A conjugate energy brings its encoder along.
  if (const auto conjugate = std::dynamic_pointer_cast<ConjugateEnergy>(made.energy)) {
    made.latent_model = conjugate;
    made.encoder = make_exact_posterior(*conjugate);
  }
}

void make_autoencoder(const Config& recipe, const MakeContext& context, Networks& made, Config& resolved) {
  struct Latent : MixturePriorOptions {
    std::int64_t size = 32;
    std::string space = "euclidean";
    bool rescale = true;
    void declare(OptionVisitor& o) {
      o.option("size", size, "dimension of a code", at_least(1));
      o.option("space", space,
               "where codes live: N(0, I) in Euclidean space, or uniform on a sphere, with one coordinate more",
               {"euclidean", "sphere"});
      o.only_if(space == "sphere")
          .option("rescale", rescale, "decoders and energies take codes times the root of their width");
      if (space == "euclidean") MixturePriorOptions::declare(o);
    }
  };
  const auto latent = read_options<Latent>(recipe.at_table("latent"), "latent");
  resolved.set("latent", echoed(latent));
  if (latent.space == "sphere")
    made.prior = make_uniform_prior(make_sphere({latent.size}));
  else if (latent.components > 1)
    made.prior = make_mixture_prior(latent, latent.size, context("init/prior"));
  else
    made.prior = make_normal_prior(latent.size);
  const auto own = [&](const char* part) {
    LatentContext of_codes = latent_context(context(fmt::format("init/{}", part)), made.prior->size());
    of_codes.manifold = made.prior->manifold();
    if (of_codes.manifold && latent.rescale) of_codes.code_scale = std::sqrt(static_cast<double>(of_codes.latent_size));
    return of_codes;
  };
  made.encoder = make_part(posterior_table(), recipe, "encoder", own("encoder"), resolved);
  made.decoder = make_part(decoder_table(), recipe, "decoder", own("decoder"), resolved);
  if (recipe.contains("score"))
    made.code_score = make_part(latent_score_table(), recipe, "score", own("score"), resolved);
  if (recipe.contains("estimator")) {
    const Config& table = recipe.at_table("estimator");
    const auto& entry = find_part(score_estimator_table(), "estimator", table, "estimator");
    made.estimator = entry.make(table);
    resolved.set("estimator", resolved_part(entry, table));
  }
}

}  // namespace

std::vector<Part> Networks::named_parts() const {
  std::vector<Part> parts;
  const auto add = [&](const char* name, const auto& network) {
    if (network && !network->module().parameters().empty()) parts.push_back({name, &network->module()});
  };
  if (latent_model)
    add("model", latent_model);
  else
    add("model", energy);
  add("encoder", encoder);
  add("decoder", decoder);
  add("vae", vae_decoder);
  add("score", score);
  add("score", code_score);
  add("generator", generator);
  if (prior && prior->module()) parts.push_back({"prior", prior->module()});
  return parts;
}

void Networks::freeze() const {
  for (const Part& part : named_parts())
    for (Tensor& parameter : part.module->parameters()) parameter.requires_grad_(false);
}

ObjectiveParts Networks::objective_parts() const {
  ObjectiveParts parts;
  parts.energy = energy.get();
  parts.score = score.get();
  parts.variational_score = variational_score.get();
  parts.latent = {encoder.get(), decoder.get(), prior.get(), code_score.get(), estimator.get(), latent_model.get()};
  parts.generator = generator.get();
  return parts;
}

void Networks::require_energy(const std::string& who) const {
  if (!energy) throw RequestError(who, fmt::format("needs an energy, and '{}' has none", model_name));
}

Config network_tables(const Config& recipe) {
  Config tables = Config::table();
  for (const char* key : kTables)
    if (recipe.contains(key)) tables.set(key, recipe.at_table(key));
  return tables;
}

Networks make_networks(const Config& recipe, const MakeContext& context, Config& resolved) {
  for (const char* key : kTables) recipe.declare_key(key);
  for (const char* table : {"latent", "estimator"}) refuse_alone(recipe, table, "decoder");
  for (const char* table : {"corrector", "variational_score"}) refuse_alone(recipe, table, "model");
  for (const char* table : {"decoder", "corrector", "variational_score"}) refuse_alone(recipe, table, "encoder");

  Networks made;
  if (recipe.contains("generator")) {
    for (const char* other : {"model", "score", "encoder"})
      if (recipe.contains(other))
        throw RequestError(recipe.at_table(other).origin(),
                           fmt::format("the recipe has both [generator] and [{}]", other));
    made.model_name = part_name(recipe.at_table("generator"), "generator");
    made.generator = make_part(hierarchical_vae_table(), recipe, "generator", context("init"), resolved);
    return made;
  }
  if (recipe.contains("model")) {
    for (const char* other : {"score", "decoder"})
      if (recipe.contains(other))
        throw RequestError(recipe.at_table(other).origin(), fmt::format("the recipe has both [model] and [{}]", other),
                           "an energy, a score or an auto-encoder");
    made.model_name = part_name(recipe.at_table("model"), "model");
    if (recipe.contains("encoder"))
      make_latent_energy(recipe, context, made, resolved);
    else
      make_energy(recipe, context, made, resolved);
    return made;
  }
  if (recipe.contains("encoder")) {
    if (!recipe.contains("decoder"))
      throw RequestError(recipe.at_table("encoder").origin(), "[encoder] goes with [model] or [decoder]");
    made.model_name = part_name(recipe.at_table("decoder"), "decoder");
    make_autoencoder(recipe, context, made, resolved);
    return made;
  }
  if (!recipe.contains("score"))
    throw RequestError(recipe.origin(), "the recipe has none of [model], [score], [decoder] and [generator]");
  made.model_name = part_name(recipe.at_table("score"), "score");
  made.score = make_part(score_table(), recipe, "score", context("init"), resolved);
  return made;
}

}  // namespace gibbsite
