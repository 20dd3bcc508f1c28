#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/data/transform.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

Tensor no_change(const Tensor& x) { return torch::zeros({x.size(0)}, x.options()); }

Tensor find_tensor(const NamedTensors& state, const std::string& name) {
  for (const auto& [key, value] : state)
    if (key == name) return value;
  throw WorkError("data transform", fmt::format("the stored state lacks '{}'", name));
}

const Config& find_setting(const Config& config, const std::string& key) {
  const Config* node = config.find(key);
  if (!node) throw WorkError("data transform", fmt::format("the stored settings lack '{}'", key));
  return *node;
}

Config as_array(const Shape& sizes) { return Config::array(std::vector<Config>(sizes.begin(), sizes.end())); }

Shape shape_of(const Config& node) {
  Shape sizes;
  for (const Config& item : node.items()) sizes.push_back(item.integer());
  return sizes;
}

class Affine : public Transform {
 public:
  Affine(const Tensor& shift, const Tensor& scale)
      : shift_(shift.detach().to(torch::kCPU, torch::kDouble)),
        scale_(scale.detach().to(torch::kCPU, torch::kDouble)) {}
  std::string kind() const override { return "affine"; }
  Tensor forward(const Tensor& x) const override { return (x - shift_.to(x.options())) * scale_.to(x.options()); }
  Tensor inverse(const Tensor& y) const override { return y / scale_.to(y.options()) + shift_.to(y.options()); }
  Tensor log_abs_det(const Tensor& x) const override {
    const double copies = static_cast<double>(x[0].numel()) / static_cast<double>(scale_.numel());
    return torch::full({x.size(0)}, copies * scale_.abs().log().sum().item<double>(), x.options());
  }
  Tensor pull_score(const Tensor&, const Tensor& score_y) const override {
    return score_y * scale_.to(score_y.options());
  }
  NamedTensors state() const override { return {{"shift", shift_}, {"scale", scale_}}; }

 private:
  Tensor shift_, scale_;
};

// An orthogonal turn of the flattened event followed by a scale for each direction, in float64 whatever the input.
class Whiten : public Transform {
 public:
  Whiten(Tensor mean, Tensor directions, Tensor scale)
      : mean_(std::move(mean)), directions_(std::move(directions)), scale_(std::move(scale)) {}
  std::string kind() const override { return "whiten"; }
  Tensor forward(const Tensor& x) const override {
    const Tensor centred = x.flatten(1).to(torch::kDouble) - mean_.to(x.device());
    return (centred.mm(directions_.to(x.device())) * scale_.to(x.device())).to(x.scalar_type()).view_as(x);
  }
  Tensor inverse(const Tensor& y) const override {
    const Tensor turned = y.flatten(1).to(torch::kDouble) / scale_.to(y.device());
    return (turned.mm(directions_.to(y.device()).t()) + mean_.to(y.device())).to(y.scalar_type()).view_as(y);
  }
  Tensor log_abs_det(const Tensor& x) const override {
    return torch::full({x.size(0)}, scale_.log().sum().item<double>(), x.options());
  }
  Tensor pull_score(const Tensor&, const Tensor& score_y) const override {
    const Tensor scaled = score_y.flatten(1).to(torch::kDouble) * scale_.to(score_y.device());
    return scaled.mm(directions_.to(score_y.device()).t()).to(score_y.scalar_type()).view_as(score_y);
  }
  NamedTensors state() const override { return {{"mean", mean_}, {"directions", directions_}, {"scale", scale_}}; }

 private:
  Tensor mean_, directions_, scale_;  // [D], [D, D] with directions in columns, [D]
};

