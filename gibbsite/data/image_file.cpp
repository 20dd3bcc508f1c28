#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/image_file.h>
#include <png.h>
#include <torch/types.h>

#include <jpeglib.h>
#include <algorithm>
#include <cctype>
#include <csetjmp>
#include <cstdio>
#include <filesystem>

namespace gibbsite {
namespace {

// A file that claims more is not decoded.
constexpr std::int64_t kMostPixels = std::int64_t{1} << 28;
// A byte of a file stands for at most so many: deflate's limit, and above what JPEG makes of one colour.
constexpr std::int64_t kMostExpansion = 1032;

// Whether a file of so many bytes can hold so many pixels of `bits` bits, with a pass or two of Adam7 besides.
bool may_hold(std::size_t file, std::int64_t pixels, std::int64_t bits) {
  return pixels <= kMostPixels && pixels * bits / 8 <= kMostExpansion * static_cast<std::int64_t>(file);
}

// Bits of a pixel in the file, from the header chunk that every PNG begins with.
std::int64_t png_bits(const std::string& content) {
  constexpr std::size_t kDepth = 24, kColour = 25;
  if (content.size() <= kColour) return 1;
  const auto depth = static_cast<unsigned char>(content[kDepth]);
  switch (content[kColour]) {
    case 2: return 3 * depth;
    case 4: return 2 * depth;
    case 6: return 4 * depth;
    default: return depth;
  }
}

struct Pixels {
  std::vector<unsigned char> bytes;
  std::int64_t height = 0, width = 0, channels = 0;
};

std::string too_large(const Pixels& pixels, std::size_t file) {
  return fmt::format("it claims {} × {} pixels in a file of {} bytes", pixels.width, pixels.height, file);
}

bool decode_png(const std::string& content, Pixels& pixels, std::string& reason) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&image, content.data(), content.size()) == 0) {
    reason = image.message;
    return false;
  }
  const bool colour = (image.format & PNG_FORMAT_FLAG_COLOR) != 0;
  image.format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  pixels.height = image.height;
  pixels.width = image.width;
  pixels.channels = colour ? 3 : 1;
  if (!may_hold(content.size(), pixels.height * pixels.width, png_bits(content))) {
    reason = too_large(pixels, content.size());
    png_image_free(&image);
    return false;
  }
  pixels.bytes.resize(PNG_IMAGE_SIZE(image));
  const png_color black = {0, 0, 0};
  if (png_image_finish_read(&image, &black, pixels.bytes.data(), 0, nullptr) != 0) return true;
  reason = image.message;
  png_image_free(&image);
  return false;
}

struct JpegFailure {
  jpeg_error_mgr manager;
  std::jmp_buf where;
  char message[JMSG_LENGTH_MAX];
};

void jpeg_fail(j_common_ptr info) {
  auto* failure = reinterpret_cast<JpegFailure*>(info->err);
  info->err->format_message(info, failure->message);
  std::longjmp(failure->where, 1);
}

// A warning means missing or damaged data, of which the library makes something grey.
void jpeg_warn(j_common_ptr info, int level) {
  if (level < 0) jpeg_fail(info);
}

// Nothing with a destructor may live in the frame that the library jumps out of.
bool decode_jpeg(const std::string& content, Pixels& pixels, std::string& reason) {
  jpeg_decompress_struct info = {};
  JpegFailure failure = {};
  info.err = jpeg_std_error(&failure.manager);
  failure.manager.error_exit = jpeg_fail;
  failure.manager.emit_message = jpeg_warn;
  if (setjmp(failure.where) != 0) {
    jpeg_destroy_decompress(&info);
    reason = failure.message;
    return false;
  }
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, reinterpret_cast<const unsigned char*>(content.data()), content.size());
  jpeg_read_header(&info, TRUE);
  const bool grey = info.jpeg_color_space == JCS_GRAYSCALE;
  info.out_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
  pixels.height = info.image_height;
  pixels.width = info.image_width;
  pixels.channels = grey ? 1 : 3;
  // Before decompression starts, which for progressive files takes memory for all coefficients.
  if (!may_hold(content.size(), pixels.height * pixels.width, 8 * pixels.channels)) {
    jpeg_destroy_decompress(&info);
    reason = too_large(pixels, content.size());
    return false;
  }
  jpeg_start_decompress(&info);
  pixels.bytes.resize(static_cast<std::size_t>(pixels.height * pixels.width * pixels.channels));
  while (info.output_scanline < info.output_height) {
    JSAMPROW row =
        pixels.bytes.data() + static_cast<std::size_t>(info.output_scanline * pixels.width * pixels.channels);
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
  return true;
}

}  // namespace

bool is_image_file(const std::string& path) {
  std::string extension = std::filesystem::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

Tensor decode_image(const std::string& content, const std::string& where) {
  Pixels pixels;
  const bool webp = content.compare(0, 4, "RIFF") == 0 && content.size() > 12 && content.compare(8, 4, "WEBP") == 0;
  std::string reason = webp ? "it is WebP; PNG and JPEG are read" : "its content is neither PNG nor JPEG";
  const bool png = content.compare(0, 4, "\x89PNG") == 0, jpeg = content.compare(0, 2, "\xff\xd8") == 0;
  const bool decoded = png ? decode_png(content, pixels, reason) : jpeg && decode_jpeg(content, pixels, reason);
  if (!decoded) throw WorkError(where, fmt::format("cannot read the image: {}", reason));
  return at::from_blob(pixels.bytes.data(), {pixels.height, pixels.width, pixels.channels}, at::kByte)
      .permute({2, 0, 1})
      .clone(at::MemoryFormat::Contiguous);
}

Tensor read_image(const std::string& path) { return decode_image(read_file(path), path); }

}  // namespace gibbsite
