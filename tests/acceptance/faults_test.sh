#!/usr/bin/env bash
# What machines do to a run: folders that cannot be written, a clock that goes backwards, a training that diverges (losses that are no
# numbers: tests/train/trainer_test.cpp). (Full disks:
# bad_output_test.sh; kills: resume_test.sh, kill_save_test.sh, kill_trials_test.sh; damaged files: damaged_checkpoint_test.sh.)
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/interrupted.sh"

expect_success "a run of 40 steps" train_run "$work/run" 40 20

# Read-only: a file system mounted so, which holds for root too; else permissions, which hold for everybody else.
mkdir "$work/fixed"
if mount -t tmpfs -o size=16m tmpfs "$work/fixed" 2>/dev/null; then
  cleanup() { umount "$work/fixed" 2>/dev/null; rm -rf "$work"; }
  cp -r "$work/run" "$work/fixed/run"
  mount -o remount,ro "$work/fixed"
  reason='Read-only file system'
  echo "read-only: a tmpfs mounted so"
elif [ "$(id -u)" != 0 ]; then
  cp -r "$work/run" "$work/fixed/run"
  chmod -R a-w "$work/fixed"
  cleanup() { chmod -R u+w "$work"; rm -rf "$work"; }
  reason='Permission denied'
  echo "read-only: permissions"
else
  reason=
  echo "read-only: neither mounting nor permissions work here, left out"
fi
if [ -n "$reason" ]; then
  sums() { find "$work/fixed" -type f -exec sha256sum {} + | sort; }
  before=$(sums)
  expect_refusal "training into a read-only folder" 1 "fixed/new.*$reason" train_run "$work/fixed/new" 40 20
  expect_refusal "going on in a read-only run" 1 "fixed/run.*$reason" train_run "$work/fixed/run" 60 20 --resume
  expect_refusal "samples into a read-only folder" 1 "fixed/s\.csv.*$reason" \
    "$gibbsite" sample "$work/run" -n 5 --out "$work/fixed/s.csv"
  expect_refusal "scores into a read-only folder" 1 "fixed/s\.npz.*$reason" \
    "$gibbsite" score "$work/run" --out "$work/fixed/s.npz"
  expect_success "a read-only run is sampled from" "$gibbsite" sample "$work/fixed/run" -n 5 --out "$work/s.csv"
  expect_success "and scored" "$gibbsite" score "$work/fixed/run" --out "$work/s.npz"
  expect "and is as it was" [ "$(sums)" = "$before" ]
fi

# /dev/full takes every write with "No space left".
cases=$((cases + 1))
"$gibbsite" list --json >/dev/full 2>"$work/stderr"
code=$?
if [ $code = 1 ] && [ "$(grep -c '^gibbsite: error: stdout' "$work/stderr")" = 1 ]; then
  echo "ok      a full stdout: $(cat "$work/stderr")"
else
  broken "a full stdout: exit $code"
fi

# The time of day runs backwards, a day a second, in a library that stands before the C library's.
cat >"$work/clock.c" <<'END'
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static void now(struct timespec *t) {
  struct timespec steady;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &steady);
  syscall(SYS_clock_gettime, CLOCK_REALTIME, t);
  t->tv_sec -= 86400 * (steady.tv_sec % 10000) + 86400 * (steady.tv_nsec / 1000000) / 1000;
}
int clock_gettime(clockid_t clock, struct timespec *t) {
  if (clock != CLOCK_REALTIME) return (int)syscall(SYS_clock_gettime, clock, t);
  now(t);
  return 0;
}
int gettimeofday(struct timeval *tv, void *zone) {
  struct timespec t;
  (void)zone;
  now(&t);
  tv->tv_sec = t.tv_sec;
  tv->tv_usec = t.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *out) {
  struct timespec t;
  now(&t);
  if (out) *out = t.tv_sec;
  return t.tv_sec;
}
END
expect_success "a clock that runs backwards" cc -shared -fPIC -o "$work/clock.so" "$work/clock.c"
backwards() { LD_PRELOAD=$work/clock.so "$@"; }
expect_success "half a run under it" backwards train_run "$work/backwards" 20 20 --set schedule.name=constant
expect_success "the other half" backwards train_run "$work/backwards" 40 20 --set schedule.name=constant --resume
expect_success "a run under the true clock" train_run "$work/forwards" 40 20 --set schedule.name=constant
expect "the same bits" same_state "$(newest_checkpoint "$work/forwards")" "$(newest_checkpoint "$work/backwards")"
events() { find "$work/backwards" -name 'events.out.tfevents.*' | sort; }
later_events_come_later() {
  local first last
  first=$(events | head -n 1) last=$(events | tail -n 1)
  [ "$(events | wc -l)" = 2 ] && [ ! "$first" -nt "$last" ]
}
expect "the second half's events come second" later_events_come_later
expect_success "samples under it" backwards "$gibbsite" sample "$work/backwards" -n 5 --out "$work/s.csv"

# A learning rate that grows until no training survives it: given up in one line, with what was good before kept.
expect_refusal "a loss without end" 1 'train: diverged at step [0-9]+ .*gave up after' \
  train_run "$work/grows" 20000 20 --set optimizer.name=sgd --set optimizer.learning_rate=1e4 --set train.clip_norm=0 \
  --set schedule.name=constant --set schedule.warmup=1000000
expect "rolled back before, with a line each" [ "$(grep -c '^gibbsite: warning: .*diverged at step' "$work/stderr")" -ge 1 ]
expect "the last good state is kept" [ -n "$(newest_checkpoint "$work/grows")" ]
expect_success "and serves" "$gibbsite" sample "$work/grows" -n 5 --out "$work/s.csv"
expect "with numbers" eval '! grep -qiE "nan|inf" "$work/s.csv"'
finish
