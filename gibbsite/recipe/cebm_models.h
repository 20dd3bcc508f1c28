// The models that the experiments of conjugate energy-based models compare (Wu et al. 2021), trained once each and shared by
// the four experiments.
#pragma once

#include <gibbsite/recipe/build.h>
#include <gibbsite/recipe/reproduce.h>
#include <gibbsite/recipe/sample_judge.h>

#include <memory>
#include <string>
#include <vector>

namespace gibbsite {

/// Keys `cebm.…` of these experiments.
struct CebmOptions {
  double minutes = 15;
  std::string models;
  std::string classifier;
  void declare(OptionVisitor& o) {
    o.option("minutes", minutes,
             "training of a model on one core of the machine that the page names: steps are in proportion", positive());
    o.option("models", models, "result directory of another of these experiments, whose models are taken; empty: own");
    o.option("classifier", classifier, "run of the classifier that judges samples; empty: it is trained first");
  }
};

struct CebmModel {
  std::string slug, recipe;
  std::vector<std::string> set;  ///< of the recipe at desk scale
  double steps = 0;              ///< of 15 minutes
  std::string route;             ///< how an energy is trained, for rows; empty: as its slug says
};

/// Every model there is: vae, gmm-vae, bigan, igebm, cebm (by the best route), cebm-pcd, gmm-cebm, and cebm-mi with weights.
const std::vector<CebmModel>& cebm_models();

class CebmStudy {
 public:
  /// Takes "cebm.key=value", "data=NAME" and "method=NAME" out of the context's settings; the rest belongs to recipes. `metric`
  /// is that whose row says that a model is done. Context and ports must outlive it.
  CebmStudy(const ExperimentContext& context, const Ports& ports, const std::string& otherwise_data,
            std::vector<std::string> slugs, std::string metric);

  struct Trained {
    Parts parts;
    std::string run;
    std::int64_t step = 0;
    double cpu_seconds = 0;  ///< of training so far
  };
  /// Those asked for whose rows are missing.
  std::vector<CebmModel> missing() const;
  /// Trained to a share of its steps, or further already; parameters frozen. A `variant` has settings `set` of its own.
  Trained train(const CebmModel& model, double share = 1, const std::string& variant = "",
                const std::vector<std::string>& set = {}) const;
  Row row(const std::string& method, const char* metric, const Estimate& estimate, const char* unit = "1") const;
  /// The same with the step and route of a model.
  Row row(const CebmModel& model, const Trained& trained, const char* metric, const Estimate& estimate,
          const char* unit = "1") const;
  /// Of a test or training split: at most so many rows, the first, at smoke scale fewer.
  Dataset rows(const Dataset& split, std::int64_t count) const;
  const std::string& dataset() const { return dataset_; }
  bool smoke() const { return context_.scale == "smoke"; }
  const ExperimentContext& context() const { return context_; }
  const Ports& ports() const { return ports_; }
  SampleJudge& judge();
  ExperimentOutcome outcome;
  void say(const std::string& line);

 private:
  ExperimentContext context_;
  const Ports& ports_;
  CebmOptions options_;
  std::string data_, dataset_, metric_, only_;
  std::vector<std::string> slugs_, set_;
  std::unique_ptr<SampleJudge> judge_;

  std::string run_of(const CebmModel& model, const std::string& variant) const;
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

}  // namespace gibbsite
