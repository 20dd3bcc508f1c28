#include <fmt/format.h>
#include <gibbsite/core/digest.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <openssl/evp.h>

namespace gibbsite {

std::string sha256(std::string_view bytes) {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), &size, EVP_sha256(),
                 nullptr) != 1)
    throw WorkError("SHA-256", "cannot be computed");
  digest.resize(size);
  return digest;
}

std::string sha256_of_file(const std::string& path) {
  std::string text;
  for (const char byte : sha256(read_file(path))) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

}  // namespace gibbsite