class Logit : public Transform {
 public:
  explicit Logit(double alpha) : alpha_(alpha) {}
  std::string kind() const override { return "logit"; }
  Tensor forward(const Tensor& x) const override {
    const Tensor s = inner(x);
    return s.log() - torch::log1p(-s);
  }
  Tensor inverse(const Tensor& y) const override { return (torch::sigmoid(y) - alpha_) / (1 - 2 * alpha_); }
  Tensor log_abs_det(const Tensor& x) const override {
    const Tensor s = inner(x);
    return sum_event(std::log(1 - 2 * alpha_) - s.log() - torch::log1p(-s));
  }
  Tensor pull_score(const Tensor& x, const Tensor& score_y) const override {
    const Tensor s = inner(x);
    return (1 - 2 * alpha_) * (score_y + 2 * s - 1) / (s * (1 - s));
  }
  Config config() const override { return Config::table({{"alpha", alpha_}}); }

 private:
  double alpha_;
  Tensor inner(const Tensor& x) const { return alpha_ + (1 - 2 * alpha_) * x; }
};

class Noise : public Transform {
 public:
  bool is_noise() const override { return true; }
  Tensor forward(const Tensor& x) const override { return x; }
  Tensor inverse(const Tensor& y) const override { return y; }
  Tensor log_abs_det(const Tensor& x) const override { return no_change(x); }
  Tensor pull_score(const Tensor&, const Tensor& score_y) const override { return score_y; }
};

class Dequantise : public Noise {
 public:
  Dequantise(double width, double start) : width_(width), start_(start) {}
  std::string kind() const override { return "dequantise"; }
  Tensor prepare(const Tensor& x, Rng& rng) const override { return x + (start_ + width_ * rng.uniform(x.sizes(), x)); }
  Config config() const override { return Config::table({{"width", width_}, {"start", start_}}); }

 private:
  double width_, start_;
};

class GapDequantise : public Noise {
 public:
  explicit GapDequantise(Tensor gap) : gap_(std::move(gap)) {}
  std::string kind() const override { return "dequantise_gaps"; }
  Tensor prepare(const Tensor& x, Rng& rng) const override {
    return x + gap_.to(x.options()) * (2 * rng.uniform(x.sizes(), x) - 1);
  }
  NamedTensors state() const override { return {{"gap", gap_}}; }

 private:
  Tensor gap_;  // one event
};

class Jitter : public Noise {
 public:
  explicit Jitter(double sigma) : sigma_(sigma) {}
  std::string kind() const override { return "jitter"; }
  Tensor prepare(const Tensor& x, Rng& rng) const override { return x + sigma_ * rng.normal(x.sizes(), x); }
  Config config() const override { return Config::table({{"sigma", sigma_}}); }

 private:
  double sigma_;
};

class Binarise : public Noise {
 public:
  std::string kind() const override { return "binarise"; }
  Tensor prepare(const Tensor& x, Rng& rng) const override {
    return rng.uniform(x.sizes(), x).le(x).to(x.scalar_type());
  }
};

class Flip : public Noise {
 public:
  std::string kind() const override { return "flip"; }
  Tensor prepare(const Tensor& x, Rng& rng) const override {
    Shape rows(static_cast<std::size_t>(x.dim()), 1);
    rows[0] = x.size(0);
    return torch::where(rng.uniform({x.size(0)}, x).le(0.5).view(rows), x.flip(-1), x);
  }
};

class Clamp : public Transform {
 public:
  Clamp(double low, double high) : low_(low), high_(high) {}
  std::string kind() const override { return "clamp"; }
  Tensor forward(const Tensor& x) const override { return x.clamp(low_, high_); }
  Tensor inverse(const Tensor& y) const override { return y; }
  Tensor log_abs_det(const Tensor& x) const override { return no_change(x); }
  Tensor pull_score(const Tensor& x, const Tensor& score_y) const override {
    return torch::where((x >= low_) & (x <= high_), score_y, torch::zeros_like(score_y));
  }
  Config config() const override { return Config::table({{"low", low_}, {"high", high_}}); }

 private:
  double low_, high_;
};

