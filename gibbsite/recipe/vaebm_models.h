// The models that the studies of VAEBM compare, trained once each and shared by them: an auto-encoder, and energies that correct
// it (protocol sheet of VAEBM, section 10).
#pragma once

#include <gibbsite/recipe/model_study.h>

#include <string>
#include <vector>

namespace gibbsite {

/// vae, and based on it vaebm (chains go on from a replay buffer), vaebm-fresh (every chain starts anew), vaebm-square (the
/// energy is a square) and vaebm-kl (the decoder follows the energy); wgan (the decoder against a critic); ebm and
/// ebm-from-vae, energies of x alone; by the recipes of a data set, which are those of mnist where it has none of its own
/// (cifar10: the first four, with hierarchies); ncsn, a noise-conditional score network of about their cost.
std::vector<StudyModel> vaebm_models(const std::string& data);

class VaebmStudy : public ModelStudy {
 public:
  VaebmStudy(const ExperimentContext& context, const Ports& ports, const std::string& otherwise_data,
             std::vector<std::string> slugs, std::string metric);

  /// An energy trained in rounds, each as long as all before, as it was after that whose samples come nearest to training images by the Fréchet distance in
  /// the classifier's features: training diverges in the end (sheet 5), and the best comes before. Adds a row
  /// frechet_classifier_of_round per round, and diverged = 1 where training failed. Other models: trained to the
  /// end. Throws WorkError where the first round failed.
  Trained chosen(const StudyModel& model);
  /// Draws that no round was judged by, [n, *event] in original units.
  Tensor samples(const Trained& trained, std::int64_t n);
  /// Means of x at draws of an auto-encoder's posterior, in original units as x is: [N, *event].
  Tensor reconstructions(const Trained& vae, const Tensor& x) const;
  /// log p - E without its constant, p the auto-encoder's bound by so many codes: [N, *event] in original units -> [N].
  /// Throws RequestError for energies of means.
  Tensor log_density(const Trained& trained, const Tensor& x, std::int64_t codes) const;

 private:
  Tensor training_features_;
  std::int64_t judged() const;
  const Tensor& training_features(const Parts& parts);
};

/// What chains wrote.
class KeptStates : public SampleWriter {
 public:
  void write(std::int64_t /*step*/, const Tensor& x) override { states.push_back(x.detach().cpu()); }
  std::vector<Tensor> states;
};

/// The importance-weighted bound on log p(x) of an auto-encoder by so many codes of its encoder: [N, *event] in model units ->
/// [N] float64. Of a hierarchy the evidence bound, its mean over so many draws.
Tensor importance_bound(const Parts& vae, const Tensor& x, std::int64_t codes, const Rng& rng, const Ports& ports);

}  // namespace gibbsite
