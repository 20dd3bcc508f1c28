#include <gibbsite/nn/operations.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// The trilinear form <g, conv(x, w)> has three partial gradients. Each is one library call, and the derivatives of each are
// again members of the family; LibTorch's own double backward builds a transposed convolution instead, which is slower.
struct Geometry {
  std::int64_t stride = 1, padding = 0, dilation = 1;
  void save(AutogradContext* ctx) const {
    ctx->saved_data["stride"] = stride;
    ctx->saved_data["padding"] = padding;
    ctx->saved_data["dilation"] = dilation;
  }
  static Geometry of(AutogradContext* ctx) {
    return {ctx->saved_data["stride"].toInt(), ctx->saved_data["padding"].toInt(), ctx->saved_data["dilation"].toInt()};
  }
};

// LibTorch leaves its fast kernels for 1x1 convolutions of few rows on one thread. Channels-last they are matrix products of
// the pixels, without a copy.
bool is_product(const Tensor& x, const Tensor& w, const Geometry& geometry) {
  constexpr std::int64_t kFewRows = 16;
  return x.device().is_cpu() && x.size(0) < kFewRows && w.size(2) == 1 && w.size(3) == 1 && geometry.stride == 1 &&
         geometry.padding == 0;
}

Tensor pixels(const Tensor& x) { return x.permute({0, 2, 3, 1}).reshape({-1, x.size(1)}); }

// rows · weight as images like those of x.
Tensor image_product(const Tensor& rows, const Tensor& weight, const Tensor& x) {
  const Tensor image =
      at::empty({x.size(0), weight.size(1), x.size(2), x.size(3)}, rows.options(), at::MemoryFormat::ChannelsLast);
  Tensor out = pixels(image);
  at::mm_out(out, rows, weight);
  return image;
}

// One channel lies the same in every layout. Said to be channels-last, what a convolution makes of it is channels-last too.
Tensor single_channel_last(const Tensor& x) {
  if (x.size(1) != 1 || !x.is_contiguous()) return x;
  return x.as_strided(x.sizes(), {x.stride(0), 1, x.stride(2), x.stride(3)});
}

Tensor raw_conv(const Tensor& input, const Tensor& w, const Geometry& geometry) {
  const Tensor x = single_channel_last(input);
  if (is_product(x, w, geometry)) return image_product(pixels(x), w.flatten(1).t(), x);
  return at::convolution(x, w, Tensor(), {geometry.stride, geometry.stride}, {geometry.padding, geometry.padding},
                         {geometry.dilation, geometry.dilation}, false, {0, 0}, 1);
}

std::tuple<Tensor, Tensor> raw_backward(const Tensor& g, const Tensor& input, const Tensor& w, const Geometry& geometry,
                                        bool need_x, bool need_w) {
  const Tensor x = single_channel_last(input);
  if (is_product(x, w, geometry)) {
    const Tensor rows = pixels(g);
    return {need_x ? image_product(rows, w.flatten(1), x) : Tensor(),
            need_w ? at::mm(rows.t(), pixels(x)).view(w.sizes()) : Tensor()};
  }
  auto [gx, gw, unused] = at::convolution_backward(
      g, x, w, /*bias_sizes=*/{}, {geometry.stride, geometry.stride}, {geometry.padding, geometry.padding},
      {geometry.dilation, geometry.dilation}, false, {0, 0}, 1, {need_x, need_w, false});
  return {gx, gw};
}

struct ConvInput;
struct ConvWeight;

struct ConvForward : Function<ConvForward> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& w, std::int64_t stride,
                        std::int64_t padding, std::int64_t dilation) {
    const Geometry geometry{stride, padding, dilation};
    geometry.save(ctx);
    ctx->save_for_backward({x, w});
    return raw_conv(x, w, geometry);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads);
};

// Gradient of <g, conv(x, w)> in x; x gives the shape only.
struct ConvInput : Function<ConvInput> {
  static Tensor forward(AutogradContext* ctx, const Tensor& g, const Tensor& w, const Tensor& shape,
                        std::int64_t stride, std::int64_t padding, std::int64_t dilation) {
    const Geometry geometry{stride, padding, dilation};
    geometry.save(ctx);
    ctx->save_for_backward({g, w});
    return std::get<0>(raw_backward(g, shape, w, geometry, true, false));
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads);
};

