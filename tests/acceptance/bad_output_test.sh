#!/usr/bin/env bash
# Outputs that cannot be written: exit 1, one line that names the path, and what was there before is untouched.
. "$(dirname "$0")/common.sh"

: >"$work/file"
expect_refusal "run below a file" 1 'file/run' train_run "$work/file/run" 20 20
expect_refusal "run in /proc" 1 '/proc/gibbsite' train_run /proc/gibbsite 20 20

expect_success "a run to sample from" train_run "$work/run" 20 20
expect_refusal "samples below a file" 1 '/file' "$gibbsite" sample "$work/run" -n 5 --out "$work/file/s.csv"

# A full disk: a small tmpfs where mounting is permitted; elsewhere a limit on file sizes, which fails the same write.
disk=$work/disk
mkdir "$disk"
if mount -t tmpfs -o size=128k tmpfs "$disk" 2>/dev/null; then
  cleanup() { umount "$disk" 2>/dev/null; rm -rf "$work"; }
  reason='No space left'
  limited() { "$@"; }
else
  echo "mounting is not permitted here: a limit on file sizes stands in for the full disk"
  reason='too large|No space left'
  limited() { (trap '' XFSZ; ulimit -f 96; exec "$@"); }
fi

echo before >"$disk/samples.csv"
expect_refusal "samples on a full disk" 1 "samples\.csv.*($reason)" \
  limited "$gibbsite" sample "$work/run" -n 20000 --seed 1 --set sample.steps=1 --out "$disk/samples.csv"
expect "the old samples are untouched" [ "$(cat "$disk/samples.csv")" = before ]
expect "no temporary file is left" [ "$(ls -A "$disk")" = samples.csv ]
rm -f "$disk/samples.csv"

# A resumed run whose recipe still fits, and whose next checkpoint does not.
if [ "$reason" = 'No space left' ]; then
  cp -r "$work/run" "$disk/run"
  before=$(newest_checkpoint "$disk/run")
  sum=$(sha256sum <"$before")
  head -c "$(($(df --output=avail -B 1 "$disk" | tail -n 1) - 16384))" /dev/zero >"$disk/filler"
  expect_refusal "training on a full disk" 1 "$disk/run/checkpoint.*$reason" \
    "$gibbsite" train "$disk/run/recipe.toml" --out "$disk/run" --resume --set train.steps=40
  expect "the earlier checkpoint survives" [ "$(sha256sum <"$before")" = "$sum" ]
  expect "no temporary file is left" [ -z "$(find "$disk/run" -name '*tmp*')" ]
  rm "$disk/filler"
  expect_success "and serves after room is made" "$gibbsite" sample "$disk/run" -n 5 --out "$work/s.csv"
fi
finish
