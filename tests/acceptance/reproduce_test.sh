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

# Stopped between the rounds of an energy, a study goes on with that energy.
out=$work/vaebm/images
if [ -s "$out/result.json" ]; then
  row_keys() { python3 -c 'import json, sys
print(sorted((row["method"], row["metric"], row.get("space", "")) for row in json.load(open(sys.argv[1]))["rows"]))' "$1"; }
  whole=$(row_keys "$out/result.json")
  expect_success "vaebm/images, rows of rounds kept alone" python3 -c 'import json, sys
path = sys.argv[1]
result = json.load(open(path))
result["rows"] = [row for row in result["rows"] if row["metric"].endswith("_of_round")]
assert result["rows"]
json.dump(result, open(path, "w"))' "$out/result.json"
  expect "vaebm/images has rows" [ "${#whole}" -gt 2 ]
  expect_success "vaebm/images, rounds alone" "$gibbsite" reproduce vaebm/images --scale smoke --out "$out"
  expect "vaebm/images: all rows after its rounds" [ "$(row_keys "$out/result.json")" = "$whole" ]

  # Models that are there are sampled as asked, not as they were before.
  files() { (cd "$out" && find . -path "*/$1-*/samples/*.npy" | sort); }
  before=$(files vaebm) before_vae=$(files vae)
  expect_success "vaebm/images, other chains" "$gibbsite" reproduce vaebm/images --scale smoke --out "$work/longer" \
    --set "vaebm.models=$out" --set "vaebm.classifier=$out/classifier" --set sample.steps=7
  expect "samples of longer chains beside the others" [ "$(files vaebm | wc -l)" -gt "$(wc -l <<<"$before")" ]
  expect "draws of the auto-encoder as they were" [ "$(files vae)" = "$before_vae" ]
else
  echo "skipped the rounds of vaebm/images: no data"
fi

# A race of some methods.
if [ -s "$work/fd/deep-ebm/result.json" ]; then
  race=("$gibbsite" reproduce fd/deep-ebm --scale smoke --out "$work/race" --set method=jet-ssm,fd-ssm)
  expect_refusal "methods of another part than the race" 2 "experiment.part=race" "${race[@]}"
  expect_success "a race of two" "${race[@]}" --set experiment.part=race
  expect "has rows of these two alone" [ "$(grep -o '"method": *"[^"]*"' "$work/race/result.json" | sort -u | wc -l)" = 2 ]
fi

# Settings are chosen on training rows that models do not see.
if [ -s "$work/cebm/few-label/result.json" ]; then
  out=$work/cebm/few-label
  runs=$(ls "$out"/seed-*)
  expect_success "cebm/few-label on validation rows" "$gibbsite" reproduce cebm/few-label --scale smoke --out "$out" \
    --set method=cebm --set experiment.rows=validation
  expect "they have a name of their own" grep -q '"validation_accuracy"' "$out/result.json"
  expect "and a run of their own" [ "$(ls "$out"/seed-*)" != "$runs" ]
  expect "that does not see them" grep -q "validation = 0.1666" "$out"/seed-*/cebm-validation-mnist/recipe.toml
  attempt "$gibbsite" reproduce cebm/few-label --scale smoke --out "$work/none" \
    --set method=cebm --set experiment.rows=validation --set data.validation=0
  expect "without validation rows it is refused" [ "$code" != 0 ]
  expect "and says why" grep -q "there are no validation rows" "$work/stderr"

  # Models side by side, stopped on the way and called again: what one process says.
  values() { python3 -c 'import json, sys
print(sorted((row["method"], str(row.get("features")), str(row.get("labels")), row["value"])
             for row in json.load(open(sys.argv[1]))["rows"] if row["metric"] == "accuracy"))' "$1"; }
  two=$work/two
  together=("$gibbsite" reproduce cebm/few-label --scale smoke --threads 2 --jobs 2 --set method=vae,cebm,igebm)
  set -m
  "${together[@]}" --out "$two" >"$work/stdout" 2>"$work/stderr" &
  child=$!
  set +m
  while kill -0 "$child" 2>/dev/null && ! compgen -G "$two/seed-*/vae.log" >/dev/null; do sleep 0.005; done
  kill -INT "$child" 2>/dev/null
  wait "$child"
  expect "models side by side stop when they are asked to" [ $? = 130 ]
  expect_success "and are measured by the next call" "${together[@]}" --out "$two"
  expect_success "models one after another" "$gibbsite" reproduce cebm/few-label --scale smoke --threads 1 --jobs 1 \
    --out "$work/one" --set method=vae,cebm,igebm
  expect "with the same rows" [ "$(values "$two/result.json")" = "$(values "$work/one/result.json")" ]
  expect_success "models side by side that share a classifier" "$gibbsite" reproduce cebm/representation --scale smoke \
    --threads 2 --jobs 2 --out "$work/shared" --set method=igebm,cebm
  expect "with pictures in the report" grep -q "cebm-fashion-mnist/samples.png" "$work/shared/report.html"
  expect_refusal "models side by side with a setting that is none" 2 "experiment.nothing" "$gibbsite" reproduce \
    cebm/few-label --scale smoke --jobs 2 --out "$work/refused" --set method=vae,cebm --set experiment.nothing=1
  expect_refusal "several jobs with --force" 2 "one after another" "$gibbsite" reproduce cebm/few-label --scale smoke \
    --jobs 2 --force --out "$two" --set method=vae,cebm
  expect_success "both measure the reference" "${together[@]}" --out "$work/again"
  expect "which is said once" [ "$(grep -c "^pixels" "$work/stdout")" = 1 ]
  expect_refusal "two methods where one is asked for" 2 "one name" "$gibbsite" reproduce fd/dkef --scale smoke \
    --out "$work/refused-dkef" --set method=jet-ssm,fd-ssm

  attempt "$gibbsite" reproduce cebm/few-label --scale smoke --out "$out" --force --set method=cebm \
    --set experiment.nothing=1
  expect "--force with a setting that is none is refused" [ "$code" != 0 ]
  expect "and loses no run" [ -s "$(echo "$out"/seed-*/cebm-mnist/checkpoint-4.pt)" ]
  attempt "$gibbsite" reproduce cebm/few-label --scale smoke --out "$work/faces" --set data=frey-faces
  expect "data without classes are refused" grep -q "'frey-faces' has no classes 0 to 9" "$work/stderr"

  for checkpoint in "$out"/seed-*/cebm-mnist/checkpoint-4.pt; do truncate -s 100 "$checkpoint"; done
  expect_success "a model whose last checkpoint is damaged" "$gibbsite" reproduce cebm/few-label --scale smoke \
    --out "$work/models" --set method=cebm --set "cebm.models=$out"
  expect "is trained on from the one before" grep -q "cebm: training to step 4" "$work/stdout" "$work/stderr"
  expect_success "a model that cebm.models has not" "$gibbsite" reproduce cebm/few-label --scale smoke \
    --out "$work/beside" --set method=igebm --set "cebm.models=$work/models"
  expect "is trained beside the rows" [ -s "$(echo "$work"/beside/seed-*/igebm-mnist/recipe.toml)" ]

  out=$work/stability
  rows() { grep -c '"method"' "$out/result.json"; }
  expect_success "cebm/stability" "$gibbsite" reproduce cebm/stability --scale smoke --out "$out" \
    --set experiment.trainings=1 --set experiment.steps=2
  before=$(rows)
  expect_success "cebm/stability on other data" "$gibbsite" reproduce cebm/stability --scale smoke --out "$out" \
    --set experiment.trainings=1 --set experiment.steps=2 --set data=fashion-mnist
  expect "has rows of its own" [ "$(rows)" = $((2 * before)) ]
else
  echo "skipped validation rows of cebm/few-label: no data"
fi
finish
