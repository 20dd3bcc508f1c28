#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <gibbsite/calculus/activation_kernels.h>
#include <gibbsite/core/error.h>
#include <gibbsite/nn/plan.h>
#include <gibbsite/nn/plan_kernels.h>
#include <torch/types.h>

#include <algorithm>
#include <mutex>
#include <numeric>

namespace gibbsite {
namespace {

constexpr std::int64_t kBlockRows = 64;
constexpr std::int64_t kNarrow = 8;  // layers with a side of at most this go without matrix products
constexpr std::size_t kNone = static_cast<std::size_t>(-1);

// A linear layer with its weights as the loops want them.
struct Layer {
  std::size_t weight = kNone, bias = kNone;  // positions among the parameters
  std::int64_t inputs = 0, outputs = 0;
  bool narrow_in = false, narrow_out = false;
  Tensor transposed;  // of a layer with few inputs: [inputs, outputs]
  struct Packed {
    std::unique_ptr<PackedWeights> forward, reverse;
  };
  Packed packed[2];  // by precision
};

// Where the numbers of every value are: values of one place share memory, of kNone there are none.
using Places = std::vector<std::size_t>;

// Numbers of the values of a plan for some rows, block after block; in a block slice after slice.
class Frame {
 public:
  Frame() = default;
  Frame(const std::vector<std::int64_t>& widths, const Places& places, std::int64_t rows, std::int64_t block,
        std::int64_t slices)
      : widths_(&widths), block_(block), slices_(slices), offsets_(widths.size(), -1) {
    std::vector<std::int64_t> sizes(widths.size(), 0), starts(widths.size(), 0);
    for (std::size_t v = 0; v < widths.size(); ++v)
      if (places[v] != kNone) sizes[places[v]] = std::max(sizes[places[v]], (slices * rows * widths[v] + 15) / 16 * 16);
    std::int64_t size = 0;
    for (std::size_t place = 0; place < sizes.size(); ++place) {
      starts[place] = size;
      size += sizes[place];
    }
    for (std::size_t v = 0; v < widths.size(); ++v)
      if (places[v] != kNone) offsets_[v] = starts[places[v]];
    numbers_ = torch::empty({size}, torch::kFloat);
    data_ = numbers_.data_ptr<float>();
  }
  float* at(std::size_t value, std::int64_t block) const {
    return data_ + offsets_[value] + slices_ * block_ * (*widths_)[value] * block;
  }

 private:
  const std::vector<std::int64_t>* widths_ = nullptr;
  std::int64_t block_ = 0, slices_ = 0;
  std::vector<std::int64_t> offsets_;
  Tensor numbers_;
  float* data_ = nullptr;
};

// Hands out places that are free.
class PlaceKeeper {
 public:
  std::size_t take() {
    if (free_.empty()) return count_++;
    const std::size_t place = free_.back();
    free_.pop_back();
    return place;
  }
  void give_back(std::size_t place) { free_.push_back(place); }

 private:
  std::size_t count_ = 0;
  std::vector<std::size_t> free_;
};

class Runner;

}  // namespace

struct Plan::State {
  ~State();
  Recording recording;
  std::vector<Tensor> parameters;
  std::vector<Layer> layers;          // by instruction; empty ones for those that are no linear layer
  std::vector<std::int64_t> offsets;  // of every parameter among the sums of a share, and their end
  Places all, slopes;                 // of values that are kept for reverse passes, and of slopes
  Places passing, passing_back;  // of values and adjoints that are needed once, in one pass over all rows of a block
  Places jets_back;              // the same of adjoints of jets, where none may lie where another is made from
  // Of a linear layer that alone reads an activation which alone reads its argument: the instruction of that activation, through
  // which adjoints go with the product; else kNone.
  std::vector<std::size_t> through;
  std::int64_t multiply_adds = 0, first_multiply_adds = 0;  // of a row; of the layers that take the event
  std::int64_t training_rows = 2 * kBlockRows;              // of all slices of a block that is kept for a reverse pass
  bool smooth = true;
  mutable std::mutex mutex;
  mutable std::vector<std::unique_ptr<Runner>> idle;
  mutable std::vector<std::pair<const void*, std::int64_t>> seen[2];  // what the packed weights were made of

  std::size_t values() const { return recording.widths.size(); }
  std::size_t energy() const { return values() - 1; }
  std::int64_t width(std::size_t value) const { return recording.widths[value]; }
  std::int64_t back(bool input) const { return multiply_adds - (input ? 0 : first_multiply_adds); }
  const float* numbers(std::size_t parameter) const { return parameters[parameter].data_ptr<float>(); }

  std::size_t position(const Tensor& parameter) {
    for (std::size_t i = 0; i < parameters.size(); ++i)
      if (parameters[i].is_same(parameter)) return i;
    parameters.push_back(parameter);
    return parameters.size() - 1;
  }
};

namespace {

// The part of a frame's work that belongs to one thread: its own products.
class Runner {
 public:
  Runner(const Plan::State& plan, ProductPrecision precision) : plan_(plan), precision_(precision) {}