class Pad : public Transform {
 public:
  Pad(std::int64_t margin, double value) : margin_(margin), value_(value) {}
  std::string kind() const override { return "pad"; }
  Shape output_event(const Shape& event) const override {
    if (event.size() < 2)
      throw RequestError("data.pad", fmt::format("an event of shape {} is no image", format_shape(event)));
    Shape out = event;
    for (std::size_t i = out.size() - 2; i < out.size(); ++i) out[i] += 2 * margin_;
    return out;
  }
  Tensor forward(const Tensor& x) const override {
    return torch::constant_pad_nd(x, {margin_, margin_, margin_, margin_}, value_);
  }
  Tensor inverse(const Tensor& y) const override { return crop(y); }
  Tensor log_abs_det(const Tensor& x) const override { return no_change(x); }
  Tensor pull_score(const Tensor&, const Tensor& score_y) const override { return crop(score_y); }
  Config config() const override { return Config::table({{"margin", margin_}, {"value", value_}}); }

 private:
  std::int64_t margin_;
  double value_;
  Tensor crop(const Tensor& y) const {
    return y.slice(-2, margin_, y.size(-2) - margin_).slice(-1, margin_, y.size(-1) - margin_);
  }
};

class Reshape : public Transform {
 public:
  Reshape(Shape from, Shape to) : from_(std::move(from)), to_(std::move(to)) {
    if (event_size(from_) != event_size(to_))
      throw RequestError("data",
                         fmt::format("events of shape {} cannot become {}", format_shape(from_), format_shape(to_)));
  }
  std::string kind() const override { return "reshape"; }
  Shape output_event(const Shape& event) const override {
    if (event != from_)
      throw RequestError("data",
                         fmt::format("events have shape {}, expected {}", format_shape(event), format_shape(from_)));
    return to_;
  }
  Tensor forward(const Tensor& x) const override { return reshaped(x, to_); }
  Tensor inverse(const Tensor& y) const override { return reshaped(y, from_); }
  Tensor log_abs_det(const Tensor& x) const override { return no_change(x); }
  Tensor pull_score(const Tensor&, const Tensor& score_y) const override { return reshaped(score_y, from_); }
  Config config() const override { return Config::table({{"from", as_array(from_)}, {"to", as_array(to_)}}); }

 private:
  Shape from_, to_;
  static Tensor reshaped(const Tensor& x, Shape event) {
    event.insert(event.begin(), x.size(0));
    return x.reshape(event);
  }
};

TransformPointer restore_whiten(const NamedTensors& state) {
  return std::make_shared<Whiten>(find_tensor(state, "mean"), find_tensor(state, "directions"),
                                  find_tensor(state, "scale"));
}

Tensor as_rows(const Tensor& x) { return x.detach().flatten(1).to(torch::kCPU, torch::kDouble); }

Tensor as_real(const Tensor& x) { return x.is_floating_point() ? x : x.to(torch::kFloat); }

}  // namespace

TransformPointer make_affine(const Tensor& shift, const Tensor& scale) {
  if ((scale == 0).any().item<bool>())
    throw RequestError("data transform", "an affine map with scale 0 has no inverse");
  return std::make_shared<Affine>(shift, scale);
}

TransformPointer make_range(double low, double high, bool symmetric) {
  if (!(high > low)) throw WorkError("data.scale", fmt::format("the range {} to {} of the values is empty", low, high));
  const double shift = symmetric ? 0.5 * (low + high) : low;
  return make_affine(torch::tensor({shift}, torch::kDouble),
                     torch::tensor({(symmetric ? 2 : 1) / (high - low)}, torch::kDouble));
}

TransformPointer fit_standardise(const Tensor& x) {
  const Tensor rows = as_rows(x);
  check_finite("data.scale", "x", rows);
  const Tensor mean = rows.mean(0);
  const Tensor deviation = (rows - mean).square().mean(0).sqrt();
  // A constant column keeps rounding noise in its deviation.
  const Tensor constant = deviation <= 1e-12 * rows.abs().amax(0);
  const Tensor scale = torch::where(constant, torch::ones_like(deviation), 1 / deviation);
  const Shape event = event_shape(x);
  return make_affine(mean.view(event), scale.view(event));
}

