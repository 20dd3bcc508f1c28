#!/usr/bin/env bash
# The command line as scripts use it: results on stdout, files in every format, the same bytes for the same seed.
. "$(dirname "$0")/common.sh"

stdout_has() { grep -qE -- "$1" "$work/stdout"; }
rows() { grep -cvE '[a-df-zA-DF-Z]' "$1"; }  # lines of numbers, without a header

expect_success "--version" "$gibbsite" --version
for word in commit LibTorch BLAS capability; do
  expect "--version names $word" eval "grep -qi $word '$work/stdout'"
done
expect_success "--help" "$gibbsite" --help
subcommands="train sample score evaluate report check list data reproduce"
for subcommand in $subcommands; do
  expect "--help names $subcommand" stdout_has "^ +$subcommand "
done
for subcommand in $subcommands; do
  expect_success "$subcommand --help" "$gibbsite" "$subcommand" --help
done
for family in models scores objectives samplers datasets metrics experiments; do
  expect_success "list $family" "$gibbsite" list "$family" --json
  expect "list $family is a JSON array of entries" eval "head -c 1 '$work/stdout' | grep -q '\[' && grep -q '\"summary\"' '$work/stdout'"
done
expect_success "list objectives" "$gibbsite" list objectives
expect "list objectives knows ssm" stdout_has '(^| )ssm( |$)'
expect_success "data list" "$gibbsite" data list
expect_success "check --resolved" "$gibbsite" check "$smoke" --resolved
expect "check --resolved prints the recipe with its defaults" stdout_has 'checkpoint_every = '

expect_success "train" train_run "$work/run" 40 20
expect "train leaves the resolved recipe" [ -s "$work/run/recipe.toml" ]
expect "train leaves metrics" [ -s "$work/run/metrics.jsonl" ]
expect_success "a run's recipe is a recipe" "$gibbsite" check "$work/run/recipe.toml"

expect_success "sample to CSV" "$gibbsite" sample "$work/run" -n 7 --seed 1 --out "$work/a.csv"
expect "seven rows" [ "$(rows "$work/a.csv")" = 7 ]
expect_success "sample again" "$gibbsite" sample "$work/run" -n 7 --seed 1 --out "$work/b.csv"
expect "the same seed gives the same bytes" cmp -s "$work/a.csv" "$work/b.csv"
expect_success "sample with another seed" "$gibbsite" sample "$work/run" -n 7 --seed 2 --out "$work/c.csv"
expect "another seed gives other samples" eval '! cmp -s "$work/a.csv" "$work/c.csv"'
expect_success "sample to NPY" "$gibbsite" sample "$work/run" -n 7 --seed 1 --out "$work/a.npy"
expect "an NPY file" eval 'head -c 6 "$work/a.npy" | grep -aq NUMPY'
expect_success "score" "$gibbsite" score "$work/run" --data "$work/a.csv" --out "$work/scores.npz"
expect "energy and score arrays" eval 'grep -aq energy.npy "$work/scores.npz" && grep -aq score.npy "$work/scores.npz"'
expect_success "evaluate --json" "$gibbsite" evaluate "$work/run" --json
expect "one JSON document" eval "head -c 1 '$work/stdout' | grep -q '[[{]'"
expect_success "report" "$gibbsite" report "$work/run" --out "$work/report.html"
expect "a report that needs no network" eval '[ -s "$work/report.html" ] && ! grep -qE "(src|href)=\"https?:" "$work/report.html"'
cat >"$work/score.toml" <<'T'
data = { name = "checkerboard", noise = 0.05, train = 500, validation = 50, test = 50 }
score = { name = "mlp", hidden = [16] }
objective = { name = "ssm_vr" }
sampler = { name = "langevin" }
sample = { steps = 5 }
train = { steps = 10, batch_size = 32 }
T
expect_success "train a score network" "$gibbsite" train "$work/score.toml" --out "$work/network"
expect_success "sample it" "$gibbsite" sample "$work/network" -n 3 --out "$work/network.csv"
expect_success "score with it" "$gibbsite" score "$work/network" --out "$work/network.npz"
expect "a score array and no energy" eval 'grep -aq score.npy "$work/network.npz" && ! grep -aq energy.npy "$work/network.npz"'
expect_refusal "metric of an energy" 2 'sm_loss.*energy' "$gibbsite" evaluate "$work/network" --metric sm_loss

expect_success "train --dry-run" train_run "$work/dry" 40 20 --dry-run
expect "a dry run leaves no checkpoint" [ -z "$(checkpoints "$work/dry")" ]
finish
