#include <gibbsite/core/error.h>
#include <gibbsite/manifold/manifold.h>
#include <gibbsite/manifold/sphere.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>

namespace gibbsite {
namespace {

struct Case {
  std::string name, text;
  std::shared_ptr<const Manifold> manifold;
};

// Every entry of the table in several dimensions.
const std::vector<Case>& cases() {
  static const std::vector<Case> list = [] {
    std::vector<Case> all;
    for (const Entry<MakeManifold>& entry : manifold_table()) {
      bool sized = false;
      for (const OptionDescription& option : entry.options()) sized = sized || option.name == "dimension";
      if (!sized) {
        all.push_back({entry.name, entry.name, entry.make(Config::table())});
        continue;
      }
      for (const std::int64_t d : {1, 2, 3, 7})
        all.push_back(
            {entry.name, entry.name + " " + std::to_string(d), entry.make(Config::table({{"dimension", Config(d)}}))});
    }
    const auto product = find_entry(manifold_table(), "manifold", "product", "");
    for (const char* factors : {"hyperbolic 2, sphere 1, euclidean 2", "torus 2, sphere 3"})
      all.push_back({"product", factors, product.make(Config::table({{"factors", Config(factors)}}))});
    return all;
  }();
  return list;
}

const torch::TensorOptions kFloat64 = torch::dtype(torch::kDouble);

bool compact(const Manifold& m) { return std::isfinite(m.volume()); }

Tensor points(const Manifold& m, std::int64_t n, const char* stream, const Tensor& like = torch::empty({0}, kFloat64)) {
  Rng rng(5, stream);
  return m.sample(n, rng, like);
}

Tensor tangents(const Manifold& m, const Tensor& x, const char* stream) {
  Rng rng(6, stream);
  return m.tangent_noise(x, rng);
}

// A point at a uniform distance below `radius` from every row of x.
Tensor within(const Manifold& m, const Tensor& x, double radius, const char* stream) {
  Rng rng(8, stream);
  const Tensor w = m.tangent_noise(x, rng);
  return m.exp(x, w / m.inner(x, w, w).sqrt().unsqueeze(1) * (radius * rng.uniform({x.size(0), 1}, w)));
}

double largest(const Tensor& t) { return t.numel() == 0 ? 0 : t.abs().max().item<double>(); }

// The difference relative to the largest coordinate, which for a bounded manifold is about 1.
double apart(const Tensor& x, const Tensor& y) {
  return ((x - y).abs().amax(1) / y.abs().amax(1).clamp_min(1)).max().item<double>();
}

// x and -x are one point where the manifold says so.
double apart(const Manifold& m, const Tensor& x, const Tensor& y) {
  if (!m.antipodal()) return apart(x, y);
  return apart(x * torch::where((x * y).sum(1, true) < 0, -1.0, 1.0), y);
}

double kolmogorov_smirnov(const Tensor& values, const std::function<double(double)>& cdf) {
  const Tensor sorted = std::get<0>(values.to(torch::kDouble).contiguous().sort());
  const double* value = sorted.data_ptr<double>();
  const auto n = static_cast<double>(sorted.numel());
  double worst = 0;
  for (std::int64_t i = 0; i < sorted.numel(); ++i) {
    const double f = cdf(value[i]);
    worst = std::max({worst, std::abs(f - static_cast<double>(i) / n), std::abs(f - static_cast<double>(i + 1) / n)});
  }
  return worst * std::sqrt(n);  // beyond 1.95 in one of a thousand
}

TEST(ManifoldTable, ProjectionIsIdempotentAndRefusesWhatIsFarOff) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.text);
    const Manifold& m = *c.manifold;
    const Tensor x = points(m, 20, "x");
    EXPECT_EQ(x.size(1), m.ambient());
    EXPECT_LT(apart(m.project(x), x), 1e-14);
    const Tensor off = x + 3e-4 * Rng(1, "off").normal(x.sizes(), x) / m.ambient(), once = m.project(off);
    EXPECT_LT(apart(once, off), 1e-3);
    EXPECT_LT(apart(m.project(once), once), 1e-15);
    EXPECT_TRUE(m.project(x.to(torch::kFloat)).scalar_type() == torch::kFloat);
    EXPECT_THROW(m.project(x.narrow(1, 0, m.ambient() - 1)), WorkError);
    if (c.name == "euclidean") continue;
    Tensor far = x.clone();
    far[7] *= 1.1;
    far[7][0] += far[7][0].sign() * 0.01;
    try {
      m.project(far);
      ADD_FAILURE() << "accepted";
    } catch (const WorkError& error) {
      EXPECT_NE(std::string(error.what()).find("row 7"), std::string::npos) << error.what();
    }
    EXPECT_THROW(m.project(torch::zeros_like(x)), WorkError);
    far = x.clone();
    far[3][0] = std::nan("");
    EXPECT_THROW(m.project(far), WorkError);
  }
}

