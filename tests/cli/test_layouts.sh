#!/usr/bin/env bash
# compile --emit layouts and layouts-svg: who holds what, held against the notation beside it and against what the layouts promise.
set -u
tegula=$(cd "$1" && pwd)/tegula
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
failed=0
check() { if ! eval "$2"; then echo "failed: $1: $2"; failed=1; fi; }
show() { "$tegula" compile "$1" --target nvptx:sm_80 --set "$2" --emit "$3" -o "$4"; }

show gemm_bf16 variant=0,BM=32,BN=32,BK=32,warps=1 layouts gemm.txt || failed=1
check "a title and the launch" 'grep -q "^gemm_bf16 for nvptx:sm_80, variant 0$" gemm.txt && grep -q "^launch gemm_bf16_0: 1 warps of 32 lanes$" gemm.txt'
check "both operands with their lines" '[ "$(grep -c "gemm_bf16.lua:[0-9]*: load bf16\[32x32\], in shared memory" gemm.txt)" = 2 ]'
check "none is converted" 'grep -q "^  conversions: none$" gemm.txt'
# Row i of the first tile is held as its notation says: rows 0:1, 0:2 and 0:4 are lane bits 4, 8 and 16, columns 1:1, 1:2 and 1:4 register bits.
check "the layout that the grid is held against" 'grep -q "register(1:1, 1:2, 1:4, 0:8, 0:16) lane(1:8, 1:16, 0:1, 0:2, 0:4)" gemm.txt'
for row in 0 1 2 3 4 5 6 7; do
  want=
  for column in 0 1 2 3 4 5 6 7; do want+=$(printf ' 0.%02d.%03d' $((4 * row)) "$column"); done
  check "row $row" 'grep -q "^     $want$" gemm.txt'
done
# Eight rows of the first operand, one column of units, are what ldmatrix reads at once: they lie in eight different groups of banks.
groups=$(awk '/^    places/ { n = 0; on = 1; next } on && NF == 4 && n < 8 { seen[$1] = 1; n++; if (n == 8) { print length(seen); delete seen; on = 0 } }' gemm.txt)
check "rows of a matrix meet in no bank" '[[ $groups == 8* ]]'

# Tiles that are converted: what is summed over warps passes through shared memory.
show quantize_blocks variant=0 layouts quantize.txt || failed=1
check "a conversion with its cost" 'grep -A3 "^  - quantize_blocks.lua:[0-9]*: f32$" quantize.txt | grep -q "shared memory: 32 bytes, 1 stores of 1"'

show gemm_bf16 variant=0,BM=32,BN=32,BK=32,warps=4 layouts-svg gemm.svg || failed=1
check "an SVG" 'head -c 40 gemm.svg | grep -q "^<svg xmlns=\"http://www.w3.org/2000/svg\" "  && [ "$(tail -n 1 gemm.svg)" = "</svg>" ]'
check "every text ends" '[ "$(grep -o "<text" gemm.svg | wc -l)" = "$(grep -o "</text>" gemm.svg | wc -l)" ]'
check "no bare < or &" '! sed "s/<[^<>]*>//g; s/&[a-z]*;//g" gemm.svg | grep -q "[<>&]"'
check "a legend of four warps" '[ "$(grep -c ">warp [0-3]</text>" gemm.svg)" = 4 ]'
check "whole tiles" '[ $(($(grep -c "class=\"cell\"" gemm.svg) % 1024)) = 0 ]'
if command -v xmllint >/dev/null; then check "well formed" 'xmllint --noout gemm.svg'; fi

rows() { # of a block of 128 x 128 on eight warps, those that are split
  "$tegula" compile gemm_bf16 --target nvptx:sm_80 --set BM=128,BN=128,BK=64,warps=8,variant=0,warps_m=$1 --emit layouts | sed -n '/for f32\[128x128\]/{n;s/.*warp(//p;q;}'
}
check "all warps split rows" '[ "$(rows 8)" = "0:64, 0:32, 0:16)" ]'
check "all warps split columns" '[ "$(rows 1)" = "1:64, 1:32, 1:16)" ]'
check "two by four" '[ "$(rows 2)" = "0:64, 1:64, 1:32)" ]'

check "a CPU has none" '! "$tegula" compile gemm_bf16 --target cpu --emit layouts 2>errors'
check "and is told so" 'grep -q "target cpu has no layouts to show" errors'
exit $failed
