// E(x) = k ‖x - m‖² / 2 with trainable k (and m): the closed-form test case of every objective.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/model/energy.h>

namespace gibbsite {

struct QuadraticEnergyOptions {
  double stiffness = 0.5;
  bool centre = false;
  void declare(OptionVisitor& o) {
    o.option("stiffness", stiffness, "initial k");
    o.option("centre", centre, "also train the centre m, from 0");
  }
};

std::unique_ptr<Energy> make_quadratic_energy(const QuadraticEnergyOptions& options, const ModelContext& context);

}  // namespace gibbsite
