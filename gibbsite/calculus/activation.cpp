#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gibbsite/calculus/activation.h>
#include <gibbsite/calculus/activation_kernels.h>
#include <gibbsite/core/error.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr std::int64_t kGrain = 16384;
constexpr double kLog2 = 0.693147180559945309417;
constexpr double kLeakySlope = 0.2;

bool has_kernel(const Tensor& z) {
  return z.device().is_cpu() && (z.scalar_type() == at::kFloat || z.scalar_type() == at::kDouble);
}

// Dense with the batch outermost, so that every slice of a jet is one contiguous piece.
Tensor dense(const Tensor& z) {
  const bool batch_outermost = z.dim() == 0 || z.size(0) <= 1 || z.stride(0) * z.size(0) == z.numel();
  return z.is_non_overlapping_and_dense() && batch_outermost ? z : z.contiguous();
}

Tensor like_layout(const Tensor& x, const Tensor& z) {
  if (x.strides() == z.strides()) return x;
  Tensor copy = at::empty_like(z);
  copy.copy_(x);
  return copy;
}

template <class Call>
void with_scalar(const Tensor& z, Call call) {
  if (z.scalar_type() == at::kFloat)
    call(float{});
  else
    call(double{});
}

// The composite of any order, for orders beyond the kernels and for devices without them.
Jet activate_composite(Activation kind, const Jet& z) {
  switch (kind) {
    case Activation::kIdentity: return z;
    case Activation::kSilu: return silu(z);
    case Activation::kSoftplus: return softplus(z);
    case Activation::kNormalisedSoftplus: return softplus(z) + (-kLog2);
    case Activation::kTanh: return tanh(z);
    case Activation::kSigmoid: return sigmoid(z);
    case Activation::kElu: return elu(z);
    case Activation::kRelu:
    case Activation::kLeakyRelu: break;
  }
  throw WorkError("activation", fmt::format("{} has no second derivative to take", activation_name(kind)));
}

Tensor derivative_composite(Activation kind, const Tensor& z, std::int64_t k) {
  if (kind == Activation::kRelu || kind == Activation::kLeakyRelu) {
    const double slope = kind == Activation::kRelu ? 0 : kLeakySlope;
    if (k > 1) return at::zeros_like(z);
    return at::where(z > 0, k == 0 ? z : at::ones_like(z), k == 0 ? z * slope : at::full_like(z, slope));
  }
  const Jet jet = activate_composite(kind, seed_jet(z, at::ones_like(z), std::max<std::int64_t>(k, 1)));
  return jet.derivative(k);
}

// out = g f^(k)(z). The family is closed: its derivatives are members of it.
struct ScaledDerivative : Function<ScaledDerivative> {
  static Tensor raw(Activation kind, std::int64_t k, const Tensor& g, const Tensor& z) {
    if (!has_kernel(z) || k > 3) {
      const Tensor d = derivative_composite(kind, z, k);
      return g.defined() ? g * d : d;
    }
    const Tensor zd = dense(z);
    const Tensor gd = g.defined() ? like_layout(g, zd) : g;
    Tensor out = at::empty_like(zd);
    with_scalar(zd, [&](auto scalar) {
      using Scalar = decltype(scalar);
      const Scalar* zp = zd.data_ptr<Scalar>();
      const Scalar* gp = gd.defined() ? gd.data_ptr<Scalar>() : nullptr;
      Scalar* op = out.data_ptr<Scalar>();
      at::parallel_for(0, zd.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
        kernels::scaled_derivative<Scalar>(static_cast<int>(kind), static_cast<int>(k), gp ? gp + begin : nullptr,
                                           zp + begin, op + begin, end - begin);
      });
    });
    return out;
  }

  static Tensor forward(AutogradContext* ctx, const Tensor& g, const Tensor& z, std::int64_t kind, std::int64_t k) {
    ctx->saved_data["kind"] = kind;
    ctx->saved_data["k"] = k;
    ctx->save_for_backward({g, z});
    return raw(static_cast<Activation>(kind), k, g, z);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const std::int64_t kind = ctx->saved_data["kind"].toInt(), k = ctx->saved_data["k"].toInt();
    const variable_list saved = ctx->get_saved_variables();
    const Tensor &h = grads[0], &g = saved[0], &z = saved[1];
    const bool need_g = ctx->needs_input_grad(0), need_z = ctx->needs_input_grad(1);
    Tensor dg, dz;
    if (at::GradMode::is_enabled() || k > 2 || !has_kernel(z)) {
      if (need_g) dg = apply(h, z, kind, k);
      if (need_z) dz = apply(h * g, z, kind, k + 1);
      return {dg, dz, Tensor(), Tensor()};
    }
    const Tensor zd = dense(z), gd = like_layout(g, zd), hd = like_layout(h, zd);
    if (need_g) dg = at::empty_like(zd);
    if (need_z) dz = at::empty_like(zd);
    with_scalar(zd, [&](auto scalar) {
      using Scalar = decltype(scalar);
      const Scalar *zp = zd.data_ptr<Scalar>(), *gp = gd.data_ptr<Scalar>(), *hp = hd.data_ptr<Scalar>();
      Scalar* dgp = need_g ? dg.data_ptr<Scalar>() : nullptr;
      Scalar* dzp = need_z ? dz.data_ptr<Scalar>() : nullptr;
      at::parallel_for(0, zd.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
        kernels::scaled_derivative_backward<Scalar>(static_cast<int>(kind), static_cast<int>(k), hp + begin, gp + begin,
                                                    zp + begin, dgp ? dgp + begin : nullptr,
                                                    dzp ? dzp + begin : nullptr, end - begin);
      });
    });
    return {dg, dz, Tensor(), Tensor()};
  }
};

