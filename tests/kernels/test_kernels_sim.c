// Library kernels that the simt lowering takes, on the simulated GPU: every access, race and barrier of their PTX is looked at as it runs.
#include "kernels/conformance.h"

int main(void) {
  static const shape shapes[] = {{0, 24, 16}, {1, 1, 16}, {2, 24, 0}, {3, 129, 144}, {64, 64, 64}};
  conformance_open("sim:sm_80");
  for (int i = 0; i < 5; i++) conform_gemm("gemm_f32", "", shapes[i]), conform_gemm("gemm_bf16", "", shapes[i]);
  for (int i = 0; i < 3; i++) conform_gemm("gemm_fp8", "", shapes[i]);
  conform_gemm("gemm_bf16", "BM=16,BN=64,BK=64", (shape){17, 33, 72});
  conform_gemm("gemm_bf16", "BM=64,BN=64,BK=64,warps=8,warps_m=1", (shape){65, 64, 136});  // eight columns a warp
  conform_gemm("gemm_bf16", "BM=128,BN=32,BK=32,warps=8,warps_m=8", (shape){130, 40, 72}); // sixteen rows
  conform_gemm("gemm_fp8", "BM=64,BN=64,warps=8,warps_m=8", (shape){65, 64, 144});         // fewer rows than that
  conform_gemm("gemm_fp8", "packed=1,BM=16,BN=32", (shape){17, 33, 144});
  conform_pack(33, 48);
  conform_quantize("quantize_rows", "", 3, 144), conform_quantize("quantize_rows", "ue8m0=1", 1, 16);
  conform_quantize("quantize_blocks", "", 17, 144);
  conform_rmsnorm("", 3, 300), conform_swiglu("swiglu", "clamp=7", 3, 144), conform_swiglu("swiglu_quantize", "", 5, 144);
  return conformance_close();
}
