#!/usr/bin/env bash
# Missing and damaged data: exit 1, one line that names the file.
. "$(dirname "$0")/common.sh"

# idx COUNT ROWS BYTES: an IDX file of unsigned bytes that claims COUNT x ROWS x 4 values and holds BYTES of them.
idx() {
  printf '\0\0\010\003'
  printf "\\0\\0\\0\\$(printf %o "$1")\\0\\0\\0\\$(printf %o "$2")\\0\\0\\0\\004"
  head -c "$3" /dev/zero | tr '\0' '\7'
}

idx 100 4 1600 >"$work/good-idx3-ubyte"
gzip -c "$work/good-idx3-ubyte" >"$work/good-idx3-ubyte.gz"
expect_success "a sound IDX file" "$gibbsite" data info "$work/good-idx3-ubyte"
expect_success "a sound compressed IDX file" "$gibbsite" data info "$work/good-idx3-ubyte.gz"

head -c 400000 /dev/urandom >"$work/noise"
{ printf '\0\0\010\003\0\0\0\144\0\0\0\144\0\0\0\050'; cat "$work/noise"; } | gzip -c >"$work/whole.gz"
head -c 200000 "$work/whole.gz" >"$work/truncated-idx3-ubyte.gz"
expect_refusal "truncated gz" 1 'truncated-idx3-ubyte\.gz' "$gibbsite" data info "$work/truncated-idx3-ubyte.gz"
{ printf 'XYZ\003'; tail -c +5 "$work/good-idx3-ubyte"; } >"$work/magic-idx3-ubyte"
expect_refusal "wrong IDX magic" 1 'magic-idx3-ubyte: .*IDX' "$gibbsite" data info "$work/magic-idx3-ubyte"
idx 100 4 1599 >"$work/short-idx3-ubyte"
expect_refusal "IDX larger than its file" 1 'short-idx3-ubyte' "$gibbsite" data info "$work/short-idx3-ubyte"
printf '\0\0\010\003\377\377\377\377\377\377\377\377\377\377\377\377' >"$work/huge-idx3-ubyte"
expect_refusal "IDX of absurd sizes" 1 'huge-idx3-ubyte' "$gibbsite" data info "$work/huge-idx3-ubyte"
: >"$work/empty-idx3-ubyte"
expect_refusal "empty IDX" 1 'empty-idx3-ubyte' "$gibbsite" data info "$work/empty-idx3-ubyte"

printf 'a,b\n1,2\n3,nan\n5,6\n' >"$work/nan.csv"
expect_refusal "NaN in CSV" 1 'nan\.csv.*3' "$gibbsite" data info "$work/nan.csv"
printf 'a,b\n1,2\n3\n' >"$work/ragged.csv"
expect_refusal "ragged CSV" 1 'ragged\.csv.*3' "$gibbsite" data info "$work/ragged.csv"
expect_refusal "missing file" 1 'nowhere\.csv' "$gibbsite" data info "$work/nowhere.csv"

expect_success "a run to score with" train_run "$work/run" 20 20
expect_refusal "missing file under score" 1 'nowhere\.csv' "$gibbsite" score "$work/run" --data "$work/nowhere.csv" --out "$work/s.npz"
expect_refusal "NaN under score" 1 'nan\.csv' "$gibbsite" score "$work/run" --data "$work/nan.csv" --out "$work/s.npz"
expect "a failed score writes nothing" [ ! -e "$work/s.npz" ]
mkdir "$work/no-data"
expect_refusal "missing set names the places" 1 'mnist.*no-data' env GIBBSITE_DATA="$work/no-data" XDG_DATA_HOME="$work/no-data" \
  "$gibbsite" score "$work/run" --data mnist
finish
