// Products into tensor memory from what the copy unit brings, on the simulated GPU: sums that stay there all through a fold, sums of one
// trip that are added with scales, tiles that stick out on each side, tails of k, rings that go round several times, columns and rows split
// among warp groups, folds in loops and blocks that compute several of the grid's, where parts of tensor memory go round; and calls that
// only the last variant takes.
#include "kernels/conformance.h"
#include "kernels/model.h"
#include "kernels/moe.h"

int main(void) {
  conformance_open("sim:sm_100a");
  conform_gemm("gemm_bf16", "", (shape){0, 24, 16});
  conform_gemm("gemm_bf16", "", (shape){64, 24, 0});
  conform_gemm("gemm_bf16", "BM=128,BN=32,BK=64", (shape){130, 72, 392});
  conform_gemm("gemm_bf16", "BM=128,BN=192,BK=32", (shape){65, 200, 200});
  conform_gemm("gemm_bf16", "BM=256,BN=32,BK=128,stages=2,warps=8", (shape){257, 40, 264});
  conform_gemm("gemm_bf16", "BM=384,BN=32,BK=16", (shape){400, 40, 72}); // three times 128 rows, which two groups share by columns
  conform_gemm("gemm_bf16", "BM=128,BN=64,BK=64", (shape){33, 35, 41});  // neither rows of 16 bytes nor pairs
  conform_gemm("gemm_fp8", "BM=128,BN=128", (shape){129, 136, 656});
  conform_gemm("gemm_fp8", "BM=128,BN=64,raster=2", (shape){190, 136, 144});
  conform_gemm("gemm_fp8", "BM=256,BN=64,stages=2", (shape){257, 72, 272});
  conform_grouped("grouped_gemm_bf16", "BM=128,BN=128,BK=32,stages=2", 4, (int[]){129, 0, 127, 128}, 136, 72);
  conform_grouped("grouped_gemm_fp8", "BM=128,BN=64", 3, (int[]){127, 129, 9}, 64, 144);
  conform_bmm("BT=128,BM=128,BK=64", 130, 2, 136, 64);
  conformance_machine(TESTS_DIR "/kernels/few_b200.lua", "few_b200");
  conform_gemm("gemm_bf16", "persistent=1,BM=128,BN=64,BK=64,raster=2",
               (shape){330, 200, 136}); // 12 blocks, parts of tensor memory by turns
  conform_gemm("gemm_fp8", "persistent=1,BM=128,BN=64", (shape){330, 136, 272});
  conform_grouped("grouped_gemm_bf16", "persistent=1,BM=128,BN=64,BK=64", 4, (int[]){0, 1, 129, 65}, 136, 72);
  return conformance_close();
}
