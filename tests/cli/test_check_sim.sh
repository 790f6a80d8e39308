# label: long
# tegula check on the simulated sm_80, the whole library but attention, whose tables test_attention_sim
# runs: every awkward shape, every value of every option, meta-parameter and knob, against the interpreter.
set -euo pipefail
build=$1
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
export TEGULA_CACHE=$directory TEGULA_DATABASE=$directory/none
kernels=$("$build/tegula" kernels | sed -n 's/^\([a-z][a-z0-9_]*\) .*/\1/p' | grep -v '^mla_' | paste -sd,)
[[ $kernels == *gemm_bf16* && $kernels == *topk* ]] # the list was understood
if ! "$build/tegula" check --device sim:sm_80 --kernels "$kernels" >"$directory/said"; then
  grep '^FAIL' "$directory/said"
  exit 1
fi
tail -n 1 "$directory/said"
