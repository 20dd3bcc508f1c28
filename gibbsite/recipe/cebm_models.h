// The models that the experiments of conjugate energy-based models compare (Wu et al. 2021), trained once each and shared by
// the four experiments.
#pragma once

#include <gibbsite/recipe/model_study.h>

#include <string>
#include <vector>

namespace gibbsite {

using CebmModel = StudyModel;

/// Every model there is: vae, gmm-vae, bigan, igebm, cebm (by the best route), cebm-ssm, cebm-pcd, gmm-cebm, and cebm-mi with weights.
const std::vector<CebmModel>& cebm_models();
/// One of them; throws RequestError for a slug that none has.
const CebmModel& cebm_model(const std::string& slug);

class CebmStudy : public ModelStudy {
 public:
  CebmStudy(const ExperimentContext& context, const Ports& ports, const std::string& otherwise_data,
            std::vector<std::string> slugs, std::string metric);
};

/// What a model is compared by: posterior means (of a mixture the most responsible component's), means of an encoder, or the
/// features of an energy without latent variables. x: [N, *event] in original units -> [N, K].
Tensor representation(const Parts& parts, const Tensor& x, const Ports& ports);

/// Points by their representations, with classes.
struct LabelledCodes {
  Tensor code;   ///< [N, K]
  Tensor label;  ///< [N] int64
};
/// The representations of a whole split.
LabelledCodes labelled_codes(const Parts& parts, const Dataset& split, const Ports& ports);

/// Accuracy on `test` of linear probes of ten draws of so many labelled rows per class of `train`, with the standard error over
/// the draws, which are the same for every model and seed.
Estimate few_label_accuracy(const LabelledCodes& train, const LabelledCodes& test, std::int64_t labels);

constexpr std::int64_t kImageClasses = 10;  ///< of every labelled data set here

/// Throws RequestError unless the images of this named set are of that many classes.
void require_image_classes(const std::string& data, const DataPath& path);

}  // namespace gibbsite
