#!/usr/bin/env bash
# Checks and times the library on GPUs: usage gpu.sh [--device cuda:N] [--out FILE.json] [--quick] [--kernels K,…]. Without --device every GPU
# that can be used is taken in turn. It lies in a pack as `run`, where the command and its compiled kernels are beside it; in the source tree
# `./dev gpu` runs it with TEGULA naming the command. Exit status: 0 done, 1 something was wrong, 2 there is no such GPU.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
tegula=${TEGULA:-$here/tegula}
results=${TEGULA_RESULTS:-$here/results}
devices=() out="" more=()
while [ $# -gt 0 ]; do
  case "$1" in
    --device) devices+=("${2:?--device takes cuda:N}") && shift 2 ;;
    --out) out=${2:?--out takes a file} && shift 2 ;;
    --kernels) more+=("kernels=${2:?--kernels takes names}") && shift 2 ;;
    --quick) more+=(quick=1) && shift ;;
    *) echo "gpu: error: '$1': it takes --device cuda:N, --out FILE.json, --quick and --kernels K,…" >&2 && exit 2 ;;
  esac
done
if [ -d "$here/pack" ]; then # its own kernels under their own configs, whatever else this machine has
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  export TEGULA_CUDA_CODE=ptx TEGULA_CACHE=$scratch TEGULA_DATABASE=$scratch/tuning.jsonl TEGULA_ROOT=$here TEGULA_PACK=$here/pack TEGULA_WORKER=$here/none
fi
if [ ${#devices[@]} = 0 ]; then
  listed=$("$tegula" devices)
  while read -r name target _; do
    case "$name" in cuda:*) [ "$target" = - ] || devices+=("$name") ;; esac
  done <<<"$listed"
  if [ ${#devices[@]} = 0 ]; then
    echo "gpu: error: no NVIDIA GPU can be used here: ${listed##*not available: }" >&2
    exit 2
  fi
fi
if python3 -c 'import torch' 2>/dev/null; then more+=("peers=python3 '$here/gpu_torch.py'"); fi
status=0
for device in "${devices[@]}"; do
  file=$out
  if [ -z "$file" ]; then
    model=$("$tegula" devices | sed -n "s/^$device  *[^ ]*  *\([^,]*\),.*/\1/p" | tr -cs 'A-Za-z0-9\n' '-')
    mkdir -p "$results"
    file=$results/gpu-${model%-}-$(date -u +%Y-%m-%d)-${device#cuda:}.json
  fi
  "$tegula" run "$here/gpu.lua" "$tegula" "device=$device" "out=$file" "${more[@]}" || status=$?
done
exit $status