  /// One that an earlier pass has left, with its products, or a new one.
  static std::shared_ptr<Runner> borrow(const Plan::State& plan) {
    std::unique_ptr<Runner> runner;
    {
      const std::lock_guard<std::mutex> lock(plan.mutex);
      if (!plan.idle.empty()) {
        runner = std::move(plan.idle.back());
        plan.idle.pop_back();
      }
    }
    if (!runner) runner = std::make_unique<Runner>(plan, ProductPrecision::kFloat32);
    return {runner.release(), [&plan](Runner* used) {
              const std::lock_guard<std::mutex> lock(plan.mutex);
              plan.idle.emplace_back(used);
            }};
  }

  /// Values of a block from its input, which is there. `slopes` null: of jets, whose reverse pass finds them again. `energy`
  /// false: that value may be left out.
  void forward(const Frame& values, const Frame* slopes, std::int64_t block, std::int64_t rows, PlanSlices slices,
               bool energy = true) {
    const std::int64_t stacked = slices.count() * rows;
    std::size_t end = plan_.recording.instructions.size();
    // A reverse pass looks at what a product of layers takes, not at what it makes.
    if (!energy && plan_.recording.instructions.back().operation == PlanOperation::kLinear) --end;
    for (std::size_t i = 0; i < end; ++i) {
      const Instruction& step = plan_.recording.instructions[i];
      const std::int64_t n = rows * plan_.width(step.out);
      const float* a = values.at(step.a, block);
      float* out = values.at(step.out, block);
      switch (step.operation) {
        case PlanOperation::kLinear: linear(i, a, out, stacked, rows); break;
        case PlanOperation::kActivation: {
          const int kind = static_cast<int>(step.kind);
          if (slices.order > 0)
            kernels::jet<float>(kind, static_cast<int>(slices.order), slices.directions, a, out, n, n);
          else
            kernels::value_and_slope<float>(kind, a, out, slopes->at(step.out, block), n);
          break;
        }
        case PlanOperation::kScale:
          kernels::add_product(a, nullptr, static_cast<float>(step.factor), out, slices.count() * n, false);
          break;
        case PlanOperation::kAdd:
          kernels::add_product(a, nullptr, 1, out, slices.count() * n, false);
          kernels::add_product(values.at(step.b, block), nullptr, 1, out, slices.count() * n, true);
          break;
        case PlanOperation::kMultiply: multiply(a, values.at(step.b, block), out, n, slices); break;
        case PlanOperation::kSum: kernels::sum_rows(a, out, stacked, plan_.width(step.a)); break;
      }
    }
  }

  /// Adjoints of a block from that of the energy, which is there. `sums` null: parameters are not wanted. `every`: those of all
  /// values are.
  void reverse(const Frame& values, const Frame* slopes, const Frame& adjoints, std::int64_t values_block,
               std::int64_t adjoints_block, std::int64_t rows, PlanSlices slices, bool input, bool every, float* sums) {
    start(plan_.energy());
    const std::int64_t stacked = slices.count() * rows;
    for (std::size_t i = plan_.recording.instructions.size(); i-- > 0;) {
      const Instruction& step = plan_.recording.instructions[i];
      if (!written_[step.out]) continue;
      const std::int64_t n = rows * plan_.width(step.out);
      const float* value = values.at(step.a, values_block);
      const float* g = adjoints.at(step.out, adjoints_block);
      float* to = adjoints.at(step.a, adjoints_block);
      const bool wanted = step.a != 0 || input;
      if (step.operation == PlanOperation::kLinear && sums) add_linear(i, g, value, stacked, rows, sums);
      if (!wanted && step.operation != PlanOperation::kMultiply && step.operation != PlanOperation::kAdd) continue;
      switch (step.operation) {
        case PlanOperation::kLinear: {
          const std::size_t activation = every || slices.order > 0 ? kNone : plan_.through[i];
          if (activation == kNone) {
            transposed(i, g, to, stacked, add(step.a) ? ProductEnd::kAdd : ProductEnd::kNothing, nullptr);
            break;
          }
          const std::size_t before = plan_.recording.instructions[activation].a;
          add(before);
          transposed(i, g, adjoints.at(before, adjoints_block), rows, ProductEnd::kFactor,
                     slopes->at(step.a, values_block));
          break;
        }
        case PlanOperation::kActivation: {
          const bool more = add(step.a);
          if (slices.order == 0) {
            kernels::add_product(g, slopes->at(step.out, values_block), 1, to, n, more);
            break;
          }
          const std::int64_t all = slices.count() * n;
          float* made = more ? scratch(all) : to;
          kernels::jet_backward<float>(static_cast<int>(step.kind), static_cast<int>(slices.order), slices.directions,
                                       g, value, made, n, n);
          if (more) kernels::add_product(made, nullptr, 1, to, all, true);
          break;
        }
        case PlanOperation::kScale:
          kernels::add_product(g, nullptr, static_cast<float>(step.factor), to, slices.count() * n, add(step.a));
          break;
        case PlanOperation::kAdd:
          if (wanted) kernels::add_product(g, nullptr, 1, to, slices.count() * n, add(step.a));
          if (step.b != 0 || input)
            kernels::add_product(g, nullptr, 1, adjoints.at(step.b, adjoints_block), slices.count() * n, add(step.b));
          break;
        case PlanOperation::kMultiply:
          if (wanted) multiply_reverse(g, values.at(step.b, values_block), to, n, slices, add(step.a));
          if (step.b != 0 || input)
            multiply_reverse(g, value, adjoints.at(step.b, adjoints_block), n, slices, add(step.b));
          break;
        case PlanOperation::kSum: kernels::spread_rows(g, to, stacked, plan_.width(step.a), add(step.a)); break;
      }
    }
  }

