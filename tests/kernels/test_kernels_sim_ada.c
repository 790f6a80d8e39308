// Eight-bit products on the simulated GPU with instructions for them: operands along k and across it, packed weights, scales, edges; and
// the same kernels where codes are widened on their way from shared memory.
#include "kernels/conformance.h"
#include "kernels/training.h"

static void products(void) {
  static const shape shapes[] = {{0, 24, 16}, {1, 1, 16}, {2, 24, 0}, {3, 129, 144}, {64, 128, 256}};
  for (int i = 0; i < 5; i++) conform_gemm("gemm_fp8", "", shapes[i]);
  conform_gemm("gemm_fp8", "packed=1,BM=16,BN=32", (shape){17, 33, 144});
  conform_gemm("gemm_fp8", "packed=1,BM=64,BN=64,warps=4", (shape){64, 64, 256});
  conform_gemm("gemm_fp8", "BM=128,BN=128,warps=8", (shape){128, 128, 400});
  conform_gemm("gemm_fp8", "BM=16,BN=32,warps=1,stages=1", (shape){17, 33, 144}); // straight from memory
  conform_backward("gemm_fp8_dgrad", "BM=32,BK=32", 33, 144, 48);
  conform_backward("gemm_fp8_dgrad", "BM=64,BK=64,dtype=f32,warps=4", 64, 256, 64);
  conform_backward("gemm_fp8_wgrad", "BN=32,BK=32", 260, 48, 80);
  conform_backward("gemm_fp8_wgrad", "BN=16,BK=64,warps=2", 128, 16, 64);
  conform_backward("gemm_fp8_wgrad", "BN=32,BK=32", 17, 33, 70); // rows that no vector begins
}

int main(void) {
  int failed = 0;
  static const char *const devices[] = {"sim:sm_89", "sim:sm_80"};
  for (int i = 0; i < 2; i++) {
    conformance_open(devices[i]);
    products();
    failed |= conformance_close();
  }
  return failed;
}
