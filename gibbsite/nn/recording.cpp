#include <gibbsite/nn/recording.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

Recorded made(const Recorded& x, Instruction instruction, std::int64_t width) {
  return {x.recording, x.recording->add(std::move(instruction), width)};
}

std::int64_t width(const Recorded& x) { return x.recording->widths[x.value]; }

Instruction elementwise(PlanOperation operation, const Recorded& a, const Recorded& b) {
  Instruction instruction;
  instruction.operation = operation;
  instruction.a = a.value;
  instruction.b = b.value;
  return instruction;
}

}  // namespace

std::size_t Recording::add(Instruction instruction, std::int64_t width) {
  instruction.out = widths.size();
  widths.push_back(width);
  instructions.push_back(std::move(instruction));
  return widths.size() - 1;
}

Recorded start_recording(std::int64_t size) {
  auto recording = std::make_shared<Recording>();
  recording->widths = {size};
  return {recording, 0};
}

Recorded lin(const Recorded& x, const Tensor& weight, const Tensor& bias) {
  Instruction instruction = elementwise(PlanOperation::kLinear, x, x);
  instruction.weight = weight;
  instruction.bias = bias;
  return made(x, instruction, weight.size(0));
}

Recorded act(Activation kind, const Recorded& x) {
  if (kind == Activation::kIdentity) return x;
  Instruction instruction = elementwise(PlanOperation::kActivation, x, x);
  instruction.kind = kind;
  return made(x, instruction, width(x));
}

Recorded flattened(const Recorded& x) { return x; }
Recorded column(const Recorded& x) { return x; }

Recorded scaled(const Recorded& x, double factor) {
  Instruction instruction = elementwise(PlanOperation::kScale, x, x);
  instruction.factor = factor;
  return made(x, instruction, width(x));
}

Recorded plus(const Recorded& a, const Recorded& b) {
  return made(a, elementwise(PlanOperation::kAdd, a, b), width(a));
}
Recorded times(const Recorded& a, const Recorded& b) {
  return made(a, elementwise(PlanOperation::kMultiply, a, b), width(a));
}
Recorded squared(const Recorded& a) { return times(a, a); }
Recorded total(const Recorded& x) { return made(x, elementwise(PlanOperation::kSum, x, x), 1); }

Recorded layer_norm(const Recorded& x, const Tensor& /*weight*/, const Tensor& /*bias*/) {
  if (x.recording->unknown.empty()) x.recording->unknown = "layer norm";
  return x;
}

}  // namespace gibbsite