TEST(ManifoldTable, FramesAreOrthonormalAndTangent) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.text);
    const Manifold& m = *c.manifold;
    const Tensor x = points(m, 30, "x");
    const Tensor a = Rng(2, "a").normal({30, m.dimension()}, x), b = Rng(3, "b").normal({30, m.dimension()}, x);
    const Tensor u = m.lift(x, a), v = m.lift(x, b);
    const double scale = u.abs().max().item<double>() * v.abs().max().item<double>() + 1;
    EXPECT_LT(largest(m.project_tangent(x, u) - u), 1e-14 * scale * scale);
    EXPECT_LT(largest(m.lower(x, u) - a), 1e-13 * scale);
    EXPECT_LT(largest(m.inner(x, u, v) - (a * b).sum(1)), 1e-13 * scale);
    const Tensor any = Rng(4, "any").normal(x.sizes(), x), once = m.project_tangent(x, any);
    EXPECT_LT(largest(m.project_tangent(x, once) - once), 1e-13 * scale * scale);
    EXPECT_TRUE(torch::equal(tangents(m, x, "noise"), tangents(m, x, "noise")));
    // What the gradient of an ambient function is: ⟨gradient, v⟩ is the derivative along v.
    const Tensor gradient = m.gradient(x, any);
    EXPECT_LT(largest(m.project_tangent(x, gradient) - gradient), 1e-12 * scale * scale);
    EXPECT_LT(largest(m.inner(x, gradient, v) - (any * v).sum(1)), 1e-12 * scale * scale);
  }
}

TEST(ManifoldTable, GeodesicsStartRightAndKeepTheirSpeed) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.text);
    const Manifold& m = *c.manifold;
    const Tensor x = points(m, 10, "x"), v = 0.7 * tangents(m, x, "v");
    EXPECT_LT(apart(m.exp(x, torch::zeros_like(x)), x), 1e-15);
    const Geodesic end = m.flow(x, v);
    EXPECT_LT(apart(m.project(end.x), end.x), 1e-14);
    const double scale = end.v.abs().max().item<double>();
    EXPECT_LT(largest(m.inner(end.x, end.v, end.v) - m.inner(x, v, v)), 1e-13 * scale * scale + 1e-14);
    // It goes on: two halves are the whole, and back from the end is the start.
    const Geodesic half = m.flow(x, v * 0.5), whole = m.flow(half.x, half.v);
    EXPECT_LT(apart(whole.x, end.x), 1e-12);
    EXPECT_LT(apart(m.exp(end.x, -end.v), x), 1e-11);
    // Velocity and acceleration at the start by differences.
    const double h = 1e-3;
    const Tensor plus = m.exp(x, v * h), minus = m.exp(x, v * -h);
    const double size = x.abs().max().item<double>() * (1 + largest(v));
    EXPECT_LT(largest((plus - minus) / (2 * h) - v), 1e-5 * size * size * size);
    EXPECT_LT(largest((plus + minus - 2 * x) / (h * h) - m.acceleration(x, v)), 1e-5 * size * size * size * size);
  }
}

