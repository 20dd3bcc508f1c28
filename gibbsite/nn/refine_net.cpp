#include <fmt/format.h>
#include <gibbsite/nn/channel_norms.h>
#include <gibbsite/nn/refine_net.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

constexpr std::int64_t kStagesPerUnit = 2, kAdaptUnits = 2, kPools = 2;

Tensor rows(const Tensor& table, const Tensor& labels) {
  return table.index_select(0, labels).unsqueeze(2).unsqueeze(3);
}

std::int64_t height(const Tensor& x) { return x.size(2); }
std::int64_t height(const Jet& x) { return x.c.size(2); }
std::int64_t height(const Stock& x) { return x.t.size(2); }
std::int64_t width(const Tensor& x) { return x.size(3); }
std::int64_t width(const Jet& x) { return x.c.size(3); }
std::int64_t width(const Stock& x) { return x.t.size(3); }

}  // namespace

RefineNet::Norm RefineNet::make_norm(Parameters& parameters, const std::string& name, std::int64_t channels) const {
  const Shape sizes = {shape_.classes, channels};
  return {parameters.normal(name + ".gamma", sizes, 0.02, 1), parameters.normal(name + ".alpha", sizes, 0.02, 1),
          parameters.constant(name + ".beta", sizes, 0)};
}

namespace {

struct Made {
  Tensor weight, bias;
};

Made make_convolution(Parameters& parameters, const std::string& name, std::int64_t in, std::int64_t out,
                      std::int64_t size, bool bias) {
  Made made;
  made.weight = parameters.weight(name + ".weight", {out, in, size, size});
  if (bias) made.bias = parameters.bias(name + ".bias", out, in * size * size);
  return made;
}

}  // namespace

RefineNet::Residual RefineNet::make_residual(Parameters& parameters, const std::string& name, std::int64_t in,
                                             std::int64_t out, bool down, std::int64_t dilation) const {
  Residual block;
  block.halves = down && dilation == 1;
  const auto convolution = [&](const char* part, std::int64_t from, std::int64_t to, std::int64_t size) {
    const Made made = make_convolution(parameters, name + part, from, to, size, true);
    return Convolution{made.weight, made.bias, dilation};
  };
  // A "down" block widens in its second convolution, another one in its first.
  const std::int64_t middle = down ? in : out;
  block.norms[0] = make_norm(parameters, name + ".norm1", in);
  block.convolutions[0] = convolution(".first", in, middle, 3);
  block.norms[1] = make_norm(parameters, name + ".norm2", middle);
  block.convolutions[1] = convolution(".second", middle, out, 3);
  if (down || in != out) block.shortcut = convolution(".shortcut", in, out, block.halves ? 1 : 3);
  return block;
}

RefineNet::Units RefineNet::make_units(Parameters& parameters, const std::string& name, std::int64_t channels,
                                       std::int64_t units) const {
  Units made(static_cast<std::size_t>(units));
  for (std::size_t u = 0; u < made.size(); ++u)
    for (std::int64_t s = 1; s <= kStagesPerUnit; ++s) {
      const std::string stage = fmt::format("{}.unit{}.stage{}", name, u + 1, s);
      const Norm norm = make_norm(parameters, stage + ".norm", channels);
      made[u].push_back({norm, {make_convolution(parameters, stage, channels, channels, 3, false).weight, {}, 1}});
    }
  return made;
}

RefineNet::Refine RefineNet::make_refine(Parameters& parameters, const std::string& name,
                                         const std::vector<std::int64_t>& in, std::int64_t out,
                                         std::int64_t output_units) const {
  Refine refine;
  for (std::size_t i = 0; i < in.size(); ++i)
    refine.adapt.push_back(make_units(parameters, fmt::format("{}.adapt{}", name, i + 1), in[i], kAdaptUnits));
  if (in.size() > 1)
    for (std::size_t i = 0; i < in.size(); ++i) {
      const std::string part = fmt::format("{}.fusion{}", name, i + 1);
      const Norm norm = make_norm(parameters, part + ".norm", in[i]);
      const Made made = make_convolution(parameters, part, in[i], out, 3, true);
      refine.fusion.push_back({norm, {made.weight, made.bias, 1}});
    }
  for (std::int64_t i = 1; i <= kPools; ++i) {
    const std::string part = fmt::format("{}.pooling{}", name, i);
    const Norm norm = make_norm(parameters, part + ".norm", out);
    refine.pooling.push_back({norm, {make_convolution(parameters, part, out, out, 3, false).weight, {}, 1}});
  }
  refine.output = make_units(parameters, name + ".output", out, output_units);
  return refine;
}

