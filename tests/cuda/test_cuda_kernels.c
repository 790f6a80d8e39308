// Library kernels on device cuda:0, against the float64 oracles: the driver's code and the kernels' PTX, with a libcuda that simulates it.
#include "cuda/use_fake.h"
#include "kernels/conformance.h"

int main(void) {
  static const shape shapes[] = {{0, 24, 16}, {1, 1, 16}, {3, 129, 144}};
  use_fake();
  conformance_open("cuda:0");
  for (int i = 0; i < 3; i++) conform_gemm("gemm_f32", "", shapes[i]), conform_gemm("gemm_bf16", "", shapes[i]);
  conform_gemm("gemm_fp8", "", shapes[2]);
  conform_gemm("gemm_bf16", "BM=128,BN=128,BK=64,stages=4", (shape){17, 33, 128}); // more shared memory than need not be allowed
  conform_gemm("gemm_fp8", "packed=1,BM=16,BN=32", (shape){17, 33, 144});
  conform_pack(33, 48);
  conform_quantize("quantize_rows", "", 3, 144);
  conform_rmsnorm("", 3, 300), conform_swiglu("swiglu", "clamp=7", 3, 144);
  return conformance_close();
}
