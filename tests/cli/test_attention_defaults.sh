#!/usr/bin/env bash
# Attention on GPUs in the configs that are taken without --set: others than on hosts, and none of them spills in its loop: at most a word
# is put away before and read after it (where there is an assembler).
set -euo pipefail
build=$1
export TEGULA_CACHE=$PWD/cache
failed=0
compile() { "$build/tegula" compile "$@"; }
says() { # text, output
  grep -qF -- "$1" <<<"$2" || { printf 'lacks: %s\nin:\n%s\n' "$1" "$2" >&2; failed=1; }
}
says '"BM":64,"BK":32,' "$(compile mla_decode --target nvptx:sm_80 --emit meta)"
says '"BM":32,"BK":128,' "$(compile mla_decode --target cpu --emit meta)"
says '"BM":16,"BK":32,' "$(compile mla_decode --target nvptx:sm_80 --set BM=16 --emit meta)"
says '"BM":16,"BK":32,' "$(compile mla_decode --target nvptx:sm_80 --set dtype=f32 --emit meta)"
says '"BM":16,"BK":32,' "$(compile mla_decode_sparse --target nvptx:sm_89 --set dtype=f32 --emit meta)"
if grep -q "assembled by" <<<"$(compile swiglu --target nvptx:sm_80 --report)"; then # wherever it was found
  kernels=("mla_decode --set variant=0" "mla_decode_sparse --set variant=0" "mla_prefill --fix Dqk=192,Dv=128 --set variant=0"
           "mla_decode_sparse --set dtype=f32,variant=0" "mla_prefill --fix Dqk=192,Dv=128 --set dtype=f32,variant=0")
  for kernel in "${kernels[@]}"; do
    # shellcheck disable=SC2086
    report=$(compile $kernel --target nvptx:sm_80 --report 2>&1) || { printf '%s\n' "$report" >&2; failed=1; }
    grep -q '_0: .* [04] bytes spilled' <<<"$report" || { printf '%s spills:\n%s\n' "$kernel" "$report" >&2; failed=1; }
  done
fi
exit $failed