// f(z), whose reverse pass is the scaled first derivative.
struct Value : Function<Value> {
  static Tensor forward(AutogradContext* ctx, const Tensor& z, std::int64_t kind) {
    ctx->saved_data["kind"] = kind;
    ctx->save_for_backward({z});
    return ScaledDerivative::raw(static_cast<Activation>(kind), 0, Tensor(), z);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {ScaledDerivative::apply(grads[0], ctx->get_saved_variables()[0], ctx->saved_data["kind"].toInt(),
                                    std::int64_t{1}),
            Tensor()};
  }
};

Tensor scaled_derivative(const Tensor& g, const Tensor& z, Activation kind, std::int64_t k) {
  return ScaledDerivative::apply(g, z, static_cast<std::int64_t>(kind), k);
}

struct FusedJet : Function<FusedJet> {
  static Tensor forward(AutogradContext* ctx, const Tensor& c, std::int64_t kind, std::int64_t order,
                        std::int64_t directions) {
    const Tensor z = dense(c);
    ctx->saved_data["kind"] = kind;
    ctx->saved_data["order"] = order;
    ctx->saved_data["directions"] = directions;
    ctx->save_for_backward({c});
    Tensor out = at::empty_like(z);
    const std::int64_t stride = z.numel() / (order + directions);
    with_scalar(z, [&](auto scalar) {
      using Scalar = decltype(scalar);
      const Scalar* zp = z.data_ptr<Scalar>();
      Scalar* op = out.data_ptr<Scalar>();
      at::parallel_for(0, stride, kGrain, [&](std::int64_t begin, std::int64_t end) {
        kernels::jet<Scalar>(static_cast<int>(kind), static_cast<int>(order), directions, zp + begin, op + begin,
                             end - begin, stride);
      });
    });
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto kind = static_cast<Activation>(ctx->saved_data["kind"].toInt());
    const std::int64_t order = ctx->saved_data["order"].toInt(), directions = ctx->saved_data["directions"].toInt();
    const Tensor c = ctx->get_saved_variables()[0];
    const Tensor& g = grads[0];
    if (at::GradMode::is_enabled())
      return {differentiable(kind, {c, order, directions}, g), Tensor(), Tensor(), Tensor()};
    const Tensor z = dense(c), gd = like_layout(g, z);
    Tensor dz = at::empty_like(z);
    const std::int64_t stride = z.numel() / (order + directions);
    with_scalar(z, [&](auto scalar) {
      using Scalar = decltype(scalar);
      const Scalar *zp = z.data_ptr<Scalar>(), *gp = gd.data_ptr<Scalar>();
      Scalar* dzp = dz.data_ptr<Scalar>();
      at::parallel_for(0, stride, kGrain, [&](std::int64_t begin, std::int64_t end) {
        kernels::jet_backward<Scalar>(static_cast<int>(kind), static_cast<int>(order), directions, gp + begin,
                                      zp + begin, dzp + begin, end - begin, stride);
      });
    });
    return {dz, Tensor(), Tensor(), Tensor()};
  }

