# Debian packages, each with a line in docs/dependencies.md (tests/check_dependencies compares the two lists).
# libtorch-dev and libopenblas0-openmp must be in one apt-get call: alone, libtorch-dev brings the pthread OpenBLAS, whose
# threads fight with LibTorch's OpenMP ones.
packages_build="libtorch-dev libopenblas0-openmp build-essential cmake ninja-build ccache git ca-certificates
  libfmt-dev libtomlplusplus-dev libcli11-dev nlohmann-json3-dev librandom123-dev libboost-math-dev libdnnl-dev liblinear-dev
  libpng-dev libjpeg-dev libssl-dev libcurl4-openssl-dev zlib1g-dev libgtest-dev liblmdb-dev libgloo-dev pkg-config doxygen
  python3-dev python3-numpy python3-torch pybind11-dev python3-pytest"
packages_run="gnuplot-nox fonts-dejavu-core"
packages_fuzz="clang libclang-rt-dev"
packages_deep="clang-format clang-tidy chromium chromium-driver"
