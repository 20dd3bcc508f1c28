# What the acceptance tests share: the binary, a scratch folder, a tiny run, and expectations about exits and messages.
# They know the program only by its command line. Sourced by bash; set GIBBSITE to test another binary.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
gibbsite=${GIBBSITE:-$root/build/release/gibbsite}
smoke=$root/recipes/smoke/ssm.toml
export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0 LC_ALL=C.UTF-8
work=$(mktemp -d)
trap cleanup EXIT
cleanup() { rm -rf "$work"; }
failures=0
cases=0

[ -x "$gibbsite" ] || { echo "no binary at $gibbsite (build first)" >&2; exit 1; }

# broken TEXT: notes a failure, with what the last command wrote.
broken() {
  failures=$((failures + 1))
  printf 'FAILED  %s\n' "$1"
  sed 's/^/    stderr: /' "$work/stderr" 2>/dev/null | tail -n 8
}

# attempt COMMAND…: runs it; leaves $code, $work/stdout and $work/stderr.
attempt() {
  "$@" >"$work/stdout" 2>"$work/stderr"
  code=$?
}

# expect_success NAME COMMAND…
expect_success() {
  local name=$1
  shift
  cases=$((cases + 1))
  attempt "$@"
  [ $code = 0 ] && echo "ok      $name" || broken "$name: exit $code, expected 0: $*"
}

# expect_refusal NAME CODE PATTERN COMMAND…: that exit code and, as the last line of stderr, the only error line, which
# matches the extended regular expression.
expect_refusal() {
  local name=$1 expected=$2 pattern=$3 lines
  shift 3
  cases=$((cases + 1))
  attempt "$@"
  lines=$(grep -c '^gibbsite: error: ' "$work/stderr")
  if [ $code != "$expected" ]; then
    broken "$name: exit $code, expected $expected: $*"
  elif [ "$lines" != 1 ] || ! tail -n 1 "$work/stderr" | grep -q '^gibbsite: error: '; then
    broken "$name: $lines error lines, expected one at the end of stderr"
  elif grep -qE 'terminate called|Exception raised from|frame #[0-9]|AddressSanitizer' "$work/stderr"; then
    broken "$name: internals reach the user"
  elif ! grep '^gibbsite: error: ' "$work/stderr" | grep -qE -- "$pattern"; then
    broken "$name: the message does not match '$pattern'"
  else
    printf 'ok      %s: %s\n' "$name" "$(tail -n 1 "$work/stderr")"
  fi
}

# expect NAME COMMAND…: a plain condition.
expect() {
  local name=$1
  shift
  cases=$((cases + 1))
  if "$@"; then echo "ok      $name"; else broken "$name"; fi
}

finish() {
  echo "$((cases - failures)) of $cases cases passed"
  [ $failures = 0 ]
  exit
}

# recipe NAME: the smoke recipe overridden by the TOML on stdin; prints the path.
recipe() {
  { printf 'extends = "%s"\n' "$smoke"; cat; } >"$work/$1.toml"
  echo "$work/$1.toml"
}

# The smoke recipe, small enough for a test.
small=(--set model.hidden=[32,32] --set train.batch_size=128 --set data.train=2000 --set data.validation=200
  --set data.test=500 --set train.log_every=10
  --set sample.burn_in=20 --set sample.steps=20)

# train_command DIRECTORY STEPS EVERY [ARGUMENT…]: sets $command to a small run of so many steps, with a checkpoint at every
# EVERY. train_run runs it.
train_command() {
  local out=$1 steps=$2 every=$3
  shift 3
  command=("$gibbsite" train "$smoke" --out "$out" --seed "${seed:-7}" --threads 1 "${small[@]}" --set "train.steps=$steps"
    --set "train.checkpoint_every=$every" "$@")
}
train_run() { train_command "$@" && "${command[@]}"; }

# checkpoints DIRECTORY: numbered checkpoints, oldest first.
checkpoints() { find "$1" -name 'checkpoint-[0-9]*.pt' 2>/dev/null | sort -V; }
newest_checkpoint() { checkpoints "$1" | tail -n 1; }

# payload FILE: the raw tensors of a checkpoint (parameters, moments, averages), without the header, whose notes may
# differ. Layout: gibbsite/train/checkpoint.h.
payload() { tail -c "+$((41 + $(od -An -t u8 -j 16 -N 8 "$1")))" "$1"; }
same_state() { [ -s "$1" ] && [ -s "$2" ] && [ "$(payload "$1" | sha256sum)" = "$(payload "$2" | sha256sum)" ]; }

# truncate_to_half FILE
truncate_to_half() { truncate -s "$(($(stat -c %s "$1") / 2))" "$1"; }
