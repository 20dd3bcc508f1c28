#!/usr/bin/env bash
# Every experiment at smoke scale: result.json, table.md and report.html, with the contract's keys.
. "$(dirname "$0")/common.sh"

experiments=$("$gibbsite" list experiments --json | grep -oE '"name": *"[^"]*"' | sed 's/.*"\([^"]*\)"$/\1/')
expect "there are experiments" [ -n "$experiments" ]
for experiment in $experiments; do
  out=$work/$experiment
  expect_success "$experiment" "$gibbsite" reproduce "$experiment" --scale smoke --out "$out"
  for key in experiment scale seed version environment rows method metric value stderr unit published; do
    expect "$experiment: result.json has $key" grep -q "\"$key\"" "$out/result.json"
  done
  expect "$experiment: table.md" [ -s "$out/table.md" ]
  expect "$experiment: report.html" [ -s "$out/report.html" ]
done
finish
