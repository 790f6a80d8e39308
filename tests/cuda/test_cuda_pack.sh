#!/usr/bin/env bash
# A pack (./dev gpu --pack): far from the source tree, with no compiler, no LLVM and an empty environment it checks and times kernels on a GPU.
build=$1 failures=0
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
root=$(cd "$(dirname "$0")/../.." && pwd -P)
cd "$directory" || exit 1
fail() {
  printf '%s\n' "$*"
  failures=$((failures + 1))
}
alone() { env -i PATH=/usr/bin:/bin HOME=/none TMPDIR="$directory" TEGULA_LIBCUDA="$libcuda" "$@" >out 2>&1 </dev/null; }
says() { grep -qF -- "$1" out || fail "not said: $1; said: $(head -c 900 out)"; }

TEGULA_CACHE=$PWD/cache "$root/bench/gpu_pack.sh" "$build" first --targets nvptx:sm_80 --kernels rmsnorm,swiglu --quick >out 2>&1 || fail "no pack: $(cat out)"
says "0 that this target does not take"
rm -rf cache
mv first pack
cp -r pack/pack before

ldd pack/tegula >out
# A sanitizer's runtime brings libraries of its own.
grep -q "libasan" out || ! grep -E "LLVM|lld|lua|gomp|stdc" out || fail "the command needs more than the C library and what lies beside it"
grep "not found" out && fail "the command lacks a library"
needs=$(objdump -T pack/tegula 2>/dev/null | grep -o 'GLIBC_2\.[0-9]*' | sort -uV | tail -1)
[ -z "$needs" ] || [ "$(printf '%s\n' GLIBC_2.34 "$needs" | sort -V | tail -1)" = GLIBC_2.34 ] || fail "the command needs $needs"

libcuda=/none.so
alone pack/run
[ $? = 2 ] || fail "without a driver run ends otherwise than with 2"
says "gpu: error: no NVIDIA GPU can be used here: the NVIDIA driver's library was not found"
alone pack/run --device cuda:3
[ $? = 2 ] || fail "a device that is not there: not 2"
says "device 'cuda:3' cannot be used"
alone pack/run --loud
[ $? = 2 ] || fail "an option that there is not: not 2"

libcuda=$build/tests/libfake_cuda.so
alone pack/run --quick --kernels rmsnorm,swiglu --out result.json || fail "run: $(cat out)"
says "0 failed in"
says "3 of 3  rmsnorm"
grep -q "fake libcuda" out && fail "the driver was misused: $(cat out)"
cat >read.lua <<'LUA'
local tg <const> = require "tegula"
local r = tg.json "result.json"
assert(r.device.model == "NVIDIA A100-SXM4-40GB" and r.device.facts.driver_cuda == "13.0" and r.conformance.status == 0)
assert(r.conformance.summary:find("58 passed", 1, true), r.conformance.summary)
assert(#r.benchmark == 3 and r.benchmark[1].kernel == "gemm_bf16" and r.benchmark[1].result.seconds.min > 0 and r.benchmark[1].result.caches == "cold")
LUA
"$build/tegula" run read.lua >out 2>&1 || fail "the document: $(cat out)"
diff -r pack/pack before >out || fail "the pack was written to: $(cat out)"

# what is not in it is named; what is damaged counts as absent
alone pack/tegula bench gemm_f32 --device cuda:0 --shape M=8,N=8,K=8
[ $? = 2 ] || fail "a kernel that is not there: not 2"
says "gemm_f32 for nvptx:sm_80 (asm) is not among"
alone env TEGULA_PACK="$directory/nothing" pack/tegula check --device cuda:0 --kernels rmsnorm
grep -q "^FAIL *rmsnorm T=" out && grep -q "^refused *rmsnorm .*--set BM=.*is not among" out || fail "what was refused when the pack was made: $(tail -3 out)"
for file in pack/pack/compile/*/*; do printf x | dd of="$file" bs=1 seek=100 conv=notrunc status=none; done
alone pack/tegula bench rmsnorm --device cuda:0 --shape T=8,H=256
[ $? = 2 ] || fail "a damaged pack: not 2"
says "rmsnorm for nvptx:sm_80 (asm) is not among the compiled kernels of $directory/pack/pack, and there is no compile helper here"
[ ! -e /none ] || fail "something was written below HOME"

echo "$failures failed"
[ $failures = 0 ]
