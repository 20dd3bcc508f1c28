#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/process.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/metric/neighbours.h>
#include <gibbsite/recipe/cebm_models.h>
#include <gibbsite/recipe/cebm_representation.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/report/image.h>
#include <gibbsite/report/plot.h>
#include <torch/types.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>

namespace gibbsite {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kNeighbours = 5, kShown = 8, kMapped = 2000;

struct RepresentationOptions {
  std::int64_t samples = 1000;
  void declare(OptionVisitor& o) { o.option("samples", samples, "samples of a model that are judged", at_least(2)); }
};

// Average same-class share on CIFAR-10, by nearest neighbours.
const std::map<std::string, double>& published() {
  static const std::map<std::string, double> all = {{"vae", 0.38}, {"cebm", 0.45}, {"cebm-pcd", 0.45}};
  return all;
}

// Directions of largest variance: [N, K] -> [N, 2].
Tensor principal_map(const Tensor& codes) {
  const Tensor centred = codes - codes.mean(0);
  const Tensor covariance = centred.t().mm(centred) / static_cast<double>(codes.size(0));
  return centred.mm(std::get<1>(torch::linalg_eigh(covariance, "L")).narrow(1, codes.size(1) - 2, 2).flip(1));
}

// By scikit-learn in a process of its own; undefined where it is not installed.
Tensor neighbour_embedding(const Tensor& codes, const std::string& folder) {
  if (std::system("python3 -c 'import sklearn.manifold' > /dev/null 2>&1") != 0) return {};
  const std::string in = folder + "/map-codes.npy", out = folder + "/map-tsne.npy";
  write_npy(in, codes);
  const std::string program =
      "import sys, numpy, sklearn.manifold as m; "
      "numpy.save(sys.argv[2], m.TSNE(random_state=0).fit_transform(numpy.load(sys.argv[1])).astype(float))";
  const std::string command =
      fmt::format("python3 -c {} {} {}", shell_quoted(program), shell_quoted(in), shell_quoted(out));
  if (std::system(command.c_str()) != 0) throw WorkError("t-SNE", "python3 failed on " + in);
  return read_npy(out);
}

class Spaces {
 public:
  explicit Spaces(CebmStudy& study) : study_(study), plotter_(*study.ports().logger) {}

  void measure(const Row& like, const Dataset& train, const Dataset& test, const Tensor& train_codes,
               const Tensor& test_codes, const std::string& folder, std::vector<Row>& rows) {
    fs::create_directories(folder);
    const Neighbours near = nearest_neighbours(test_codes, train_codes, kNeighbours);
    const Tensor labels = train.label.index_select(0, near.index.flatten()).view(near.index.sizes());
    std::string line = like.method + ":";
    for (const std::int64_t k : {std::int64_t{1}, kNeighbours}) {
      const NeighbourClasses found = neighbour_classes(test.label, labels.narrow(1, 0, k), kImageClasses);
      Row row = like;
      row.metric = "same_class_share";
      row.value = found.same.value;
      row.standard_error = found.same.standard_error;
      row.settings["neighbours"] = static_cast<double>(k);
      if (k == 1 && study_.data() == "cifar10" && published().count(like.method))
        row.published = published().at(like.method);
      rows.push_back(row);
      line += fmt::format("  {} nearest: {}", k, format_estimate(found.same.value, found.same.standard_error));
      if (k > 1) continue;
      write_npz(folder + "/confusion.npz", {{"confusion", found.confusion}});
      draw_confusion(found.confusion, like.method, folder);
    }
    draw_neighbours(train, test, near, folder, like.method);
    draw_maps(test_codes, test.label, like.method, folder);
    study_.say(line);
  }

  void picture(const std::string& file, const std::string& caption) {
    study_.outcome.pictures.push_back(read_picture(file, caption));
  }

 private:
  CebmStudy& study_;
  Plotter plotter_;

