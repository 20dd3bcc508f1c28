#!/usr/bin/env bash
# Every experiment at smoke scale: result.json, table.md and report.html, with the contract's keys. Where GIBBSITE_DATA is
# not set, an experiment that misses its data set is skipped by name.
. "$(dirname "$0")/common.sh"

experiments=$("$gibbsite" list experiments --json | grep -oE '"name": *"[^"]*"' | sed 's/.*"\([^"]*\)"$/\1/')
expect "there are experiments" [ -n "$experiments" ]
for experiment in $experiments; do
  out=$work/$experiment
  if [ -z "${GIBBSITE_DATA:-}" ]; then
    attempt "$gibbsite" reproduce "$experiment" --scale smoke --out "$out"
    if [ $code = 1 ] && grep -qE '^gibbsite: error: data set .* not found in ' "$work/stderr"; then
      echo "skipped $experiment: $(tail -n 1 "$work/stderr")"
      continue
    fi
    rm -rf "$out"
  fi
  expect_success "$experiment" "$gibbsite" reproduce "$experiment" --scale smoke --out "$out"
  for key in experiment scale seed version environment rows method metric value stderr unit published; do
    expect "$experiment: result.json has $key" grep -q "\"$key\"" "$out/result.json"
  done
  expect "$experiment: table.md" [ -s "$out/table.md" ]
  expect "$experiment: report.html" [ -s "$out/report.html" ]
done
finish
