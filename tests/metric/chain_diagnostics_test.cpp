#include <gibbsite/core/error.h>
#include <gibbsite/metric/chain_diagnostics.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <string>
#include <vector>

namespace gibbsite {
namespace {

// Chains that any language can make again to the last bits: Park and Miller's generator, and sums of twelve uniform numbers.
class Source {
 public:
  explicit Source(std::int64_t seed) : state_(seed) {}
  double uniform() {
    state_ = 16807 * state_ % 2147483647;
    return static_cast<double>(state_) / 2147483647;
  }
  double normal() {
    double sum = 0;
    for (int i = 0; i < 12; ++i) sum += uniform();
    return sum - 6;
  }

 private:
  std::int64_t state_;
};

Tensor make_chains(const std::string& kind, std::int64_t draws, std::int64_t chains, std::int64_t seed) {
  Source source(seed);
  Tensor x = torch::zeros({draws, chains}, torch::kDouble);
  auto value = x.accessor<double, 2>();
  const double memory = kind == "slow"         ? 0.9
                        : kind == "antithetic" ? -0.8
                        : kind == "heavy"      ? 0.3
                        : kind == "shifted"    ? 0.5
                                               : 0;
  for (std::int64_t c = 0; c < chains; ++c) {
    double state = 0;
    for (std::int64_t t = 0; t < draws; ++t) {
      double noise = source.normal();
      if (kind == "heavy") noise /= source.uniform();
      state = memory * state + noise;
      double shown = state + (kind == "shifted" && c == 0 ? 3 : 0);
      if (kind == "ties") shown = std::floor(shown * 2) / 2;
      if (kind == "constant") shown = 2.5;
      if (kind == "stuck" && c == 1) shown = 0.25;
      if (kind == "trend") shown = state + 0.01 * static_cast<double>(t + 1);
      value[t][c] = shown;
    }
  }
  return x;
}

struct Known {
  std::string kind;
  std::int64_t draws, chains, seed;
  std::vector<double> numbers;  // r_hat, ess_bulk, ess_tail, ess_mean, mcse_mean, mcse_sd
};

// By posterior 1.4.0 under R 4.2.2.
const std::vector<Known>& oracle() {
  const double nan = std::nan("");
  static const std::vector<Known> known = {
      {"plain",
       100,
       4,
       11,
       {1.0048730488642839, 407.31131831421953, 416.33336666333366, 407.60112490099129, 0.049102195525955412,
        0.032648809191801895}},
      {"slow",
       250,
       4,
       12,
       {1.0372217331617597, 78.481490660224893, 116.12760669690682, 78.05756877077377, 0.25338157516689025,
        0.14926367651750039}},
      {"plain",
       101,
       3,
       13,
       {1.000467802793364, 281.86842557463382, 296.1372433930444, 272.29795926264035, 0.057656385641478132,
        0.034716885675047757}},
      {"slow",
       200,
       1,
       14,
       {1.1302422375129189, 6.3842534876192172, 31.479050230883157, 7.2710252514853897, 0.99130755229165513,
        0.3301956576495893}},
      {"plain", 6, 4, 15, {0.97003234098055313, 12, 12, 12, 0.29418363673921005, 0.1913138085953737}},
      {"plain", 7, 4, 16, {1.2646404377343603, 12, 12, 12, 0.33439812821320669, 0.19323183861543772}},
      {"plain", 4, 2, 17, {0.89904299129216381, nan, nan, nan, nan, nan}},
      {"plain", 5, 3, 24, {1.4453300469511905, nan, nan, nan, nan, nan}},
      {"antithetic",
       200,
       4,
       18,
       {1.012317062647943, 2322.471989593555, 510.36460971418768, 2322.471989593555, 0.03300567654208976,
        0.069518894028915118}},
      {"heavy",
       300,
       4,
       19,
       {1.0051168197758402, 443.2389540136756, 540.26594502063779, 659.19310350735111, 31.338966879073045,
        395.51042926778757}},
      {"shifted",
       150,
       4,
       20,
       {1.462159613499616, 8.4768434672768684, 28.242388502868518, 7.3827682663363676, 0.64226068725727536,
        0.27028892261640936}},
      {"constant", 50, 4, 21, {nan, nan, nan, nan, nan, nan}},
      {"stuck",
       100,
       4,
       22,
       {1.5144090447082277, 299.99884537250324, 329.79558002871647, 289.04458651078806, 0.054244300929420848,
        0.10522104620347503}},
      {"ties",
       120,
       4,
       23,
       {1.0040416267516812, 515.57495774754261, 397.78405700561194, 518.57518914867114, 0.046042973935112148,
        0.037067787792830841}},
      {"trend",
       400,
       2,
       25,
       {1.3964657196464105, 4.2903478138052815, 58.69242253789546, 4.1920476944964182, 0.74241439640868157,
        0.092620634966598378}},
      {"slow", 9, 2, 26, {1.1419513403807904, 8, 8, 8, 0.31214387914000813, 0.19541619135016239}},
      {"antithetic",
       1000,
       2,
       27,
       {1.0003220936326001, 6602.0599913279621, 1162.7487142742843, 6602.0599913279621, 0.021179427399317205,
        0.05253480656719272}},
      {"plain",
       12,
       1,
       28,
       {1.1368007824818174, 12.9501749525715, 12.705882352941179, 12.9501749525715, 0.28501863138587963,
        0.19217390172566326}},
  };
  return known;
}

TEST(ChainDiagnostics, EqualThoseOfPosterior) {
  for (const Known& known : oracle()) {
    const ChainDiagnostics found = diagnose_chains(make_chains(known.kind, known.draws, known.chains, known.seed));
    const std::vector<double> numbers = {found.r_hat,    found.ess_bulk,  found.ess_tail,
                                         found.ess_mean, found.mcse_mean, found.mcse_sd};
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      SCOPED_TRACE(known.kind + " " + std::to_string(known.draws) + " number " + std::to_string(i));
      if (std::isnan(known.numbers[i]))
        EXPECT_TRUE(std::isnan(numbers[i])) << numbers[i];
      else
        EXPECT_NEAR(numbers[i] / known.numbers[i], 1, 1e-10);
    }
  }
}

TEST(ChainDiagnostics, UndefinedNumbersAreNotNumbers) {
  EXPECT_TRUE(std::isnan(diagnose_chains(torch::rand({3, 4})).r_hat));
  EXPECT_TRUE(std::isnan(diagnose_chains(torch::full({50, 4}, 1e9)).ess_bulk));
  Tensor broken = make_chains("plain", 40, 2, 5);
  broken[3][1] = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(std::isnan(diagnose_chains(broken).mcse_mean));
  EXPECT_THROW(diagnose_chains(torch::rand({10})), RequestError);
}

// Of an AR(1) process the sample size is known: n (1 − φ) / (1 + φ).
TEST(ChainDiagnostics, SampleSizeOfAnAutoregression) {
  const Tensor x = make_chains("slow", 20000, 4, 3);
  const ChainDiagnostics found = diagnose_chains(x);
  EXPECT_NEAR(found.ess_mean / (80000 * 0.1 / 1.9), 1, 0.1);
  EXPECT_NEAR(found.mcse_mean, x.std().item<double>() / std::sqrt(found.ess_mean), 1e-12);
  EXPECT_NEAR(found.r_hat, 1, 0.01);
}

}  // namespace
}  // namespace gibbsite
