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

# interrupt_after STEP SIGNAL DIRECTORY: 200 steps, signalled once a checkpoint of STEP exists; leaves in $outcome the exit
# code and the newest step. Repeats, up to ten times, where training was over before the signal came.
interrupt_after() {
  local step=$1 signal=$2 out=$3 code try
  for try in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$out"
    start_train "$out" 200 100
    while kill -0 "$child" 2>/dev/null && [ "$(newest_step "$out")" -lt "$step" ]; do sleep 0.005; done
    kill -"$signal" "$child" 2>/dev/null
    wait "$child" 2>/dev/null
    code=$?
    outcome="$code $(newest_step "$out")"
    [ "$code" = 0 ] || return 0
  done
  echo "training was over before SIG$signal came, $try times"
}
