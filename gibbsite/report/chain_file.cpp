#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/report/chain_file.h>
#include <torch/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <sstream>
#include <string_view>

namespace gibbsite {
namespace {

constexpr std::int64_t kMostCsvChains = 256;  // a file for each

// A file that grows at its end and whose beginning may be written anew.
class Growing {
 public:
  Growing(std::string path, std::int64_t keep) : path_(std::move(path)) {
    const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
    std::error_code ignored;
    if (!folder.empty()) std::filesystem::create_directories(folder, ignored);
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file_ < 0 || ::ftruncate(file_, keep) != 0) fail();
    end_ = keep;
  }
  ~Growing() {
    if (file_ >= 0) ::close(file_);
  }
  Growing(const Growing&) = delete;
  Growing& operator=(const Growing&) = delete;
  const std::string& path() const { return path_; }

  void append(std::string_view bytes) {
    put(bytes, end_);
    end_ += static_cast<std::int64_t>(bytes.size());
  }
  void put(std::string_view bytes, std::int64_t at) const {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(file_, bytes.data(), bytes.size(), at);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail();
      bytes.remove_prefix(static_cast<std::size_t>(n));
      at += n;
    }
  }

 private:
  std::string path_;
  int file_ = -1;
  std::int64_t end_ = 0;

  [[noreturn]] void fail() const { throw WorkError(path_, fmt::format("cannot write: {}", std::strerror(errno))); }
};

Tensor plain_values(const Tensor& x) {
  const Tensor values = x.detach().cpu().contiguous();
  return values.scalar_type() == torch::kDouble ? values : values.to(torch::kFloat);
}

class NpyChainFile : public ChainFile {
 public:
  NpyChainFile(std::string path, std::int64_t keep) : path_(std::move(path)), keep_(keep) {}

  void write(std::int64_t, const Tensor& x) override {
    const Tensor values = plain_values(x);
    const std::string_view bytes(static_cast<const char*>(values.data_ptr()), values.nbytes());
    if (!file_) begin(values);
    if (values.sizes().vec() != chains_) throw WorkError(path_, "draws differ in shape");
    // The header counts a draw only when it is there.
    file_->append(bytes);
    file_->put(header(++draws_), 0);
  }
  std::vector<std::string> files() const override { return {path_}; }

 private:
  std::string path_;
  std::int64_t keep_, draws_ = 0;
  Shape chains_;
  const char* type_ = "<f4";
  std::size_t header_size_ = 0;
  std::unique_ptr<Growing> file_;

  void begin(const Tensor& values) {
    chains_ = values.sizes().vec();
    type_ = values.scalar_type() == torch::kDouble ? "<f8" : "<f4";
    header_size_ = (text(std::numeric_limits<std::int64_t>::max()).size() + 11 + 63) / 64 * 64;
    if (keep_ > 0) {
      const Tensor old = read_npy(path_);
      Shape expected = chains_;
      expected.insert(expected.begin(), keep_);
      if (old.size(0) < keep_ || old.narrow(0, 0, keep_).sizes().vec() != expected ||
          old.scalar_type() != values.scalar_type())
        throw WorkError(path_, fmt::format("does not hold the first {} draws of these chains", keep_));
      draws_ = keep_;
    }
    const auto draw = static_cast<std::int64_t>(values.nbytes());
    file_ = std::make_unique<Growing>(path_, keep_ > 0 ? static_cast<std::int64_t>(header_size_) + keep_ * draw : 0);
    if (keep_ == 0) file_->append(header(0));
  }
  std::string text(std::int64_t draws) const {
    return fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}, {}), }}", type_, draws,
                       fmt::join(chains_, ", "));
  }
  std::string header(std::int64_t draws) const {
    std::string out("\x93NUMPY\x01\x00", 8);
    const std::size_t length = header_size_ - 10;
    out += static_cast<char>(length & 255);
    out += static_cast<char>(length >> 8);
    out += text(draws);
    out.resize(header_size_ - 1, ' ');
    return out + "\n";
  }
};

class CsvChainFile : public ChainFile {
 public:
  CsvChainFile(const std::string& path, ChainFileOptions options) : options_(std::move(options)) {
    const std::filesystem::path whole(path);
    stem_ = (whole.parent_path() / whole.stem()).string();
  }
  ~CsvChainFile() override {
    try {
      send({});
    } catch (const WorkError&) {
      // The disk is full; the last draw alone is lost.
    }
  }

