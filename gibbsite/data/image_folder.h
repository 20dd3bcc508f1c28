// Folders of pictures as data sets.
#pragma once

#include <gibbsite/data/dataset.h>

#include <string>

namespace gibbsite {

struct ImageOptions {
  std::int64_t crop = 0;  ///< side of the centred square that is kept, in pixels of the file; 0: the largest
  std::int64_t size = 0;  ///< side that it is brought to; 0: as it is
};

/// Images [N, C, side, side] of bytes brought to size × size by the same interpolation.
Tensor resize_images(const Tensor& images, std::int64_t size);

/// Every PNG and JPEG file below `path` in the order of their names: bytes [N, C, side, side], C = 1 where all are grey, else
/// 3. Squares are resized bilinearly with antialiasing. Without crop and size files must have one size, which need not be
/// square. Where all files lie in subfolders, labels number those by name. Throws WorkError naming the file that is
/// unreadable, smaller than the crop or of another size, or the folder without images.
Dataset load_image_folder(const std::string& path, const ImageOptions& options);

}  // namespace gibbsite
