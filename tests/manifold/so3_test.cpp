#include <gibbsite/manifold/so3.h>
#include <gtest/gtest.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

// The matrix of a rotation from its quaternion (w, x, y, z): [B, 3, 3].
Tensor matrix(const Tensor& q) {
  const Tensor w = q.select(1, 0), x = q.select(1, 1), y = q.select(1, 2), z = q.select(1, 3);
  const auto row = [](const Tensor& a, const Tensor& b, const Tensor& c) { return torch::stack({a, b, c}, 1); };
  return torch::stack({row(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
                       row(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
                       row(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y))},
                      1);
}

// Rotations do not know the sign of a quaternion, and the angle between two of them is twice their distance.
TEST(So3, KnowsRotationsNotQuaternions) {
  const auto m = make_so3({});
  Rng rng(1, "so3");
  const Tensor like = torch::empty({0}, torch::kDouble);
  const Tensor p = m->sample(300, rng, like), q = m->sample(300, rng, like);
  EXPECT_TRUE(torch::allclose(m->distance(p, q), m->distance(p, -q), 0, 1e-13));
  EXPECT_TRUE(torch::allclose(m->log(p, q), m->log(p, -q), 0, 1e-13));
  EXPECT_LE(m->distance(p, q).max().item<double>(), M_PI / 2 + 1e-12);
  EXPECT_TRUE(torch::allclose(matrix(m->exp(p, m->log(p, q))), matrix(q), 0, 1e-12));
  const Tensor between = torch::matmul(matrix(p).transpose(1, 2), matrix(q));
  const Tensor trace = between.diagonal(0, 1, 2).sum(1);
  EXPECT_TRUE(torch::allclose((2 * m->distance(p, q)).cos(), (trace - 1) / 2, 0, 1e-12));
  EXPECT_TRUE(torch::allclose(m->log_wrapped_normal(p, q, 0.6), m->log_wrapped_normal(p, -q, 0.6), 0, 1e-12));
}

// Uniform rotations take a fixed vector anywhere on the sphere: its height is uniform on [-1, 1].
TEST(So3, UniformRotationsTakeAVectorAnywhere) {
  Rng rng(2, "so3");
  const Tensor height =
      matrix(make_so3({})->sample(20000, rng, torch::empty({0}, torch::kDouble))).select(1, 2).select(1, 0);
  const Tensor sorted = std::get<0>(height.sort());
  const Tensor expected = (torch::arange(20000, torch::kDouble) + 0.5) / 20000;
  EXPECT_LT(((sorted + 1) / 2 - expected).abs().max().item<double>() * std::sqrt(20000.0), 1.95);
}

}  // namespace
}  // namespace gibbsite