  /// The derivatives of every value along a direction of the input, which is there.
  void tangents(const Frame& values, const Frame& slopes, const Frame& along, std::int64_t values_block,
                std::int64_t block, std::int64_t rows) {
    for (std::size_t i = 0; i < plan_.recording.instructions.size(); ++i) {
      const Instruction& step = plan_.recording.instructions[i];
      const std::int64_t n = rows * plan_.width(step.out);
      const float* a = along.at(step.a, block);
      float* out = along.at(step.out, block);
      switch (step.operation) {
        case PlanOperation::kLinear: linear(i, a, out, rows, 0); break;
        case PlanOperation::kActivation:
          kernels::add_product(a, slopes.at(step.out, values_block), 1, out, n, false);
          break;
        case PlanOperation::kScale:
          kernels::add_product(a, nullptr, static_cast<float>(step.factor), out, n, false);
          break;
        case PlanOperation::kAdd:
          kernels::add_product(a, nullptr, 1, out, n, false);
          kernels::add_product(along.at(step.b, block), nullptr, 1, out, n, true);
          break;
        case PlanOperation::kMultiply:
          kernels::add_product(a, values.at(step.b, values_block), 1, out, n, false);
          kernels::add_product(values.at(step.a, values_block), along.at(step.b, block), 1, out, n, true);
          break;
        case PlanOperation::kSum: kernels::sum_rows(a, out, rows, plan_.width(step.a)); break;
      }
    }
  }

  /// Reverse pass of the derivative of the energy along a direction: `adjoints` are those of the energy, `second` those of this
  /// one. Returns whether anything reached the input.
  bool reverse_tangents(const Frame& values, const Frame& adjoints, const Frame& along, const Frame& second,
                        std::int64_t kept, std::int64_t block, std::int64_t rows, bool input, float* sums) {
    start(kNone);
    for (std::size_t i = plan_.recording.instructions.size(); i-- > 0;) {
      const Instruction& step = plan_.recording.instructions[i];
      const std::int64_t n = rows * plan_.width(step.out);
      const float *value = values.at(step.a, kept), *tangent = along.at(step.a, block),
                  *b = adjoints.at(step.out, kept);
      const float* c = written_[step.out] ? second.at(step.out, block) : nullptr;
      float* to = second.at(step.a, block);
      const bool wanted = step.a != 0 || input;
      if (step.operation == PlanOperation::kLinear && sums) {
        add_linear(i, b, tangent, rows, 0, sums);
        if (c) add_linear(i, c, value, rows, rows, sums);
      }
      switch (step.operation) {
        case PlanOperation::kLinear:
          if (c && wanted) transposed(i, c, to, rows, add(step.a) ? ProductEnd::kAdd : ProductEnd::kNothing, nullptr);
          break;
        case PlanOperation::kActivation: {
          if (!wanted) break;
          const bool more = add(step.a);
          float* made = more ? scratch(n) : to;
          kernels::bend<float>(static_cast<int>(step.kind), c, value, tangent, b, made, n);
          if (more) kernels::add_product(made, nullptr, 1, to, n, true);
          break;
        }
        case PlanOperation::kScale:
          if (c && wanted) kernels::add_product(c, nullptr, static_cast<float>(step.factor), to, n, add(step.a));
          break;
        case PlanOperation::kAdd:
          if (!c) break;
          if (wanted) kernels::add_product(c, nullptr, 1, to, n, add(step.a));
          if (step.b != 0 || input) kernels::add_product(c, nullptr, 1, second.at(step.b, block), n, add(step.b));
          break;
        case PlanOperation::kMultiply: {
          const float *other = values.at(step.b, kept), *other_tangent = along.at(step.b, block);
          if (wanted) {
            kernels::add_product(b, other_tangent, 1, to, n, add(step.a));
            if (c) kernels::add_product(c, other, 1, to, n, true);
          }
          if (step.b == 0 && !input) break;
          float* to_b = second.at(step.b, block);
          kernels::add_product(b, tangent, 1, to_b, n, add(step.b));
          if (c) kernels::add_product(c, value, 1, to_b, n, true);
          break;
        }
        case PlanOperation::kSum:
          if (c && wanted) kernels::spread_rows(c, to, rows, plan_.width(step.a), add(step.a));
          break;
      }
    }
    return written_[0];
  }

 private:
  const Plan::State& plan_;
  ProductPrecision precision_;
  std::vector<bool> written_;
  struct Made {
    bool reverse;
    ProductEnd end;
    std::int64_t rows;
    MatrixProduct product;
  };
  struct Outer {
    std::int64_t rows;
    OuterProduct product;
  };
  std::vector<std::vector<Made>> products_;  // by instruction
  std::vector<std::vector<Outer>> outer_;    // by instruction
  std::vector<float> scratch_;
  std::vector<std::uint16_t> halves_;

  float* scratch(std::int64_t n) {
    if (static_cast<std::int64_t>(scratch_.size()) < n) scratch_.resize(static_cast<std::size_t>(n));
    return scratch_.data();
  }

  void start(std::size_t value) {
    written_.assign(plan_.values(), false);
    if (value != kNone) written_[value] = true;
  }
  // Whether numbers are there already, to which more are added.
  bool add(std::size_t value) {
    const bool before = written_[value];
    written_[value] = true;
    return before;
  }

