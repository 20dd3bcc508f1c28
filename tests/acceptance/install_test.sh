#!/usr/bin/env bash
# An installation into an empty prefix: the program finds its recipes there, completes, has a manual page, and examples/
# configure, build and hold against that prefix alone, by CMake and by pkg-config. BUILD is the build to install.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
build=${BUILD:-$root/build/release}
prefix=$work/prefix

expect_success "installs" cmake --install "$build" --prefix "$prefix"
gibbsite=$prefix/bin/gibbsite
# Nothing of the source tree may help from here on.
cp -r "$root/examples" "$work/examples"
cd "$work" || exit 1

expect_success "a recipe by its short name" "$gibbsite" check smoke/ssm
expect_success "an experiment" "$gibbsite" reproduce smoke/ssm --scale smoke --out "$work/reproduced"
expect "the recipe was the installed one" grep -q "$prefix/share/gibbsite/recipes" <(
  "$gibbsite" check no/such 2>&1)

# complete WORD…: what bash offers after these words, the last of them unfinished.
complete() {
  bash -c '. "$1"; shift; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _gibbsite gibbsite "${@: -1}" "${@: -2:1}"
    printf "%s\n" "${COMPREPLY[@]}"' bash "$prefix/share/bash-completion/completions/gibbsite" "$@"
}
expect "completes a subcommand" [ "$(complete gibbsite rep | sort | tr '\n' ' ')" = "report reproduce " ]
expect "completes an experiment" grep -qx smoke/ssm <(complete gibbsite reproduce smo)
expect "completes an option" grep -qx -- --resume <(complete gibbsite train --r)
expect "completes a key of a recipe" grep -qx sampler.step_size= <(complete gibbsite train --set sampler.st)
expect "completes a metric" grep -qx auroc <(complete gibbsite evaluate --metric au)
for option in $("$gibbsite" train --help | grep -o -- '--[a-z-]*' | sort -u); do
  expect "the manual page has $option" grep -q -- "${option//-/\\\\-}" "$prefix/share/man/man1/gibbsite.1"
done

# Without optimisation: compiling is what this costs.
expect_success "examples configure" cmake -S examples -B examples/build -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=None
expect_success "examples build" cmake --build examples/build --parallel 2
expect_success "examples hold" ctest --test-dir examples/build --no-tests=error --output-on-failure
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
cat >"$work/version.cpp" <<'END'
#include <gibbsite/core/environment.h>
#include <cstdio>
int main() { std::puts(gibbsite::environment().version.c_str()); }
END
# shellcheck disable=SC2046
expect_success "pkg-config" g++ -std=c++17 "$work/version.cpp" -o "$work/version" $(pkg-config --cflags --libs gibbsite)
expect "and runs" [ "$("$work/version")" = "$("$gibbsite" --version | sed -n 's/^version //p')" ]
finish
