#include <gibbsite/core/random.h>
#include <gibbsite/nn/channel_norms.h>
#include <gibbsite/nn/operations.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <functional>

namespace gibbsite {
namespace {

Tensor grad(const Tensor& y, const Tensor& x) {
  if (!y.requires_grad()) return torch::zeros_like(x);
  const Tensor g = torch::autograd::grad({y}, {x}, {}, true, true, true)[0];
  return g.defined() ? g : torch::zeros_like(x);
}

struct Layer {
  const char* name;
  std::function<Tensor(const Tensor& x, const Tensor& w)> fast;  ///< gibbsite's operation
  std::function<Jet(const Jet& x, const Tensor& w)> jet;
  std::function<Tensor(const Tensor& x, const Tensor& w)> plain;  ///< LibTorch's elementary operations
  Shape x, w;
};

Tensor plain_norm(const Tensor& x, at::IntArrayRef dimensions) {
  const Tensor centred = x - x.mean(dimensions, true);
  return centred / (centred.pow(2).mean(dimensions, true) + 1e-5).sqrt();
}

Tensor plain_conv(const Tensor& x, const Tensor& w, std::int64_t padding) {  // a sum of shifted products
  const Tensor padded = at::constant_pad_nd(x, {padding, padding, padding, padding});
  const std::int64_t height = padded.size(2) - w.size(2) + 1, width = padded.size(3) - w.size(3) + 1;
  Tensor sum;
  for (std::int64_t i = 0; i < w.size(2); ++i)
    for (std::int64_t j = 0; j < w.size(3); ++j) {
      const Tensor window = padded.narrow(2, i, height).narrow(3, j, width);
      const Tensor term =
          (window.unsqueeze(1) * w.select(3, j).select(2, i).unsqueeze(0).unsqueeze(-1).unsqueeze(-1)).sum(2);
      sum = sum.defined() ? sum + term : term;
    }
  return sum;
}

std::vector<Layer> layers() {
  const Shape image = {3, 2, 4, 4};
  return {
      {"lin",
       [](const Tensor& x, const Tensor& w) { return lin(x, w, w.select(1, 0)); },
       [](const Jet& x, const Tensor& w) { return lin(x, w, w.select(1, 0)); },
       [](const Tensor& x, const Tensor& w) { return (x.unsqueeze(1) * w).sum(2) + w.select(1, 0); },
       {3, 5},
       {4, 5}},
      {"conv3",
       [](const Tensor& x, const Tensor& w) { return conv(x, w, 1, 1); },
       [](const Jet& x, const Tensor& w) { return conv(x, w, 1, 1); },
       [](const Tensor& x, const Tensor& w) { return plain_conv(x, w, 1); },
       image,
       {3, 2, 3, 3}},
      {"conv1",
       [](const Tensor& x, const Tensor& w) { return conv(x, w, 1, 0); },
       [](const Jet& x, const Tensor& w) { return conv(x, w, 1, 0); },
       [](const Tensor& x, const Tensor& w) { return plain_conv(x, w, 0); },
       image,
       {3, 2, 1, 1}},
      {"residual",
       [](const Tensor& x, const Tensor& w) {
         return join(conv(x, w, 1, 1), x, w.select(3, 0).select(2, 0).select(1, 0));
       },
       [](const Jet& x, const Tensor& w) {
         return join(conv(x, w, 1, 1), x, w.select(3, 0).select(2, 0).select(1, 0));
       },
       [](const Tensor& x, const Tensor& w) {
         return plain_conv(x, w, 1) + x + w.select(3, 0).select(2, 0).select(1, 0).view({1, -1, 1, 1});
       },
       image,
       {2, 2, 3, 3}},
      {"bias",
       [](const Tensor& x, const Tensor& w) { return add_bias(x * 1.5, w); },
       [](const Jet& x, const Tensor& w) { return add_bias(x * 1.5, w); },
       [](const Tensor& x, const Tensor& w) {
         return x * 1.5 + w.view({1, -1, 1, 1});
       },
       image,
       {2}},
      {"pool",
       [](const Tensor& x, const Tensor&) { return pool(x); },
       [](const Jet& x, const Tensor&) { return pool(x); },
       [](const Tensor& x, const Tensor&) {
         return x.view({3, 2, 2, 2, 2, 2}).mean({3, 5});
       },
       image,
       {1}},
      {"flatten",
       [](const Tensor& x, const Tensor&) { return flattened(x); },
       [](const Jet& x, const Tensor&) { return flattened(x); },
       [](const Tensor& x, const Tensor&) {
         return x.reshape({3, 32});
       },
       image,
       {1}},
      {"concatenate",
       [](const Tensor& x, const Tensor&) { return concatenate(x, squared(x)); },
       [](const Jet& x, const Tensor&) { return concatenate(x, squared(x)); },
       [](const Tensor& x, const Tensor&) {
         return torch::cat({x, x * x}, 1);
       },
       image,
       {1}},
      {"layer_norm",
       [](const Tensor& x, const Tensor& w) { return layer_norm(x, w, w); },
       [](const Jet& x, const Tensor& w) { return layer_norm(x, w, w); },
       [](const Tensor& x, const Tensor& w) { return plain_norm(x, {1}) * w + w; },
       {3, 5},
       {5}},
      {"instance_norm",
       [](const Tensor& x, const Tensor& w) { return instance_norm(x, w, w); },
       [](const Jet& x, const Tensor& w) { return instance_norm(x, w, w); },
       [](const Tensor& x, const Tensor& w) {
         return plain_norm(x, {2, 3}) * w.view({-1, 1, 1}) + w.view({-1, 1, 1});
       },
       image,
       {2}},
      {"total",
       [](const Tensor& x, const Tensor&) { return total(times(x, x)); },
       [](const Jet& x, const Tensor&) { return total(times(x, x)); },
       [](const Tensor& x, const Tensor&) { return (x * x).flatten(1).sum(1); },
       image,
       {1}},
  };
}

double worst(const Tensor& a, const Tensor& b) {
  return (a - b).abs().max().item<double>() / std::max(1.0, b.abs().max().item<double>());
}

// A smooth scalar of the output, so that three derivatives of it pass through the layer.
Tensor probe(const Tensor& y) { return (y.sin() * 1.3 + 0.2 * y.pow(3)).flatten(1).sum(1); }

TEST(Operations, ThirdDerivativesEqualElementaryOperations) {
  for (const Layer& layer : layers()) {
    Rng rng(1, layer.name);
    const Tensor x = rng.normal(layer.x, at::kDouble).requires_grad_(true);
    const Tensor w = rng.normal(layer.w, at::kDouble).requires_grad_(true);
    const Tensor v = rng.normal(layer.x, at::kDouble);
    const auto reduce = [&](const Tensor& y) { return y.dim() == 1 ? y.sin() : probe(y); };
    const auto derivatives = [&](const Tensor& y) {
      std::vector<Tensor> all = {y};
      Tensor value = reduce(y).sum();
      for (int k = 0; k < 3; ++k) {
        const Tensor gradient = grad(value, x);
        all.push_back(gradient);
        all.push_back(grad(value, w));
        value = (gradient * v).sum();
      }
      return all;
    };
    const std::vector<Tensor> fast = derivatives(layer.fast(x, w)), slow = derivatives(layer.plain(x, w));
    for (std::size_t i = 0; i < fast.size(); ++i) EXPECT_LE(worst(fast[i], slow[i]), 1e-10) << layer.name << " " << i;
  }
}

TEST(Operations, JetsEqualNestedAutograd) {
  for (const Layer& layer : layers()) {
    Rng rng(2, layer.name);
    const Tensor x = rng.normal(layer.x, at::kDouble), w = rng.normal(layer.w, at::kDouble),
                 v = rng.normal(layer.x, at::kDouble);
    const Tensor t = torch::zeros({1}, at::kDouble).requires_grad_(true);
    for (const int order : {1, 2, 4}) {
      const Jet y = layer.jet(seed_jet(x, v, order), w);
      const Tensor along = layer.plain(x + t * v, w);
      const Tensor cotangent = torch::ones_like(along).requires_grad_(true);
      // Forward derivatives by reverse over reverse: d/dt of every component.
      Tensor truth = along;
      for (int k = 0; k <= order; ++k) {
        EXPECT_LE(worst(y.derivative(k), truth), 1e-9) << layer.name << " order " << order << " derivative " << k;
        if (k < order) truth = grad(grad((truth * cotangent).sum(), t), cotangent);
      }
    }
  }
}

TEST(Operations, LaplacianStackEqualsSeparateJets) {
  for (const Layer& layer : layers()) {
    Rng rng(3, layer.name);
    const Tensor x = rng.normal(layer.x, at::kDouble), w = rng.normal(layer.w, at::kDouble);
    Shape many = layer.x;
    many.insert(many.begin(), 3);
    const Tensor v = rng.normal(many, at::kDouble);
    const Jet all = layer.jet(seed_laplacian(x, v), w);
    Tensor sum;
    for (int d = 0; d < 3; ++d) {
      const Jet one = layer.jet(seed_jet(x, v[d], 2), w);
      EXPECT_LE(worst(all.derivative(1)[d], one.derivative(1)), 1e-12) << layer.name;
      sum = sum.defined() ? sum + one.derivative(2) : one.derivative(2);
    }
    EXPECT_LE(worst(all.derivative(2), sum), 1e-12) << layer.name;
  }
}

TEST(Operations, StockValuesAgree) {
  Rng rng(4, "stock");
  const Tensor x = rng.normal({3, 2, 4, 4}, at::kDouble), w = rng.normal({3, 2, 3, 3}, at::kDouble),
               b = rng.normal({3}, at::kDouble);
  EXPECT_LE(worst(conv(Stock{x}, w, 1, 1).t, conv(x, w, 1, 1)), 1e-12);
  EXPECT_LE(worst(add_bias(conv(Stock{x}, w, 1, 1), b).t, add_bias(conv(x, w, 1, 1), b)), 1e-12);
  EXPECT_LE(worst(pool(Stock{x}).t, pool(x)), 1e-12);
  EXPECT_LE(worst(instance_norm(Stock{x}, b.narrow(0, 0, 2), b.narrow(0, 0, 2)).t,
                  instance_norm(x, b.narrow(0, 0, 2), b.narrow(0, 0, 2))),
            1e-12);
  EXPECT_LE(worst(layer_norm(Stock{x}, Tensor(), Tensor()).t, layer_norm(x, Tensor(), Tensor())), 1e-12);
}

// In both precisions (LibTorch has different kernels for them), for maps that are not square, with and without rows that the
// convolution had left over, of one channel and more.
TEST(Operations, TransposedConvolutionIsLibTorchs) {
  struct Case {
    std::int64_t height, width, side, stride, padding, out, in, batch;
  };
  Rng rng(9, "transposed");
  for (const Case& c :
       {Case{6, 9, 4, 2, 1, 3, 2, 2}, Case{7, 6, 4, 2, 1, 3, 1, 3}, Case{8, 6, 5, 2, 2, 4, 1, 1},
        Case{6, 7, 3, 1, 1, 2, 3, 3}, Case{28, 28, 4, 2, 1, 16, 2, 32}, Case{28, 28, 5, 2, 2, 32, 1, 8}})
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const auto drawn = [&](const Shape& sizes) { return rng.normal(sizes, at::kDouble).to(dtype); };
      const std::int64_t height = (c.height + 2 * c.padding - c.side) / c.stride + 1,
                         width = (c.width + 2 * c.padding - c.side) / c.stride + 1;
      const Tensor x = drawn({c.batch, c.out, height, width}).set_requires_grad(true),
                   w = drawn({c.out, c.in, c.side, c.side}).set_requires_grad(true),
                   b = drawn({c.in}).set_requires_grad(true);
      const Tensor u = drawn({c.batch, c.in, c.height, c.width}), h = drawn(x.sizes().vec()),
                   k = drawn(w.sizes().vec());
      const auto all = [&](const Tensor& y) {
        std::vector<Tensor> out = {y};
        const auto first = torch::autograd::grad({(y.square() * u).sum()}, {x, w, b}, {}, true, true);
        const auto second = torch::autograd::grad({(first[0] * h).sum() + (first[1] * k).sum()}, {x, w, b});
        out.insert(out.end(), first.begin(), first.end());
        out.insert(out.end(), second.begin(), second.end());
        return out;
      };
      const Shape left = {c.height - ((height - 1) * c.stride - 2 * c.padding + c.side),
                          c.width - ((width - 1) * c.stride - 2 * c.padding + c.side)};
      const std::vector<Tensor> ours = all(add_bias(conv_transpose(x, w, c.height, c.width, c.stride, c.padding), b)),
                                theirs = all(at::conv_transpose2d(x, w, b, c.stride, c.padding, left));
      for (std::size_t i = 0; i < ours.size(); ++i) {
        ASSERT_EQ(ours[i].sizes(), theirs[i].sizes());
        EXPECT_LE(worst(ours[i], theirs[i]), dtype == at::kDouble ? 1e-12 : 1e-4)
            << c.height << ' ' << c.width << ' ' << dtype << ' ' << i;
      }
    }
  const Tensor none = conv_transpose(torch::zeros({0, 3, 3, 3}), torch::zeros({3, 2, 4, 4}), 6, 6, 2, 1);
  EXPECT_EQ(none.sizes(), at::IntArrayRef({0, 2, 6, 6}));
}

}  // namespace
}  // namespace gibbsite