  void multiply_packed(std::size_t i, bool reverse, const float* x, float* out, std::int64_t rows, ProductEnd end,
                       const float* with) {
    const Layer& layer = plan_.layers[i];
    const Layer::Packed& packed = layer.packed[static_cast<int>(precision_)];
    if (products_.empty()) products_.resize(plan_.layers.size());
    std::vector<Made>& made = products_[i];
    auto found = std::find_if(made.begin(), made.end(), [&](const Made& one) {
      return one.reverse == reverse && one.end == end && one.rows == rows;
    });
    if (found == made.end())
      found = made.insert(found, {reverse, end, rows, {reverse ? *packed.reverse : *packed.forward, rows, end}});
    if (precision_ == ProductPrecision::kFloat32) {
      found->product(x, out, with);
      return;
    }
    const std::int64_t n = rows * (reverse ? layer.outputs : layer.inputs);
    if (static_cast<std::int64_t>(halves_.size()) < n) halves_.resize(static_cast<std::size_t>(n));
    kernels::to_bfloat16(x, halves_.data(), n);
    found->product(halves_.data(), out, with);
  }

  // The bias goes to the first `biased` rows.
  void linear(std::size_t i, const float* x, float* out, std::int64_t rows, std::int64_t biased) {
    const Layer& layer = plan_.layers[i];
    const float* bias = layer.bias == kNone || biased == 0 ? nullptr : plan_.numbers(layer.bias);
    if (!layer.narrow_out && !layer.narrow_in && bias && biased == rows) {
      multiply_packed(i, false, x, out, rows, ProductEnd::kBias, bias);
      return;
    }
    if (layer.narrow_out)
      kernels::contract(x, plan_.numbers(layer.weight), out, rows, layer.outputs, layer.inputs, false);
    else if (layer.narrow_in)
      kernels::expand(x, layer.transposed.data_ptr<float>(), out, rows, layer.inputs, layer.outputs, false);
    else
      multiply_packed(i, false, x, out, rows, ProductEnd::kNothing, nullptr);
    if (bias) kernels::add_row(out, bias, biased, layer.outputs);
  }

  void transposed(std::size_t i, const float* g, float* to, std::int64_t rows, ProductEnd end, const float* factors) {
    const Layer& layer = plan_.layers[i];
    const bool more = end == ProductEnd::kAdd;
    if (layer.narrow_in && !layer.narrow_out && !factors) {
      kernels::contract(g, layer.transposed.data_ptr<float>(), to, rows, layer.inputs, layer.outputs, more);
      return;
    }
    if (!layer.narrow_out) {
      multiply_packed(i, true, g, to, rows, end, factors);
      return;
    }
    kernels::expand(g, plan_.numbers(layer.weight), to, rows, layer.outputs, layer.inputs, more);
    if (factors) kernels::add_product(to, factors, 1, to, rows * layer.inputs, false);
  }

  // Σ g ⊗ x of the weight, and of the bias Σ g over the first `biased` rows.
  void add_linear(std::size_t i, const float* g, const float* x, std::int64_t rows, std::int64_t biased, float* sums) {
    const Layer& layer = plan_.layers[i];
    float* weight = sums + plan_.offsets[layer.weight];
    if (layer.narrow_out) {
      kernels::gather(g, x, weight, rows, layer.outputs, layer.inputs);
    } else if (layer.narrow_in) {
      const std::int64_t size = layer.inputs * layer.outputs;
      float* by_input = scratch(size);
      std::fill_n(by_input, size, 0.0F);
      kernels::gather(x, g, by_input, rows, layer.inputs, layer.outputs);
      for (std::int64_t k = 0; k < layer.inputs; ++k)
        for (std::int64_t j = 0; j < layer.outputs; ++j)
          weight[j * layer.inputs + k] += by_input[k * layer.outputs + j];
    } else {
      if (outer_.empty()) outer_.resize(plan_.layers.size());
      auto found = std::find_if(outer_[i].begin(), outer_[i].end(), [&](const Outer& one) { return one.rows == rows; });
      if (found == outer_[i].end()) found = outer_[i].insert(found, {rows, {rows, layer.outputs, layer.inputs}});
      found->product(g, x, weight);
    }
    if (layer.bias != kNone) kernels::add_columns(g, sums + plan_.offsets[layer.bias], biased, layer.outputs);
  }

  // Taylor coefficients of a product.
  static void multiply(const float* a, const float* b, float* out, std::int64_t n, PlanSlices slices) {
    kernels::add_product(a, b, 1, out, n, false);
    for (std::int64_t s = 1; s < slices.count(); ++s) {
      kernels::add_product(a, b + s * n, 1, out + s * n, n, false);
      kernels::add_product(a + s * n, b, 1, out + s * n, n, true);
    }
    if (slices.order < 2) return;
    float* last = out + (1 + slices.directions) * n;
    for (std::int64_t d = 1; d <= slices.directions; ++d) kernels::add_product(a + d * n, b + d * n, 1, last, n, true);
  }

