#!/usr/bin/env bash
# Device cuda:N from the command line, with a libcuda that needs no GPU: what there is and what is wrong with it, exec, bench, tune, run.
build=$1 failures=0
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory" || exit 1
export TEGULA_CACHE=$PWD/cache TEGULA_DATABASE=$PWD/db.jsonl TEGULA_CUDA_CODE=ptx
fake=$build/tests/libfake_cuda.so
tegula=$build/tegula
root=$(dirname "$0")/../..

# expect STATUS WORDS COMMAND…: WORDS must be in what it says on either stream.
expect() {
  local status want=$1 words=$2
  shift 2
  env "$@" >out 2>&1 </dev/null
  status=$?
  if [ $status != "$want" ] || { [ -n "$words" ] && ! grep -qF -- "$words" out; } || grep -q "^fake libcuda" out; then
    printf '%s\n  ended with %s, not %s, or does not say "%s"; it said: %s\n' "$*" $status "$want" "$words" "$(head -c 900 out)"
    failures=$((failures + 1))
  fi
}
lines() { # WORDS…: each in the last output
  local words
  for words; do
    grep -qF -- "$words" out && continue
    printf 'not said: %s; said: %s\n' "$words" "$(head -c 900 out)"
    failures=$((failures + 1))
  done
}

# no library, no function, no GPU, an old driver, GPUs of all kinds
expect 0 "cuda:0       -                NVIDIA GPU not available: the NVIDIA driver's library was not found" TEGULA_LIBCUDA=/none.so "$tegula" devices
lines "TEGULA_LIBCUDA names this file"
expect 2 "device 'cuda:0' is not available: the NVIDIA driver's library was not found" TEGULA_LIBCUDA=/none.so "$tegula" bench swiglu --device cuda:0 --shape T=1,I=8
expect 2 "there is no device 'cuda:1'; devices here: cpu, interp, sim:sm_80" TEGULA_LIBCUDA=/none.so "$tegula" bench swiglu --device cuda:1 --shape T=1,I=8
lines "cuda:0 (not available)"
expect 0 "has no function cuGetErrorName: the driver is too old, or this is not libcuda" TEGULA_LIBCUDA=libm.so.6 "$tegula" devices
export TEGULA_LIBCUDA=$fake
expect 0 "it finds no GPU (is CUDA_VISIBLE_DEVICES set" FAKE_CUDA_DEVICES= "$tegula" devices
expect 0 "cuInit: CUDA_ERROR_UNKNOWN" FAKE_CUDA_FAIL=cuInit:1:999 "$tegula" devices
expect 0 "the NVIDIA driver is for CUDA 10.2; CUDA 11.0 (driver 450) or newer is needed" FAKE_CUDA_VERSION=10020 "$tegula" devices
kinds="NVIDIA A100-SXM4-40GB:8.0,NVIDIA GeForce RTX 3060:8.6,Orin:8.7,NVIDIA L40S:8.9,Tesla V100:7.0,NVIDIA B200:10.0"
expect 0 "cuda:0       nvptx:sm_80      NVIDIA A100-SXM4-40GB, compute capability 8.0, 108 multiprocessors" "FAKE_CUDA_DEVICES=$kinds" "$tegula" devices
lines "cuda:1       nvptx:sm_86 " "cuda:2       nvptx:sm_86 " "cuda:3       nvptx:sm_89 " "cuda:5       nvptx:sm_100a" \
  "Tesla V100, compute capability 7.0, 108 multiprocessors, 8.0 GiB not available: compute capability 7.0 is older than all"
expect 0 "cuda:0       nvptx:sm_80 " "FAKE_CUDA_DEVICES=$kinds" FAKE_CUDA_VERSION=11000 "$tegula" devices
lines "cuda:1       nvptx:sm_80 " "cuda:5       nvptx:sm_80 " # PTX 7.0 is all that such a driver takes
expect 0 '"compute_capability":"8.0","driver_cuda":"13.0","multiprocessors":"108"' "$tegula" devices --json
expect 2 "TEGULA_CUDA_CODE=sass: it can be ptx or cubin" TEGULA_CUDA_CODE=sass "$tegula" bench swiglu --device cuda:0 --shape T=1,I=8

