// Small helpers for messages.
#pragma once

#include <string>
#include <vector>

namespace gibbsite {

/// The candidate closest to `name` in edit distance, or "" when none is near enough to be a plausible misspelling.
std::string nearest_name(const std::string& name, const std::vector<std::string>& candidates);

/// "did you mean 'x'?" or, when nothing is near, "known: a, b, c".
std::string name_hint(const std::string& name, const std::vector<std::string>& candidates);

/// "1 h 02 min", "3 min 20 s", "12.3 s".
std::string format_duration(double seconds);

/// "3.2 MB".
std::string format_bytes(double bytes);

}  // namespace gibbsite
