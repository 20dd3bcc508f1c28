#include <arpa/inet.h>
#include <fmt/format.h>
#include <gibbsite/core/digest.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/recipe/fetch.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <thread>

#include "core/stopping.h"

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

std::string published_bytes() {
  std::string bytes;
  for (std::uint32_t i = 0; i < 300000; ++i) bytes += static_cast<char>(i * 2654435761u >> 13);
  return bytes;
}

// A server on the loopback that serves one file, well or badly, by the first folder of the path:
//   /ok  /truncate (half of what was asked for)  /corrupt  /redirect (to /ok)  /loop  /stall (after half)  /whole (ignores
//   ranges)  /endless  /wrongrange (a range from elsewhere); anything else is 404.
class Server {
 public:
  explicit Server(std::string bytes) : bytes_(std::move(bytes)), socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(socket_, 8), 0);
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      for (;;) {
        const int client = ::accept(socket_, nullptr, nullptr);
        if (client < 0 || stop_) return;
        serve(client);
        ::close(client);
      }
    });
  }
  ~Server() {
    stop_ = true;
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }
  std::string url(const std::string& how) const { return fmt::format("http://127.0.0.1:{}/{}/file.bin", port_, how); }
  std::vector<std::string> requests() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return requests_;
  }

 private:
  std::string bytes_;
  int socket_;
  int port_ = 0;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;

  static bool send_all(int client, const std::string& text) {
    for (std::size_t at = 0; at < text.size();) {
      const ssize_t n = ::send(client, text.data() + at, text.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return false;
      at += static_cast<std::size_t>(n);
    }
    return true;
  }

  void serve(int client) {
    std::string request;
    std::array<char, 4096> buffer{};
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = ::recv(client, buffer.data(), buffer.size(), 0);
      if (n <= 0) return;
      request.append(buffer.data(), static_cast<std::size_t>(n));
    }
    const std::string path = request.substr(4, request.find(' ', 4) - 4);
    const std::string how = path.substr(1, path.find('/', 1) - 1);
    std::size_t from = 0;
    if (const std::size_t at = request.find("Range: bytes="); at != std::string::npos)
      from = std::stoul(request.substr(at + 13));
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      requests_.push_back(fmt::format("{} {}", how, from));
    }
    if (how == "redirect" || how == "loop") {
      send_all(
          client,
          fmt::format("HTTP/1.1 302 Found\r\nLocation: /{}/file.bin\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                      how == "loop" ? "loop" : "ok"));
      return;
    }
    if (how == "endless") {
      send_all(client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
      while (!stop_ && send_all(client, std::string(65536, 'x'))) {
      }
      return;
    }
    static const std::vector<std::string> known = {"ok", "truncate", "corrupt", "stall", "whole"};
    if (std::find(known.begin(), known.end(), how) == known.end()) {
      send_all(client, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    if (how == "whole") from = 0;
    std::string body = bytes_.substr(from);
    if (how == "corrupt") body[body.size() / 3] ^= 1;
    std::string head = from > 0 ? fmt::format("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-{}/{}\r\n", from,
                                              bytes_.size() - 1, bytes_.size())
                                : "HTTP/1.1 200 OK\r\n";
    send_all(client, head + fmt::format("Content-Length: {}\r\nConnection: close\r\n\r\n", body.size()));
    if (how != "truncate" && how != "stall") {
      send_all(client, body);
      return;
    }
    send_all(client, body.substr(0, body.size() / 2));
    // Until the other side has had enough.
    if (how == "stall") ::recv(client, buffer.data(), buffer.size(), 0);
  }
};

class Warnings : public Logger {
 public:
  std::vector<std::string> lines;
  void warn(const std::string& line) override { lines.push_back(line); }
};

class Fetch : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = (fs::temp_directory_path() / fmt::format("gibbsite_fetch_{}", ::getpid())).string();
    fs::remove_all(folder_);
    fs::create_directories(folder_ + "/mine/set");
    write_file(folder_ + "/mine/set/file.bin", published_bytes());
    ports_.logger = &warnings_;
    request_.name = "test-set";
    request_.into = folder_ + "/data";
    request_.sources = folder_ + "/sources.toml";
    request_.download.stall_seconds = 1;
    request_.download.slowest_bytes = 10;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string target() const { return folder_ + "/data/set/file.bin"; }
  void sources(const std::vector<std::string>& kinds) {
    std::string urls;
    for (const std::string& kind : kinds) urls += fmt::format("{}\"{}\"", urls.empty() ? "" : ", ", server_.url(kind));
    write_file(
        request_.sources,
        fmt::format("[[file]]\nset = \"test-set\"\npath = \"set/file.bin\"\nsize = {}\nsha256 = \"{}\"\nurls = [{}]\n",
                    published_bytes().size(), sha256_of_file(folder_ + "/mine/set/file.bin"), urls));
  }
  std::string refusal() {
    try {
      fetch_set(request_, ports_);
    } catch (const Error& error) {
      EXPECT_FALSE(fs::exists(target()));
      return error.what();
    }
    ADD_FAILURE() << "nothing was refused";
    return "";
  }
  void expect_whole() {
    EXPECT_EQ(read_file(target()), published_bytes());
    EXPECT_FALSE(fs::exists(target() + ".part"));
  }
  Server server_{published_bytes()};
  std::string folder_;
  FetchRequest request_;
  Warnings warnings_;
  Ports ports_;
};

TEST_F(Fetch, FollowsRedirectsAndFetchesNothingTwice) {
  sources({"redirect"});
  EXPECT_EQ(fetch_set(request_, ports_).fetched, std::vector<std::string>{target()});
  expect_whole();
  EXPECT_EQ(server_.requests(), (std::vector<std::string>{"redirect 0", "ok 0"}));
  EXPECT_EQ(fetch_set(request_, ports_).present, std::vector<std::string>{target()});
  EXPECT_EQ(server_.requests().size(), 2u);
  EXPECT_TRUE(warnings_.lines.empty());
}

TEST_F(Fetch, GoesOnWhereAServerEnded) {
  sources({"truncate"});
  EXPECT_NE(refusal().find("set/file.bin"), std::string::npos);
  EXPECT_EQ(fs::file_size(target() + ".part"), published_bytes().size() / 2);
  sources({"truncate", "ok"});
  fetch_set(request_, ports_);
  expect_whole();
  const std::size_t half = published_bytes().size() / 2;
  EXPECT_EQ(server_.requests(), (std::vector<std::string>{"truncate 0", fmt::format("truncate {}", half),
                                                          fmt::format("ok {}", half + half / 2)}));
}

TEST_F(Fetch, StartsAnewWhereAServerKnowsNoRanges) {
  sources({"truncate"});
  refusal();
  sources({"whole"});
  fetch_set(request_, ports_);
  expect_whole();
}

TEST_F(Fetch, PassesOverMirrorsThatFailOrLie) {
  sources({"nowhere", "loop", "endless", "corrupt", "stall", "ok"});
  const auto begin = std::chrono::steady_clock::now();
  fetch_set(request_, ports_);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  expect_whole();
  ASSERT_EQ(warnings_.lines.size(), 5u);
  for (const auto& [line, word] : {std::pair(0, "404"), std::pair(1, "redirects"), std::pair(2, "more than"),
                                   std::pair(3, "other bytes"), std::pair(4, "stall")})
    EXPECT_NE(warnings_.lines[static_cast<std::size_t>(line)].find(word), std::string::npos)
        << warnings_.lines[static_cast<std::size_t>(line)];
}

// What one mirror damaged is not held against the next.
TEST_F(Fetch, ADamagedBeginningIsHadAgain) {
  sources({"ok"});
  std::string damaged = published_bytes().substr(0, 1000);
  damaged[5] ^= 1;
  write_file(target() + ".part", damaged);
  fetch_set(request_, ports_);
  expect_whole();
  EXPECT_EQ(server_.requests(), (std::vector<std::string>{"ok 1000", "ok 0"}));
}

TEST_F(Fetch, TakesFilesFromAFolderOrAnotherServer) {
  sources({"nowhere"});
  request_.from = folder_ + "/mine";
  fetch_set(request_, ports_);
  expect_whole();
  fs::remove(target());
  request_.from = folder_ + "/mine/set";  // by its name alone
  fetch_set(request_, ports_);
  expect_whole();
  fs::remove(target());
  request_.from = folder_ + "/empty";
  EXPECT_NE(refusal().find("no such file"), std::string::npos);
  request_.from = server_.url("ok").substr(0, server_.url("ok").rfind('/'));
  fetch_set(request_, ports_);
  expect_whole();
  // What is there and is not what was published is replaced.
  write_file(target(), "damaged");
  fetch_set(request_, ports_);
  expect_whole();
}

TEST_F(Fetch, StopsWhenAskedAndGoesOn) {
  sources({"stall"});
  StopAt stop(3);
  ports_.interrupt = &stop;
  EXPECT_THROW(fetch_set(request_, ports_), Interrupted);
  Interrupt never;
  ports_.interrupt = &never;
  sources({"ok"});
  fetch_set(request_, ports_);
  expect_whole();
}

TEST_F(Fetch, RefusesTablesThatLeaveTheDataFolder) {
  const std::string digest(64, '0');
  for (const char* path : {"../x", "/etc/x", "a/../../x"}) {
    write_file(request_.sources,
               fmt::format("[[file]]\nset = \"s\"\npath = \"{}\"\nsize = 1\nsha256 = \"{}\"\n", path, digest));
    EXPECT_THROW(read_sources(request_.sources), RequestError) << path;
  }
  sources({"ok"});
  request_.name = "mnits";
  EXPECT_NE(refusal().find("mnist"), std::string::npos);
}

// The table that is installed names files that the readers want.
TEST(Sources, AreOfKnownSets) {
  const std::vector<Source> sources = read_sources(std::string(GIBBSITE_SOURCE_DIR) + "/recipes/base/sources.toml");
  EXPECT_GE(sources.size(), 10u);
  for (const Source& source : sources) {
    EXPECT_FALSE(source.urls.empty()) << source.path;
    EXPECT_TRUE(has_sources(source.set));
  }
  EXPECT_FALSE(has_sources("frey-faces"));
}

}  // namespace
}  // namespace gibbsite
