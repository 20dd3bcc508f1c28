#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/train/schedule.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {

void ScheduleOptions::declare(OptionVisitor& o) {
  o.option("name", name, "shape of the learning rate over the run", {"constant", "cosine"});
  o.option("warmup", warmup, "updates of linear warm-up before it", at_least(0));
  const bool cosine = name == "cosine";
  o.only_if(cosine).option("final_fraction", final_fraction, "cosine: fraction of the base rate reached at the end",
                           between(0, 1));
  o.only_if(cosine).option("total_steps", total_steps, "cosine: updates until the end; 0: those of the run",
                           at_least(0));
}

double schedule_factor(const ScheduleOptions& options, std::int64_t step, std::int64_t run_steps) {
  if (step < options.warmup) return static_cast<double>(step + 1) / static_cast<double>(options.warmup);
  if (options.name == "constant") return 1;
  if (options.name != "cosine")
    throw RequestError("schedule", fmt::format("unknown schedule '{}'", options.name), "known: constant, cosine");
  const std::int64_t total = options.total_steps > 0 ? options.total_steps : run_steps;
  const std::int64_t length = total - options.warmup;
  const double t =
      length > 0 ? std::min(1.0, static_cast<double>(step - options.warmup) / static_cast<double>(length)) : 1;
  return options.final_fraction + (1 - options.final_fraction) * 0.5 * (1 + std::cos(M_PI * t));
}

}  // namespace gibbsite
