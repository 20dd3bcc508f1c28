// What the fuzz targets share. A target is one source that defines read_bytes and most_bytes; main.cpp feeds it. Refusing what
// it is given with an Error is what a reader should do. Every other exception, what a sanitizer finds, and more memory than
// most_bytes are findings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

/// Gives the bytes to one reader.
void read_bytes(const std::string& bytes);

/// How much memory it may hold at one time for a file of so many bytes.
std::size_t most_bytes(std::size_t size);

/// The bytes as a file that exists in memory only, until the next call.
std::string as_file(const std::string& bytes);

/// CRC-32 of part of `bytes`, so that a target can repair the checksums that would stop it.
std::uint32_t crc_of(const std::string& bytes, std::size_t begin, std::size_t size);

/// What readers need beside the content: text, tables and a few small blocks.
constexpr std::size_t kSlack = std::size_t{1} << 20;
/// The most that deflate makes of a byte.
constexpr std::size_t kMostDeflated = 1032;
