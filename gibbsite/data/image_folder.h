// Folders of pictures, and databases of them, as data sets.
#pragma once

#include <gibbsite/data/dataset.h>
#include <gibbsite/data/image_stack.h>

#include <string>
#include <vector>

namespace gibbsite {

/// Every PNG and JPEG file below `path` in the order of their names: bytes [N, C, side, side], C = 1 where all are grey, else
/// 3. Squares are resized bilinearly with antialiasing. Without crop and size files must have one size, which need not be
/// square. Where all files lie in subfolders, labels number those by name. Throws WorkError naming the file that is
/// unreadable, smaller than the crop or of another size, or the folder without images.
Dataset load_image_folder(const std::string& path, const ImageOptions& options);

/// The named files of a folder, in that order, without labels. Throws as above.
Dataset load_images(const std::string& folder, const std::vector<std::string>& names, const ImageOptions& options);

/// The values of an LMDB database as images, in the order of the keys, without labels. Throws as above, naming the key, and as
/// read_lmdb.
Dataset load_image_lmdb(const std::string& path, const ImageOptions& options);

}  // namespace gibbsite