// Gradient of <g, conv(x, w)> in w; `shape` gives the shape of w only.
struct ConvWeight : Function<ConvWeight> {
  static Tensor forward(AutogradContext* ctx, const Tensor& g, const Tensor& x, const Tensor& shape,
                        std::int64_t stride, std::int64_t padding, std::int64_t dilation) {
    const Geometry geometry{stride, padding, dilation};
    geometry.save(ctx);
    ctx->save_for_backward({g, x});
    return std::get<1>(raw_backward(g, x, shape, geometry, false, true));
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads);
};

variable_list ConvForward::backward(AutogradContext* ctx, variable_list grads) {
  const Geometry geometry = Geometry::of(ctx);
  const variable_list saved = ctx->get_saved_variables();
  const Tensor &g = grads[0], &x = saved[0], &w = saved[1];
  const bool need_x = ctx->needs_input_grad(0), need_w = ctx->needs_input_grad(1);
  Tensor gx, gw;
  if (at::GradMode::is_enabled()) {
    if (need_x) gx = ConvInput::apply(g, w, x.detach(), geometry.stride, geometry.padding, geometry.dilation);
    if (need_w) gw = ConvWeight::apply(g, x, w.detach(), geometry.stride, geometry.padding, geometry.dilation);
  } else if (need_x || need_w) {
    std::tie(gx, gw) = raw_backward(g, x, w, geometry, need_x, need_w);
  }
  return {gx, gw, Tensor(), Tensor(), Tensor()};
}

variable_list ConvInput::backward(AutogradContext* ctx, variable_list grads) {
  const Geometry geometry = Geometry::of(ctx);
  const variable_list saved = ctx->get_saved_variables();
  const Tensor &h = grads[0], &g = saved[0], &w = saved[1];
  Tensor dg, dw;
  if (ctx->needs_input_grad(0)) dg = ConvForward::apply(h, w, geometry.stride, geometry.padding, geometry.dilation);
  if (ctx->needs_input_grad(1))
    dw = ConvWeight::apply(g, h, w.detach(), geometry.stride, geometry.padding, geometry.dilation);
  return {dg, dw, Tensor(), Tensor(), Tensor(), Tensor()};
}

variable_list ConvWeight::backward(AutogradContext* ctx, variable_list grads) {
  const Geometry geometry = Geometry::of(ctx);
  const variable_list saved = ctx->get_saved_variables();
  const Tensor &h = grads[0], &g = saved[0], &x = saved[1];
  Tensor dg, dx;
  if (ctx->needs_input_grad(0)) dg = ConvForward::apply(x, h, geometry.stride, geometry.padding, geometry.dilation);
  if (ctx->needs_input_grad(1))
    dx = ConvInput::apply(g, h, x.detach(), geometry.stride, geometry.padding, geometry.dilation);
  return {dg, dx, Tensor(), Tensor(), Tensor(), Tensor()};
}

// 2x2 average pools and their adjoints. LibTorch's own adjoint keeps the input alive for its sizes alone, and its
// derivative adds zeros in another layout.
struct PoolAdjoint;

struct Pool : Function<Pool> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->saved_data["sizes"] = x.sizes().vec();
    ctx->saved_data["format"] = static_cast<std::int64_t>(x.suggest_memory_format());
    return at::avg_pool2d(x, {2, 2});
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads);
};

struct PoolAdjoint : Function<PoolAdjoint> {
  static Tensor forward(AutogradContext*, const Tensor& g, const Shape& sizes, std::int64_t format) {
    const Tensor shape = at::empty(sizes, g.options(), static_cast<at::MemoryFormat>(format));
    return at::avg_pool2d_backward(g, shape, {2, 2}, {2, 2}, {0, 0}, false, true, {});
  }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {Pool::apply(grads[0]), Tensor(), Tensor()};
  }
};

variable_list Pool::backward(AutogradContext* ctx, variable_list grads) {
  return {
      PoolAdjoint::apply(grads[0], Shape(ctx->saved_data["sizes"].toIntVector()), ctx->saved_data["format"].toInt())};
}

// The mean of 5x5 pixels, zeros beyond the border, is one along columns of those along rows, and its own adjoint.
struct Smooth : Function<Smooth> {
  static Tensor forward(AutogradContext*, const Tensor& x) {
    return at::avg_pool2d(at::avg_pool2d(x, {1, 5}, {1, 1}, {0, 2}), {5, 1}, {1, 1}, {2, 0});
  }
  static variable_list backward(AutogradContext*, variable_list grads) { return {Smooth::apply(grads[0])}; }
};

Tensor per_channel(const Tensor& bias, std::int64_t dimensions) {
  Shape sizes(static_cast<std::size_t>(dimensions), 1);
  sizes[1] = bias.size(0);
  return bias.view(sizes);
}

