#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <torch/types.h>

namespace gibbsite {

void check_finite(const std::string& where, const std::string& name, const Tensor& x) {
  if (x.isfinite().all().item<bool>()) return;
  const Tensor bad_rows = x.dim() == 0 ? Tensor() : (~x.isfinite()).reshape({x.size(0), -1}).any(1).nonzero();
  throw WorkError(where, bad_rows.defined() ? fmt::format("{} is not finite in row {} ({} of {} rows)", name,
                                                          bad_rows[0].item<std::int64_t>(), bad_rows.size(0), x.size(0))
                                            : fmt::format("{} is not finite", name));
}

void check_event(const std::string& where, const std::string& name, const Tensor& x, const Shape& event) {
  if (x.dim() >= 1 && event_shape(x) == event) return;
  throw WorkError(where, fmt::format("{} has shape {}, expected [B, {}]", name, format_shape(x.sizes()),
                                     format_shape(event).substr(1, format_shape(event).size() - 2)));
}

void check_per_example(const std::string& where, const std::string& name, const Tensor& x, const Tensor& like) {
  if (x.dim() == 1 && x.size(0) == like.size(0)) return;
  throw WorkError(where, fmt::format("{} has shape {}, expected [{}]", name, format_shape(x.sizes()), like.size(0)));
}

void check_positive(const std::string& where, const std::string& name, double value) {
  if (!(value > 0)) throw RequestError(where, fmt::format("{} is {}, expected a positive number", name, value));
}

std::string format_shape(at::IntArrayRef sizes) { return fmt::format("[{}]", fmt::join(sizes, ", ")); }

}  // namespace gibbsite
