#!/usr/bin/env bash
# mla_decode on sm_90a as it is taken by default: scores and values by products of warp groups alone, whose work is exactly that of 64 heads by 64
# keys, from one tile of latents a trip; and, where there are an assembler and a disassembler, no spill, no warning and no more in the loop.
set -euo pipefail
build=$1
export TEGULA_CACHE=$PWD/cache
failed=0
fail() { printf '%s\n' "$*" >&2; failed=1; }
"$build/tegula" compile mla_decode --target nvptx:sm_90a --set variant=0 --emit asm -o mla.ptx
# The fold over pages that all queries see is there three times: full blocks' trips without masks and with them, and blocks' that stick out.
scores=$(grep -c 'wgmma.mma_async.*m64n32k16' mla.ptx || true) values=$(grep -c 'wgmma.mma_async.*m64n256k16' mla.ptx || true)
all=$(grep -c 'wgmma.mma_async' mla.ptx || true)
[ "$all" = $((scores + values)) ] || fail "$all products of warp groups, $scores for scores and $values for values"
work=$((2 * 64 * 16 * (scores * 32 + values * 256) * 2)) # of two groups
[ "$work" = $((3 * 2 * 64 * 64 * (576 + 512))) ] || fail "work of 3 folds: $work"
report=$("$build/tegula" compile mla_decode --target nvptx:sm_90a --set variant=0 --report 2>&1)
if grep -q "assembled by" <<<"$report"; then
  grep -q 'mla_decode_0: 256 threads.* 0 bytes spilled' <<<"$report" || fail "$report"
  grep -q 'C75' <<<"$report" && fail "$report"
  if grep -q 'main loop' <<<"$report"; then
    read -r n products < <(sed -n 's/.*main loop *\([0-9]*\) instructions, \([0-9]*\) of them.*/\1 \2/p' <<<"$report")
    [ "$products" = 40 ] && [ "$n" -le 600 ] || fail "loop of $n instructions, $products of them products"
  fi
fi
exit $failed
