// What each paper calls its step size, in the terms of our Langevin kernel. The paper's own update stands beside each
// function; the tests write it out by hand.
#pragma once

#include <gibbsite/sampler/langevin.h>

namespace gibbsite {

/// MVL: x ← x − (ε/2)∇E(x) + √(2ε)·ξ, a step towards p^(1/2). To be run on tempered(target, 0.5).
LangevinOptions mvl_convention(double epsilon);

/// NCSN: x ← x + a·s(x) + √(2a)·ξ.
LangevinOptions ncsn_convention(double a);

/// MDSM and FD-DSM: x ← x − ½η²∇E(x) + √T·η·ξ.
LangevinOptions mdsm_convention(double eta, double temperature);

/// VaGES corrector: h ← h − (α/2)∇E(h) + σ·ξ; σ is not √α.
LangevinOptions vages_convention(double alpha, double sigma);

/// CEBM: x ← x − (α/2)∇E(x) + s·ω.
LangevinOptions cebm_convention(double alpha = 2, double noise = 7.5e-3);

/// IGEBM: y = x + noise·ω, x ← clamp(y − step·clamp(∇E(y), ±gradient_limit), low, high).
LangevinOptions igebm_convention(double step = 10, double noise = 0.005, double gradient_limit = 0.01, double low = 0,
                                 double high = 1);

}  // namespace gibbsite
