#include <ATen/Parallel.h>
#include <gibbsite/nn/matrix_product.h>
#include <omp.h>

#include <dnnl.hpp>
#include <vector>

namespace gibbsite {
namespace {

using dnnl::matmul;
using dnnl::memory;
using Tag = memory::format_tag;
using Type = memory::data_type;

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::stream& stream() {
  static thread_local dnnl::stream of_thread(engine());
  return of_thread;
}

// Working memory, given by the caller so that a product of one thread never shares it with another.
void* scratch(std::size_t bytes) {
  static thread_local std::vector<char> buffer;
  if (buffer.size() < bytes) buffer.resize(bytes);
  return buffer.data();
}

dnnl::primitive_attr attributes(ProductEnd end, const memory::desc& out) {
  dnnl::primitive_attr made;
  made.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops more;
  if (end == ProductEnd::kAdd) more.append_sum(1.0F);
  if (end == ProductEnd::kFactor) more.append_binary(dnnl::algorithm::binary_mul, out);
  made.set_post_ops(more);
  return made;
}

// Where the layout of the weights is chosen.
constexpr std::int64_t kTypicalRows = 64;

matmul::primitive_desc product(std::int64_t rows, const memory::desc& weights, Type type, ProductEnd end) {
  const memory::desc x({rows, weights.dims()[0]}, type, Tag::ab);
  const memory::desc out({rows, weights.dims()[1]}, Type::f32, Tag::ab);
  const memory::desc row({1, weights.dims()[1]}, Type::f32, Tag::ab);
  const dnnl::primitive_attr attribute = attributes(end, out);
  if (end == ProductEnd::kBias) return {matmul::desc(x, weights, row, out), attribute, engine()};
  return {matmul::desc(x, weights, out), attribute, engine()};
}

}  // namespace

// A new thread takes LibTorch's number at its first use of LibTorch, which would undo any other: here it is asked for.
OneThread::OneThread() : before_(at::get_num_threads()) {
  if (before_ != 1) omp_set_num_threads(1);
}
OneThread::~OneThread() {
  if (before_ != 1) omp_set_num_threads(before_);
}

bool has_bfloat16_products() {
  return dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core_bf16 &&
         dnnl::get_effective_cpu_isa() != dnnl::cpu_isa::avx2_vnni;
}

struct PackedWeights::State {
  memory::desc plain;
  Type type;
  memory packed;
  dnnl::reorder reorder;
};

PackedWeights::PackedWeights(std::int64_t outputs, std::int64_t inputs, bool transposed, ProductPrecision precision)
    : state_(std::make_unique<State>()) {
  const OneThread one;
  const memory::dims sizes = transposed ? memory::dims{outputs, inputs} : memory::dims{inputs, outputs};
  state_->plain = memory::desc(sizes, Type::f32, transposed ? Tag::ab : Tag::ba);
  state_->type = precision == ProductPrecision::kFloat32 ? Type::f32 : Type::bf16;
  const memory::desc any(sizes, state_->type, Tag::any);
  state_->packed = memory(product(kTypicalRows, any, state_->type, ProductEnd::kNothing).weights_desc(), engine());
  state_->reorder = dnnl::reorder(memory(state_->plain, engine(), nullptr), state_->packed);
}
PackedWeights::~PackedWeights() = default;

void PackedWeights::pack(const float* weight) {
  const OneThread one;
  // oneDNN reads through a pointer to mutable memory.
  memory from(state_->plain, engine(), const_cast<float*>(weight));
  state_->reorder.execute(stream(), from, state_->packed);
}

namespace {

// A product whose memories are named once; `with` is the bias, the factors or nothing.
struct Prepared {
  matmul primitive;
  memory x, weights, out, with, scratchpad;
  std::size_t scratch_bytes = 0;
  std::vector<dnnl_exec_arg_t> arguments;  // in the form that needs no allocation per product

  Prepared(const matmul::primitive_desc& description, ProductEnd end)
      : primitive(description),
        x(description.src_desc(), engine(), nullptr),
        weights(description.weights_desc(), engine(), nullptr),
        out(description.dst_desc(), engine(), nullptr),
        scratchpad(description.scratchpad_desc(), engine(), nullptr),
        scratch_bytes(description.scratchpad_desc().get_size()) {
    arguments = {{DNNL_ARG_SRC, x.get()},
                 {DNNL_ARG_WEIGHTS, weights.get()},
                 {DNNL_ARG_DST, out.get()},
                 {DNNL_ARG_SCRATCHPAD, scratchpad.get()}};
    if (end == ProductEnd::kBias) {
      with = memory(description.bias_desc(), engine(), nullptr);
      arguments.push_back({DNNL_ARG_BIAS, with.get()});
    } else if (end == ProductEnd::kFactor) {
      with = memory(description.dst_desc(), engine(), nullptr);
      arguments.push_back({DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, with.get()});
    }
  }

  void run(const void* left, const void* right, float* to, const float* more) {
    x.set_data_handle(const_cast<void*>(left));
    weights.set_data_handle(const_cast<void*>(right));
    out.set_data_handle(to);
    if (with) with.set_data_handle(const_cast<float*>(more));
    scratchpad.set_data_handle(scratch(scratch_bytes));
    dnnl::error::wrap_c_api(
        dnnl_primitive_execute(primitive.get(), stream().get(), static_cast<int>(arguments.size()), arguments.data()),
        "a matrix product failed");
  }
};

matmul::primitive_desc outer(std::int64_t rows, std::int64_t left, std::int64_t right) {
  const memory::desc a({left, rows}, Type::f32, Tag::ba), b({rows, right}, Type::f32, Tag::ab),
      out({left, right}, Type::f32, Tag::ab);
  return {matmul::desc(a, b, out), attributes(ProductEnd::kAdd, out), engine()};
}

}  // namespace

struct MatrixProduct::State {
  Prepared product;
  memory weights;
};

MatrixProduct::MatrixProduct(const PackedWeights& weights, std::int64_t rows, ProductEnd end) {
  const OneThread one;
  const memory& packed = weights.state_->packed;
  state_ = std::make_unique<State>(State{{product(rows, packed.get_desc(), weights.state_->type, end), end}, packed});
}
MatrixProduct::~MatrixProduct() = default;
MatrixProduct::MatrixProduct(MatrixProduct&&) noexcept = default;
MatrixProduct& MatrixProduct::operator=(MatrixProduct&&) noexcept = default;

void MatrixProduct::operator()(const void* x, float* out, const float* with) {
  state_->product.run(x, state_->weights.get_data_handle(), out, with);
}

struct OuterProduct::State {
  Prepared product;
};

OuterProduct::OuterProduct(std::int64_t rows, std::int64_t left, std::int64_t right) {
  const OneThread one;
  state_ = std::make_unique<State>(State{{outer(rows, left, right), ProductEnd::kAdd}});
}
OuterProduct::~OuterProduct() = default;
OuterProduct::OuterProduct(OuterProduct&&) noexcept = default;
OuterProduct& OuterProduct::operator=(OuterProduct&&) noexcept = default;

void OuterProduct::operator()(const float* a, const float* b, float* out) { state_->product.run(a, b, out, nullptr); }

}  // namespace gibbsite
