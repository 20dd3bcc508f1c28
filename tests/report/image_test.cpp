#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/core/random.h>
#include <gibbsite/report/image.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <filesystem>

#include "report/picture_test_helpers.h"

namespace gibbsite {
namespace {

Tensor random_pixels(at::IntArrayRef shape) {
  Rng rng(1, "pixels");
  return rng.uniform(shape).mul(255).round().to(at::kByte);
}

TEST(Png, DecodesToTheSamePixels) {
  for (const Shape& shape : {Shape{7, 13}, Shape{7, 13, 1}, Shape{5, 9, 3}, Shape{1, 1, 3}}) {
    const Tensor pixels = random_pixels(shape);
    const Tensor back = decode_png(png_bytes(pixels));
    EXPECT_TRUE(back.equal(pixels.dim() == 2 ? pixels.unsqueeze(2) : pixels));
  }
  // A view with strides of its own.
  const Tensor turned = random_pixels({8, 6, 3}).transpose(0, 1);
  EXPECT_TRUE(decode_png(png_bytes(turned)).equal(turned.contiguous()));
  EXPECT_THROW(png_bytes(at::zeros({3, 3})), WorkError);
  EXPECT_THROW(png_bytes(random_pixels({3, 3, 2})), WorkError);
}

TEST(ImageGrid, PlacesScalesClampsAndPads) {
  const Tensor images = at::tensor({0.0, 0.5, 1.0, 2.0, -3.0, NAN, 0.2, 0.4, 0.6, 0.8, 1.0, 0.0}).view({3, 2, 2});
  GridStyle style;
  style.columns = 2;
  style.padding = 1;
  style.scale = 2;
  style.background = 1;
  const Tensor grid = image_grid(images, style);
  ASSERT_EQ(Shape(grid.sizes().vec()), (Shape{11, 11, 1}));
  const auto pixel = [&](int y, int x) { return grid[y][x][0].item<int>(); };
  EXPECT_EQ(pixel(0, 0), 255);
  EXPECT_EQ(pixel(1, 1), 0);
  EXPECT_EQ(pixel(1, 3), 128);
  EXPECT_EQ(pixel(2, 4), 128);
  EXPECT_EQ(pixel(4, 4), 255);  // 2 is clamped
  EXPECT_EQ(pixel(1, 6), 0);    // -3 is clamped
  EXPECT_EQ(pixel(1, 8), 0);    // not a number
  EXPECT_EQ(pixel(6, 1), 153);  // third image, 0.6, in the second row
  EXPECT_EQ(pixel(8, 8), 255);  // no fourth image
}

TEST(ImageGrid, ColourAndSquareDefault) {
  const Tensor images = at::zeros({5, 3, 4, 4});
  images.select(1, 2).fill_(1);
  const Tensor grid = image_grid(images);
  EXPECT_EQ(Shape(grid.sizes().vec()), (Shape{2 + 2 * 6, 2 + 3 * 6, 3}));
  EXPECT_EQ(grid[2][2][0].item<int>(), 0);
  EXPECT_EQ(grid[2][2][2].item<int>(), 255);
  EXPECT_THROW(image_grid(at::zeros({5, 2, 4, 4})), WorkError);
  EXPECT_THROW(image_grid(at::zeros({0, 4, 4})), WorkError);
  EXPECT_THROW(image_grid(at::zeros({4, 4})), WorkError);
}

TEST(ImageGrid, FileHoldsTheGrid) {
  const Tensor images = at::linspace(0, 1, 64 * 28 * 28).view({64, 28, 28});
  const std::string path = picture_folder() + "/grid.png";
  write_image_grid(path, images);
  EXPECT_TRUE(decode_png(read_file(path)).equal(image_grid(images)));
  EXPECT_THROW(write_image_grid(path + "/below.png", images), WorkError);
}

}  // namespace
}  // namespace gibbsite