  void write(std::int64_t, const Tensor& x) override {
    send({});
    pending_ = plain_values(x.dim() > 1 ? x.flatten(1) : x.unsqueeze(1));
  }
  void note(std::int64_t, const NamedTensors& numbers) override { send(numbers); }
  std::vector<std::string> files() const override {
    std::vector<std::string> names;
    for (const auto& file : files_) names.push_back(file->path());
    return names;
  }

 private:
  ChainFileOptions options_;
  std::string stem_;
  Tensor pending_;
  std::vector<std::string> known_;  // notes that have a column
  std::vector<std::unique_ptr<Growing>> files_;

  std::string heading(std::int64_t chain) const {
    std::string text;
    for (const auto& [name, value] : options_.notes) text += fmt::format("# {} = {}\n", name, value);
    text += fmt::format("# id = {}\n", chain + 1);
    std::vector<std::string> columns;
    for (const std::string& name : known_)
      columns.emplace_back(name == "energy" ? "lp__" : name == "acceptance" ? "accept_stat__" : "divergent__");
    for (std::int64_t d = 0; d < pending_.size(1); ++d) {
      const auto at = static_cast<std::size_t>(d);
      columns.push_back(at < options_.columns.size() ? options_.columns[at] : fmt::format("x.{}", d + 1));
    }
    return text + fmt::format("{}\n", fmt::join(columns, ","));
  }

  void begin(const NamedTensors& numbers) {
    const std::int64_t chains = pending_.size(0);
    if (chains > kMostCsvChains)
      throw RequestError("--chains", fmt::format("{} chains would make as many CSV files", chains), "name a .npy file");
    for (const char* name : {"energy", "acceptance", "divergent"})
      if (find_tensor(numbers, name).defined()) known_.emplace_back(name);
    for (std::int64_t c = 0; c < chains; ++c) {
      const std::string path = fmt::format("{}_{}.csv", stem_, c + 1), head = heading(c);
      if (options_.keep == 0) {
        files_.push_back(std::make_unique<Growing>(path, 0));
        files_.back()->append(head);
        continue;
      }
      const std::string old = read_file(path);
      std::size_t end = head.size();
      for (std::int64_t line = 0; line < options_.keep && end != std::string::npos; ++line)
        end = old.find('\n', end) == std::string::npos ? std::string::npos : old.find('\n', end) + 1;
      if (old.compare(0, head.size(), head) != 0 || end == std::string::npos)
        throw WorkError(path, fmt::format("does not hold the first {} draws of these chains", options_.keep));
      files_.push_back(std::make_unique<Growing>(path, static_cast<std::int64_t>(end)));
    }
  }

  void send(const NamedTensors& numbers) {
    if (!pending_.defined()) return;
    if (files_.empty()) begin(numbers);
    std::vector<Tensor> notes;
    for (const std::string& name : known_) {
      const Tensor found = find_tensor(numbers, name);
      notes.push_back(found.defined() ? found.detach().to(torch::kDouble).cpu()
                                      : torch::full({pending_.size(0)}, std::nan("")));
      if (name == "energy") notes.back() = -notes.back();
    }
    const bool wide = pending_.scalar_type() == torch::kDouble;
    for (std::int64_t c = 0; c < pending_.size(0); ++c) {
      std::string line;
      for (const Tensor& note : notes) line += fmt::format("{},", note[c].item<double>());
      for (std::int64_t d = 0; d < pending_.size(1); ++d) {
        const std::int64_t at = c * pending_.size(1) + d;
        const char* comma = d + 1 < pending_.size(1) ? "," : "\n";
        line += wide ? fmt::format("{}{}", pending_.data_ptr<double>()[at], comma)
                     : fmt::format("{}{}", pending_.data_ptr<float>()[at], comma);
      }
      files_.at(static_cast<std::size_t>(c))->append(line);
    }
    pending_ = Tensor();
  }
};

}  // namespace

std::unique_ptr<ChainFile> make_chain_file(const std::string& path, const ChainFileOptions& options) {
  const std::string extension = std::filesystem::path(path).extension().string();
  if (extension == ".npy") return std::make_unique<NpyChainFile>(path, options.keep);
  if (extension == ".csv") return std::make_unique<CsvChainFile>(path, options);
  throw RequestError("--chains", fmt::format("'{}' ends in none of .npy, .csv", path));
}

}  // namespace gibbsite
