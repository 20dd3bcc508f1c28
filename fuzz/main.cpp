#include "fuzz.h"

#include <gibbsite/core/error.h>
#include <sanitizer/allocator_interface.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdio>
#include <cstdlib>

namespace {

// Bytes that the call under way holds now, and at most. The reader runs in one thread.
thread_local bool counting = false;
thread_local std::int64_t held = 0, most_held = 0;

void count_malloc(const volatile void*, std::size_t size) {
  if (!counting) return;
  held += static_cast<std::int64_t>(size);
  if (held > most_held) most_held = held;
}

void count_free(const volatile void* pointer) {
  if (counting && pointer != nullptr)
    held -= static_cast<std::int64_t>(__sanitizer_get_allocated_size(const_cast<const void*>(pointer)));
}

// LibTorch makes tables of its own when it is first called.
constexpr int kFirstCalls = 64;

}  // namespace

std::string as_file(const std::string& bytes) {
  static const int file = ::memfd_create("fuzz", 0);
  if (file < 0 || ::ftruncate(file, 0) != 0 ||
      ::pwrite(file, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    std::abort();
  return "/proc/self/fd/" + std::to_string(file);
}

std::uint32_t crc_of(const std::string& bytes, std::size_t begin, std::size_t size) {
  return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()) + begin, size));
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  return __sanitizer_install_malloc_and_free_hooks(count_malloc, count_free) == 0 ? 1 : 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static int calls = 0;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  held = most_held = 0;
  counting = true;
  try {
    read_bytes(bytes);
  } catch (const gibbsite::Error&) {
  }
  counting = false;
  if (++calls > kFirstCalls && most_held > static_cast<std::int64_t>(most_bytes(size))) {
    std::fprintf(stderr, "a file of %zu bytes made the reader hold %lld bytes, more than %zu\n", size,
                 static_cast<long long>(most_held), most_bytes(size));
    std::abort();
  }
  return 0;
}
