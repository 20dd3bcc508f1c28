// Rotations of space as unit quaternions, q and -q the same rotation. Distances are those of quaternions, half the angle of
// the rotation between; the volume is π².
#pragma once

#include <gibbsite/manifold/manifold.h>

namespace gibbsite {

struct RotationOptions {
  void declare(OptionVisitor& /*o*/) {}
};

/// The cut locus of a rotation is the rotations by π beyond it, at distance π/2.
std::shared_ptr<const Manifold> make_so3(const RotationOptions& options);

}  // namespace gibbsite
