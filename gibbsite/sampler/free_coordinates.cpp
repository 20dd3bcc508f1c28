#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/sampler/free_coordinates.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

// `rows` rows of what has one row for each chain, or one for all.
Tensor for_rows(const Tensor& x, std::int64_t rows) {
  if (x.size(0) == rows) return x;
  if (x.size(0) == 1) {
    Shape shape = x.sizes().vec();
    shape[0] = rows;
    return x.expand(shape);
  }
  return x.repeat_interleave(rows / x.size(0), 0);
}

}  // namespace

FreeCoordinates FreeCoordinates::entries(const Tensor& held, const Tensor& free) {
  if (held.sizes() != free.sizes())
    throw RequestError("free coordinates", fmt::format("the mask is {}, the points are {}", format_shape(free.sizes()),
                                                       format_shape(held.sizes())));
  const Tensor marks = free.to(torch::kBool).flatten(1);
  const Tensor counts = marks.sum(1);
  if (marks.size(0) == 0 || counts.min().item<std::int64_t>() == 0)
    throw RequestError("free coordinates", fmt::format("row {} has no free entry",
                                                       marks.size(0) ? counts.argmin().item<std::int64_t>() : 0));
  FreeCoordinates made;
  made.held_ = held.detach();
  made.size_ = counts.max().item<std::int64_t>();
  // Free places first, in their order.
  const Tensor place = torch::arange(marks.size(1), torch::dtype(torch::kLong).device(held.device())).expand_as(marks);
  const Tensor keyed = torch::where(marks, place, torch::full_like(place, marks.size(1)));
  made.index_ = std::get<0>(keyed.sort(1)).narrow(1, 0, made.size_).contiguous();
  const Tensor surplus = made.index_.eq(marks.size(1));
  if (surplus.any().item<bool>()) made.surplus_ = surplus.to(held.scalar_type());
  return made;
}

FreeCoordinates FreeCoordinates::directions(const Tensor& held, const Tensor& basis) {
  if (held.dim() != 2 || basis.dim() != 3 || basis.size(1) != held.size(1) || basis.size(2) == 0 ||
      (basis.size(0) != 1 && basis.size(0) != held.size(0)))
    throw RequestError("free coordinates", fmt::format("a basis of shape {} does not go with points of shape {}",
                                                       format_shape(basis.sizes()), format_shape(held.sizes())));
  FreeCoordinates made;
  made.held_ = held.detach();
  made.basis_ = basis.detach();
  made.size_ = basis.size(2);
  return made;
}

Tensor FreeCoordinates::embed(const Tensor& u) const {
  const std::int64_t rows = u.size(0);
  const Tensor held = for_rows(held_, rows);
  if (basis_.defined()) return held + torch::matmul(for_rows(basis_, rows), u.unsqueeze(2)).squeeze(2);
  // One column more takes what has no place.
  const Tensor wide = torch::cat({held.flatten(1), held.new_zeros({rows, 1})}, 1);
  const Tensor whole = wide.scatter(1, for_rows(index_, rows), u);
  return whole.narrow(1, 0, wide.size(1) - 1).view(held.sizes());
}

Tensor FreeCoordinates::pull(const Tensor& x) const {
  const std::int64_t rows = x.size(0);
  const Tensor flat = x.flatten(1);
  if (basis_.defined()) return torch::matmul(for_rows(basis_, rows).transpose(1, 2), flat.unsqueeze(2)).squeeze(2);
  return torch::cat({flat, flat.new_zeros({rows, 1})}, 1).gather(1, for_rows(index_, rows));
}

Tensor FreeCoordinates::project(const Tensor& x) const {
  return basis_.defined() ? pull(x - for_rows(held_, x.size(0))) : pull(x);
}

Target FreeCoordinates::restricted(const Target& target) const {
  if (target.manifold)
    throw RequestError("free coordinates", "coordinates of points on a manifold do not move one by one");
  Target made;
  const FreeCoordinates self = *this;
  const auto with_surplus = [self](const Tensor& energy, const Tensor& u) {
    if (!self.surplus_.defined()) return energy;
    return energy + 0.5 * (u.square() * for_rows(self.surplus_, u.size(0))).sum(1);
  };
  if (target.energy)
    made.energy = [=, whole = target.energy](const Tensor& u) { return with_surplus(whole(self.embed(u)), u); };
  if (target.reference)
    made.reference = [=, whole = target.reference](const Tensor& u) { return with_surplus(whole(self.embed(u)), u); };
  if (target.score)
    made.score = [=, whole = target.score](const Tensor& u) {
      const Tensor score = self.pull(whole(self.embed(u)));
      return self.surplus_.defined() ? score - u * for_rows(self.surplus_, u.size(0)) : score;
    };
  return made;
}

}  // namespace gibbsite