  // To one factor, from the other.
  static void multiply_reverse(const float* g, const float* other, float* to, std::int64_t n, PlanSlices slices,
                               bool more) {
    kernels::add_product(g, other, 1, to, n, more);
    for (std::int64_t s = 1; s < slices.count(); ++s) {
      kernels::add_product(g + s * n, other + s * n, 1, to, n, true);
      kernels::add_product(g + s * n, other, 1, to + s * n, n, more);
    }
    if (slices.order < 2) return;
    const float* last = g + (1 + slices.directions) * n;
    for (std::int64_t d = 1; d <= slices.directions; ++d)
      kernels::add_product(last, other + d * n, 1, to + d * n, n, true);
  }
};

}  // namespace

Plan::State::~State() = default;

namespace {

// Rows first … first + rows of slices [count, B, width] to a frame's block and back.
void take(const float* from, std::int64_t batch, std::int64_t first, std::int64_t rows, std::int64_t slices,
          std::int64_t width, float* to) {
  for (std::int64_t s = 0; s < slices; ++s)
    std::copy_n(from + (s * batch + first) * width, rows * width, to + s * rows * width);
}
void give(const float* from, std::int64_t batch, std::int64_t first, std::int64_t rows, std::int64_t slices,
          std::int64_t width, float* to) {
  for (std::int64_t s = 0; s < slices; ++s)
    std::copy_n(from + s * rows * width, rows * width, to + (s * batch + first) * width);
}

// Rows of one thread.
struct Rows {
  std::int64_t first = 0, count = 0;
};

// As many rows for every thread, in whole blocks.
std::vector<Rows> divide(std::int64_t batch, std::int64_t block) {
  const std::int64_t blocks = (batch + block - 1) / block;
  const std::int64_t threads = std::clamp<std::int64_t>(at::in_parallel_region() ? 1 : at::get_num_threads(), 1,
                                                        std::max<std::int64_t>(blocks, 1));
  std::vector<Rows> shares;
  for (std::int64_t t = 0; t < threads; ++t) {
    const std::int64_t first = std::min(batch, blocks * t / threads * block);
    shares.push_back({first, std::min(batch, blocks * (t + 1) / threads * block) - first});
  }
  return shares;
}

// work(share, runner), a thread each.
template <class Work>
void for_each_share(const Plan::State& plan, std::size_t shares, Work work) {
  at::parallel_for(0, static_cast<std::int64_t>(shares), 1, [&](std::int64_t begin, std::int64_t end) {
    const OneThread one;
    const std::shared_ptr<Runner> runner = Runner::borrow(plan);
    for (std::int64_t s = begin; s < end; ++s) work(static_cast<std::size_t>(s), *runner);
  });
}

// work(number of the block, first row, rows)
template <class Work>
void for_each_block(const Rows& rows, std::int64_t block, Work work) {
  for (std::int64_t done = 0; done < rows.count; done += block)
    work(done / block, rows.first + done, std::min(block, rows.count - done));
}

// Gradients of the parameters, a sum for every share.
class Sums {
 public:
  Sums(const Plan::State& plan, std::size_t shares, bool wanted) : plan_(plan) {
    if (wanted) numbers_ = torch::empty({static_cast<std::int64_t>(shares), plan.offsets.back()}, torch::kFloat);
  }
  bool wanted() const { return numbers_.defined(); }
  // Of a share, at zero; null where no sums are wanted.
  float* begin(std::size_t share) const {
    if (!wanted()) return nullptr;
    float* own = numbers_.data_ptr<float>() + static_cast<std::int64_t>(share) * plan_.offsets.back();
    std::fill_n(own, plan_.offsets.back(), 0.0F);
    return own;
  }
  // Of all shares, by parameter; empty where none are wanted.
  std::vector<Tensor> finish() const {
    std::vector<Tensor> parts;
    if (!wanted()) return parts;
    constexpr std::int64_t kGrain = 1 << 18;
    float* first = numbers_.data_ptr<float>();
    const std::int64_t size = plan_.offsets.back(), shares = numbers_.size(0);
    if (shares > 1)
      at::parallel_for(0, size, kGrain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t s = 1; s < shares; ++s)
          kernels::add_product(first + s * size + begin, nullptr, 1, first + begin, end - begin, true);
      });
    const Tensor total = numbers_[0];
    for (std::size_t i = 0; i < plan_.parameters.size(); ++i)
      parts.push_back(total.narrow(0, plan_.offsets[i], plan_.parameters[i].numel()).view(plan_.parameters[i].sizes()));
    return parts;
  }

 private:
  const Plan::State& plan_;
  Tensor numbers_;
};

class Run : public PlanRun {
 public:
  Run(const Plan::State& plan, const Tensor& x, PlanSlices slices, bool keep) : plan_(plan), slices_(slices) {
    const std::int64_t count = slices.count(), width = plan.width(0);
    batch_ = x.size(0) / count;
    block_ = std::clamp<std::int64_t>(plan.training_rows / count / 16 * 16, 16, 512);
    shares_ = divide(batch_, block_);
    energies_ = torch::empty({count * batch_}, torch::kFloat);
    for (const Rows& share : shares_) {
      const std::int64_t rows = keep ? share.count : std::min(block_, share.count);
      values_.emplace_back(plan.recording.widths, keep || count > 1 ? plan.all : plan.passing, rows, block_, count);
      if (count == 1) slopes_.emplace_back(plan.recording.widths, plan.slopes, rows, block_, 1);
    }
    report_multiply_adds(count * batch_ * plan.multiply_adds);
    const float* from = x.data_ptr<float>();
    float* to = energies_.data_ptr<float>();
    for_each_share(plan_, shares_.size(), [&](std::size_t s, Runner& runner) {
      for_each_block(shares_[s], block_, [&](std::int64_t number, std::int64_t first, std::int64_t rows) {
        const std::int64_t block = keep ? number : 0;
        take(from, batch_, first, rows, count, width, values_[s].at(0, block));
        runner.forward(values_[s], slopes(s), block, rows, slices_);
        give(values_[s].at(plan_.energy(), block), batch_, first, rows, count, 1, to);
      });
    });
  }

