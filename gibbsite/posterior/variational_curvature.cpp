#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/posterior/variational_curvature.h>
#include <torch/types.h>

namespace gibbsite {

VariationalCurvature variational_curvature(const LatentEnergy& joint, const Tensor& v, const Tensor& h,
                                           const Tensor& u) {
  if (h.size(0) < 3)
    throw RequestError("objective.particles", fmt::format("the third cumulant of {} draws has no estimate", h.size(0)),
                       "three or more are needed");
  const std::optional<Jet> jet = joint.joint(seed_jet(v.detach(), u.detach(), 2), h.detach());
  if (!jet) throw RequestError("objective", "this latent energy has no jet, which the curvature of its marginal needs");
  const auto l = static_cast<double>(h.size(0));
  const Tensor log_p = -jet->slice(0), a = -jet->derivative(1), bend = -jet->derivative(2);
  const auto centred = [](const Tensor& x) { return x - x.mean(0, true); };
  const Tensor frozen = centred(a.detach()), squared = frozen.square();
  const Tensor of_log_p = (centred(bend.detach()) + l / (l - 2) * centred(squared)) / (l - 1);
  VariationalCurvature made;
  made.value = bend.detach().mean(0) + squared.sum(0) / (l - 1);
  made.surrogate = bend.mean(0) + (of_log_p * log_p).sum(0) + 2 / (l - 1) * (frozen * a).sum(0);
  return made;
}

}  // namespace gibbsite
