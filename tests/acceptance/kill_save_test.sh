#!/usr/bin/env bash
# Kills training while it saves, again and again: a checkpoint that was finished is never lost, what is left goes on without a
# word, and the end has the bits of a run that nobody killed.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/interrupted.sh"
trials=${TRIALS:-5}
out=$work/run

# With a checkpoint at every step most of the time goes into saving.
unfinished=0 lost=0 unreadable=0 early=0
constant=(--set schedule.name=constant)
resume=()
RANDOM=1
for ((trial = 1; trial <= trials; ++trial)); do
  before=$(newest_step "$out")
  start_train "$out" 1000000 1 "${constant[@]}" "${resume[@]}"
  while kill -0 "$child" 2>/dev/null && [ "$(newest_step "$out")" -le "$before" ]; do sleep 0.01; done
  sleep "0.$(printf %03d $((RANDOM % 100)))"
  seen=$(newest_step "$out")
  kill -KILL "$child" 2>/dev/null || early=$((early + 1))
  wait "$child" 2>/dev/null
  left=$(newest_step "$out")
  if grep -qE 'warning|error' "$work/stderr"; then
    unreadable=$((unreadable + 1))
    sed "s/^/    trial $trial: /" "$work/stderr" | tail -n 3
  fi
  [ "$left" -ge "$seen" ] && [ "$seen" -gt "$before" ] || lost=$((lost + 1))
  [ -z "$(find "$out" -name '*.part')" ] || unfinished=$((unfinished + 1))
  resume=(--resume)
done
echo "$trials kills, $unfinished of them with a file half written; the last one at step $left"
expect "every run lived until it was killed" [ $early = 0 ]
expect "no finished checkpoint was lost" [ $lost = 0 ]
expect "no checkpoint was unreadable" [ $unreadable = 0 ]
expect_success "goes on to an end" train_run "$out" $((left + 10)) 1000000 "${constant[@]}" --resume
expect "without a warning" eval '! grep -q warning "$work/stderr"'
expect "what was half written is gone" [ -z "$(find "$out" -name '*.part')" ]
expect_success "the same without kills" train_run "$work/straight" $((left + 10)) 1000000 "${constant[@]}"
expect "the same bits" same_state "$(newest_checkpoint "$work/straight")" "$(newest_checkpoint "$out")"
finish
