// Numbers, images and histograms of a run for TensorBoard: a file of TFRecords (length, payload, each with a masked CRC-32C), whose
// payloads are messages of this schema in the wire format of Protocol Buffers. The fields are few and the format is frozen, so
// they are written here and no library of messages has to agree with the one inside LibTorch.
//
//   Event        double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog session_log = 7
//   Summary      repeated Value value = 1
//   Value        string tag = 1; float simple_value = 2; Image image = 4; Histogram histo = 5
//   Image        int32 height = 1, width = 2, colorspace = 3; bytes encoded_image_string = 4
//   Histogram    double min = 1, max = 2, num = 3, sum = 4, sum_squares = 5; repeated double bucket_limit = 6, bucket = 7 (packed)
//   SessionLog   int32 status = 1 (1: start; what was logged for its step and later ones counts no more)
#pragma once

#include <gibbsite/core/ports.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace gibbsite {

class EventFile : public MetricWriter {
 public:
  /// A new file events.out.tfevents.<seconds>.<host>.<process> in the directory. `first_step`: of a run that goes on, the first
  /// step it makes again; 0 for a new run. Its name comes after those of the files that are there. Throws WorkError, here and below, where the file cannot be written.
  EventFile(const std::string& directory, std::int64_t first_step);
  ~EventFile() override;
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  /// Scalars "<phase>/<name>".
  void write(std::int64_t step, const std::string& phase, const NamedNumbers& numbers) override;
  void flush() override;
  /// A grid of images in [0, 1], [B, H, W] or [B, C, H, W] with C in {1, 3}.
  void images(std::int64_t step, const std::string& tag, const Tensor& x);
  /// Of the finite elements of x, in at most `buckets` buckets of equal width.
  void histogram(std::int64_t step, const std::string& tag, const Tensor& x, std::int64_t buckets = 40);

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int file_ = -1;
  double last_time_ = 0;  ///< of the last event: times never go back, whatever the clock does

  void send(std::int64_t step, int field, const std::string& message);
};

/// CRC-32C (Castagnoli).
std::uint32_t crc32c(std::string_view bytes);

}  // namespace gibbsite