  const Tensor& energies() const override { return energies_; }

  Gradients reverse(const Tensor& seed, bool input, bool parameters, bool keep) const override {
    const std::int64_t count = slices_.count(), width = plan_.width(0);
    Gradients gradients;
    if (input) gradients.input = torch::empty({count * batch_, width}, torch::kFloat);
    const Sums sums(plan_, shares_.size(), parameters);
    const Tensor seeds = seed.to(torch::kFloat).contiguous();
    const auto adjoints = std::make_shared<std::vector<Frame>>();
    for (const Rows& share : shares_)
      adjoints->emplace_back(plan_.recording.widths,
                             keep         ? plan_.all
                             : count == 1 ? plan_.passing_back
                                          : plan_.jets_back,
                             keep ? share.count : std::min(block_, share.count), block_, count);
    if (keep) gradients.adjoints = adjoints;
    report_multiply_adds(count * batch_ * (plan_.back(input) + (parameters ? plan_.multiply_adds : 0)));
    for_each_share(plan_, shares_.size(), [&](std::size_t s, Runner& runner) {
      const Frame& local = (*adjoints)[s];
      float* own = sums.begin(s);
      for_each_block(shares_[s], block_, [&](std::int64_t block, std::int64_t first, std::int64_t rows) {
        const std::int64_t to = keep ? block : 0;
        take(seeds.data_ptr<float>(), batch_, first, rows, count, 1, local.at(plan_.energy(), to));
        runner.reverse(values_[s], slopes(s), local, block, to, rows, slices_, input, keep, own);
        if (input) give(local.at(0, to), batch_, first, rows, count, width, gradients.input.data_ptr<float>());
      });
    });
    gradients.parameters = sums.finish();
    return gradients;
  }

  GradientReverse reverse_gradient(const Gradients& gradient, const Tensor& direction, bool input,
                                   bool parameters) const override {
    const auto& adjoints = *static_cast<const std::vector<Frame>*>(gradient.adjoints.get());
    const std::int64_t width = plan_.width(0);
    GradientReverse gradients;
    gradients.along = torch::empty({batch_}, torch::kFloat);
    if (input) gradients.input = torch::zeros({batch_, width}, torch::kFloat);
    const Sums sums(plan_, shares_.size(), parameters);
    const Tensor h = direction.to(torch::kFloat).reshape({batch_, width}).contiguous();
    std::vector<Frame> along, second;
    for (const Rows& share : shares_) {
      const std::int64_t rows = std::min(block_, share.count);
      along.emplace_back(plan_.recording.widths, plan_.all, rows, block_, 1);
      second.emplace_back(plan_.recording.widths, plan_.jets_back, rows, block_, 1);
    }
    report_multiply_adds(batch_ *
                         (plan_.multiply_adds * (parameters ? 3 : 1) + (input || parameters ? plan_.back(input) : 0)));
    for_each_share(plan_, shares_.size(), [&](std::size_t s, Runner& runner) {
      float* own = sums.begin(s);
      for_each_block(shares_[s], block_, [&](std::int64_t block, std::int64_t first, std::int64_t rows) {
        take(h.data_ptr<float>(), batch_, first, rows, 1, width, along[s].at(0, 0));
        runner.tangents(values_[s], slopes_[s], along[s], block, 0, rows);
        give(along[s].at(plan_.energy(), 0), batch_, first, rows, 1, 1, gradients.along.data_ptr<float>());
        if (!input && !parameters) return;
        const bool reached =
            runner.reverse_tangents(values_[s], adjoints[s], along[s], second[s], block, 0, rows, input, own);
        if (input && reached)
          give(second[s].at(0, 0), batch_, first, rows, 1, width, gradients.input.data_ptr<float>());
      });
    });
    gradients.parameters = sums.finish();
    return gradients;
  }

 private:
  const Plan::State& plan_;
  PlanSlices slices_;
  std::int64_t batch_ = 0, block_ = 0;
  std::vector<Rows> shares_;
  std::vector<Frame> values_, slopes_;  // by share; of jets there are no slopes
  Tensor energies_;

  const Frame* slopes(std::size_t share) const { return slopes_.empty() ? nullptr : &slopes_[share]; }
};

