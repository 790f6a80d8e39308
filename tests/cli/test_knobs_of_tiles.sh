#!/bin/sh
# Configs of one search space name the same parameters of the lowering: where a tile has no use for one, its first value alone is taken.
set -eu
tegula=$1/tegula
"$tegula" compile gemm_bf16 --target nvptx:sm_90a --set BM=16,variant=0,persistent=0,cluster=1 --emit lane -o small.lane
"$tegula" compile gemm_bf16 --target nvptx:sm_90a --set BM=128,variant=0,persistent=1 --emit lane -o large.lane
grep -q 'min(ceildiv(M, 128)' large.lane
if "$tegula" compile gemm_bf16 --target nvptx:sm_90a --set BM=16,variant=0,persistent=1 --emit lane -o none.lane 2>said; then
  echo "persistent=1 was taken where no product has a pipe" >&2
  exit 1
fi
grep -q 'takes 0 here' said
