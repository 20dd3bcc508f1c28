// LMDB databases (data.mdb), read without the library, which trusts what is in the file: pages of a B+ tree, little-endian.
//
//   page      8 bytes number, 2 unused, 2 flags, then 2 + 2 bytes (where its list of offsets ends, where its nodes begin), or 4
//             bytes (how many pages a large value takes); offsets of nodes, 2 bytes each
//   node      2 + 2 bytes size of the value, 2 flags, 2 size of the key, key, value; a large value is the number of the page
//             that it begins on; in a branch the first 6 bytes are the number of the page below
//   pages 0, 1   16 bytes on: magic, version, address, size, the free and the main database (page size or 0, flags, depth, three
//             counts, entries, root), last page, transaction; the later transaction counts
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace gibbsite {

/// Calls `use` with key and value of every entry of the main database in the order of the keys. `path` is the file, or the folder
/// that holds data.mdb. Only one value is in memory at a time. Throws WorkError in one line for a missing, foreign or damaged
/// file and for keys with several values; what a damaged file claims can neither make it read forever nor hold more memory
/// than the file has bytes.
void read_lmdb(const std::string& path, const std::function<void(std::string_view key, const std::string& value)>& use);

/// Whether it is a folder that holds data.mdb, or a file of that kind by its name.
bool is_lmdb(const std::string& path);

}  // namespace gibbsite
