#!/usr/bin/env bash
# record.sh BUILD TAG [ROUNDS]: the recorded runs of attention and experts, bench/results/*-TAG-*t.json, about twelve minutes a round: one thread, then two.
# Run bench/run.sh once before, which makes the peers' environment.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
build=$1 tag=$2 rounds=${3:-3}
run() { # KERNEL THREADS [ARGS…]
  local kernel=$1 threads=$2
  shift 2
  "$here/run.sh" "$build" --kernel "$kernel" --threads "$threads" --rounds "$rounds" -o "$here/results/$kernel-$tag-${threads}t.json" "$@"
}
for kernel in gate dispatch combine mla_decode moe; do run "$kernel" 1; done
run mla_decode 2 --shapes 128x1x8192,16x1x8192,128x4x4096,16x16x1024
run moe 2 --shapes 1x256x2048x512,32x256x2048x512,512x256x2048x512
