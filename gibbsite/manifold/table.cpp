#include <gibbsite/manifold/euclidean.h>
#include <gibbsite/manifold/hyperbolic.h>
#include <gibbsite/manifold/manifold.h>
#include <gibbsite/manifold/product.h>
#include <gibbsite/manifold/so3.h>
#include <gibbsite/manifold/sphere.h>

namespace gibbsite {
namespace {

template <class Options, std::shared_ptr<const Manifold> (*make)(const Options&)>
Entry<MakeManifold> manifold(const std::string& name, const std::string& summary, const std::string& paper) {
  return {name, summary, paper, [](const Config& options) { return make(read_options<Options>(options, "manifold")); },
          &describe_options<Options>};
}

}  // namespace

const Table<MakeManifold>& manifold_table() {
  // clang-format off
  static const Table<MakeManifold> table = {
      manifold<EuclideanOptions, make_euclidean>("euclidean", "flat space", ""),
      manifold<SphereOptions, make_sphere>("sphere", "the unit sphere", "minimum velocity learning"),
      manifold<HyperbolicOptions, make_hyperbolic>("hyperbolic", "hyperbolic space of curvature -1, Lorentz model", "Nickel and Kiela 2018"),
      manifold<TorusOptions, make_torus>("torus", "flat torus of angles, a product of circles", "gibbsite"),
      manifold<RotationOptions, make_so3>("so3", "rotations of space as unit quaternions, q and -q the same", "gibbsite"),
      manifold<ProductOptions, make_product>("product", "a product of manifolds", "gibbsite"),
  };
  // clang-format on
  return table;
}

}  // namespace gibbsite
