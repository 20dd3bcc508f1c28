#!/usr/bin/env bash
# What a finished run is asked: p values, samples given entries, chains, comparison; stopped by a signal and going on.
. "$(dirname "$0")/common.sh"

stdout_has() { grep -qE -- "$1" "$work/stdout"; }

expect_success "train" train_run "$work/run" 40 20
expect "events for TensorBoard" eval 'ls "$work/run"/events.out.tfevents.* >"$work/stdout"'
expect_success "another run" train_run "$work/other" 60 20

expect_success "sample fresh points" "$gibbsite" sample "$work/run" -n 50 --seed 3 --out "$work/points.csv"
expect_success "score to CSV" "$gibbsite" score "$work/run" --data "$work/points.csv" --out "$work/scores.csv" --false-alarm 0.05
expect "says the threshold" stdout_has '^alarm above energy .*0\.0[0-9]+.* of 50 rows'
expect "a header and 50 rows" [ "$(wc -l <"$work/scores.csv")" = 51 ]
expect "with p values and alarms" eval 'head -n 1 "$work/scores.csv" | grep -q "^x1,x2,energy,score_x1,score_x2,log_density,p_value,alarm$"'
expect_success "score --json" "$gibbsite" score "$work/run" --false-alarm 0.05 --json
expect "one document with the threshold" stdout_has '"threshold": '
expect_refusal "a rate too small to tell" 2 'false-alarm.*held-out' "$gibbsite" score "$work/run" --false-alarm 1e-9

printf '0.25,7\n0.75,7\n' >"$work/given.csv"
printf '0,1\n' >"$work/mask.csv"
expect_success "sample --given --mask" "$gibbsite" sample "$work/run" --given "$work/given.csv" --mask "$work/mask.csv" -n 4 \
  --out "$work/filled.csv"
expect "known entries stay, row by row" [ "$(cut -d , -f 1 "$work/filled.csv" | tr '\n' ' ')" = "0.25 0.75 0.25 0.75 " ]
expect "others are sampled" eval '! cut -d , -f 2 "$work/filled.csv" | grep -qx 7'
printf '0,0\n' >"$work/none.csv"
expect_refusal "nothing to sample" 2 '--mask: row 0 has no entry to sample' \
  "$gibbsite" sample "$work/run" --given "$work/given.csv" --mask "$work/none.csv" --out "$work/x.csv"
expect_refusal "a mask alone" 2 '--mask: needs --given' "$gibbsite" sample "$work/run" --mask "$work/mask.csv"
printf '0,1,0\n' >"$work/wide.csv"
expect_refusal "a mask of another shape" 2 '--mask: .*\[1, 3\]' \
  "$gibbsite" sample "$work/run" --given "$work/given.csv" --mask "$work/wide.csv" --out "$work/x.csv"

expect_success "sample --chains" "$gibbsite" sample "$work/run" -n 2 --chains "$work/chain.csv" --out "$work/x.csv"
expect "a file per chain" eval 'grep -q "^# id = 2$" "$work/chain_2.csv" && grep -q "^lp__,accept_stat__,divergent__,x.1,x.2$" "$work/chain_1.csv"'
expect_success "evaluate --metric chains" "$gibbsite" evaluate "$work/run" --metric chains
expect "R-hat by coordinate" stdout_has '^r_hat .*of=x\.2'

expect_success "compare" "$gibbsite" compare "$work/run" "$work/other"
expect "paired differences" stdout_has '500 points, paired differences'
expect_success "compare --json" "$gibbsite" compare "$work/run" "$work/other" --json
expect "as one document" stdout_has '"paired": true'
expect_refusal "compare one run" 2 'two runs' "$gibbsite" compare "$work/run"

long=(--set sample.steps=3000 --set sample.thin=10 --seed 5 -n 40)
expect_success "long chains at once" "$gibbsite" sample "$work/run" "${long[@]}" --out "$work/straight.npy" --chains "$work/straight.chains.npy"
for try in 1 2 3 4 5; do
  rm -f "$work"/stopped.*
  set -m
  "$gibbsite" sample "$work/run" "${long[@]}" --out "$work/stopped.npy" --chains "$work/stopped.chains.npy" >/dev/null 2>"$work/stderr" &
  child=$!
  set +m
  # A draw on the disk: the chains are under way.
  while kill -0 $child 2>/dev/null && [ ! -s "$work/stopped.chains.npy" ]; do sleep 0.005; done
  kill -INT $child 2>/dev/null
  wait $child 2>/dev/null
  outcome=$?
  [ $outcome = 0 ] || break
done
expect "Ctrl-C exits 130" [ $outcome = 130 ]
expect "and says how to go on" grep -q 'goes on from .*stopped\.npy\.partial' "$work/stderr"
expect_success "the same command goes on" "$gibbsite" sample "$work/run" "${long[@]}" --out "$work/stopped.npy" --chains "$work/stopped.chains.npy"
expect "to the same bytes" cmp -s "$work/straight.npy" "$work/stopped.npy"
expect "and the same chains" cmp -s "$work/straight.chains.npy" "$work/stopped.chains.npy"
expect "and leaves nothing else" [ ! -e "$work/stopped.npy.partial" ]

mkdir "$work/mine"
expect_refusal "data get --from a folder without the files" 1 'redwine.*no such file' \
  env -u GIBBSITE_DATA XDG_DATA_HOME="$work/none" "$gibbsite" data get redwine --from "$work/mine" --data-dir "$work/data"
expect_refusal "data get of an unknown set" 2 'mnist' "$gibbsite" data get mnits --data-dir "$work/data"
finish
