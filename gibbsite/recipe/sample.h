// The service behind `gibbsite sample`, and drawing from a model for other services.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/recipe/build.h>
#include <gibbsite/recipe/conditional.h>
#include <gibbsite/report/plot.h>

#include <optional>
#include <string>
#include <vector>

namespace gibbsite {

struct Drawn {
  Tensor x;                              ///< [n, *model event], model units, one state of each of n independent chains
  Tensor acceptance;                     ///< [n], undefined without an acceptance test
  Tensor divergences;                    ///< [n] int64, undefined without an acceptance test
  std::shared_ptr<const Kernel> kernel;  ///< that made them; null under annealing
};

/// What samples are given.
struct Conditions {
  Tensor latent;               ///< [rows, K] latent variables, in the model's units
  std::optional<Given> given;  ///< entries of points
};

/// n chains by the settings of [sample]; chain c draws from row c of rng. With latent variables they are draws of p(v | h),
/// chain c given row c modulo rows: of a latent-variable energy, or of a decoder the means. A decoder without it decodes
/// draws of the prior; a latent-variable energy without a marginal is given the encoder's means of random training points.
/// With entries given, chain c moves the others of row c modulo rows. Throws RequestError where they need a kernel, an energy
/// that there is not, or data that are not loaded, and for entries given to what moves no single ones; Interrupted if asked
/// to stop. States go to ports.samples in original units.
Drawn draw(const Parts& parts, std::int64_t n, const Rng& rng, const Ports& ports, const Conditions& conditions = {});

/// The energy of v, else its score: of a score network (noise-conditional: at its last level), or by draws of an encoder;
/// without a graph of the parameters. `parts` must outlive it. Throws RequestError where there is neither.
Target target_of(const Parts& parts);

struct SampleRequest {
  std::string run;
  std::int64_t n = 0;  ///< 0: a sample per row of `latent` or `given`, else 64
  std::vector<std::string> set;
  std::string latent;      ///< .npz of `encode` or .npy, latent variables that samples are given; empty: none
  std::string given;       ///< file of points of which entries are known; empty: none
  std::string mask;        ///< file that marks the entries to sample; empty: those of `given` that are not a number
  double given_noise = 0;  ///< deviation of noise on the known entries
  std::string out;         ///< .npy, .csv or .png; empty: samples/samples.npy in the run
  std::string chains;      ///< .npy or .csv for every state after the burn-in (chain_file.h); empty: none
  std::optional<std::int64_t> seed;
  DataPath path;
};

struct SampleOutcome {
  std::vector<std::string> files;
  std::optional<double> acceptance;
  Tensor x;  ///< original units
};

/// Where it is stopped, a file beside `out` keeps the state of the chains and the same request goes on from it, to the same
/// samples.
SampleOutcome sample_run(const SampleRequest& request, const Ports& ports);

/// How many draws chains had written when their state was kept; 0 where none is.
std::int64_t draws_so_far(StateStore& states, const ChainOptions& options);

/// Images in original units as numbers from 0 to 1, by the known range of their values; unchanged where there is none.
Tensor unit_range(const Tensor& images, const StoredTransforms& transforms);

/// A histogram of points [n, 2] of the plane, as a density.
DensityPanel histogram(const Tensor& points, const std::string& title);

/// A picture of points in original units: a grid of images, or a histogram in the plane. Throws RequestError for other
/// events, WorkError if it cannot be written.
void write_picture(const std::string& path, const Tensor& x, const Parts& parts, Logger& logger);

}  // namespace gibbsite
