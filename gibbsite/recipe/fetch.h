// The service behind `gibbsite data get`: files of a named set from mirrors or a folder, checked byte for byte.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/data/data_path.h>
#include <gibbsite/data/download.h>

#include <string>
#include <vector>

namespace gibbsite {

/// One file of a set, an entry [[file]] of a table of sources.
struct Source {
  std::string set;                ///< name of the data set
  std::string path;               ///< below a data folder
  std::int64_t size = 0;          ///< bytes
  std::string sha256;             ///< 64 hexadecimal digits
  std::vector<std::string> urls;  ///< mirrors in order of preference
};

/// recipes/base/sources.toml, or `file`. Throws RequestError naming file and line for what it gets wrong.
std::vector<Source> read_sources(const std::string& file = "");

/// Whether the table of sources knows files of this set.
bool has_sources(const std::string& set);

struct FetchRequest {
  std::string name;     ///< of the set
  std::string from;     ///< folder or URL that has the files, under their path or their name; empty: their mirrors
  std::string into;     ///< data folder; empty: the last one of `path`
  std::string sources;  ///< another table of sources
  DataPath path;
  DownloadOptions download;
};

struct FetchOutcome {
  std::vector<std::string> fetched;  ///< files written
  std::vector<std::string> present;  ///< files that were there, whole and right
};

/// Every file of the set is in a data folder afterwards, with the size and digest of its source. A file appears under its name
/// only when it is whole; until then it is <name>.part, which a later call goes on with. Mirrors that fail or serve other
/// bytes are passed over with a warning. Throws RequestError for a set without sources, WorkError where no mirror has a file,
/// Interrupted on request.
FetchOutcome fetch_set(const FetchRequest& request, const Ports& ports);

}  // namespace gibbsite
