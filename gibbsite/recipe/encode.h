// The service behind `gibbsite encode`.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/recipe/build.h>

#include <optional>
#include <string>

namespace gibbsite {

struct EncodeRequest {
  std::string run;
  std::string data;                  ///< name or file; empty: the held-out points of the run
  std::string out;                   ///< .npz or .csv; empty: codes/<data>.npz in the run
  std::string device;                ///< empty: that of the run
  std::int64_t draws = 256;          ///< per point, of an encoder whose mean has no formula
  std::optional<std::int64_t> seed;  ///< of those draws; empty: that of the run
  DataPath path;
};

struct Codes {
  Tensor mean, variance;  ///< [N, K] float64
};

/// Of the latent variables given every row of x ([N, *event], original units): codes of an encoder, all groups of a hierarchy one
/// after another, or (ε_z, ε_x) of the noise space of an auto-encoder that an energy corrects, the latter two over draws. Throws
/// RequestError where there is no encoder.
Codes encode_points(const Parts& parts, const Tensor& x, std::int64_t draws, const Rng& rng, const Ports& ports);

struct EncodeOutcome : Codes {
  std::string file;
};

/// Writes mean and variance of the latent variables given every row. Throws RequestError where the run has no encoder.
EncodeOutcome encode_run(const EncodeRequest& request, const Ports& ports);

}  // namespace gibbsite
