// The learning rate as a function of the step: base rate times a factor in [0, 1].
#pragma once

#include <gibbsite/core/options.h>

#include <cstdint>
#include <string>

namespace gibbsite {

struct ScheduleOptions {
  std::string name = "constant";
  std::int64_t warmup = 0;
  double final_fraction = 0;
  std::int64_t total_steps = 0;
  void declare(OptionVisitor& o);
};

/// Factor at step 0, 1, …, total_steps − 1: linear warm-up (step + 1)/warmup first, then 1 or half a cosine that starts
/// at 1 and reaches final_fraction at total_steps. `run_steps` stands in for options.total_steps = 0; beyond the end
/// the factor stays at final_fraction.
double schedule_factor(const ScheduleOptions& options, std::int64_t step, std::int64_t run_steps);

}  // namespace gibbsite
