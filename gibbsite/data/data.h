// Everything a run needs to know of its data, built from the table [data] of a recipe.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/random.h>
#include <gibbsite/data/data_path.h>
#include <gibbsite/data/dataset.h>
#include <gibbsite/data/density.h>
#include <gibbsite/data/loader.h>
#include <gibbsite/data/transform.h>

#include <memory>
#include <string>
#include <vector>

namespace gibbsite {

/// The keys common to all data; a generated density reads its own options from the same table.
struct DataOptions {
  std::string name;
  double noise = 0;
  double train = 0;
  double validation = 0.1;
  double test = 0.1;
  std::string split = "random";
  std::int64_t split_seed = 2019;
  bool fresh = false;
  bool noise_once = false;
  std::string scale = "none";
  std::string statistics = "train";
  bool dequantise = false;
  bool dequantise_gaps = false;
  double uniform_noise = 0;
  bool binarise = false;
  bool logit = false;
  double logit_alpha = 1e-6;
  double clamp = 0;
  std::int64_t pad = 0;
  bool flatten = false;
  std::string label_column;
  std::int64_t image_crop = 0;
  std::int64_t image_left = -1;
  std::int64_t image_top = -1;
  std::int64_t image_size = 0;
  bool flip = false;
  void declare(OptionVisitor& o) {
    o.option("name", name,
             "a generated density, a named data set, a CSV, NPY, NPZ, MAT or IDX file, or a folder or LMDB database of "
             "images");
    o.option("noise", noise,
             "standard deviation of Gaussian jitter: part of the law of a generated density, else added after scaling",
             non_negative());
    o.option("train", train, "training rows, or a share below 1; 0: what the others leave (50000 if generated)",
             non_negative());
    o.option("validation", validation, "validation rows, or a share below 1 (of the training rows if generated)",
             non_negative());
    o.option("test", test, "test rows, or a share below 1; an official test set is kept whole unless rows are given",
             non_negative());
    o.option(
        "split", split,
        "which rows go where: a permutation from the seed, the order of the file, or the shuffle of NumPy's legacy "
        "generator, where a share of validation is of the rows that test leaves",
        {"random", "file", "numpy"});
    o.only_if(split == "numpy")
        .option("split_seed", split_seed, "seed of NumPy's shuffle, the same whatever the recipe's seed",
                between(0, 4294967295.0));
    o.option("fresh", fresh, "draw new samples of a generated density for every training batch");
    o.option("noise_once", noise_once, "draw dequantisation and jitter of the training rows once, not for every batch");
    o.option("scale", scale, "none, to [0, 1], to [-1, 1], to mean 0 and deviation 1, or PCA whitening",
             {"none", "unit", "symmetric", "standardise", "whiten"});
    const bool fitted = scale != "none" || dequantise_gaps;
    o.only_if(fitted).option(
        "statistics", statistics,
        "rows that means, deviations, directions and gaps are taken from: the training rows, or all "
        "rows as in published tables of density estimates",
        {"train", "all"});
    o.option("dequantise", dequantise, "add uniform noise on (0, 1] to integer values before scaling");
    o.option("dequantise_gaps", dequantise_gaps,
             "add to every column uniform noise on [−g, g], g the median gap between its different values");
    o.option("uniform_noise", uniform_noise, "width w of uniform noise on (-w/2, w/2] added after scaling",
             non_negative());
    o.option("binarise", binarise, "make every value in [0, 1] a bit, 1 with that probability; needs scale = \"unit\"");
    o.option("logit", logit, "logit of values in [0, 1]; needs scale = \"unit\"");
    o.only_if(logit).option("logit_alpha", logit_alpha, "logit(alpha + (1 - 2 alpha) x)", between(0, 0.49));
    o.only_if(logit).option("clamp", clamp, "values are moved into [clamp, 1 - clamp] before the logit",
                            between(0, 0.49));
    o.option("pad", pad, "pixels of margin added on every side of an image", non_negative());
    o.option("flatten", flatten, "make every event a vector");
    o.option("label_column", label_column, "column of a CSV file that is the label: name, or number from 0");
    o.option("image_crop", image_crop,
             "side in pixels of the square that is kept of every image of a folder or database; 0: the largest",
             at_least(0));
    o.only_if(image_crop > 0)
        .option("image_left", image_left, "columns left of that square; -1: it is centred", at_least(-1));
    o.only_if(image_crop > 0).option("image_top", image_top, "rows above that square; -1: it is centred", at_least(-1));
    o.option("image_size", image_size,
             "side in pixels that images of a folder or database are brought to; 0: as they are", at_least(0));
    o.option("flip", flip, "mirror every image left to right with probability 1/2, anew for every batch");
  }
};

struct Data {
  DataOptions options;
  Splits splits;                           ///< original units
  Pipeline pipeline;                       ///< original units -> model units
  std::shared_ptr<const Density> density;  ///< exact law in original units for generated data, else null
  Rng rng = Rng(0, "data");

  /// Training batches.
  Loader loader(at::ScalarType dtype = at::kFloat) const;
  /// All rows of a split in model units, its noise drawn once: a function of (seed, split) only.
  Tensor prepared(const Dataset& split, const std::string& split_name, at::ScalarType dtype = at::kFloat) const;
  /// Sizes of one event in original and in model units.
  Shape event() const;
  Shape model_event() const;
};

/// Statistics for scaling come from the training split. Throws RequestError or WorkError naming key, file or set.
std::unique_ptr<Data> make_data(const Config& data, const Rng& rng, const DataPath& path);

/// What makes score matching ill-posed on these rows, one line each, pointing at data.noise: constant columns, values
/// repeated in more than a twentieth of the rows (atoms), and densities with jumps. Empty where nothing was found.
/// `noise` is the jitter the run adds: positive noise leaves nothing to warn about.
std::vector<std::string> score_matching_warnings(const Dataset& data, double noise = 0);

}  // namespace gibbsite
