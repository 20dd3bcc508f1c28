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

OneThread::OneThread() : before_(omp_get_max_threads()) {
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
};

PackedWeights::PackedWeights(std::int64_t outputs, std::int64_t inputs, bool transposed, ProductPrecision precision)
    : state_(std::make_unique<State>()) {
  const OneThread one;
  const memory::dims sizes = transposed ? memory::dims{outputs, inputs} : memory::dims{inputs, outputs};
  state_->plain = memory::desc(sizes, Type::f32, transposed ? Tag::ab : Tag::ba);
  state_->type = precision == ProductPrecision::kFloat32 ? Type::f32 : Type::bf16;
  const memory::desc any(sizes, state_->type, Tag::any);
  state_->packed = memory(product(kTypicalRows, any, state_->type, ProductEnd::kNothing).weights_desc(), engine());
}
PackedWeights::~PackedWeights() = default;

void PackedWeights::pack(const float* weight) {
  const OneThread one;
  // oneDNN reads through a pointer to mutable memory.
  memory from(state_->plain, engine(), const_cast<float*>(weight));
  dnnl::reorder(from, state_->packed).execute(stream(), from, state_->packed);
}

struct MatrixProduct::State {
  matmul primitive;
  memory weights, x, out, with, scratchpad;
  std::size_t scratch_bytes = 0;
  std::vector<dnnl_exec_arg_t> arguments;  // in the form that needs no allocation per product
};

MatrixProduct::MatrixProduct(const PackedWeights& weights, std::int64_t rows, ProductEnd end)
    : state_(std::make_unique<State>()) {
  const OneThread one;
  const matmul::primitive_desc description =
      product(rows, weights.state_->packed.get_desc(), weights.state_->type, end);
  state_->primitive = matmul(description);
  state_->x = memory(description.src_desc(), engine(), nullptr);
  state_->out = memory(description.dst_desc(), engine(), nullptr);
  state_->scratchpad = memory(description.scratchpad_desc(), engine(), nullptr);
  state_->weights = weights.state_->packed;
  state_->scratch_bytes = description.scratchpad_desc().get_size();
  state_->arguments = {{DNNL_ARG_SRC, state_->x.get()},
                       {DNNL_ARG_WEIGHTS, state_->weights.get()},
                       {DNNL_ARG_DST, state_->out.get()},
                       {DNNL_ARG_SCRATCHPAD, state_->scratchpad.get()}};
  if (end == ProductEnd::kBias) {
    state_->with = memory(description.bias_desc(), engine(), nullptr);
    state_->arguments.push_back({DNNL_ARG_BIAS, state_->with.get()});
  } else if (end == ProductEnd::kFactor) {
    state_->with = memory(description.dst_desc(), engine(), nullptr);
    state_->arguments.push_back({DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, state_->with.get()});
  }
}
MatrixProduct::~MatrixProduct() = default;
MatrixProduct::MatrixProduct(MatrixProduct&&) noexcept = default;
MatrixProduct& MatrixProduct::operator=(MatrixProduct&&) noexcept = default;

void MatrixProduct::operator()(const void* x, float* out, const float* with) {
  state_->x.set_data_handle(const_cast<void*>(x));
  state_->out.set_data_handle(out);
  if (state_->with) state_->with.set_data_handle(const_cast<float*>(with));
  state_->scratchpad.set_data_handle(scratch(state_->scratch_bytes));
  dnnl::error::wrap_c_api(dnnl_primitive_execute(state_->primitive.get(), stream().get(),
                                                 static_cast<int>(state_->arguments.size()), state_->arguments.data()),
                          "a matrix product failed");
}

void add_outer_product(const float* a, const float* b, float* out, std::int64_t rows, std::int64_t left,
                       std::int64_t right) {
  const memory::desc at({left, rows}, Type::f32, Tag::ba), with({rows, right}, Type::f32, Tag::ab),
      to({left, right}, Type::f32, Tag::ab);
  const matmul::primitive_desc description(matmul::desc(at, with, to), attributes(ProductEnd::kAdd, to), engine());
  memory scratchpad(description.scratchpad_desc(), engine(), scratch(description.scratchpad_desc().get_size()));
  matmul(description)
      .execute(stream(), {{DNNL_ARG_SRC, memory(at, engine(), const_cast<float*>(a))},
                          {DNNL_ARG_WEIGHTS, memory(with, engine(), const_cast<float*>(b))},
                          {DNNL_ARG_DST, memory(to, engine(), out)},
                          {DNNL_ARG_SCRATCHPAD, scratchpad}});
}

}  // namespace gibbsite