  // The reverse pass in terms of the closed family, for graphs of the backward.
  static Tensor differentiable(Activation kind, const Jet& c, const Tensor& gradient) {
    const Jet g = c.with(gradient);
    const std::int64_t d = c.directions;
    const Tensor z0 = c.slice(0), z1 = c.stacked().narrow(0, 1, d), g1 = g.stacked().narrow(0, 1, d);
    Tensor dz0 = scaled_derivative(g.slice(0), z0, kind, 1);
    const Tensor z0_each = z0.unsqueeze(0).expand_as(z1);
    Tensor dz1 = scaled_derivative(g1, z0_each, kind, 1);
    Tensor cross = (z1 * g1).sum(0);
    if (c.order == 1) return at::cat({dz0 + scaled_derivative(cross, z0, kind, 2), dz1.flatten(0, 1)});
    const Tensor z2 = c.slice(1 + d), g2 = g.slice(1 + d);
    cross = cross + z2 * g2;
    dz0 = dz0 + scaled_derivative(cross, z0, kind, 2) + 0.5 * scaled_derivative(z1.square().sum(0) * g2, z0, kind, 3);
    dz1 = dz1 + scaled_derivative(z1 * g2, z0_each, kind, 2);
    return at::cat({dz0, dz1.flatten(0, 1), scaled_derivative(g2, z0, kind, 1)});
  }
};

struct NamedActivation {
  const char* name;
  Activation kind;
};
constexpr NamedActivation kNames[] = {
    {"identity", Activation::kIdentity},
    {"silu", Activation::kSilu},
    {"softplus", Activation::kSoftplus},
    {"normalised_softplus", Activation::kNormalisedSoftplus},
    {"tanh", Activation::kTanh},
    {"sigmoid", Activation::kSigmoid},
    {"elu", Activation::kElu},
    {"relu", Activation::kRelu},
    {"leaky_relu", Activation::kLeakyRelu},
};

}  // namespace

const Choices& activation_names() {
  static const Choices names = [] {
    Choices all;
    for (const NamedActivation& entry : kNames) all.emplace_back(entry.name);
    return all;
  }();
  return names;
}

Activation activation_from_name(const std::string& name) {
  for (const NamedActivation& entry : kNames)
    if (name == entry.name) return entry.kind;
  throw RequestError("", fmt::format("unknown activation '{}'", name));
}

std::string activation_name(Activation kind) {
  for (const NamedActivation& entry : kNames)
    if (kind == entry.kind) return entry.name;
  return "";
}

Tensor activate(Activation kind, const Tensor& z) {
  if (kind == Activation::kIdentity) return z;
  if (!z.requires_grad() || !at::GradMode::is_enabled()) return ScaledDerivative::raw(kind, 0, Tensor(), z);
  return Value::apply(z, static_cast<std::int64_t>(kind));
}

Jet activate(Activation kind, const Jet& z) {
  if (kind == Activation::kIdentity) return z;
  const bool smooth = kind != Activation::kRelu && kind != Activation::kLeakyRelu;
  if (!smooth || z.order > 2 || !has_kernel(z.c)) return activate_composite(kind, z);
  return z.with(FusedJet::apply(z.c, static_cast<std::int64_t>(kind), z.order, z.directions));
}

Tensor activate_stock(Activation kind, const Tensor& z) {
  switch (kind) {
    case Activation::kIdentity: return z;
    case Activation::kSilu: return at::silu(z);
    case Activation::kSoftplus: return at::softplus(z);
    case Activation::kNormalisedSoftplus: return at::softplus(z) - kLog2;
    case Activation::kTanh: return at::tanh(z);
    case Activation::kSigmoid: return at::sigmoid(z);
    case Activation::kElu: return at::elu(z);
    case Activation::kRelu: return at::relu(z);
    case Activation::kLeakyRelu: return at::leaky_relu(z, kLeakySlope);
  }
  return z;
}

}  // namespace gibbsite