void find_places(Plan::State& plan) {
  const std::vector<Instruction>& instructions = plan.recording.instructions;
  std::vector<std::size_t> readers(plan.values(), 0), last(plan.values(), 0), made(plan.values(), kNone);
  const auto reads_twice = [](const Instruction& step) {
    return step.operation == PlanOperation::kAdd || step.operation == PlanOperation::kMultiply;
  };
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    const Instruction& step = instructions[i];
    made[step.out] = i;
    for (const std::size_t value : {step.a, reads_twice(step) ? step.b : step.a}) {
      // Reverse passes read the factors of a product again.
      last[value] = step.operation == PlanOperation::kMultiply ? instructions.size() : std::max(last[value], i);
    }
    ++readers[step.a];
    if (reads_twice(step)) ++readers[step.b];
  }
  last[plan.energy()] = instructions.size();

  plan.through.assign(instructions.size(), kNone);
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    const Instruction& step = instructions[i];
    if (step.operation != PlanOperation::kLinear || step.a == 0 || readers[step.a] != 1) continue;
    const std::size_t before = made[step.a];
    const bool activation = instructions[before].operation == PlanOperation::kActivation;
    if (activation && instructions[before].a != 0 && readers[instructions[before].a] == 1) plan.through[i] = before;
  }

  PlaceKeeper forward;
  plan.passing.assign(plan.values(), kNone);
  plan.passing[0] = forward.take();
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    const Instruction& step = instructions[i];
    const bool in_place = step.operation == PlanOperation::kActivation && last[step.a] == i;
    plan.passing[step.out] = in_place ? plan.passing[step.a] : forward.take();
    if (in_place) continue;
    if (last[step.a] == i) forward.give_back(plan.passing[step.a]);
    if (reads_twice(step) && step.b != step.a && last[step.b] == i) forward.give_back(plan.passing[step.b]);
  }
  const auto backward = [&](bool activations_in_place) {
    PlaceKeeper keeper;
    Places places(plan.values(), kNone);
    places[plan.energy()] = keeper.take();
    for (std::size_t i = instructions.size(); i-- > 0;) {
      const Instruction& step = instructions[i];
      std::size_t& out = places[step.out];
      if (out == kNone) out = keeper.take();
      if (activations_in_place && step.operation == PlanOperation::kActivation && places[step.a] == kNone) {
        places[step.a] = out;
        continue;
      }
      for (const std::size_t value : {step.a, reads_twice(step) ? step.b : step.a})
        if (places[value] == kNone) places[value] = keeper.take();
      keeper.give_back(out);
    }
    return places;
  };
  plan.passing_back = backward(true);
  plan.jets_back = backward(false);
}

class Worker : public PlanWorker {
 public:
  Worker(const Plan::State& plan, ProductPrecision precision)
      : plan_(plan),
        runner_(plan, precision),
        values_(plan.recording.widths, plan.passing, kBlockRows, kBlockRows, 1),
        slopes_(plan.recording.widths, plan.slopes, kBlockRows, kBlockRows, 1),
        adjoints_(plan.recording.widths, plan.passing_back, kBlockRows, kBlockRows, 1) {}

  void operator()(const float* x, std::int64_t rows, float* energy, float* score) override {
    const OneThread one;
    const std::int64_t width = plan_.width(0);
    for (std::int64_t first = 0; first < rows; first += kBlockRows) {
      const std::int64_t count = std::min(kBlockRows, rows - first);
      std::copy_n(x + first * width, count * width, values_.at(0, 0));
      runner_.forward(values_, &slopes_, 0, count, {}, energy != nullptr);
      if (energy) std::copy_n(values_.at(plan_.energy(), 0), count, energy + first);
      if (!score) continue;
      std::fill_n(adjoints_.at(plan_.energy(), 0), count, -1.0F);
      runner_.reverse(values_, &slopes_, adjoints_, 0, 0, count, {}, true, false, nullptr);
      std::copy_n(adjoints_.at(0, 0), count * width, score + first * width);
    }
  }

 private:
  const Plan::State& plan_;
  Runner runner_;
  Frame values_, slopes_, adjoints_;
};

}  // namespace

void report_multiply_adds(std::int64_t count) {
  RECORD_FUNCTION("gibbsite::plan", std::vector<c10::IValue>{c10::IValue(count)});
}

std::string Plan::obstacle(const Recorded& energy) {
  const Recording& recording = *energy.recording;
  if (!recording.unknown.empty()) return recording.unknown;
  if (energy.value + 1 != recording.widths.size() || recording.widths.back() != 1) return "a network without energy";
  for (const Instruction& step : recording.instructions)
    for (const Tensor& parameter : {step.weight, step.bias})
      if (parameter.defined() &&
          !(parameter.device().is_cpu() && parameter.scalar_type() == torch::kFloat && parameter.is_contiguous()))
        return "parameters that are not float32 on the CPU";
  return {};
}

Plan::Plan(const Recorded& energy) : state_(std::make_unique<State>()) {
  if (const std::string reason = obstacle(energy); !reason.empty()) throw WorkError("plan", reason);
  State& plan = *state_;
  plan.recording = *energy.recording;
  const std::vector<Instruction>& instructions = plan.recording.instructions;
  plan.layers.resize(instructions.size());
  plan.all.resize(plan.values());
  std::iota(plan.all.begin(), plan.all.end(), std::size_t{0});
  plan.slopes.assign(plan.values(), kNone);
  for (std::size_t i = 0; i < instructions.size(); ++i) {
    const Instruction& step = instructions[i];
    if (step.operation == PlanOperation::kActivation) {
      plan.slopes[step.out] = step.out;
      plan.smooth = plan.smooth && step.kind != Activation::kRelu && step.kind != Activation::kLeakyRelu;
    }
    if (step.operation != PlanOperation::kLinear) continue;
    Layer& layer = plan.layers[i];
    layer.weight = plan.position(step.weight);
    if (step.bias.defined()) layer.bias = plan.position(step.bias);
    layer.outputs = step.weight.size(0);
    layer.inputs = step.weight.size(1);
    layer.narrow_out = layer.outputs <= kNarrow;
    layer.narrow_in = !layer.narrow_out && layer.inputs <= kNarrow;
    plan.multiply_adds += layer.outputs * layer.inputs;
    // Weights that leave no room in the cache come anew for every block: then blocks are larger.
    plan.training_rows =
        std::clamp<std::int64_t>(layer.outputs * layer.inputs / 512, plan.training_rows, 8 * kBlockRows);
    if (step.a == 0) plan.first_multiply_adds += layer.outputs * layer.inputs;
  }
  find_places(plan);
  plan.offsets = {0};
  for (const Tensor& parameter : plan.parameters) plan.offsets.push_back(plan.offsets.back() + parameter.numel());
}
Plan::~Plan() = default;

