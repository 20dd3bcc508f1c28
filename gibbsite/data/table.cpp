// Every data set that has a name: generated densities, then real sets. Files are named below their folder; a name that
// ends in .gz also stands for the file without it.
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/banana.h>
#include <gibbsite/data/checkerboard.h>
#include <gibbsite/data/cifar.h>
#include <gibbsite/data/csv.h>
#include <gibbsite/data/gaussian_mixture.h>
#include <gibbsite/data/idx.h>
#include <gibbsite/data/manifold_mixture.h>
#include <gibbsite/data/named_set.h>
#include <gibbsite/data/near_duplicates.h>
#include <gibbsite/data/ring.h>
#include <gibbsite/data/swiss_roll.h>
#include <gibbsite/data/two_moons.h>
#include <torch/types.h>

#include <fmt/format.h>
#include <array>
#include <sstream>

namespace gibbsite {
namespace {

using Load = decltype(NamedSet::load);

Dataset read_images(const NamedSet& set, const DataPath& path, const std::string& images, const std::string& labels) {
  Dataset data;
  data.x = read_idx(path.require(set.name, images, set.how));
  data.source = set.name;
  data.high = 255;
  if (labels.empty()) return data;
  data.label = read_idx(path.require(set.name, labels, set.how)).to(torch::kLong);
  if (data.label.dim() != 1 || data.label.size(0) != data.x.size(0))
    throw WorkError(set.name,
                    fmt::format("{} holds {} labels for {} images", labels, data.label.numel(), data.x.size(0)));
  return data;
}

Dataset read_mnist_part(const NamedSet& set, const DataPath& path, const std::string& folder, const std::string& part) {
  const std::string prefix = folder + "/" + part;
  return read_images(set, path, prefix + "-images-idx3-ubyte.gz", prefix + "-labels-idx1-ubyte.gz");
}

Load mnist_layout(const std::string& folder) {
  return [=](const NamedSet& set, const DataPath& path, const FileOptions& /*options*/) {
    return Published{read_mnist_part(set, path, folder, "train"), read_mnist_part(set, path, folder, "t10k")};
  };
}

// Three digits as the channels of one image. Every channel takes each image as often as it is said, in an order of its own; the
// orders belong to the data set and are the same for every seed.
Dataset stacked(const Dataset& digits, std::int64_t times, const Rng& rng) {
  constexpr std::int64_t kChannels = 3, kClasses = 10;
  std::vector<Tensor> x;
  Tensor label = torch::zeros({times * digits.size()}, torch::kLong);
  for (std::int64_t channel = 0; channel < kChannels; ++channel) {
    std::vector<Tensor> all;
    for (std::int64_t k = 0; k < times; ++k)
      all.push_back(rng.stream("stacked").at_step(times * channel + k).permutation(digits.size()));
    const Tensor rows = torch::cat(all);
    x.push_back(digits.x.index_select(0, rows));
    label = label * kClasses + digits.label.index_select(0, rows);
  }
  Dataset data = digits;
  data.x = torch::stack(x, 1);
  data.label = label;
  return data;
}

Load stacked_mnist() {
  return [](const NamedSet& set, const DataPath& path, const FileOptions& /*options*/) {
    const Rng rng(0, set.name);
    return Published{stacked(read_mnist_part(set, path, "mnist", "train"), 2, rng.stream("train")),
                     stacked(read_mnist_part(set, path, "mnist", "t10k"), 2, rng.stream("test"))};
  };
}

Load mnist_test_only(const std::string& folder) {
  return [=](const NamedSet& set, const DataPath& path, const FileOptions& /*options*/) {
    return Published{std::nullopt, read_mnist_part(set, path, folder, "t10k")};
  };
}

Load images(const std::string& file, const std::string& labels) {
  return [=](const NamedSet& set, const DataPath& path, const FileOptions& /*options*/) {
    return Published{read_images(set, path, file, labels), std::nullopt};
  };
}

// Levels of every channel uniform on 0 … 255; the published images and their law are not known.
Load constants(const Shape& event) {
  return [=](const NamedSet& set, const DataPath& /*path*/, const FileOptions& /*options*/) {
    constexpr std::int64_t kImages = 10000, kLevels = 256;
    Rng rng(0, "constants");
    Dataset data;
    Shape levels = {kImages}, all = {kImages};
    for (std::size_t i = 0; i < event.size(); ++i) {
      levels.push_back(i + 2 < event.size() ? event[i] : 1);
      all.push_back(event[i]);
    }
    data.x = rng.integers(levels, kLevels).to(torch::kByte).expand(all).contiguous();
    data.source = set.name;
    data.high = kLevels - 1;
    return Published{std::nullopt, data};
  };
}

// Columns are dropped from the left after the label was taken out.
Dataset read_table(const NamedSet& set, const DataPath& path, const std::string& file, const std::string& label,
                   std::size_t drop) {
  const CsvTable table = read_csv(path.require(set.name, file, set.how), label);
  Dataset data;
  data.x = table.x.slice(1, static_cast<std::int64_t>(drop)).contiguous();
  data.label = table.label;
  data.columns.assign(table.columns.begin() + static_cast<std::ptrdiff_t>(std::min(drop, table.columns.size())),
                      table.columns.end());
  data.source = set.name;
  return data;
}

Load columns(const std::string& file, const std::string& label, std::size_t drop) {
  return [=](const NamedSet& set, const DataPath& path, const FileOptions& /*options*/) {
    return Published{read_table(set, path, file, label, drop), std::nullopt};
  };
}

Load parkinsons() {
  return [](const NamedSet& set, const DataPath& path, const FileOptions& /*options*/) {
    Dataset data = read_table(set, path, "uci_parkinsons/parkinsons_updrs.data", "", 3);
    const std::vector<std::int64_t> kept = without_near_duplicates(data.x, 0.98);
    data.x = data.x.index_select(1, torch::tensor(kept, torch::kLong));
    std::vector<std::string> columns;
    columns.reserve(kept.size());
    for (const std::int64_t column : kept) columns.push_back(data.columns.at(static_cast<std::size_t>(column)));
    data.columns = std::move(columns);
    return Published{data, std::nullopt};
  };
}

// A batch is taken whole or, where only that is there, in a copy that lacks records.
Dataset read_batches(const NamedSet& set, const DataPath& path, const std::vector<std::string>& names,
                     std::int64_t label_bytes) {
  std::vector<Tensor> x, label;
  for (const std::string& name : names) {
    const bool partial = !path.find(name + ".bin.gz") && path.find(name + ".partial.bin.gz");
    if (!x.empty() && !partial && !path.find(name + ".bin.gz")) continue;
    const Dataset batch =
        read_cifar(path.require(set.name, name + (partial ? ".partial.bin.gz" : ".bin.gz"), set.how), label_bytes);
    x.push_back(batch.x);
    label.push_back(batch.label);
  }
  Dataset data;
  data.x = torch::cat(x);
  data.label = torch::cat(label);
  data.source = set.name;
  data.high = 255;
  return data;
}

Load cifar10() {
  return [](const NamedSet& set, const DataPath& path, const FileOptions& /*options*/) {
    std::vector<std::string> names;
    for (int k = 1; k <= 5; ++k) names.push_back(fmt::format("cifar10/data_batch_{}", k));
    return Published{read_batches(set, path, names, 1), read_batches(set, path, {"cifar10/test_batch"}, 1)};
  };
}

Load cifar100() {
  return [](const NamedSet& set, const DataPath& path, const FileOptions& /*options*/) {
    Published published;
    published.test = read_batches(set, path, {"cifar100/test"}, 2);
    if (path.find("cifar100/train.bin.gz")) published.train = read_batches(set, path, {"cifar100/train"}, 2);
    return published;
  };
}

// The digit 0 is numbered 10 there.
Load svhn() {
  return [](const NamedSet& set, const DataPath& path, const FileOptions& /*options*/) {
    Published published;
    for (const char* part : {"train", "test"}) {
      Dataset data = load_file(path.require(set.name, fmt::format("svhn/{}_32x32.mat", part), set.how));
      if (data.label.defined()) data.label = data.label.remainder(10);
      data.source = set.name;
      (part == std::string("train") ? published.train : published.test) = std::move(data);
    }
    return published;
  };
}

// A line of the list is a file and 0, 1 or 2: training, validation, test. Validation rows end the training rows, in file order.
Load celeba() {
  return [](const NamedSet& set, const DataPath& path, const FileOptions& options) {
    const std::string list = path.require(set.name, "celeba/list_eval_partition.txt", set.how);
    const std::string folder = path.require(set.name, "celeba/img_align_celeba", set.how);
    std::array<std::vector<std::string>, 3> parts;
    std::istringstream lines(read_file(list));
    std::string name;
    for (std::size_t part = 0; lines >> name;) {
      if (!(lines >> part) || part > 2) throw WorkError(list, fmt::format("no part 0, 1 or 2 after '{}'", name));
      parts[part].push_back(name);
    }
    parts[0].insert(parts[0].end(), parts[1].begin(), parts[1].end());
    if (parts[0].empty() || parts[2].empty()) throw WorkError(list, "names no training or no test images");
    Published published{load_images(folder, parts[0], options.images), load_images(folder, parts[2], options.images)};
    published.train->source = published.test->source = set.name;
    return published;
  };
}

Load lsun_church() {
  return [](const NamedSet& set, const DataPath& path, const FileOptions& options) {
    Published published;
    for (const char* part : {"train", "val"}) {
      const std::string file =
          path.require(set.name, fmt::format("lsun/church_outdoor_{}_lmdb/data.mdb", part), set.how);
      Dataset data = load_image_lmdb(file, options.images);
      data.source = set.name;
      (part == std::string("train") ? published.train : published.test) = std::move(data);
    }
    return published;
  };
}

Load optdigits() {
  return [](const NamedSet& set, const DataPath& path, const FileOptions& /*options*/) {
    Dataset train = read_table(set, path, "uci_optdigits/optdigits.tra", "64", 0);
    Dataset test = read_table(set, path, "uci_optdigits/optdigits.tes", "64", 0);
    train.high = test.high = 16;
    return Published{train, test};
  };
}

template <class Settings, MakeDensity::result_type (*make)(const Config&)>
Entry<MakeDensity> density(const std::string& name, const std::string& summary, const std::string& paper) {
  return {name, summary, paper, make, &describe_options<Settings>};
}

}  // namespace

const Table<MakeDensity>& density_table() {
  // clang-format off
  static const Table<MakeDensity> table = {
      density<CheckerboardOptions, make_checkerboard>("checkerboard", "two squares on a diagonal, density 2; exact with jitter too", "Bao et al. 2021 (VaGES)"),
      density<GaussianGridOptions, make_gaussian_grid>("25-gaussians", "a 5 × 5 grid of Gaussians; exact density", "Xiao et al. 2021 (VAEBM)"),
      density<ManifoldMixtureOptions, make_circle_mixture>("circle-mixture", "two von Mises laws on the circle; exact density", "minimum velocity learning, Figure 2"),
      density<ManifoldMixtureOptions, make_sphere_mixture>("sphere-mixture", "four von Mises-Fisher laws on the sphere; exact density", "minimum velocity learning, appendix E"),
      density<ManifoldMixtureOptions, make_torus_mixture>("torus-mixture", "three laws of two angles; exact density", "gibbsite"),
      density<ManifoldMixtureOptions, make_hyperbolic_mixture>("hyperbolic-mixture", "three wrapped normal laws on the hyperbolic plane; exact density", "gibbsite"),
      density<ManifoldMixtureOptions, make_rotation_mixture>("rotation-mixture", "three laws of rotations as quaternions; exact density", "gibbsite"),
      density<RingOptions, make_ring>("ring", "a circle with Gaussian radial profile; exact density", "gibbsite"),
      density<BananaOptions, make_banana>("banana", "a Gaussian bent along a parabola; exact density", "Wenliang et al. 2019; Song & Ermon 2020 (MVL)"),
      density<GaussianMixtureOptions, make_gaussian_mixture>("gaussian-mixture", "isotropic Gaussians in any dimension; exact density", "gibbsite"),
      density<TwoMoonsOptions, make_two_moons>("two-moons", "two interleaved half circles with jitter", "gibbsite"),
      density<SwissRollOptions, make_swiss_roll>("swiss-roll", "a spiral in the plane with jitter", "gibbsite"),
  };
  // clang-format on
  return table;
}

const std::vector<NamedSet>& named_sets() {
  static const std::string four_files = "get train-{images-idx3,labels-idx1}-ubyte.gz and t10k-… of ";
  // clang-format off
  static const std::vector<NamedSet> table = {
      {"mnist", "70000 handwritten digits, 28 × 28, 10 classes", "LeCun, Cortes, Burges 1998", four_files + "yann.lecun.com/exdb/mnist into mnist/", mnist_layout("mnist")},
      {"fashion-mnist", "70000 pieces of clothing, 28 × 28, 10 classes", "Xiao, Rasul, Vollgraf 2017", four_files + "github.com/zalandoresearch/fashion-mnist into fashion_mnist/", mnist_layout("fashion_mnist")},
      {"stacked-mnist", "140000 images of three digits, one per channel, 3 × 28 × 28, 1000 classes", "Srivastava et al. 2017", four_files + "yann.lecun.com/exdb/mnist into mnist/", stacked_mnist()},
      {"notmnist", "10000 letters A to J in many fonts, 28 × 28 (test only)", "Bulatov 2011", "get t10k-{images-idx3,labels-idx1}-ubyte.gz of github.com/davidflanagan/notMNIST-to-MNIST into notmnist/", mnist_test_only("notmnist")},
      {"omniglot", "4840 drawings of 242 characters (small background sets), 28 × 28", "Lake, Salakhutdinov, Tenenbaum 2015", "make omniglot_small-{images28-idx3,labels-idx1}-ubyte.gz of github.com/brendenlake/omniglot in omniglot_small/", images("omniglot_small/omniglot_small-images28-idx3-ubyte.gz", "omniglot_small/omniglot_small-labels-idx1-ubyte.gz")},
      {"frey-faces", "1965 video frames of a face, 28 × 20, in video order", "Frey, Roweis", "make frey-images-idx3-ubyte.gz of cs.nyu.edu/~roweis/data.html in frey_faces/", images("frey_faces/frey-images-idx3-ubyte.gz", "")},
      {"olivetti-faces", "400 faces of 40 people, 64 × 64", "Samaria, Harter 1994", "make olivetti-{images-idx3,labels-idx1}-ubyte.gz of cs.nyu.edu/~roweis/data.html in olivetti_faces/", images("olivetti_faces/olivetti-images-idx3-ubyte.gz", "olivetti_faces/olivetti-labels-idx1-ubyte.gz")},
      {"cifar10", "photographs, 3 × 32 × 32, 10 classes; as many training batches as are there", "Krizhevsky 2009", "get data_batch_{1..5}.bin and test_batch.bin of cs.toronto.edu/~kriz/cifar.html into cifar10/", cifar10()},
      {"cifar100", "photographs, 3 × 32 × 32, 100 classes; training rows where they are there", "Krizhevsky 2009", "get test.bin (and train.bin) of cs.toronto.edu/~kriz/cifar.html into cifar100/", cifar100()},
      {"svhn", "99289 house numbers, 3 × 32 × 32, 10 classes", "Netzer et al. 2011", "get train_32x32.mat and test_32x32.mat of ufldl.stanford.edu/housenumbers into svhn/", svhn()},
      {"constants", "10000 images of one grey level each, 28 × 28 (test only)", "CEBM, section 6.4", "generated", constants({28, 28})},
      {"colour-constants", "10000 images of one colour each, 3 × 32 × 32 (test only)", "CEBM, section 6.4", "generated", constants({3, 32, 32})},
      {"celeba", "202599 faces of 178 × 218, aligned; 19867 validation rows end the training rows (split = \"file\")", "Liu et al. 2015", "get img_align_celeba and list_eval_partition.txt of mmlab.ie.cuhk.edu.hk/projects/CelebA.html into celeba/", celeba()},
      {"lsun-church", "126527 churches from outside in many sizes, of PNG or JPEG; wants image_size", "Yu et al. 2015", "get church_outdoor_{train,val}_lmdb of yf.io/p/lsun into lsun/", lsun_church()},
      {"redwine", "1599 red wines, 11 measurements, quality as label", "Cortez et al. 2009", "get winequality-red.csv of archive.ics.uci.edu/dataset/186 into uci_wine/", columns("uci_wine/winequality-red.csv", "quality", 0)},
      {"whitewine", "4898 white wines, 11 measurements, quality as label", "Cortez et al. 2009", "get winequality-white.csv of archive.ics.uci.edu/dataset/186 into uci_wine/", columns("uci_wine/winequality-white.csv", "quality", 0)},
      {"parkinsons", "5875 voice recordings, 15 measurements (subject, age, sex and near duplicates dropped)", "Tsanas, Little 2009", "get parkinsons_updrs.data of archive.ics.uci.edu/dataset/189 into uci_parkinsons/", parkinsons()},
      {"optdigits", "5620 handwritten digits, 8 × 8 counts 0 to 16, 10 classes", "Alpaydin, Kaynak 1998", "get optdigits.tra and optdigits.tes of archive.ics.uci.edu/dataset/80 into uci_optdigits/", optdigits()},
  };
  // clang-format on
  return table;
}

}  // namespace gibbsite