Tensor sum_to_channel(const Tensor& g, std::int64_t batch) {
  Shape dimensions;
  for (std::int64_t d = 0; d < g.dim(); ++d)
    if (d != 1) dimensions.push_back(d);
  return g.narrow(0, 0, batch).sum(dimensions);
}

struct AddBias : Function<AddBias> {
  static Tensor forward(AutogradContext* ctx, Tensor a, const Tensor& bias, std::int64_t batch) {
    ctx->saved_data["batch"] = batch;
    a.narrow(0, 0, batch).add_(per_channel(bias, a.dim()));
    ctx->mark_dirty({a});
    return a;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const bool has_input = ctx->needs_input_grad(0), has_bias = ctx->needs_input_grad(1);
    return {has_input ? grads[0] : Tensor(),
            has_bias ? sum_to_channel(grads[0], ctx->saved_data["batch"].toInt()) : Tensor(), Tensor()};
  }
};

struct Join : Function<Join> {
  static Tensor forward(AutogradContext* ctx, Tensor a, const Tensor& b, const Tensor& bias, std::int64_t batch) {
    ctx->saved_data["batch"] = batch;
    a.add_(b);
    a.narrow(0, 0, batch).add_(per_channel(bias, a.dim()));
    ctx->mark_dirty({a});
    return a;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const bool need_bias = ctx->needs_input_grad(2);
    return {grads[0], grads[0], need_bias ? sum_to_channel(grads[0], ctx->saved_data["batch"].toInt()) : Tensor(),
            Tensor()};
  }
};

// Normalises over `dimensions` of one slice.
Tensor normalise(const Tensor& x, at::IntArrayRef dimensions) {
  const Tensor centred = x - x.mean(dimensions, true);
  return centred * (centred.square().mean(dimensions, true) + kNormEpsilon).rsqrt();
}

Jet normalise(const Jet& x, at::IntArrayRef dimensions) {
  // Means keep their dimensions; the differences and products broadcast slice by slice.
  const Jet centred = x.with(x.c - mean(x, dimensions, true).c);
  return centred * reciprocal(sqrt(mean(square(centred), dimensions, true) + kNormEpsilon));
}

Shape all_but_batch(std::int64_t dimensions) {
  Shape out;
  for (std::int64_t d = 1; d < dimensions; ++d) out.push_back(d);
  return out;
}

template <class T>
T affine(const T& x, const Tensor& weight, const Tensor& bias) {
  if (!weight.defined()) return x;
  return x * weight + bias;
}

}  // namespace

Tensor lin(const Tensor& x, const Tensor& weight, const Tensor& bias) { return at::linear(x, weight, bias); }
Jet lin(const Jet& x, const Tensor& weight, const Tensor& bias) {
  const Jet y = x.with(at::linear(x.c, weight));
  return bias.defined() ? add_bias(y, bias) : y;
}
Stock lin(const Stock& x, const Tensor& weight, const Tensor& bias) { return {at::linear(x.t, weight, bias)}; }

Tensor conv(const Tensor& x, const Tensor& weight, std::int64_t stride, std::int64_t padding, std::int64_t dilation) {
  return ConvForward::apply(x, weight, stride, padding, dilation);
}
Jet conv(const Jet& x, const Tensor& weight, std::int64_t stride, std::int64_t padding, std::int64_t dilation) {
  return x.with(ConvForward::apply(x.c, weight, stride, padding, dilation));
}
Stock conv(const Stock& x, const Tensor& weight, std::int64_t stride, std::int64_t padding, std::int64_t dilation) {
  // Of a weight that lies channels-last LibTorch makes channels-last images, whatever they were; its instance norm copies them.
  const Tensor w = weight.contiguous(x.t.suggest_memory_format());
  return {at::conv2d(x.t, w, Tensor(), {stride, stride}, {padding, padding}, {dilation, dilation})};
}

Tensor conv_transpose(const Tensor& x, const Tensor& weight, std::int64_t height, std::int64_t width,
                      std::int64_t stride, std::int64_t padding) {
  const Tensor shape = at::empty({x.size(0), weight.size(1), height, width}, x.options());
  return ConvInput::apply(x, weight, shape, stride, padding, /*dilation=*/1);
}

