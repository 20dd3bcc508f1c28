// A network as a list of instructions: what its template does to Recorded values. A plan runs the list.
#pragma once

#include <gibbsite/calculus/activation.h>
#include <gibbsite/core/tensor.h>

#include <memory>
#include <string>
#include <vector>

namespace gibbsite {

enum class PlanOperation { kLinear, kActivation, kScale, kAdd, kMultiply, kSum };

/// Values are numbered; every one is a row of `width` numbers per example.
struct Instruction {
  PlanOperation operation;
  std::size_t a = 0, b = 0, out = 0;  ///< b: of kAdd and kMultiply
  Tensor weight, bias;                ///< kLinear: [out, in] and [out] or undefined
  Activation kind = Activation::kIdentity;
  double factor = 1;
};

struct Recording {
  std::vector<std::int64_t> widths;  ///< of value 0, the event, and of all others
  std::vector<Instruction> instructions;
  std::string unknown;  ///< the first layer that has no instruction, empty where every one has

  std::size_t add(Instruction instruction, std::int64_t width);
};

struct Recorded {
  std::shared_ptr<Recording> recording;
  std::size_t value = 0;
};

/// Starts with an event of `size` numbers.
Recorded start_recording(std::int64_t size);

Recorded lin(const Recorded& x, const Tensor& weight, const Tensor& bias);
Recorded act(Activation kind, const Recorded& x);
Recorded flattened(const Recorded& x);
Recorded column(const Recorded& x);
Recorded scaled(const Recorded& x, double factor);
Recorded plus(const Recorded& a, const Recorded& b);
Recorded times(const Recorded& a, const Recorded& b);
Recorded squared(const Recorded& a);
Recorded total(const Recorded& x);
/// Names the layer as one that plans do not know; the result has no meaning.
Recorded layer_norm(const Recorded& x, const Tensor& weight, const Tensor& bias);

}  // namespace gibbsite
