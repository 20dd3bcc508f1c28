#include <fcntl.h>
#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace gibbsite {
namespace {

[[noreturn]] void fail(const std::string& path, const char* action, int code) {
  throw WorkError(path, fmt::format("cannot {}: {}", action, std::strerror(code)));
}

void write_all(int file, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      fail(path, "write", errno);
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

struct Descriptor {
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

 private:
  int number_;
};

int open_folder(const std::string& folder) { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }

// A rename is on the disk only when the folder that holds the names is.
void flush_folder(const std::filesystem::path& folder) {
  const int handle = open_folder(folder.empty() ? "." : folder.string());
  if (handle < 0) return;
  ::fsync(handle);
  ::close(handle);
}

}  // namespace

void write_file(const std::string& path, std::string_view bytes) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty()) {
    std::error_code failed;
    std::filesystem::create_directories(folder, failed);
    if (failed) fail(folder.string(), "make the folder", failed.value());
  }
  const std::string temporary = fmt::format("{}.{}.part", path, ::getpid());
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) fail(path, "write", errno);
  try {
    write_all(file, bytes, path);
    if (::fsync(file) != 0) fail(path, "write", errno);
  } catch (...) {
    ::close(file);
    ::unlink(temporary.c_str());
    throw;
  }
  if (::close(file) != 0 || std::rename(temporary.c_str(), path.c_str()) != 0) {
    const int code = errno;
    ::unlink(temporary.c_str());
    fail(path, "write", code);
  }
  flush_folder(folder);
}

std::string read_file(const std::string& path) {
  if (std::filesystem::is_directory(path)) fail(path, "read", EISDIR);
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path, "read", errno ? errno : ENOENT);
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad()) fail(path, "read", EIO);
  return text.str();
}

std::shared_ptr<void> lock_folder(const std::string& folder, bool wait) {
  const int descriptor = open_folder(folder);
  if (descriptor < 0) fail(folder, "open", errno);
  auto lock = std::make_shared<Descriptor>(descriptor);
  while (::flock(descriptor, LOCK_EX | (wait ? 0 : LOCK_NB)) != 0) {
    if (errno == EWOULDBLOCK) return nullptr;
    if (errno != EINTR) break;
  }
  return lock;
}

}  // namespace gibbsite
