#!/usr/bin/env bash
# Damaged checkpoints: an older good one serves with one warning; where none is readable, exit 1.
. "$(dirname "$0")/common.sh"

expect_success "a run with two checkpoints" train_run "$work/run" 40 20
expect "two numbered checkpoints are kept" [ "$(checkpoints "$work/run" | wc -l)" -ge 2 ]
# The best one would serve in place of the newest.
rm -f "$work/run/checkpoint-best.pt"
cp -r "$work/run" "$work/sound"
truncate_to_half "$(newest_checkpoint "$work/run")"
cp -r "$work/run" "$work/one-bad"

one_warning() { [ "$(grep -c '^gibbsite: warning: ' "$work/stderr")" = 1 ] && grep '^gibbsite: warning: ' "$work/stderr" | grep -q checkpoint; }
expect_success "sampling falls back to the older checkpoint" "$gibbsite" sample "$work/run" -n 5 --out "$work/s.csv"
expect "with one warning" one_warning
expect_success "resuming falls back to the older checkpoint" train_run "$work/run" 40 20 --resume
expect "with one warning" one_warning
expect "and ends where the sound run ended" same_state "$(newest_checkpoint "$work/sound")" "$(newest_checkpoint "$work/run")"

# One changed byte is found by the checksum.
cp -r "$work/sound" "$work/flipped"
last=$(newest_checkpoint "$work/flipped")
middle=$(($(stat -c %s "$last") - 100))
byte=$(od -An -t u1 -j "$middle" -N 1 "$last")
printf "\\$(printf %o $((byte ^ 1)))" | dd of="$last" bs=1 seek="$middle" conv=notrunc status=none
expect_success "a changed byte costs the newest checkpoint only" "$gibbsite" sample "$work/flipped" -n 5 --out "$work/s.csv"
expect "with one warning" one_warning

checkpoints "$work/one-bad" | while read -r file; do truncate_to_half "$file"; done
expect_refusal "sampling without a readable checkpoint" 1 'checkpoint' "$gibbsite" sample "$work/one-bad" -n 5 --out "$work/t.csv"
expect "writes no samples" [ ! -e "$work/t.csv" ]
expect_refusal "resuming without a readable checkpoint" 1 'checkpoint' train_run "$work/one-bad" 40 20 --resume
expect "damaged checkpoints are kept for inspection" [ "$(checkpoints "$work/one-bad" | wc -l)" -ge 2 ]
mkdir "$work/empty"
expect_refusal "sampling from an empty folder" 1 'empty' "$gibbsite" sample "$work/empty" -n 5
finish
