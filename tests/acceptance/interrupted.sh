# Training that is stopped by a signal. Sourced after common.sh.

# The step of the newest checkpoint, 0 without one.
newest_step() { newest_checkpoint "$1" | sed -n 's/.*checkpoint-0*\([0-9][0-9]*\)\.pt$/\1/p' | grep . || echo 0; }

# start_train DIRECTORY STEPS EVERY [ARGUMENT…]: in the background, its process in $child.
start_train() {
  train_command "$@"
  set -m  # without job control a background process ignores SIGINT
  "${command[@]}" >"$work/stdout" 2>"$work/stderr" &
  child=$!
  set +m
}

# stop_after STEP SIGNAL DIRECTORY [ARGUMENT…]: a training too long to end by itself, with a checkpoint at every STEP,
# signalled once it has the first; leaves the exit code in $code and the newest step in $left.
stop_after() {
  local step=$1 signal=$2 out=$3
  shift 3
  start_train "$out" 1000000 "$step" "$@"
  while kill -0 "$child" 2>/dev/null && [ "$(newest_step "$out")" -lt "$step" ]; do sleep 0.005; done
  kill -"$signal" "$child" 2>/dev/null
  wait "$child" 2>/dev/null
  code=$?
  left=$(newest_step "$out")
}