Tensor add_bias(Tensor a, const Tensor& bias) {
  const std::int64_t batch = a.size(0);
  return AddBias::apply(std::move(a), bias, batch);
}
Jet add_bias(Jet a, const Tensor& bias) {
  const std::int64_t batch = a.batch();
  return a.with(AddBias::apply(std::move(a.c), bias, batch));
}
Stock add_bias(const Stock& a, const Tensor& bias) { return {a.t + per_channel(bias, a.t.dim())}; }

Tensor join(Tensor a, const Tensor& b, const Tensor& bias) {
  const std::int64_t batch = a.size(0);
  return Join::apply(std::move(a), b, bias, batch);
}
Jet join(Jet a, const Jet& b, const Tensor& bias) {
  const std::int64_t batch = a.batch();
  return a.with(Join::apply(std::move(a.c), b.c, bias, batch));
}
Stock join(const Stock& a, const Stock& b, const Tensor& bias) { return {a.t + b.t + per_channel(bias, a.t.dim())}; }

Tensor act(Activation kind, const Tensor& x) { return activate(kind, x); }
Jet act(Activation kind, const Jet& x) { return activate(kind, x); }
Stock act(Activation kind, const Stock& x) { return {activate_stock(kind, x.t)}; }

Tensor pool(const Tensor& x) { return Pool::apply(x); }
Jet pool(const Jet& x) { return x.with(Pool::apply(x.c)); }
Stock pool(const Stock& x) { return {at::avg_pool2d(x.t, {2, 2})}; }

Tensor smooth(const Tensor& x) { return Smooth::apply(x); }
Jet smooth(const Jet& x) { return x.with(smooth(x.c)); }
Stock smooth(const Stock& x) { return {at::avg_pool2d(x.t, {5, 5}, {1, 1}, {2, 2})}; }

Tensor resize(const Tensor& x, std::int64_t height, std::int64_t width) {
  if (x.size(2) == height && x.size(3) == width) return x;
  return at::upsample_bilinear2d(x, {height, width}, /*align_corners=*/true);
}
Jet resize(const Jet& x, std::int64_t height, std::int64_t width) { return x.with(resize(x.c, height, width)); }
Stock resize(const Stock& x, std::int64_t height, std::int64_t width) { return {resize(x.t, height, width)}; }

Tensor flattened(const Tensor& x) { return x.flatten(1); }
Jet flattened(const Jet& x) { return x.with(x.c.flatten(1)); }
Stock flattened(const Stock& x) { return {x.t.flatten(1)}; }

Tensor concatenate(const Tensor& a, const Tensor& b) { return at::cat({a, b}, 1); }
Jet concatenate(const Jet& a, const Jet& b) { return a.with(at::cat({a.c, b.c}, 1)); }
Stock concatenate(const Stock& a, const Stock& b) { return {at::cat({a.t, b.t}, 1)}; }

Tensor scaled(const Tensor& x, double factor) { return factor == 1 ? x : x * factor; }
Jet scaled(const Jet& x, double factor) { return factor == 1 ? x : x * factor; }
Stock scaled(const Stock& x, double factor) { return {x.t * factor}; }
Tensor plus(const Tensor& a, const Tensor& b) { return a + b; }
Jet plus(const Jet& a, const Jet& b) { return a + b; }
Stock plus(const Stock& a, const Stock& b) { return {a.t + b.t}; }
Tensor times(const Tensor& a, const Tensor& b) { return a * b; }
Jet times(const Jet& a, const Jet& b) { return a * b; }
Stock times(const Stock& a, const Stock& b) { return {a.t * b.t}; }
Tensor squared(const Tensor& a) { return a.square(); }
Jet squared(const Jet& a) { return square(a); }
Stock squared(const Stock& a) { return {a.t.square()}; }

Tensor total(const Tensor& x) { return sum_event(x); }
Jet total(const Jet& x) { return x.c.dim() == 1 ? x : x.with(x.c.flatten(1).sum(1)); }
Stock total(const Stock& x) { return {sum_event(x.t)}; }

Tensor column(const Tensor& x) { return x.squeeze(1); }
Jet column(const Jet& x) { return x.with(x.c.squeeze(1)); }
Stock column(const Stock& x) { return {x.t.squeeze(1)}; }

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return affine(normalise(x, all_but_batch(x.dim())), weight, bias);
}
Jet layer_norm(const Jet& x, const Tensor& weight, const Tensor& bias) {
  return affine(normalise(x, all_but_batch(x.c.dim())), weight, bias);
}
Stock layer_norm(const Stock& x, const Tensor& weight, const Tensor& bias) {
  return {at::layer_norm(x.t, x.t.sizes().slice(1), weight, bias, kNormEpsilon)};
}

}  // namespace gibbsite