TEST(ManifoldTable, LogUndoesExpAndExpLog) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.text);
    const Manifold& m = *c.manifold;
    const std::int64_t n = 400;
    const Tensor x = points(m, n, "x");
    // Lengths from next to nothing to just short of the cut locus, or 2 where there is none.
    const double reach = std::isfinite(m.injectivity_radius()) ? m.injectivity_radius() - 1e-3 : 2;
    const Tensor direction = tangents(m, x, "v");
    const Tensor unit = direction / m.inner(x, direction, direction).sqrt().unsqueeze(1);
    const Tensor length = torch::cat(
        {torch::logspace(-10, -1, n / 2, 10, torch::kDouble), torch::linspace(0.1, reach, n / 2, torch::kDouble)});
    const Tensor v = unit * length.unsqueeze(1), y = m.exp(x, v), back = m.log(x, y);
    const double scale = std::pow(x.abs().max().item<double>(), 2);
    EXPECT_LT(largest(back - v), (compact(m) ? 1e-11 : 1e-13) * scale);
    EXPECT_LT(apart(m, m.exp(x, back), y), 1e-12);
    EXPECT_LT(largest(m.distance(x, y) - length), (compact(m) ? 1e-11 : 1e-13) * scale);
    EXPECT_LT(largest(m.distance(y, x) - m.distance(x, y)), 1e-13 * scale);
    EXPECT_EQ(largest(m.log(x, x)), 0);
    EXPECT_EQ(largest(m.distance(x, x)), 0);
    // Any two points.
    const Tensor z = points(m, n, "z"), to = m.log(x, z);
    EXPECT_LT(apart(m, m.exp(x, to), z), compact(m) ? 1e-12 : 1e-13 * scale);
    EXPECT_LT(largest(m.inner(x, to, to).sqrt() - m.distance(x, z)), 1e-12 * scale);
    EXPECT_LT(apart(m, m.exp(z, m.log(z, x)), x), compact(m) ? 1e-12 : 1e-13 * scale);
    // In float32, within 2 of the origin where coordinates grow.
    const Tensor p = within(m, m.origin(x).to(torch::kFloat).expand({n, m.ambient()}), 2, "p"),
                 q = within(m, p, 2, "q");
    EXPECT_LT(apart(m, m.exp(p, m.log(p, q)), q), 1e-6);
  }
}

TEST(Hyperbolic, LogAndExpWithinFourOfTheOrigin) {
  for (const std::int64_t d : {1, 2, 5}) {
    const auto m =
        find_entry(manifold_table(), "manifold", "hyperbolic", "").make(Config::table({{"dimension", Config(d)}}));
    const Tensor origin = m->origin(torch::empty({0}, kFloat64)).expand({4000, d + 1});
    const Tensor x = within(*m, origin, 4, "x"), y = within(*m, x, 4, "y"), z = within(*m, origin, 4, "z");
    EXPECT_LT(apart(m->exp(x, m->log(x, y)), y), 1e-12) << d;
    EXPECT_LT(apart(m->exp(origin, m->log(origin, z)), z), 1e-12) << d;
    EXPECT_LT(apart(m->exp(x, m->log(x, z)), z), 5e-12) << d;
    // Against the hyperbolic law of cosines.
    const Tensor product = x.select(1, 0) * z.select(1, 0) - (x.narrow(1, 1, d) * z.narrow(1, 1, d)).sum(1);
    EXPECT_LT(largest(m->distance(x, z).cosh() / product - 1), 1e-10) << d;
  }
}

TEST(Sphere, AntipodesHaveALogarithmOfTheRightLength) {
  for (const std::int64_t d : {1, 2, 8}) {
    const auto m =
        find_entry(manifold_table(), "manifold", "sphere", "").make(Config::table({{"dimension", Config(d)}}));
    for (const auto dtype : {torch::kDouble, torch::kFloat}) {
      const double tolerance = dtype == torch::kDouble ? 1e-12 : 1e-6;
      const Tensor x = points(*m, 50, "x", torch::empty({0}, torch::dtype(dtype)));
      const Tensor v = m->log(x, -x);
      EXPECT_LT(largest(v.norm(2, 1) - M_PI), tolerance);
      EXPECT_LT(largest((v * x).sum(1)), 4 * tolerance);
      EXPECT_LT(largest(m->exp(x, v) + x), 2 * tolerance);
      EXPECT_LT(largest(m->distance(x, -x) - M_PI), tolerance);
      // Close to them, however close.
      for (const double gap : {1e-2, 1e-5, 1e-8, 1e-11, 1e-15}) {
        const Tensor y = m->nearest(-x + gap * points(*m, 50, "y", x));
        EXPECT_LT(largest(m->exp(x, m->log(x, y)) - y), tolerance) << gap;
      }
    }
  }
}

