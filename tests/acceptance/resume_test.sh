#!/usr/bin/env bash
# Stopped by kill -9 or by Ctrl-C and resumed, a training ends in the bits of one that nobody stopped.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/interrupted.sh"

# The schedule must not know the number of steps: that of the stopped training is no part of what is compared.
constant=(--set schedule.name=constant)

# expect_same_end NAME DIRECTORY: 100 steps beyond $left, resumed and at once.
expect_same_end() {
  local name=$1 out=$2 end=$((left + 100))
  expect_success "$name: resumes" train_run "$out" $end 100 "${constant[@]}" --resume
  expect_success "$name: $end steps at once" train_run "$out-at-once" $end 100 "${constant[@]}"
  expect "$name: both end with a checkpoint at step $end" \
    [ "$(newest_step "$out") $(newest_step "$out-at-once")" = "$end $end" ]
  expect "$name: the same bits" same_state "$(newest_checkpoint "$out-at-once")" "$(newest_checkpoint "$out")"
}

stop_after 100 KILL "$work/killed" "${constant[@]}"
expect "kill -9 stops it after a checkpoint" [ $code = 137 -a "$left" -ge 100 -a $((left % 100)) = 0 ]
expect_same_end "kill -9" "$work/killed"

stop_after 100 INT "$work/interrupted" "${constant[@]}"
expect "Ctrl-C exits 130" [ $code = 130 ]
expect "Ctrl-C saves where it was" [ "$left" -ge 100 ]
expect_same_end "Ctrl-C" "$work/interrupted"

seed=8 expect_success "another seed trains too" train_run "$work/other" "$left" 100 "${constant[@]}"
expect_success "this one, to the same step" train_run "$work/same" "$left" 100 "${constant[@]}"
expect "and ends elsewhere" eval '! same_state "$(newest_checkpoint "$work/same")" "$(newest_checkpoint "$work/other")"'
finish