  void draw_confusion(const Tensor& confusion, const std::string& method, const std::string& folder) {
    DensityPanel panel;
    panel.title = method;
    panel.values = confusion.flip(0);
    panel.x_low = panel.y_low = -0.5;
    panel.x_high = panel.y_high = kImageClasses - 0.5;
    DensityPlot plot;
    plot.title = "true class (down from 0) and class of the nearest training image";
    plot.color_label = "share";
    plot.panels = {panel};
    plot.color_high = 1;
    if (plotter_.densities(folder + "/confusion.png", plot))
      picture(folder + "/confusion.png", method + ": classes of nearest neighbours");
  }
  void draw_neighbours(const Dataset& train, const Dataset& test, const Neighbours& near, const std::string& folder,
                       const std::string& method) {
    const std::int64_t shown = std::min(kShown, test.size());
    std::vector<Tensor> images;
    for (std::int64_t i = 0; i < shown; ++i) {
      images.push_back(test.x.narrow(0, i, 1));
      images.push_back(train.x.index_select(0, near.index[i]));
    }
    GridStyle style;
    style.columns = 1 + kNeighbours;
    style.scale = 2;
    write_image_grid(folder + "/neighbours.png", torch::cat(images).to(torch::kDouble) / 255, style);
    picture(folder + "/neighbours.png", method + ": test images and the nearest training images");
  }
  void draw_map(const Tensor& plane, const Tensor& labels, const std::string& title, const std::string& file) {
    CurvePlot plot;
    plot.title = title;
    for (std::int64_t c = 0; c < kImageClasses; ++c) {
      const Tensor of = plane.index_select(0, (labels == c).nonzero().squeeze(1)).contiguous();
      Curve curve;
      curve.label = fmt::format("{}", c);
      curve.line = false;
      for (std::int64_t i = 0; i < of.size(0); ++i) {
        curve.x.push_back(of[i][0].item<double>());
        curve.y.push_back(of[i][1].item<double>());
      }
      if (!curve.x.empty()) plot.curves.push_back(curve);
    }
    if (plotter_.curves(file, plot)) picture(file, title);
  }
  void draw_maps(const Tensor& codes, const Tensor& labels, const std::string& method, const std::string& folder) {
    const std::int64_t n = std::min(kMapped, codes.size(0));
    const Tensor some = codes.narrow(0, 0, n), of = labels.narrow(0, 0, n);
    draw_map(principal_map(some), of, method + ": directions of largest variance", folder + "/map.png");
    const Tensor embedded = study_.smoke() ? Tensor() : neighbour_embedding(some, folder);
    if (embedded.defined()) draw_map(embedded, of, method + ": t-SNE", folder + "/map-tsne.png");
  }
};

}  // namespace

ExperimentOutcome reproduce_representation(const ExperimentContext& context, const Ports& ports) {
  ExperimentContext own = context;
  RepresentationOptions options;
  if (context.scale == "smoke") options.samples = 32;
  options = take_experiment_options(own.set, options);
  std::vector<std::string> slugs;
  for (const CebmModel& model : cebm_models()) slugs.push_back(model.slug);
  CebmStudy study(own, ports, "fashion-mnist", slugs, "same_class_share");
  require_image_classes(study.data(), context.path);
  Spaces spaces(study);
  for (const CebmModel& model : study.missing()) {
    const CebmStudy::Trained trained = study.train(model);
    const Parts& parts = trained.parts;
    const Dataset &train = parts.data->splits.train, test = study.rows(parts.data->splits.test, 10000);
    std::vector<Row> rows;
    spaces.measure(study.row(model, trained, "same_class_share", {}), train, test,
                   representation(parts, train.x, ports), representation(parts, test.x, ports), trained.run, rows);
    if (!own.measured("pixels", study.dataset(), "same_class_share"))
      spaces.measure(study.row("pixels", "same_class_share", {}), train, test, train.x.flatten(1).to(torch::kDouble),
                     test.x.flatten(1).to(torch::kDouble), own.directory + "/pixels", rows);
    SampleJudge& judge = study.judge();
    const Tensor samples = judge.samples(parts, trained.run, trained.step, options.samples);
    GridStyle style;
    style.scale = 2;
    write_image_grid(trained.run + "/samples.png",
                     samples.narrow(0, 0, std::min<std::int64_t>(64, samples.size(0))) / 255, style);
    spaces.picture(trained.run + "/samples.png", model.slug + ": samples");
    const Row distance = judge.distance(parts, model.slug, samples);
    rows.push_back(study.row(model, trained, "frechet_classifier", {distance.value, distance.standard_error}));
    rows.back().settings["samples"] = static_cast<double>(samples.size(0));
    if (!own.measured("data", study.dataset(), "frechet_classifier") && !study.smoke()) {
      rows.push_back(judge.floor(parts, options.samples));
      rows.back().dataset = study.dataset();
    }
    own.add(rows);
    study.say(fmt::format("{}: Fréchet distance {} of {} samples", model.slug,
                          format_estimate(distance.value, distance.standard_error), samples.size(0)));
  }
  return study.outcome;
}

}  // namespace gibbsite