// Independent of how flow is written: the derivative of exp in v by autograd gives the volume factor.
TEST(ManifoldTable, VolumeFactorIsTheDeterminantOfExp) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.text);
    const Manifold& m = *c.manifold;
    const Tensor x = points(m, 6, "x"), coordinates = 0.6 * Rng(7, "c").normal({6, m.dimension()}, x);
    const Tensor at = coordinates.clone().requires_grad_();
    const Tensor y = m.exp(x, m.lift(x, at));
    std::vector<Tensor> rows;
    for (std::int64_t k = 0; k < m.ambient(); ++k)
      rows.push_back(torch::autograd::grad({y.select(1, k).sum()}, {at}, {}, true)[0]);
    const Tensor jacobian = torch::stack(rows, 1).detach();  // [B, D, d]
    std::vector<Tensor> columns;
    for (std::int64_t k = 0; k < m.dimension(); ++k) columns.push_back(m.lower(y.detach(), jacobian.select(2, k)));
    const Tensor determinant = torch::linalg_det(torch::stack(columns, 2)).abs().log();
    const Tensor v = m.lift(x, coordinates);
    EXPECT_LT(largest(m.log_volume_factor(x, v) - determinant), 1e-9);
    EXPECT_LT(largest(m.log_volume_factor(y.detach(), m.log(y.detach(), x)) - determinant), 1e-9);
    // At v = 0 exp has a derivative too, the frame itself.
    const Tensor zero = torch::zeros_like(coordinates).requires_grad_();
    const Tensor slope = torch::autograd::grad({m.exp(x, m.lift(x, zero)).sum()}, {zero})[0];
    for (std::int64_t k = 0; k < m.dimension(); ++k) {
      Tensor unit = torch::zeros_like(coordinates);
      unit.select(1, k).fill_(1);
      EXPECT_LT(largest(slope.select(1, k) - m.lift(x, unit).sum(1)), 1e-12);
    }
  }
}

TEST(ManifoldTable, RowsDoNotMix) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.text);
    const Manifold& m = *c.manifold;
    const Tensor x = points(m, 9, "x"), v = tangents(m, x, "v"), y = points(m, 9, "y");
    const auto part = [](const Tensor& t) { return t.slice(0, 3, 5); };
    // Vectorised library functions round the ends of a tensor differently.
    const double rounding = 1e-14 * std::pow(x.abs().max().item<double>(), 2);
    EXPECT_LT(apart(m.exp(part(x), part(v)), part(m.exp(x, v))), rounding);
    EXPECT_LT(largest(m.log(part(x), part(y)) - part(m.log(x, y))), rounding);
    EXPECT_LT(largest(m.log_wrapped_normal(part(x).slice(0, 0, 1), part(y), 0.5).narrow(0, 0, 1) -
                      part(m.log_wrapped_normal(x, y, 0.5)).narrow(0, 0, 1)),
              1e-12);
    Rng shard(5, "x");
    shard = shard.at_row(3);
    EXPECT_LT(apart(m.sample(2, shard, x), part(x)), rounding);
  }
}

