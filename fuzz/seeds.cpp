// Writes what the fuzz targets begin with: seeds FOLDER makes FOLDER/<target>/…, small sound files and a few claims.
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/csv.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/data/safetensors.h>
#include <gibbsite/train/checkpoint.h>
#include <png.h>
#include <torch/types.h>
#include <zlib.h>

#include <jpeglib.h>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

namespace {

using namespace gibbsite;

std::string number(std::uint64_t value, int bytes, bool big = false) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * (big ? bytes - 1 - i : i)));
  return text;
}

std::string deflated(const std::string& bytes, int window) {
  z_stream stream{};
  if (deflateInit2(&stream, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) != Z_OK) std::abort();
  std::string out(deflateBound(&stream, bytes.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string idx(int type, const std::vector<std::uint32_t>& sizes, const std::string& values) {
  std::string file = std::string("\0\0", 2) + static_cast<char>(type) + static_cast<char>(sizes.size());
  for (const std::uint32_t size : sizes) file += number(size, 4, true);
  return file + values;
}

std::string mat_element(std::uint32_t type, const std::string& bytes) {
  return number(type, 4) + number(bytes.size(), 4) + bytes + std::string((8 - bytes.size() % 8) % 8, '\0');
}

std::string mat_array(std::uint32_t kind, const std::vector<std::uint32_t>& sizes, std::uint32_t stored,
                      const std::string& numbers) {
  std::string dimensions;
  for (const std::uint32_t size : sizes) dimensions += number(size, 4);
  return mat_element(14, mat_element(6, number(kind, 4) + number(0, 4)) + mat_element(5, dimensions) +
                             mat_element(1, "name") + mat_element(stored, numbers));
}

std::string png(std::uint32_t format, std::uint32_t side) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = image.height = side;
  image.format = format;
  const std::vector<unsigned char> pixels(PNG_IMAGE_SIZE(image), 77);
  png_alloc_size_t size = 0;
  if (png_image_write_to_memory(&image, nullptr, &size, 0, pixels.data(), 0, nullptr) == 0) std::abort();
  std::string file(size, '\0');
  if (png_image_write_to_memory(&image, file.data(), &size, 0, pixels.data(), 0, nullptr) == 0) std::abort();
  return file;
}

std::string jpeg(int components, bool progressive, unsigned side) {
  jpeg_compress_struct info = {};
  jpeg_error_mgr errors = {};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* out = nullptr;
  unsigned long size = 0;  // NOLINT: the library's type
  jpeg_mem_dest(&info, &out, &size);
  info.image_width = info.image_height = side;
  info.input_components = components;
  info.in_color_space = components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&info);
  if (progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  std::vector<unsigned char> row(side * static_cast<unsigned>(components));
  while (info.next_scanline < side) {
    for (std::size_t i = 0; i < row.size(); ++i) row[i] = static_cast<unsigned char>(i * 7 + info.next_scanline * 13);
    JSAMPROW line = row.data();
    jpeg_write_scanlines(&info, &line, 1);
  }
  jpeg_finish_compress(&info);
  std::string file(reinterpret_cast<char*>(out), size);
  jpeg_destroy_compress(&info);
  std::free(out);
  return file;
}

// Two heads, a branch, two leaves of one entry each, of which the second has a large value on two pages.
std::string lmdb() {
  constexpr std::size_t kPage = 256;
  const auto filled = [](std::string page, std::size_t size) { return page + std::string(size - page.size(), '\0'); };
  const auto head = [&](std::uint64_t page, std::uint64_t transaction) {
    const std::string free = number(kPage, 4) + number(0, 4) + std::string(32, '\0') + number(~std::uint64_t{0}, 8);
    const std::string main = number(0, 4) + number(0, 2) + number(2, 2) + number(1, 8) + number(2, 8) + number(2, 8) +
                             number(2, 8) + number(2, 8);
    return filled(number(page, 8) + number(0, 2) + number(8, 2) + number(0, 4) + number(0xbeefc0de, 4) + number(1, 4) +
                      number(0, 8) + number(8 * kPage, 8) + free + main + number(6, 8) + number(transaction, 8),
                  kPage);
  };
  const auto page = [&](std::uint64_t name, std::uint64_t flags, const std::vector<std::string>& nodes) {
    std::string offsets, content;
    std::size_t begin = kPage;
    for (const std::string& node : nodes) {
      begin -= node.size();
      offsets += number(begin, 2);
      content = node + content;
    }
    const std::string front =
        number(name, 8) + number(0, 2) + number(flags, 2) + number(16 + offsets.size(), 2) + number(begin, 2) + offsets;
    return front + std::string(begin - front.size(), '\0') + content;
  };
  const std::string large(300, 'v');
  return head(0, 0) + head(1, 1) +
         page(2, 1, {number(3, 4) + number(0, 2) + number(0, 2), number(4, 4) + number(0, 2) + number(1, 2) + "b"}) +
         page(3, 2, {number(5, 4) + number(0, 2) + number(1, 2) + "a" + "small"}) +
         page(4, 2, {number(large.size(), 4) + number(1, 2) + number(1, 2) + "b" + number(5, 8)}) +
         filled(number(5, 8) + number(0, 2) + number(4, 2) + number(2, 4) + large, 2 * kPage);
}

std::string written(const std::string& folder, const std::function<void(const std::string&)>& write) {
  const std::string path = folder + "/written";
  write(path);
  std::string content = read_file(path);
  std::remove(path.c_str());
  return content;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string folder = argv[1];
  int count = 0;
  const auto seed = [&](const std::string& target, const std::string& content) {
    write_file(folder + "/" + target + "/seed" + std::to_string(count++), content);
  };
  try {
    const Tensor matrix = torch::arange(12).reshape({3, 4});
    const std::string bytes12 = "abcdefghijkl";

    for (const auto& [type, width] : {std::pair(8, 1), {9, 1}, {11, 2}, {12, 4}, {13, 4}, {14, 8}})
      seed("idx", idx(type, {2, 3}, std::string(static_cast<std::size_t>(6 * width), 'x')));
    seed("idx", idx(8, {3, 2, 2}, bytes12));
    seed("idx", idx(8, {0, 0xffffffff, 0xffffffff}, ""));

    const std::string images = idx(8, {3, 2, 2}, bytes12);
    for (const int window : {15, 15 + 16}) seed("gzip", deflated(images, window));
    seed("gzip", deflated(images, 31) + deflated(std::string(3000, 'z'), 31));

    seed("csv", std::string("\0", 1) + "a,b,c\n1,2.5,-3e4\n4,5,6\n");
    seed("csv", "\1" + std::string("\xef\xbb\xbf\"x;1\";label;y\r\n1;cat;+2\r\n3;dog;.5\r\n"));
    seed("csv", "\1" + std::string("1\t2\n3\t4\n\n5\tNA\n"));

    for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kByte, at::kInt, at::kLong, at::kBool})
      seed("npy", written(folder, [&](const std::string& path) { write_npy(path, matrix.to(type)); }));
    std::string fortran = written(folder, [&](const std::string& path) { write_npy(path, matrix.to(at::kByte)); });
    fortran.replace(fortran.find("False"), 5, "True ");
    seed("npy", fortran);
    seed("npz", written(folder, [&](const std::string& path) {
           write_npz(path, {{"x", matrix.to(at::kFloat)}, {"label", torch::arange(3)}, {"empty", torch::empty({0})}});
         }));

    const std::string mat = "MATLAB 5.0 MAT-file" + std::string(105, ' ') + std::string("\0\1IM", 4);
    const std::string array = mat_array(9, {3, 4}, 2, bytes12);
    const std::string packed = deflated(array, 15);
    seed("mat", mat + array + mat_array(6, {1, 2}, 9, std::string(16, '\1')));
    seed("mat", mat + number(15, 4) + number(packed.size(), 4) + packed + mat_array(12, {2, 1}, 5, number(7, 8)));
    seed("mat", mat + mat_array(7, {1, 2}, 3, "abcd") + mat_array(4, {1, 1}, 4, "t"));

    seed("cifar", std::string("\0\3", 2) + std::string(3072, 'p'));
    seed("cifar", "\1" + deflated(std::string(std::size_t{2} * 3074, 'p'), 31));

    const std::string recipe =
        "[model]\nname = \"mlp_energy\"\nhidden = [32, 32]\n[train]\nsteps = 1_000\nlearning_rate = 1e-3\n"
        "[[phase]]\nsteps = 0x10\non = true\ninline = { a.b = 'c', \"d e\" = \"\"\"f\"\"\" }\n";
    seed("recipe", recipe);
    seed("recipe", recipe + std::string("\0", 1) + "model.hidden = []\n[train.x]\ny = inf\n" + std::string("\0", 1) +
                       "phase.0.steps=3");
    seed("recipe", "when = 1979-05-27T07:32:00Z\n");

    const std::string checkpoint = written(folder, [&](const std::string& path) {
      write_checkpoint(path, {12,
                              {{"recipe", "text"}},
                              {{"w", matrix.to(at::kFloat)}, {"flag", matrix > 3}, {"none", torch::empty({0, 2})}}});
    });
    for (const char first : {'\0', '\1'}) seed("checkpoint", first + checkpoint);
    const std::string tensors = written(folder, [&](const std::string& path) {
      write_safetensors(path, {{{"w", matrix.to(at::kHalf)}, {"flag", matrix > 3}}, {{"format", "pt"}}});
    });
    for (const char first : {'\0', '\1'}) seed("safetensors", first + tensors);

    for (const std::uint32_t format :
         std::vector<std::uint32_t>{PNG_FORMAT_GRAY, PNG_FORMAT_RGB, PNG_FORMAT_RGBA, PNG_FORMAT_LINEAR_Y})
      seed("png", png(format, 6));
    for (const int components : {1, 3})
      for (const bool progressive : {false, true}) seed("jpeg", jpeg(components, progressive, 20));
    seed("lmdb", lmdb());
  } catch (const Error& error) {
    std::fprintf(stderr, "seeds: %s\n", error.what());
    return 1;
  }
  return 0;
}
