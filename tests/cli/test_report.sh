# What `compile --report` says with and without NVIDIA's tools.
set -euo pipefail
tegula=$1/tegula
fail() { echo "failed: $*" >&2; exit 1; }
has() { grep -qF -- "$1" <<< "$out" || fail "no '$1' in: $out"; }

# Without an assembler: what the text alone tells.
out=$(TEGULA_PTXAS='' TEGULA_NVJITLINK='' "$tegula" compile gemm_bf16 --target a100 --set BM=64,BN=64,BK=32,variant=0 --shape M=4096,N=4096,K=4096 --report)
has 'gemm_bf16 for a100 (a100), variant 0'
has '64 threads, shared memory 24576 bytes static, 0 dynamic'
has 'occupancy  at most 6 blocks a multiprocessor, 12 of 64 warps; shared memory allows no more, registers may: no assembler says how many'
has '4096 blocks'
has '1.374e+11 flops at the bf16 peak'
if grep -q '[0-9] registers\|assembled' <<< "$out"; then fail "registers from nowhere: $out"; fi
out=$(TEGULA_PTXAS='' TEGULA_NVJITLINK='' "$tegula" compile gemm_bf16 --target a100 --emit obj -o o.cubin 2>&1) && fail "a cubin without an assembler"
has 'no cubin without an assembler'
has 'TEGULA_PTXAS='

# 2*4096^3 flops at 312 TFLOP/s are 0.441 ms, 3 * 4096 * 4096 * 2 bytes at 1555 GB/s 0.065 ms.
out=$("$tegula" compile gemm_bf16 --target a100 --set BM=64,BN=64,BK=32,variant=0 --shape M=4096,N=4096,K=4096 --report)
has 'compute    0.441 ms'
has 'memory     0.065 ms'
out=$("$tegula" compile gemm_fp8 --target l40s --shape M=64,N=128,K=256 --report --json)
has '"machine":"l40s"'
has '"units":"fp8"'
has '"bound":"memory"'

# On the host there is no such thing as occupancy.
out=$("$tegula" compile rmsnorm --target cpu:avx2 --report --json)
has '"occupancy":null,"loop":null'
"$tegula" compile rmsnorm --target cpu --json 2> error && fail "--json without --report"
grep -q 'for --report' error
"$tegula" compile rmsnorm --target cpu --report -o x 2> error && fail "--report with -o"
grep -q 'standard output' error

# A tuned config has its resources beside it, as far as they are known.
export TEGULA_DATABASE=$PWD/database TEGULA_CACHE=$PWD/cache
TEGULA_PTXAS='' TEGULA_NVJITLINK='' "$tegula" tune rmsnorm --device sim:sm_80 --shape T=2,H=64 --trials 1 --threads 1 > tuned
out=$(tail -n 1 database)
has '"final":true'
if grep -q resources <<< "$out"; then fail "resources from nowhere: $out"; fi
if "$tegula" compile rmsnorm --target a100 --emit obj -o o.cubin 2> error; then
  rm database
  "$tegula" tune rmsnorm --device sim:sm_80 --shape T=2,H=64 --trials 1 --threads 1 > tuned
  out=$(tail -n 1 database)
  has '"resources":{"registers":'
  has '"warps":'
else
  grep -q 'no cubin without an assembler' error || fail "$(cat error)"
  echo "no assembler: tuned resources were not looked at"
fi
