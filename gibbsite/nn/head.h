// Heads that turn features into one energy per example.
#pragma once

#include <gibbsite/nn/operations.h>
#include <gibbsite/nn/parameters.h>

#include <string>

namespace gibbsite {

enum class HeadKind { kLinear, kQuadratic };

/// Linear: aᵀh + c. Quadratic: (a₁ᵀh + c₁)(a₂ᵀh + c₂) + a₃ᵀ(h∘h) + c₃ (deep energy of finite-difference score matching).
class Head {
 public:
  Head(Parameters& parameters, const std::string& name, std::int64_t features, HeadKind kind);
  /// h: [B, features] -> [B].
  template <class T>
  T forward(const T& h) const;

 private:
  HeadKind kind_;
  Tensor weight_[3], bias_[3];
};

}  // namespace gibbsite
