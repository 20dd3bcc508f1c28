# What ./run and ./check share: where things are, one line a step, packages, build. Sourced by bash, never executed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
. scripts/packages.sh

# Spinning thread pools collapse on a shared machine.
export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0
export LC_ALL=C.UTF-8

logs=build/logs
mkdir -p "$logs"

say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }
fail() { printf '[%4d s] %s\n' "$SECONDS" "$*" >&2; exit 1; }

# step NAME TEXT COMMAND…: says TEXT, runs the command with its output in a log, shows the log's end if it fails.
step() {
  local log="$logs/$1.log" began=$SECONDS
  say "$2 …"
  shift 2
  if "$@" >"$log" 2>&1; then
    say "  done in $((SECONDS - began)) s"
  else
    tail -n 60 "$log" >&2
    fail "failed after $((SECONDS - began)) s: $* (whole log: $log)"
  fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "packages must be installed: run as root, or install sudo" >&2
    return 1
  fi
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q -o Acquire::Retries=3 &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o Acquire::Retries=3 "$@"
}

# install_packages PACKAGE…: one apt-get call for those that are missing; nothing where all are there.
install_packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
  done
  if [ ${#missing[@]} = 0 ]; then
    say "packages: all $# are installed"
  else
    step packages "packages: installing ${missing[*]}" apt_install "${missing[@]}"
  fi
}

# LibTorch uses OpenMP threads. Where the pthread OpenBLAS is installed too, the alternatives system may prefer it.
prefer_openmp_blas() {
  local folder
  folder=/usr/lib/$(g++ -print-multiarch)/openblas-openmp
  if [ -d "$folder" ]; then
    export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  fi
}

# A LibTorch source needs up to 2 GB to compile, so the number of jobs follows the free memory as well as the cores.
build_jobs() {
  local cores memory jobs
  cores=$(nproc)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 2000000) }' /proc/meminfo)
  jobs=$((memory < cores ? memory : cores))
  echo $((jobs < 1 ? 1 : jobs))
}

# build PRESET: configures where needed and builds everything.
build() {
  local preset=$1 jobs
  jobs=$(build_jobs)
  step "configure-$preset" "configure: cmake --preset $preset" cmake --preset "$preset"
  step "build-$preset" "build: build/$preset with $jobs jobs" cmake --build --preset "$preset" --parallel "$jobs"
}
