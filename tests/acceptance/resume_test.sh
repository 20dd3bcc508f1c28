#!/usr/bin/env bash
# 200 steps at once, 100 + kill -9 + resume, and Ctrl-C + resume end in the same bits.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/interrupted.sh"

expect_success "200 steps at once" train_run "$work/straight" 200 100
reference=$(newest_checkpoint "$work/straight")
expect "ends with a checkpoint at step 200" grep -q '200\.pt$' <<<"$reference"

interrupt_after 100 KILL "$work/killed"
expect "kill -9 stops it after step 100, before the end" [ "$outcome" = "137 100" ]
expect_success "resumes" train_run "$work/killed" 200 100 --resume
expect "kill -9 and resume: the same bits" same_state "$reference" "$(newest_checkpoint "$work/killed")"

interrupt_after 100 INT "$work/interrupted"
expect "Ctrl-C exits 130" [ "${outcome% *}" = 130 ]
expect "Ctrl-C saves where it was" [ "${outcome#* }" -ge 100 -a "${outcome#* }" -lt 200 ]
expect_success "resumes" train_run "$work/interrupted" 200 100 --resume
expect "Ctrl-C and resume: the same bits" same_state "$reference" "$(newest_checkpoint "$work/interrupted")"

seed=8 expect_success "another seed trains too" train_run "$work/other" 200 100
expect "and ends elsewhere" eval '! same_state "$reference" "$(newest_checkpoint "$work/other")"'
finish