// Low-order moments and the law of one coordinate.
TEST(ManifoldTable, BaseSamplesHaveTheirLaw) {
  const std::int64_t n = 20000;
  for (const Case& c : cases()) {
    if (c.name == "product") continue;
    SCOPED_TRACE(c.text);
    const Manifold& m = *c.manifold;
    const Tensor x = points(m, n, "law");
    const auto d = static_cast<double>(m.dimension());
    const double root = std::sqrt(static_cast<double>(n));
    if (compact(m)) {
      // Mean 0, and second moments those of a uniform unit vector (of every circle of a torus).
      const double width = c.name == "torus" ? 2 : static_cast<double>(m.ambient());
      const Tensor second = (x.unsqueeze(2) * x.unsqueeze(1));
      EXPECT_LT((x.mean(0) / (x.std(0) / root)).abs().max().item<double>(), 4);
      const Tensor error =
          (second.mean(0) - torch::eye(m.ambient(), kFloat64) / width) / (second.std(0) / root).clamp_min(1e-9);
      EXPECT_LT(error.abs().max().item<double>(), 4.5);
      const double half = (width - 1) / 2;
      for (const std::int64_t k : {std::int64_t{0}, m.ambient() - 1})
        EXPECT_LT(
            kolmogorov_smirnov(x.select(1, k), [&](double t) { return boost::math::ibeta(half, half, (1 + t) / 2); }),
            1.95);
    } else {
      const Tensor r = m.distance(m.origin(x).expand({n, m.ambient()}), x);
      EXPECT_LT(kolmogorov_smirnov(r.square(), [&](double s) { return boost::math::gamma_p(d / 2, s / 2); }), 1.95);
      const Tensor space = x.narrow(1, m.ambient() - m.dimension(), m.dimension());
      EXPECT_LT((space.sign().mean(0) * root).abs().max().item<double>(), 4);
    }
  }
}

TEST(ManifoldTable, CubatureMeasuresVolumeAndWrappedNormals) {
  for (const Case& c : cases()) {
    const Manifold& m = *c.manifold;
    if (m.dimension() > 3 || (c.name == "hyperbolic" && m.dimension() > 2)) {
      if (c.name != "torus") {
        EXPECT_THROW(m.cubature(60, 6), RequestError) << c.text;
      }
      continue;
    }
    SCOPED_TRACE(c.text);
    const std::int64_t axis = m.dimension() == 1 ? 400 : (m.dimension() == 2 ? 120 : 44);
    const Cubature rule = m.cubature(axis, c.name == "hyperbolic" ? 9 : 6);
    EXPECT_LT(apart(m.project(rule.points), rule.points), 1e-13);
    if (compact(m)) {
      EXPECT_NEAR(rule.weights.sum().item<double>() / m.volume(), 1, 1e-12);
      const double width = c.name == "torus" ? 2 : static_cast<double>(m.ambient());
      EXPECT_NEAR((rule.weights * rule.points.select(1, 1).square()).sum().item<double>() / m.volume(), 1 / width,
                  1e-12);
    }
    // A normalised density whose mean squared distance is that of its samples.
    const double deviation = 0.45;
    const Tensor mean = compact(m) ? points(m, 1, "mean") : m.origin(rule.points);
    const Tensor p = m.log_wrapped_normal(mean, rule.points, deviation).exp() * rule.weights;
    EXPECT_NEAR(p.sum().item<double>(), 1, 1e-6);
    const double expected = (p * m.distance(mean.expand_as(rule.points), rule.points).square()).sum().item<double>();
    const Tensor at = mean.expand({20000, m.ambient()}).contiguous();
    Rng rng(3, "wrapped");
    const Tensor s = m.distance(at, sample_wrapped_normal(m, at, deviation, rng)).square();
    EXPECT_NEAR(s.mean().item<double>(), expected, 4 * s.std().item<double>() / std::sqrt(20000.0));
  }
}

TEST(Sphere, ARowOfZerosHasADirectionToo) {
  const Tensor x = directions(torch::tensor({{0.0, 0.0}, {0.0, -2.0}, {3.0, 4.0}}, torch::kDouble));
  EXPECT_TRUE(torch::equal(x, torch::tensor({{1.0, 0.0}, {0.0, -1.0}, {0.6, 0.8}}, torch::kDouble)));
}

TEST(Product, NamesItsFactorsAndRefusesOthers) {
  const auto& product = find_entry(manifold_table(), "manifold", "product", "");
  const auto made = product.make(Config::table({{"factors", Config("sphere 2, torus 2, euclidean 3")}}));
  EXPECT_EQ(made->ambient(), 3 + 4 + 3);
  EXPECT_EQ(made->dimension(), 7);
  for (const char* bad : {"", "sphere 2,,", "ball 3", "sphere 2 3", "product", "sphere 0"})
    EXPECT_THROW(product.make(Config::table({{"factors", Config(bad)}})), RequestError) << bad;
}

}  // namespace
}  // namespace gibbsite
