#include <fmt/format.h>
#include <gibbsite/core/digest.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <openssl/evp.h>

#include <array>

namespace gibbsite {

std::string sha256_of_file(const std::string& path) {
  const std::string content = read_file(path);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (EVP_Digest(content.data(), content.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1)
    throw WorkError(path, "its SHA-256 cannot be computed");
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

}  // namespace gibbsite
