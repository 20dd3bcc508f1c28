// Recipes on manifolds.
#include <gibbsite/core/error.h>
#include <gibbsite/recipe/build.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/score.h>
#include <gibbsite/recipe/train.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

Parts build(const std::string& name, std::vector<std::string> more = {}) {
  TrainRequest request;
  request.recipe = std::string(GIBBSITE_SOURCE_DIR) + "/recipes/mvl/" + name + ".toml";
  request.set = {"data.train=64", "data.validation=8", "data.test=8", "train.batch_size=16"};
  request.set.insert(request.set.end(), more.begin(), more.end());
  return build_parts(requested_recipe(request), {});
}

// How far rows are from the manifold, relative to their coordinates, which on the hyperbolic sheet may be large.
double distance(const Manifold& manifold, const Tensor& x) {
  return ((manifold.project(x) - x).abs() / x.abs().clamp_min(1)).max().item<double>();
}

// The space comes with the data, so that one line changes it; every part then lives there.
TEST(ManifoldRecipes, TheDataBringTheirSpace) {
  for (const char* name : {"circle", "sphere", "torus", "hyperbolic", "rotations"}) {
    SCOPED_TRACE(name);
    const Parts parts = build(name);
    ASSERT_TRUE(parts.manifold);
    EXPECT_TRUE(parts.resolved.contains("manifold"));
    const Tensor x = parts.data->loader(parts.dtype).batch(0, 16).x;
    EXPECT_LT(distance(*parts.manifold, x), 1e-6);
    Batch batch;
    batch.x = x;
    Rng rng(1, "loss");
    EXPECT_TRUE((*parts.phases[0].objective)(batch, rng).backward.isfinite().item<bool>());
    const Tensor drawn = draw(parts, 5, Rng(2, "sample"), {}).x;
    EXPECT_LT(distance(*parts.manifold, drawn), 1e-6);
    if (parts.manifold->antipodal()) {
      EXPECT_TRUE(torch::equal(parts.energy->energy(x), parts.energy->energy(-x)));
    }
  }
  // What is written out builds the same parts.
  const Parts circle = build("circle");
  EXPECT_EQ(build_parts(circle.resolved, {}).manifold->ambient(), 2);
}

TEST(ManifoldRecipes, RefuseWhatDoesNotFit) {
  EXPECT_THROW(build("circle", {"manifold.name=sphere", "manifold.dimension=2"}), RequestError);
  EXPECT_THROW(build("circle", {"data.scale=standardise"}), RequestError);
  EXPECT_THROW(build("rotations", {"model.name=mlp"}), RequestError);
  EXPECT_THROW(build("circle", {"evaluate.metrics=[\"auroc\"]"}), RequestError);
  EXPECT_NO_THROW(build("bias-variance", {"manifold.name=euclidean"}));
  // Points of the plane are not on a circle.
  EXPECT_THROW(build("bias-variance", {"manifold.name=sphere", "manifold.dimension=1"}), WorkError);
}

// Against a trapezoidal rule in the angle.
TEST(ManifoldRecipes, DensitiesAreNormalisedOverTheManifold) {
  const Parts parts = build("circle", {"dtype=float64"});
  constexpr std::int64_t kPoints = 3000;
  const Tensor angle = torch::arange(kPoints, torch::kDouble) * (2 * M_PI / kPoints);
  const Scores scores = score_points(parts, torch::stack({angle.cos(), angle.sin()}, 1), {});
  ASSERT_TRUE(scores.log_density.defined());
  EXPECT_NEAR(scores.log_density.exp().mean().item<double>() * 2 * M_PI, 1, 1e-9);
}

}  // namespace
}  // namespace gibbsite
