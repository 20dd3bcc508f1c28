// Where data sets are looked for: --data-dir, $GIBBSITE_DATA, then the user's data folder.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace gibbsite {

struct DataPath {
  std::vector<std::string> folders;

  /// `data_dir` (may be empty), $GIBBSITE_DATA where set, then $XDG_DATA_HOME/gibbsite or ~/.local/share/gibbsite.
  static DataPath standard(const std::string& data_dir = "");

  /// The first existing file or folder `relative` or, for a name that ends in .gz, the name without it.
  std::optional<std::string> find(const std::string& relative) const;
  /// find, or WorkError naming data set `name`, the places searched and `how` to get it.
  std::string require(const std::string& name, const std::string& relative, const std::string& how) const;
};

}  // namespace gibbsite