TransformPointer fit_whiten(const Tensor& x) {
  const Tensor rows = as_rows(x);
  check_finite("data.scale", "x", rows);
  const Tensor mean = rows.mean(0);
  const auto [u, s, vh] = torch::linalg_svd(rows - mean, /*full_matrices=*/false);
  const std::int64_t dimension = rows.size(1);
  const double floor = s.max().item<double>() * 2.3e-16 * static_cast<double>(std::max(rows.size(0), dimension));
  const std::int64_t kept = (s > floor).sum().item<std::int64_t>();
  if (kept < dimension)
    throw WorkError(
        "data.scale",
        fmt::format("whitening needs variance in every direction, {} of {} have none", dimension - kept, dimension),
        "constant or dependent columns; drop them, add data.dequantise or use \"standardise\"");
  return std::make_shared<Whiten>(mean, vh.t().contiguous(), std::sqrt(static_cast<double>(rows.size(0))) / s);
}

TransformPointer make_logit(double alpha) { return std::make_shared<Logit>(alpha); }
TransformPointer make_dequantise(double width, double start) { return std::make_shared<Dequantise>(width, start); }
TransformPointer make_clamp(double low, double high) { return std::make_shared<Clamp>(low, high); }

TransformPointer fit_gap_dequantise(const Tensor& x) {
  const Tensor rows = as_rows(x);
  check_finite("data.dequantise_gaps", "x", rows);
  Tensor gap = torch::zeros({rows.size(1)}, torch::kDouble);
  for (std::int64_t j = 0; j < rows.size(1); ++j) {
    const Tensor values = std::get<0>(torch::_unique(rows.select(1, j).contiguous(), /*sorted=*/true));
    const std::int64_t n = values.size(0) - 1;
    if (n < 1) continue;
    const Tensor gaps = std::get<0>(torch::sort(values.slice(0, 1) - values.slice(0, 0, n)));
    gap[j] = 0.5 * (gaps[(n - 1) / 2] + gaps[n / 2]);
  }
  return std::make_shared<GapDequantise>(gap.view(event_shape(x)));
}

TransformPointer make_binarise() { return std::make_shared<Binarise>(); }
TransformPointer make_jitter(double sigma) { return std::make_shared<Jitter>(sigma); }
TransformPointer make_flip() { return std::make_shared<Flip>(); }
TransformPointer make_pad(std::int64_t margin, double value) { return std::make_shared<Pad>(margin, value); }
TransformPointer make_reshape(const Shape& from, const Shape& to) { return std::make_shared<Reshape>(from, to); }

const std::vector<TransformEntry>& transform_table() {
  using C = const Config&;
  using S = const NamedTensors&;
  static const std::vector<TransformEntry> table = {
      {"affine", "shift and scale",
       [](C, S s) { return make_affine(find_tensor(s, "shift"), find_tensor(s, "scale")); }},
      {"whiten", "PCA whitening", [](C, S s) { return restore_whiten(s); }},
      {"logit", "logit of values in [0, 1]", [](C c, S) { return make_logit(find_setting(c, "alpha").real()); }},
      {"dequantise_gaps", "uniform noise as wide as the gaps of each column",
       [](C, S s) { return std::make_shared<GapDequantise>(find_tensor(s, "gap")); }},
      {"dequantise", "uniform noise",
       [](C c, S) {
         return make_dequantise(find_setting(c, "width").real(), c.contains("start") ? c.find("start")->real() : 0);
       }},
      {"clamp", "values outside a range moved to its edge",
       [](C c, S) { return make_clamp(find_setting(c, "low").real(), find_setting(c, "high").real()); }},
      {"binarise", "bits with the values as probabilities", [](C, S) { return make_binarise(); }},
      {"jitter", "Gaussian noise", [](C c, S) { return make_jitter(find_setting(c, "sigma").real()); }},
      {"flip", "images mirrored half of the time", [](C, S) { return make_flip(); }},
      {"pad", "a margin around images",
       [](C c, S) { return make_pad(find_setting(c, "margin").integer(), find_setting(c, "value").real()); }},
      {"reshape", "another event shape",
       [](C c, S) { return make_reshape(shape_of(find_setting(c, "from")), shape_of(find_setting(c, "to"))); }},
  };
  return table;
}

