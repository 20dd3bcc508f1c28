#!/usr/bin/env bash
# Wrong requests: exit 2, one line that names file, line and key, and nothing written.
. "$(dirname "$0")/common.sh"

# refused NAME PATTERN: the recipe on stdin is refused alike by `check` and by `train`, before a run directory exists.
refused() {
  local name=$1 pattern=$2 path
  path=$(recipe "$(tr ' ' '-' <<<"$name")")
  expect_refusal "$name (check)" 2 "$pattern" "$gibbsite" check "$path"
  expect_refusal "$name (train)" 2 "$pattern" "$gibbsite" train "$path" --out "$work/run"
  expect "$name leaves no run behind" [ ! -e "$work/run" ]
}

refused "unknown key" 'unknown-key\.toml:3: .*stpes.*\(.*steps.*\)' <<'T'
[train]
stpes = 10
T
refused "unknown table" 'unknown-table\.toml:[23]: .*samplerr.*\(.*sampler.*\)' <<'T'
[samplerr]
step_size = 0.1
T
refused "key nobody reads" 'objective.*read by nothing' <<'T'
[[phase]]
name = "only"
[phase.objective]
name = "ssm"
T
refused "key of another objective" 'key-of-another-objective\.toml:3: .*sigma' <<'T'
[objective]
sigma = 0.1
T
refused "wrong type" 'wrong-type\.toml:3: .*train\.steps.*integer.*string' <<'T'
[train]
steps = "many"
T
refused "negative step size" 'negative-step-size\.toml:3: .*step_size.*> 0' <<'T'
[sampler]
step_size = -0.1
T
refused "ReLU under SSM" '[Rr][Ee][Ll][Uu].*(softplus|silu|tanh)' <<'T'
[model]
activation = "relu"
T
refused "an energy and a score" 'both \[model\] and \[score\]' <<'T'
[score]
name = "mlp"
T
refused "unknown objective" 'smm.*ssm' <<'T'
[objective]
name = "smm"
T
refused "syntax error" 'syntax-error\.toml:[23]: ' <<'T'
[train
steps = 1
T

expect_refusal "unknown override" 2 'stpes.*steps' "$gibbsite" check "$smoke" --set train.stpes=3
expect_refusal "override without a value" 2 'train\.steps' "$gibbsite" check "$smoke" --set train.steps
expect_refusal "negative step size by override" 2 'step_size' "$gibbsite" check "$smoke" --set sampler.step_size=-1
expect_refusal "missing recipe" 2 'nowhere\.toml' "$gibbsite" check "$work/nowhere.toml"
expect_refusal "unknown subcommand" 2 'trian' "$gibbsite" trian "$smoke"
expect_refusal "unknown flag" 2 'frobnicate' "$gibbsite" check "$smoke" --frobnicate
expect_refusal "number that is none" 2 'seed' "$gibbsite" train "$smoke" --out "$work/run" --seed seven
expect_refusal "seed that does not fit" 2 'seed' "$gibbsite" train "$smoke" --out "$work/run" --seed 99999999999999999999
expect_refusal "too many threads" 2 'threads' "$gibbsite" check "$smoke" --threads 100000000
for n in 0 -1 many 99999999999999999999; do
  expect_refusal "samples: $n" 2 "n: '?$n" "$gibbsite" sample "$work/run" -n "$n"
done
expect "no run was left behind" [ ! -e "$work/run" ]
expect_success "the unchanged recipe passes" "$gibbsite" check "$smoke"
finish
