// Models that several experiments share: trained once each, to a share of their steps or further, and judged by their samples.
#pragma once

#include <gibbsite/recipe/build.h>
#include <gibbsite/recipe/reproduce.h>
#include <gibbsite/recipe/sample_judge.h>

#include <memory>
#include <string>
#include <vector>

namespace gibbsite {

/// Keys of these experiments, in a table of the study's name.
struct StudyOptions {
  double minutes = 15;
  std::string models;
  std::string classifier;
  void declare(OptionVisitor& o) {
    o.option("minutes", minutes,
             "training of a model on one core of the machine that the page names: steps are in proportion",
             {0, 1e9, true, false});
    o.option("models", models,
             "result directory of another of these experiments, whose models are taken, and trained on, where they are "
             "there");
    o.option("classifier", classifier, "run of the classifier that judges samples; empty: it is trained first");
  }
};

struct StudyModel {
  std::string slug, recipe;
  std::vector<std::string> set;          ///< of the recipe at desk scale
  double steps = 0;                      ///< of the plan's minutes
  std::string route;                     ///< how an energy is trained, for rows; empty: as its slug says
  std::vector<std::string> smoke = {};   ///< of the recipe at smoke scale, where its network has options of its own
  std::string base = {};                 ///< slug of the model whose run is its `vae.run`; empty: none
  std::vector<std::string> always = {};  ///< of the recipe at every scale: what makes it this model
  bool rounds = true;                    ///< whether an energy is chosen among those of several numbers of steps
};

/// What a family of experiments has in common.
struct StudyPlan {
  std::string name;  ///< of the table of its keys
  std::vector<StudyModel> models;
  double minutes = 15;             ///< that their steps are for
  std::vector<std::string> smoke;  ///< of every recipe at smoke scale
};

/// The data set that settings ask for by "data=NAME".
std::string asked_data(const std::vector<std::string>& set, const std::string& otherwise);

class ModelStudy {
 public:
  /// Takes "<plan>.key=value", "data=NAME" and "method=NAME,NAME…" out of the context's settings; the rest belongs to recipes.
  /// `metric` is that whose row says that a model is done. Context and ports must outlive it.
  ModelStudy(const StudyPlan& plan, const ExperimentContext& context, const Ports& ports,
             const std::string& otherwise_data, std::vector<std::string> slugs, std::string metric);

  struct Trained {
    Parts parts;
    std::string run;
    std::int64_t step = 0;
    bool further = false;    ///< trained beyond the steps that were asked for, by an earlier call
    double cpu_seconds = 0;  ///< of training so far
  };
  const StudyModel& model(const std::string& slug) const;
  /// Those asked for whose rows are missing. Where the context can have several measured apart, that is done first, and what
  /// they had to say is in the outcome.
  std::vector<StudyModel> missing();
  /// Whether the experiment is asked for this one.
  bool wanted(const std::string& slug) const;
  /// Trained to a share of its steps, or further already, after the model that it is based on; parameters frozen. A `variant`
  /// has settings `set` of its own.
  Trained train(const StudyModel& model, double share = 1, const std::string& variant = "",
                const std::vector<std::string>& set = {}) const;
  /// A run of this model as it is, sampled by the settings asked for.
  Trained load(const StudyModel& model, const std::string& run) const;
  /// Directory of a model's run: that of `models` where it is there.
  std::string run_of(const StudyModel& model, const std::string& variant = "") const;
  Row row(const std::string& method, const char* metric, const Estimate& estimate, const char* unit = "1") const;
  /// The same with the step and route of a model.
  Row row(const StudyModel& model, const Trained& trained, const char* metric, const Estimate& estimate,
          const char* unit = "1") const;
  /// Of a test or training split: at most so many rows, the first, at smoke scale fewer.
  Dataset rows(const Dataset& split, std::int64_t count) const;
  /// As many rows, the last, for the choice of settings; throws RequestError where some of them are among the first.
  Dataset last_rows(const Dataset& split, std::int64_t count) const;
  /// Name of the data, and as rows have it ("-partial").
  const std::string& data() const { return data_; }
  const std::string& dataset() const { return dataset_; }
  bool smoke() const { return context_.scale == "smoke"; }
  const ExperimentContext& context() const { return context_; }
  const Ports& ports() const { return ports_; }
  SampleJudge& judge();
  /// A picture of images in original units, as a file and in the report.
  void picture(const Parts& parts, const Tensor& images, const std::string& file, const std::string& caption,
               std::int64_t columns = 0);
  ExperimentOutcome outcome;
  void say(const std::string& line);

 private:
  StudyPlan plan_;
  ExperimentContext context_;
  const Ports& ports_;
  StudyOptions options_;
  std::string data_, dataset_, metric_;
  std::vector<std::string> slugs_, only_, set_;
  std::unique_ptr<SampleJudge> judge_;

  // Whether settings of recipes are meant for others than this one, which is only what they are based on.
  bool serves(const StudyModel& model) const;
  // Those asked for that a finished run can follow.
  std::vector<std::string> sampling_settings(const StudyModel& model) const;
};

}  // namespace gibbsite