Shape Pipeline::output_event(Shape event) const {
  for (const TransformPointer& transform : transforms_) event = transform->output_event(event);
  return event;
}

Tensor Pipeline::forward(const Tensor& x) const {
  Tensor y = as_real(x);
  for (const TransformPointer& transform : transforms_) y = transform->forward(y);
  return y;
}

Tensor Pipeline::prepare(const Tensor& x, const Rng& rng) const {
  Tensor y = as_real(x);
  for (std::size_t k = 0; k < transforms_.size(); ++k) {
    Rng own = rng.stream(std::to_string(k));
    y = transforms_[k]->prepare(y, own);
  }
  return y;
}

Tensor Pipeline::inverse(const Tensor& y) const {
  Tensor x = y;
  for (auto transform = transforms_.rbegin(); transform != transforms_.rend(); ++transform)
    x = (*transform)->inverse(x);
  return x;
}

Tensor Pipeline::log_abs_det(const Tensor& x) const {
  Tensor y = as_real(x);
  Tensor total = no_change(y);
  for (const TransformPointer& transform : transforms_) {
    total = total + transform->log_abs_det(y);
    y = transform->forward(y);
  }
  return total;
}

Tensor Pipeline::pull_score(const Tensor& x, const Tensor& score_y) const {
  std::vector<Tensor> inputs;
  Tensor y = as_real(x);
  for (const TransformPointer& transform : transforms_) {
    inputs.push_back(y);
    y = transform->forward(y);
  }
  Tensor score = score_y;
  for (std::size_t k = transforms_.size(); k-- > 0;) score = transforms_[k]->pull_score(inputs[k], score);
  return score;
}

bool Pipeline::has_noise() const {
  return std::any_of(transforms_.begin(), transforms_.end(), [](const TransformPointer& t) { return t->is_noise(); });
}

Config Pipeline::config() const {
  std::vector<Config> items;
  for (const TransformPointer& transform : transforms_) {
    Config item = transform->config();
    item.set("kind", transform->kind());
    items.push_back(item);
  }
  return Config::array(items);
}

NamedTensors Pipeline::state() const {
  NamedTensors state;
  for (std::size_t k = 0; k < transforms_.size(); ++k)
    for (const auto& [name, value] : transforms_[k]->state()) state.emplace_back(fmt::format("{}/{}", k, name), value);
  return state;
}

Pipeline Pipeline::restore(const Config& config, const NamedTensors& state) {
  Pipeline pipeline;
  for (const Config& item : config.items()) {
    const std::string prefix = std::to_string(pipeline.transforms_.size()) + "/";
    NamedTensors own;
    for (const auto& [name, value] : state)
      if (name.compare(0, prefix.size(), prefix) == 0) own.emplace_back(name.substr(prefix.size()), value);
    const std::string kind = find_setting(item, "kind").string();
    const auto& table = transform_table();
    const auto entry =
        std::find_if(table.begin(), table.end(), [&](const TransformEntry& e) { return e.kind == kind; });
    if (entry == table.end()) throw WorkError("data transform", fmt::format("the stored kind '{}' is unknown", kind));
    pipeline.append(entry->restore(item, own));
  }
  return pipeline;
}

}  // namespace gibbsite
