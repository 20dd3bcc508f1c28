// Samples of runs under the eyes of a classifier: how experiments with images are judged.
#pragma once

#include <gibbsite/recipe/judge.h>
#include <gibbsite/recipe/reproduce.h>

#include <memory>
#include <string>
#include <vector>

namespace gibbsite {

struct SampleJudgeSettings {
  /// Overrides of the classifier's recipe at a scale: a small network for "smoke"; for "desk" a short training, in which the
  /// average of the weights must not reach back to the first ones; none for "paper".
  static std::vector<std::string> of_scale(const std::string& scale);

  std::string classifier;             ///< run of one; empty: it is trained first
  std::vector<std::string> set;       ///< of the recipe of the classifier that is trained, fd/mnist-classifier
  std::int64_t reference = 9000;      ///< first test images, which the Fréchet distance is taken from
  bool channels = false;              ///< every channel of an image is one of its own to the classifier
  std::int64_t chains_per_file = 64;  ///< samples are kept in files of so many, so that an interrupted call goes on
};

/// The digit criterion of a sample: 80 % of it are of one class each, to the classifier's probability 0.9, and 8 classes
/// among them.
struct JudgedDigits {
  Row confident, classes;  ///< confident_share and classes
  bool met = false;
  std::string verdict;  ///< for a person
};

class SampleJudge {
 public:
  /// A classifier that is trained lies beside the seeds' directories, shared by them. Both must outlive it.
  SampleJudge(SampleJudgeSettings settings, const ExperimentContext& context, const Ports& ports);

  const Judge& judge(const Parts& parts);
  /// Features of images [N, *event] in original units; where channels are images of their own, those of each: [N C, features].
  Tensor features(const Parts& parts, const Tensor& x);
  /// Features of the reference images.
  const Tensor& reference(const Parts& parts);
  /// frechet_classifier of samples [n, *event] in original units, with `samples` in the row.
  Row distance(const Parts& parts, const std::string& method, const Tensor& x);
  JudgedDigits digits(const Parts& parts, const std::string& method, const Tensor& x);
  /// The distance of the last `n` test images, as method "data": what the size of the sample alone costs.
  Row floor(const Parts& parts, std::int64_t n);
  /// Draws of the run at `step`, [n, *event] in original units.
  Tensor samples(const Parts& parts, const std::string& run, std::int64_t step, std::int64_t n) const;

 private:
  SampleJudgeSettings settings_;
  const ExperimentContext& context_;
  const Ports& ports_;
  std::unique_ptr<Judge> judge_;
  Tensor reference_;

  // How many test images, the first: nine tenths at most, so that there are others for the floor.
  std::int64_t references(const Parts& parts) const;
};

}  // namespace gibbsite
