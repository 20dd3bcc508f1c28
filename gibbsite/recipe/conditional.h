// Sampling some entries of points given the others (inpainting), or all of them given noisy ones (denoising).
#pragma once

#include <gibbsite/recipe/build.h>
#include <gibbsite/sampler/free_coordinates.h>

#include <string>

namespace gibbsite {

/// Points in original units of which some entries are known.
struct Given {
  Tensor points;     ///< [R, *event], finite
  Tensor free;       ///< [R, *event] bool: the entries to sample
  double noise = 0;  ///< deviation of Gaussian noise on the known entries, original units; 0: they are exact
};

/// Reads `given` and `mask`, NPY, NPZ, CSV or IDX files of [R, *event] or, one row for all, [*event]; columns of a CSV file with
/// names are matched with those of the run. A mask is nonzero where an entry is to be sampled; without one those that are
/// not a number are. Throws RequestError, naming the option, for shapes that do not fit, numbers missing from known entries, and
/// rows of exact entries without a free one.
Given read_given(const std::string& given, const std::string& mask, double noise, const Parts& parts);

/// Rows c modulo R for chains c = 0 … n − 1.
Given given_rows(const Given& given, std::int64_t n);

/// The free entries in model units, for exact known ones. Whitened data mix the entries; the free coordinates are then an
/// orthonormal frame of the directions that free entries span, of which all rows must have the same number.
FreeCoordinates free_coordinates(const Given& given, const Parts& parts);

/// The target of noisy known entries: energy(y) + ‖known − x(y)‖² / (2 noise²) over them, x(y) in original units.
Target observed(const Target& target, const Given& given, const Parts& parts);

/// `x` ([n, *event], original units) with known entries as they were given, where they are exact.
Tensor with_known(const Given& given, const Tensor& x);

}  // namespace gibbsite
