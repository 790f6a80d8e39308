// Persistent grids on the simulated GPU: a launch of fewer blocks than the kernel's grid has, so that each computes several one after the
// other; the ring of slots goes on from one to the next, shared memory for conversions is used again, and blocks are walked in groups.
#include "kernels/conformance.h"
#include "kernels/model.h"
#include "kernels/moe.h"

int main(void) {
  conformance_open("sim:sm_90a");
  conformance_machine(TESTS_DIR "/kernels/few.lua", "few");
  conform_gemm("gemm_bf16", "persistent=1,BM=64,BN=64,BK=64,warps=4", (shape){330, 200, 200}); // 24 blocks, tiles that end short
  conform_gemm("gemm_bf16", "persistent=1,BM=128,BN=64,BK=64,raster=2", (shape){390, 136, 72});
  conform_gemm("gemm_bf16", "persistent=1,BM=64,BN=64,BK=64", (shape){64, 64, 64}); // one block, fewer than there could be
  conform_gemm("gemm_bf16", "persistent=1,BM=64,BN=64", (shape){0, 24, 16});
  conform_gemm("gemm_bf16", "persistent=1,BM=64,BN=64", (shape){190, 200, 41}); // the last variant, which has no pipes
  conform_gemm("gemm_fp8", "persistent=1,BM=64,BN=64", (shape){330, 132, 272});
  conform_grouped("grouped_gemm_bf16", "persistent=1,BM=64,BN=64,BK=64", 6, (int[]){0, 1, 64, 65, 9, 130}, 136, 72);
  conform_grouped("grouped_gemm_fp8", "persistent=1,BM=64,BN=128", 5, (int[]){63, 65, 0, 1, 129}, 260, 144);
  conform_bmm("persistent=1,BT=64,BM=64,BK=64", 65, 3, 72, 136);
  return conformance_close();
}