# the same numbers as the interpreter's; the library complains of what is left
cat >make.lua <<'LUA'
local tg <const> = require "tegula"
local x = tg.tensor("f32", {37, 64})
for i = 0, 36 do for j = 0, 63 do x:set(i, j, (i * 7 + j) % 13 - 6) end end
x:write "x.npy"
LUA
expect 0 "" "$tegula" run make.lua
expect 0 "" "$tegula" exec gemm_f32 --device interp A=x.npy B=x.npy --out C=interp.npy
expect 0 "" "$tegula" exec gemm_f32 --device cuda:0 A=x.npy B=x.npy --out C=cuda.npy
cmp interp.npy cuda.npy || failures=$((failures + 1))
expect 1 "kernel 'gemm_f32' ended with CUDA_ERROR_MISALIGNED_ADDRESS" FAKE_CUDA_FAIL=cuStreamSynchronize:3:716 "$tegula" exec gemm_f32 --device cuda:0 A=x.npy B=x.npy --out C=bad.npy
[ ! -e bad.npy ] || failures=$((failures + 1))
expect 1 "cuda:0: the driver's compiling of kernel 'gemm_f32', PTX for nvptx:sm_80 (cuModuleLoadDataEx): CUDA_ERROR_INVALID_PTX" FAKE_CUDA_FAIL=cuModuleLoadDataEx:1:218 "$tegula" exec gemm_f32 --device cuda:0 A=x.npy B=x.npy --out C=bad.npy
expect 1 "cuda:0 has no memory for a tensor of 9472 bytes: 1000 of 1000 bytes are free" FAKE_CUDA_MEMORY=1000 "$tegula" exec gemm_f32 --device cuda:0 A=x.npy B=x.npy --out C=bad.npy
if [ -n "$(command -v ptxas || ls /usr/local/cuda/bin/ptxas 2>/dev/null)" ]; then # machine code, which the fake does not take
  expect 1 "TEGULA_CUDA_CODE=ptx has the driver compile it" -u TEGULA_CUDA_CODE "$tegula" exec gemm_f32 --device cuda:0 A=x.npy B=x.npy --out C=bad.npy
fi

expect 0 '"clock":"device","caches":"cold"' "$tegula" bench gemm_bf16 --device cuda:0 --shape M=16,N=32,K=64 --runs 3 --json
lines '"peak_gflops":19500,"bf16_peak_gflops":312000' '"stream_gbs":1555,"limits":"published"' '"threads":1'
expect 0 '"clock":"device","caches":"warm"' "$tegula" bench gemm_bf16 --device cuda:0 --shape M=16,N=32,K=64 --runs 3 --warm --json
expect 0 '"peak_gflops":0,"bf16_peak_gflops":0' "FAKE_CUDA_DEVICES=Some GPU:8.0" "$tegula" bench gemm_bf16 --device cuda:0 --shape M=16,N=32,K=64 --runs 3 --json
expect 0 "default" "$tegula" tune rmsnorm --device cuda:0 --shape T=3,H=64 --trials 2
grep -q '"device":"cuda:0","target":"a100","family":"cuda","machine":"NVIDIA A100-SXM4-40GB"' db.jsonl || { failures=$((failures + 1)); cat db.jsonl; }
expect 0 "(database)" "FAKE_CUDA_DEVICES=NVIDIA A100-SXM4-40GB:8.0,NVIDIA A100-SXM4-40GB:8.0" "$tegula" bench rmsnorm --device cuda:1 --shape T=3,H=64 --runs 2

echo "$failures failed"
[ $failures = 0 ]
