#include <gibbsite/sampler/birth_death.h>
#include <gibbsite/sampler/hmc.h>
#include <gibbsite/sampler/langevin.h>
#include <gibbsite/sampler/mala.h>
#include <gibbsite/sampler/stein.h>
#include <gibbsite/sampler/tempering.h>

namespace gibbsite {
namespace {

template <class K, class Options>
std::shared_ptr<const Kernel> make(const Config& options) {
  return std::make_shared<K>(read_options<Options>(options, "sampler"));
}

}  // namespace

const Table<MakeKernel>& kernel_table() {
  static const Table<MakeKernel> table = {
      {"langevin", "unadjusted Langevin dynamics", "Parisi 1981", make<Langevin, LangevinOptions>,
       describe_options<LangevinOptions>, Config::table()},
      {"mala", "Langevin proposals with a Metropolis test", "Roberts and Tweedie 1996", make<Mala, MalaOptions>,
       describe_options<MalaOptions>, Config::table()},
      {"hmc", "Hamiltonian trajectories with a Metropolis test", "Neal 2011", make<Hmc, HmcOptions>,
       describe_options<HmcOptions>, Config::table()},
      {"tempering", "replicas at falling inverse temperatures that change places", "Geyer 1991",
       make<Tempering, TemperingOptions>, describe_options<TemperingOptions>,
       Config::table({{"ladder", Config::array({Config(1.0)})}})},
      {"svgd", "particles along Stein's direction, without noise", "Liu and Wang 2016", make<Svgd, SvgdOptions>,
       describe_options<SvgdOptions>, Config::table()},
      {"spos", "a mixture of Stein's direction and Langevin dynamics", "Zhang et al. 2018", make<Spos, SposOptions>,
       describe_options<SposOptions>, Config::table()},
      {"birth_death", "Langevin dynamics of particles that multiply and vanish", "Lu, Lu and Nolen 2019",
       make<BirthDeath, BirthDeathOptions>, describe_options<BirthDeathOptions>, Config::table()},
  };
  return table;
}

}  // namespace gibbsite