RefineNet::RefineNet(Parameters& parameters, const std::string& name, const RefineShape& shape) : shape_(shape) {
  const std::int64_t g = shape.filters;
  const Made begin = make_convolution(parameters, name + ".begin", shape.channels, g, 3, true);
  begin_ = {begin.weight, begin.bias, 1};
  const std::int64_t widths[] = {g, g, 2 * g, 2 * g, 2 * g}, dilations[] = {1, 1, 2, 4};
  for (int s = 0; s < 4; ++s) {
    const std::string stage = fmt::format("{}.stage{}", name, s + 1);
    stages_[s].push_back(make_residual(parameters, stage + ".block1", widths[s], widths[s + 1], s > 0, dilations[s]));
    stages_[s].push_back(
        make_residual(parameters, stage + ".block2", widths[s + 1], widths[s + 1], false, dilations[s]));
  }
  refines_[0] = make_refine(parameters, name + ".refine1", {2 * g}, 2 * g, 1);
  refines_[1] = make_refine(parameters, name + ".refine2", {2 * g, 2 * g}, 2 * g, 1);
  refines_[2] = make_refine(parameters, name + ".refine3", {2 * g, 2 * g}, g, 1);
  refines_[3] = make_refine(parameters, name + ".refine4", {g, g}, g, 3);
  end_norm_ = make_norm(parameters, name + ".end.norm", g);
  const Made end = make_convolution(parameters, name + ".end", g, shape.channels, 3, true);
  end_ = {end.weight, end.bias, 1};
}

template <class T>
T RefineNet::run(const T& x, const Convolution& convolution) const {
  // The padding that keeps the size.
  const std::int64_t padding = convolution.dilation * (convolution.weight.size(2) / 2);
  T y = conv(x, convolution.weight, 1, padding, convolution.dilation);
  return convolution.bias.defined() ? add_bias(y, convolution.bias) : y;
}

template <class T>
T RefineNet::run(const T& x, const Norm& norm, const Tensor& labels) const {
  return conditional_instance_norm(x, rows(norm.gamma, labels), rows(norm.alpha, labels), rows(norm.beta, labels));
}

template <class T>
T RefineNet::run(const T& x, const Residual& block, const Tensor& labels) const {
  T h = run(act(shape_.activation, run(x, block.norms[0], labels)), block.convolutions[0]);
  h = run(act(shape_.activation, run(h, block.norms[1], labels)), block.convolutions[1]);
  T shortcut = block.shortcut.weight.defined() ? run(x, block.shortcut) : x;
  // Pooling is linear: once after the sum is the same as once in each summand.
  h = plus(h, shortcut);
  return block.halves ? pool(h) : h;
}

template <class T>
T RefineNet::run(const T& x, const Units& units, const Tensor& labels) const {
  T h = x;
  for (const std::vector<Stage>& unit : units) {
    T inner = h;
    for (const Stage& stage : unit)
      inner = run(act(shape_.activation, run(inner, stage.norm, labels)), stage.convolution);
    h = plus(inner, h);
  }
  return h;
}

template <class T>
T RefineNet::run(const std::vector<T>& inputs, const Refine& refine, const Tensor& labels) const {
  std::vector<T> adapted;
  for (std::size_t i = 0; i < inputs.size(); ++i) adapted.push_back(run(inputs[i], refine.adapt[i], labels));
  T h = adapted[0];
  if (!refine.fusion.empty()) {
    for (std::size_t i = 0; i < adapted.size(); ++i) {
      const T part = resize(run(run(adapted[i], refine.fusion[i].norm, labels), refine.fusion[i].convolution),
                            height(inputs[0]), width(inputs[0]));
      h = i == 0 ? part : plus(h, part);
    }
  }
  h = act(shape_.activation, h);
  T path = h;
  for (const Stage& stage : refine.pooling) {
    path = run(smooth(run(path, stage.norm, labels)), stage.convolution);
    h = plus(path, h);
  }
  return run(h, refine.output, labels);
}

template <class T>
T RefineNet::forward(const T& x, const Tensor& labels) const {
  T h = run(x, begin_);
  std::vector<T> outputs;
  for (const std::vector<Residual>& stage : stages_) {
    for (const Residual& block : stage) h = run(h, block, labels);
    outputs.push_back(h);
  }
  T refined = run(std::vector<T>{outputs[3]}, refines_[0], labels);
  for (int i = 1; i < 4; ++i) refined = run(std::vector<T>{outputs[3 - i], refined}, refines_[i], labels);
  return run(act(shape_.activation, run(refined, end_norm_, labels)), end_);
}

template Tensor RefineNet::forward(const Tensor&, const Tensor&) const;
template Jet RefineNet::forward(const Jet&, const Tensor&) const;
template Stock RefineNet::forward(const Stock&, const Tensor&) const;

}  // namespace gibbsite