const std::vector<Tensor>& Plan::parameters() const { return state_->parameters; }
std::int64_t Plan::event_size() const { return state_->width(0); }
bool Plan::smooth() const { return state_->smooth; }
std::int64_t Plan::block_rows() { return kBlockRows; }
std::int64_t Plan::multiply_adds() const { return state_->multiply_adds; }

void Plan::prepare(ProductPrecision precision) const {
  State& plan = *state_;
  auto& seen = plan.seen[static_cast<int>(precision)];
  std::vector<std::pair<const void*, std::int64_t>> now;
  now.reserve(plan.parameters.size());
  for (const Tensor& parameter : plan.parameters) now.emplace_back(parameter.data_ptr(), parameter._version());
  if (now == seen) return;
  for (Layer& layer : plan.layers) {
    if (layer.weight == kNone || layer.narrow_out) continue;
    if (layer.narrow_in) layer.transposed = plan.parameters[layer.weight].detach().t().contiguous();
    Layer::Packed& packed = layer.packed[static_cast<int>(precision)];
    if (!packed.forward) {
      packed.forward = std::make_unique<PackedWeights>(layer.outputs, layer.inputs, false, precision);
      packed.reverse = std::make_unique<PackedWeights>(layer.outputs, layer.inputs, true, precision);
    }
    packed.forward->pack(plan.numbers(layer.weight));
    packed.reverse->pack(plan.numbers(layer.weight));
  }
  seen = std::move(now);
}

std::unique_ptr<PlanRun> Plan::run(const Tensor& x, PlanSlices slices, bool keep) const {
  return std::make_unique<Run>(*state_, x, slices, keep);
}

Plan::ScoreFit Plan::fit_score(const Tensor& x, const Tensor& target, const Tensor& weight, bool parameters) const {
  const State& plan = *state_;
  const std::int64_t batch = x.size(0), width = plan.width(0), block = plan.training_rows;
  const std::vector<Rows> shares = divide(batch, block);
  const Sums sums(plan, shares.size(), parameters);
  ScoreFit fit;
  fit.distances = torch::empty({batch}, torch::kFloat);
  float* distances = fit.distances.data_ptr<float>();
  const float *points = x.data_ptr<float>(), *targets = target.data_ptr<float>(), *weights = weight.data_ptr<float>();
  const std::vector<std::int64_t>& widths = plan.recording.widths;
  report_multiply_adds(
      batch * (plan.multiply_adds + plan.back(true) + (parameters ? 3 * plan.multiply_adds + plan.back(false) : 0)));
  struct Frames {
    Frame values, slopes, adjoints, along, second;
  };
  std::vector<Frames> frames;
  for (const Rows& share : shares) {
    const auto frame = [&](const Places& places) {
      return Frame(widths, places, std::min(block, share.count), block, 1);
    };
    frames.push_back({frame(plan.all), frame(plan.slopes), frame(plan.all), frame(plan.all), frame(plan.jets_back)});
  }
  for_each_share(plan, shares.size(), [&](std::size_t s, Runner& runner) {
    float* own = sums.begin(s);
    const Frames& f = frames[s];
    for_each_block(shares[s], block, [&](std::int64_t, std::int64_t first, std::int64_t rows) {
      take(points, batch, first, rows, 1, width, f.values.at(0, 0));
      runner.forward(f.values, &f.slopes, 0, rows, {}, false);
      std::fill_n(f.adjoints.at(plan.energy(), 0), rows, 1.0F);
      runner.reverse(f.values, &f.slopes, f.adjoints, 0, 0, rows, {}, true, true, nullptr);
      const float* gradient = f.adjoints.at(0, 0);
      float* direction = f.along.at(0, 0);
      for (std::int64_t i = 0; i < rows; ++i) {
        float squares = 0;
        for (std::int64_t k = i * width; k < (i + 1) * width; ++k) {
          const float residual = gradient[k] + targets[first * width + k];  // of minus the score
          squares += residual * residual;
          direction[k] = weights[first + i] * residual;
        }
        distances[first + i] = 0.5F * squares;
      }
      if (!own) return;
      runner.tangents(f.values, f.slopes, f.along, 0, 0, rows);
      runner.reverse_tangents(f.values, f.adjoints, f.along, f.second, 0, 0, rows, false, own);
    });
  });
  fit.parameters = sums.finish();
  return fit;
}

std::unique_ptr<PlanWorker> Plan::worker(ProductPrecision precision) const {
  return std::make_unique<Worker>(*state_, precision);
}

}  // namespace gibbsite
