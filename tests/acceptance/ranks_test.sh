#!/usr/bin/env bash
# Several processes train and sample as one: the same parameters and samples; a rank that dies, is cut off or is interrupted
# leaves the others a checkpoint to go on from, with any number of ranks.
. "$(dirname "$0")/common.sh"

# Rank processes that a failed case left, and namespaces.
cleanup() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill -9 "$pid" 2>/dev/null; done
  if [ -n "${net:-}" ]; then ip netns del "$net-a" 2>/dev/null; ip netns del "$net-b" 2>/dev/null; fi
  rm -rf "$work"
}
pids=()

attempt env WORLD_SIZE=2 RANK=0 MASTER_ADDR=256.0.0.1 MASTER_PORT=1 "$gibbsite" train "$smoke" --out "$work/none"
if grep -q 'knows no Gloo' "$work/stderr"; then
  echo "skipped: this build has no Gloo"
  exit 0
fi

free_port() { /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'; }
export OMP_NUM_THREADS=1

# start_ranks N COMMAND…: in the background; processes in ${pids[@]}, output in $work/rank*.
start_ranks() {
  local size=$1 rank port address=${address:-127.0.0.1} where
  shift
  port=$(free_port)
  pids=()
  rm -f "$work"/rank*
  for ((rank = 0; rank < size; ++rank)); do
    where=()
    [ -z "${net:-}" ] || where=(ip netns exec "$net-$([ $rank = 0 ] && echo a || echo b)")
    set -m  # without job control a background process ignores SIGINT
    WORLD_SIZE=$size RANK=$rank MASTER_ADDR=$address MASTER_PORT=$port ${where[@]+"${where[@]}"} "$@" \
      >"$work/rank$rank.out" 2>"$work/rank$rank.err" &
    pids[rank]=$!
    set +m
  done
}

# wait_ranks: exit codes of all in $codes.
wait_ranks() {
  local pid
  codes=
  for pid in "${pids[@]}"; do
    wait "$pid" 2>/dev/null
    codes="$codes $?"
  done
  codes=${codes# }
  cat "$work"/rank*.err >"$work/stderr"
}
run_ranks() { start_ranks "$@" && wait_ranks; }

cat >"$work/pcd.toml" <<'TOML'
seed = 7
[data]
name = "checkerboard"
noise = 0.05
train = 2000
validation = 0
scale = "standardise"
[model]
name = "mlp"
hidden = [32, 32]
confinement = 0.1
[sampler]
name = "langevin"
step_size = 0.01
[train]
batch_size = 128
checkpoint_every = 25
snapshot_every = 20
log_every = 10
[objective]
name = "pcd"
capacity = 512
steps = 5
TOML

# same_numbers TOLERANCE A.npz|npy B…: the largest difference is printed.
same_numbers() {
  /usr/bin/python3 - "$@" <<'PYTHON'
import sys, numpy as np
tolerance, first = float(sys.argv[1]), np.load(sys.argv[2])
worst = 0.0
for name in sys.argv[3:]:
    other = np.load(name)
    arrays = [(first[k], other[k]) for k in first.files] if hasattr(first, "files") else [(first, other)]
    for a, b in arrays:
        assert a.shape == b.shape, (a.shape, b.shape)
        worst = max(worst, float(np.abs(a.astype(float) - b.astype(float)).max(initial=0)))
print(f"largest difference {worst:.3g}")
sys.exit(worst > tolerance)
PYTHON
}
parameters() { "$gibbsite" export "$1" --out "$1.npz" >/dev/null; }

# ---- the same as one process
for method in ssm pcd; do
  if [ $method = ssm ]; then
    train_command "$work/ssm1" 50 25
    same=("${command[@]}")
  else
    same=("$gibbsite" train "$work/pcd.toml" --out "$work/pcd1" --threads 1 --set train.steps=50)
  fi
  expect_success "$method in one process" "${same[@]}"
  parameters "$work/${method}1"
  for size in 2 4; do
    cases=$((cases + 1))
    run_ranks $size "${same[@]/#$work\/${method}1/$work/$method$size}"
    if [ "$(tr -d ' 0' <<<"$codes")" = "" ]; then echo "ok      $method with $size ranks"; else broken "$method with $size ranks: exits $codes"; fi
    parameters "$work/$method$size"
    expect "$method with $size ranks ends where one process does, to 1e-5" same_numbers 1e-5 "$work/${method}1.npz" "$work/$method$size.npz"
  done
done
expect "rank 0 alone reports" eval 'grep -q "^run " "$work/rank0.out" && [ ! -s "$work/rank1.out" ]'
expect "one line of metrics per step" eval '[ "$(grep -c "\"step\":50" "$work/pcd2/metrics.jsonl")" = 1 ]'

sample=("$gibbsite" sample "$work/ssm1" -n 8 --seed 3 --set sample.burn_in=20 --set sample.steps=20)
expect_success "sampling in one process" "${sample[@]}" --out "$work/s1.npy" --chains "$work/c1.npy"
for size in 2 4; do
  run_ranks $size "${sample[@]}" --out "$work/s$size.npy" --chains "$work/c$size.npy"
  expect "$size ranks draw the same samples" same_numbers 1e-5 "$work/s1.npy" "$work/s$size.npy"
  expect "$size ranks go through the same states" same_numbers 1e-5 "$work/c1.npy" "$work/c$size.npy"
done

# ---- what is refused
refused_by_ranks() {
  local name=$1 pattern=$2
  shift 2
  cases=$((cases + 1))
  run_ranks 2 "$@"
  if [ "$codes" = "2 2" ] && grep -qE "^gibbsite: error: rank 0: .*$pattern" "$work/rank0.err"; then
    echo "ok      $name: $(tail -n 1 "$work/rank0.err")"
  else
    broken "$name: exits $codes, expected 2 2 and '$pattern'"
  fi
}
refused_by_ranks "a batch that does not divide" "127, which 2 ranks cannot share equally" \
  "$gibbsite" train "$work/pcd.toml" --out "$work/no" --set train.batch_size=127
refused_by_ranks "samples that do not divide" "-n: is 7, which 2 ranks cannot share equally" "$gibbsite" sample "$work/ssm1" -n 7
refused_by_ranks "an objective of pairs of rows" "compares rows of a batch" \
  "$gibbsite" train "$root/recipes/vages/ksd-checkerboard.toml" --out "$work/no"
expect_refusal "evaluate is one process's work" 2 "'evaluate' is the work of one process" \
  env WORLD_SIZE=2 RANK=0 MASTER_ADDR=127.0.0.1 MASTER_PORT=1 "$gibbsite" evaluate "$work/ssm1"
expect_refusal "a missing variable" 2 "RANK: is not set" env WORLD_SIZE=2 "$gibbsite" train "$smoke" --out "$work/no"

# ---- ranks that are lost
newest() { newest_checkpoint "$1" | sed -n 's/.*checkpoint-\([0-9]*\)\.pt$/\1/p' | grep . || echo 0; }
# go_on RUN STEPS [ARGUMENT…]: sets $command; batches that three ranks can share.
go_on() {
  command=("$gibbsite" train "$work/pcd.toml" --out "$1" --threads 1 --set train.batch_size=120 --set "train.steps=$2" "${@:3}")
}
endless() { go_on "$1" 1000000; }
wait_for_step() {
  local try
  for ((try = 0; try < 1200; ++try)); do
    [ "$(newest "$1")" -lt "$2" ] || return 0
    kill -0 "${pids[0]}" 2>/dev/null || return 1
    sleep 0.05
  done
  return 1
}
# lost NAME RUN VICTIM…: kills those ranks of three once there is a checkpoint; the others have 30 s.
lost() {
  local name=$1 run=$2 start rank survivor
  shift 2
  endless "$run"
  start_ranks 3 "${command[@]}"
  wait_for_step "$run" 50
  for rank in "$@"; do kill -9 "${pids[rank]}"; done
  start=$SECONDS
  wait_ranks
  cases=$((cases + 1))
  survivor=$([ "$1" = 0 ] && echo 1 || echo 0)
  if [ "$(cut -d ' ' -f $((survivor + 1)) <<<"$codes")" = 1 ] && [ $((SECONDS - start)) -le 30 ] &&
    grep -qE '^gibbsite: error: rank [0-9]: train: stopped after step [0-9]+, because .*checkpoint-[0-9]+\.pt is there' "$work/stderr"; then
    echo "ok      $name: after $((SECONDS - start)) s, $(grep 'is there' "$work/stderr" | head -n 1)"
  else
    broken "$name: exits $codes after $((SECONDS - start)) s"
  fi
}
lost "rank 1 is killed" "$work/killed" 1
step=$(newest "$work/killed")
go_on "$work/killed" $((step + 20)) --resume
expect_success "one process goes on" "${command[@]}"
expect "and ends where it should" [ "$(newest "$work/killed")" = $((step + 20)) ]
lost "rank 0 is killed" "$work/headless" 0
step=$(newest "$work/headless")
go_on "$work/headless" $((step + 20)) --resume
run_ranks 2 "${command[@]}"
expect "two ranks go on from three" eval '[ "$codes" = "0 0" ] && [ "$(newest "$work/headless")" = $((step + 20)) ]'

endless "$work/interrupted"
start_ranks 2 "${command[@]}"
wait_for_step "$work/interrupted" 50
kill -INT "${pids[1]}"
wait_ranks
expect "Ctrl-C at one rank stops both, 130, with a checkpoint" eval '[ "$codes" = "130 130" ] && grep -q "the state is in .*checkpoint-$(newest "$work/interrupted").pt" "$work/rank0.err"'

chains=("$gibbsite" sample "$work/ssm1" -n 8 --seed 3 --set sample.burn_in=20 --set sample.steps=6000 --set sample.thin=50)
start_ranks 2 "${chains[@]}" --out "$work/stopped.npy" --chains "$work/stopped-chains.npy"
for ((try = 0; try < 600; ++try)); do
  [ "$(stat -c %s "$work/stopped-chains.npy" 2>/dev/null || echo 0)" -lt 1000 ] || break
  sleep 0.05
done
kill -INT "${pids[0]}"
wait_ranks
expect "Ctrl-C stops sampling at both, with the chains kept" eval '[ "$codes" = "130 130" ] && [ -s "$work/stopped.npy.partial" ]'
expect_success "one process goes on with them" "${chains[@]}" --out "$work/stopped.npy" --chains "$work/stopped-chains.npy"
expect_success "chains that were never stopped" "${chains[@]}" --out "$work/straight.npy" --chains "$work/straight-chains.npy"
expect "end in the same states" same_numbers 1e-5 "$work/straight.npy" "$work/stopped.npy"
expect "and went through the same" same_numbers 1e-5 "$work/straight-chains.npy" "$work/stopped-chains.npy"

# ---- the launcher of the ecosystem
if command -v torchrun >/dev/null; then
  train_command "$work/launched" 50 25
  expect_success "torchrun" torchrun --nproc_per_node 2 --master_port "$(free_port)" --no_python -r 1 -t 1 "${command[@]}"
  parameters "$work/launched"
  expect "torchrun's ranks end where one process does" same_numbers 1e-5 "$work/ssm1.npz" "$work/launched.npz"
fi

# ---- two machines: namespaces with a wire between them, where they are permitted
net=gibbsite-$$ wire=gb$$
if ip netns add "$net-a" 2>/dev/null && ip netns add "$net-b" && ip link add "$wire-a" type veth peer name "$wire-b" 2>/dev/null; then
  ip link set "$wire-a" netns "$net-a"
  ip link set "$wire-b" netns "$net-b"
  ip -n "$net-a" addr add 10.77.0.1/24 dev "$wire-a"
  ip -n "$net-b" addr add 10.77.0.2/24 dev "$wire-b"
  for end in a b; do
    ip -n "$net-$end" link set lo up
    ip -n "$net-$end" link set "$wire-$end" up
  done
  echo "note    two network namespaces, 10.77.0.1 and 10.77.0.2"
  address=10.77.0.1
  train_command "$work/wired" 50 25
  run_ranks 2 "${command[@]}"
  expect "ranks of two namespaces train" [ "$codes" = "0 0" ]
  parameters "$work/wired"
  expect "and end where one process does" same_numbers 1e-5 "$work/ssm1.npz" "$work/wired.npz"
  endless "$work/cut"
  start_ranks 2 "${command[@]}"
  wait_for_step "$work/cut" 25
  ip -n "$net-b" link set "$wire-b" down
  start=$SECONDS
  wait_ranks
  expect "a cut wire stops both within 30 s ($((SECONDS - start)) s)" eval '[ "$codes" = "1 1" ] && [ $((SECONDS - start)) -le 30 ]'
  expect "rank 0 leaves a checkpoint" grep -q 'checkpoint-[0-9]*\.pt is there' "$work/rank0.err"
else
  ip netns del "$net-a" 2>/dev/null
  net=
  echo "note    network namespaces are not permitted here; the store at another loopback address instead"
  address=127.0.0.2
  train_command "$work/wired" 50 25
  run_ranks 2 "${command[@]}"
  expect "ranks train by a store at 127.0.0.2" [ "$codes" = "0 0" ]
  parameters "$work/wired"
  expect "and end where one process does" same_numbers 1e-5 "$work/ssm1.npz" "$work/wired.npz"
fi
finish
