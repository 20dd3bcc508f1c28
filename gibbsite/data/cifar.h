// The binary batches of CIFAR-10 and CIFAR-100: fixed records of label bytes and 3 × 32 × 32 pixel bytes, no header.
#pragma once

#include <gibbsite/data/dataset.h>

#include <string>

namespace gibbsite {

/// All records of a file, plain or gzip; their number comes from its size. Of `label_bytes` the last is the label
/// (CIFAR-100 puts the coarse class before the fine one). Throws WorkError where the file is no whole number of records.
Dataset read_cifar(const std::string& path, std::int64_t label_bytes = 1);

}  // namespace gibbsite
