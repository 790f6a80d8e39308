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
# A ring of any length that the lowering knows can be asked for, though a search tries few.
for stages in 1 2 3 4 5 6 7 8; do
  for target in nvptx:sm_80 nvptx:sm_90a; do
    "$tegula" compile gemm_bf16 --target $target --set BM=64,BN=64,BK=32,variant=0,stages=$stages --emit lane -o ring.lane
    grep -q "tune stages = \"$stages\"" ring.lane
  done
done
if "$tegula" compile gemm_bf16 --target nvptx:sm_90a --set variant=0,stages=9 2>said; then exit 1; fi
grep -q 'takes 4, 1, 2, 6, 3, 5, 7, 8 here' said
