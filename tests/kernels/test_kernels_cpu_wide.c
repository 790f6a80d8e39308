// label: long
// Every library kernel in the shapes that AVX-512 processors get (vectors of 16, micro-kernels of 14 rows by 32 lanes, with pairs of bf16
// too), in AVX2 instructions: what the lowering does for them, where there is none.
#include "kernels/conformance.h"

int main(void) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c")) return 0;
  conformance_open("cpu");
  conformance_machine(TESTS_DIR "/kernels/wide.lua", "wide");
  conform_some();
  const char *const pairs[] = {"dot2=1", "dot2=1,BM=16,BN=64", "dot2=1,BM=128,BN=256"};
  for (int i = 0; i < 3; i++)
    conform_gemm("gemm_bf16", pairs[i], (shape){33, 131, 575}), conform_gemm("gemm_fp8", pairs[i], (shape){33, 131, 576});
  return conformance_close();
}
