// Real data sets by name, and plain files as data sets.
#pragma once

#include <gibbsite/data/data_path.h>
#include <gibbsite/data/dataset.h>
#include <gibbsite/data/image_folder.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace gibbsite {

/// How a file or folder is read; what does not concern its kind is ignored.
struct FileOptions {
  std::string label_column;  ///< of a CSV file
  ImageOptions images;       ///< of a folder or an LMDB database of images
};

/// A data set as it is published.
struct Published {
  std::optional<Dataset> train;  ///< all rows of a set without an official division
  std::optional<Dataset> test;   ///< the official test set
};

struct NamedSet {
  std::string name;
  std::string summary;  ///< one line
  std::string paper;    ///< its authors
  std::string how;      ///< where to get it and the file names expected
  std::function<Published(const NamedSet&, const DataPath&, const FileOptions&)> load;
};

const std::vector<NamedSet>& named_sets();

/// What `gibbsite list datasets` shows: generated densities, then named sets.
struct ListedData {
  std::string name, summary, paper;
};
std::vector<ListedData> list_data();

/// The images of a folder or of an LMDB database (a folder with data.mdb, or such a file), or rows of a CSV, NPY, NPZ (array "x" or the first, labels from "label"), MAT (array "X" or the first,
/// labels from "y"; of images the number comes last there) or IDX file, told by extension (.csv .data .txt .tra .tes .tsv, .npy,
/// .npz, .mat, idx*-ubyte[.gz]) or by magic number. Throws WorkError.
Dataset load_file(const std::string& path, const FileOptions& options = {});

/// A named set or a file. `origin` is where the recipe or command line names it. Throws RequestError for a name that is
/// neither (with the nearest name), WorkError where a file is missing or damaged.
Published load_published(const std::string& name_or_file, const DataPath& path, const FileOptions& options = {},
                         const std::string& origin = "data");

/// All rows to evaluate on: the official test set where there is one, else every row. Square images are brought to
/// options.images.size, whatever they come from.
Dataset load_for_evaluation(const std::string& name_or_file, const DataPath& path, const std::string& origin = "data",
                            const FileOptions& options = {});

}  // namespace gibbsite
