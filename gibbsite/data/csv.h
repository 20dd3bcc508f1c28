// Tables of numbers as text.
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>
#include <vector>

namespace gibbsite {

struct CsvTable {
  Tensor x;                          ///< [N, columns] float64, without the label
  Tensor label;                      ///< [N] int64 where a label column was named
  std::vector<std::string> columns;  ///< names, or "column 1" … without a header line
};

/// The separator (',', ';' or tab) and a header line (any field that is not a number) are detected. `label_column` is a
/// column's name or its number from 0; "" for none; integer labels keep their value, others are numbered in sorted order.
/// Throws WorkError naming file, line and column for a value that is missing, not a number or not finite, and for lines
/// of unequal length; RequestError for an unknown label column.
CsvTable read_csv(const std::string& path, const std::string& label_column = "");
/// The same from memory; `where` names it in errors.
CsvTable parse_csv(const std::string& content, const std::string& where, const std::string& label_column = "");

/// Whether names of columns come from a header line, and are not those that a table without one is given.
bool has_names(const std::vector<std::string>& columns);

/// Writes [N, D] (events are flattened) with a header line where `columns` is not empty; names with separators or quotes in
/// quotes; numbers read back to the same bits. Throws WorkError where the file cannot be written in full; the target then keeps its old content.
void write_csv(const std::string& path, const Tensor& x, const std::vector<std::string>& columns = {});

}  // namespace gibbsite
