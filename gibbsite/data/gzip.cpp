#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/gzip.h>
#include <zlib.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace gibbsite {

std::string gunzip(const std::string& content, const std::string& where) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 32) != Z_OK) throw WorkError(where, "cannot start decompression");
  const std::unique_ptr<z_stream, void (*)(z_stream*)> end(&stream, [](z_stream* s) { inflateEnd(s); });
  std::string out;
  std::vector<char> block(1 << 16);
  std::size_t consumed = 0;
  while (true) {
    // zlib counts in 32 bits.
    const std::size_t given = std::min<std::size_t>(content.size() - consumed, 1u << 30);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data() + consumed));
    stream.avail_in = static_cast<uInt>(given);
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = static_cast<uInt>(block.size());
    const int status = inflate(&stream, Z_NO_FLUSH);
    const std::size_t used = given - stream.avail_in, got = block.size() - stream.avail_out;
    consumed += used;
    out.append(block.data(), got);
    if (status == Z_STREAM_END) {
      if (consumed == content.size()) return out;
      if (inflateReset(&stream) != Z_OK) throw WorkError(where, "the gzip stream is damaged");
      continue;
    }
    if (status == Z_BUF_ERROR || (status == Z_OK && used == 0 && got == 0))
      throw WorkError(where, fmt::format("the gzip stream ends early, after {} bytes of content", out.size()));
    if (status != Z_OK)
      throw WorkError(where, fmt::format("the gzip stream is damaged: {}", stream.msg ? stream.msg : "unknown reason"));
  }
}

std::string read_maybe_gzip(const std::string& path) {
  std::string content = read_file(path);
  const bool gzip = content.size() >= 2 && content[0] == '\x1f' && content[1] == '\x8b';
  return gzip ? gunzip(content, path) : content;
}

}  // namespace gibbsite
