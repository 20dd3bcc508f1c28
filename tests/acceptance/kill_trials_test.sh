#!/usr/bin/env bash
# Kills training at arbitrary moments, again and again: what is on disk is always sound, and the end is always the same.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/interrupted.sh"
trials=${TRIALS:-30}

began=${EPOCHREALTIME/./}
expect_success "the uninterrupted run" train_run "$work/straight" 200 10
micros=$((${EPOCHREALTIME/./} - began))
reference=$(newest_checkpoint "$work/straight")

# continued DIRECTORY: sets $resume; a run killed before its first checkpoint starts anew.
continued() {
  resume=()
  if [ -n "$(checkpoints "$1")" ]; then resume=(--resume); else rm -rf "$1"; fi
}

RANDOM=1
for ((trial = 1; trial <= trials; ++trial)); do
  out=$work/trial
  rm -rf "$out"
  kills=0
  # Three kills, each at a random moment of what a whole run takes; then to the end.
  for _ in 1 2 3; do
    continued "$out"
    start_train "$out" 200 10 "${resume[@]}"
    sleep "$(awk -v t="$micros" -v r="$RANDOM" 'BEGIN { printf "%.3f", t / 1e6 * r / 32768 }')"
    kill -KILL "$child" 2>/dev/null && kills=$((kills + 1))
    wait "$child" 2>/dev/null
    if [ -n "$(checkpoints "$out")" ]; then
      attempt "$gibbsite" sample "$out" -n 2 --set sample.steps=1 --out "$work/s.csv"
      [ $code = 0 ] || broken "trial $trial: what the kill left cannot be sampled from"
    fi
  done
  continued "$out"
  expect_success "trial $trial: $kills kills, then to the end" train_run "$out" 200 10 "${resume[@]}"
  expect "trial $trial: the same bits" same_state "$reference" "$(newest_checkpoint "$out")"
done
finish
