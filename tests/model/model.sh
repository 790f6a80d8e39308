# What the tests of examples/deepseek_v3.lua share: source it with the build directory as $1. The bounds are those of docs/model.md.
build=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
golden=$root/tests/golden/deepseek_v3
script=$root/examples/deepseek_v3.lua
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export TEGULA_CACHE=${TEGULA_CACHE:-$dir/cache}
checks=0 failures=0

failed() { printf '%s\n' "$*" >&2; failures=$((failures + 1)); }
finish() { echo "$checks checks, $failures failed"; [ "$failures" = 0 ]; exit; }
run() { "$build/tegula" run "$script" "$@" 2>"$dir/err"; }
# near GOT WANT MEDIAN MOST: rows of two .npy files
near() {
  checks=$((checks + 1))
  local said
  said=$("$build/tegula" run "$here/compare.lua" "$@" 2>&1) || { failed "$what: $1 against $2: $said"; return 1; }
  [ -z "${verbose-}" ] || echo "$what: $(basename "$2" .npy): $said"
}
# text OUTPUT FOLDER: the greedy line is the reference's
text() {
  checks=$((checks + 1))
  local want
  want="greedy: $("$build/tegula" run "$here/numbers.lua" "$2/greedy.npy")"
  grep -qxF "$want" <<<"$1" || failed "$what: '$(grep ^greedy <<<"$1")', the reference's is '$want'"
}
# whole FOLDER MODE MEDIAN MOST [options]: logits, MTP logits (their median may be mtp_median) and greedy text of the whole model
whole() {
  local folder=$1 mode=$2 median=$3 most=$4 out
  shift 4
  what="$(basename "$folder") $mode $*"
  if ! out=$(run "$folder" --activations "$mode" --tokens "$folder/tokens.npy" --greedy 16 --logits "$dir/logits.npy" --mtp "$dir/mtp.npy" "$@"); then
    failed "$what: $(cat "$dir/err")"
    return 1
  fi
  near "$dir/logits.npy" "$folder/logits.npy" "$median" "$most"
  near "$dir/mtp.npy" "$folder/mtp.npy" "${mtp_median:-$median}" "$most"
  text "$out" "$folder"
}
# layers FOLDER MODE MEDIAN MOST [options]: each layer on the reference's inputs
layers() {
  local folder=$1 mode=$2 median=$3 most=$4
  shift 4
  what="$(basename "$folder") layers $mode $*"
  run "$folder" --activations "$mode" --layers "$folder/layers_in.npy" "$dir/layers.npy" "$@" >/dev/null || { failed "$what: $(cat "$dir/err")"; return 1; }
  near "$dir/layers.npy" "$folder/layers_out.npy" "$median" "$most"
}
