// Rows of data in their original units and type (bytes stay bytes), and how they are divided.
#pragma once

#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>

#include <string>
#include <vector>

namespace gibbsite {

struct Dataset {
  Tensor x;                          ///< [N, *event]: float, double or bytes
  Tensor label;                      ///< [N] int64, undefined without labels
  std::vector<std::string> columns;  ///< names of the columns of a table, else empty
  std::string source;                ///< the name or file it came from, for messages
  double low = 0, high = 0;          ///< the known range of every value (bytes: 0, 255); low = high where unknown
  bool has_jumps = false;            ///< the law behind the rows is known to have a density with jumps

  std::int64_t size() const { return x.defined() ? x.size(0) : 0; }
  Shape event() const { return event_shape(x); }
  /// The rows of `index` ([n] int64).
  Dataset rows(const Tensor& index) const;
  Dataset rows(std::int64_t first, std::int64_t count) const;
};

struct Splits {
  Dataset train, validation, test;  ///< any may be empty: then x keeps its event shape with zero rows
};

/// Each size is a count when >= 1 and a share of the whole when below; train = 0 takes what the others leave.
struct SplitSizes {
  double train = 0;
  double validation = 0.1;
  double test = 0.1;
};

enum class SplitOrder { kRandom, kFile };

/// Divides `all` into train, validation, test, in this order of a permutation drawn from rng.stream("split") or of the
/// file. Throws RequestError where the sizes exceed the rows.
Splits split(const Dataset& all, const SplitSizes& sizes, SplitOrder order, const Rng& rng);

/// Keeps the official test set: validation is taken from the end of the (permuted) official training set. A test share
/// below 1 means the whole official test set, a count its first rows.
Splits split_official(const Dataset& train, const Dataset& test, const SplitSizes& sizes, SplitOrder order,
                      const Rng& rng);

}  // namespace gibbsite
