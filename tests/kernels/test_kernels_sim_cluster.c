// Products whose operands the blocks of a cluster share, on the simulated GPU, which looks for races between them: grids that clusters
// divide and grids that they do not, along either axis, rasters smaller and larger than a cluster, a single row, nothing to do.
#include "kernels/conformance.h"

int main(void) {
  conformance_open("sim:sm_90a");
  conform_gemm("gemm_bf16", "BM=64,BN=64,BK=64,cluster=2", (shape){256, 128, 456});
  conform_gemm("gemm_bf16", "BM=64,BN=128,BK=64,cluster=2", (shape){131, 130, 72});
  conform_gemm("gemm_bf16", "BM=64,BN=64,BK=64,cluster=4,raster=2", (shape){65, 198, 136});
  conform_gemm("gemm_bf16", "BM=64,BN=64,BK=64,cluster=2,raster=4", (shape){330, 200, 72});
  conform_gemm("gemm_bf16", "BM=128,BN=256,BK=64,cluster=4,stages=2", (shape){1, 514, 200});
  conform_gemm("gemm_bf16", "BM=64,BN=32,BK=64,cluster=2", (shape){0, 24, 16});
  conform_gemm("gemm_fp8", "BM=128,BN=128,cluster=2", (shape){257, 132, 656});
  conform_gemm("gemm_fp8", "BM=64,BN=64,cluster=4,raster=16", (shape){127, 196, 272});
  conform_gemm("gemm_fp8", "BM=64,BN=128,cluster=4", (shape){63, 1030, 144});
  conform_gemm("gemm_fp8", "BM=128,BN=64,cluster=4", (shape){130, 68, 144}); // scales that blocks beyond the end have none of
  conform_gemm("gemm_fp8", "BM=128,BN=192,cluster=2", (shape){131, 770, 272});
  conformance_machine(TESTS_DIR "/kernels/few.lua", "few"); // few blocks at once, which compute several of the grid's
  conform_gemm("gemm_bf16", "persistent=1,BM=64,BN=64,BK=64,warps=4,cluster=2", (shape){330, 200, 200});
  conform_gemm("gemm_fp8", "persistent=1,BM=64,BN=64,cluster=4,raster=2", (shape){330, 132, 272});
  return conformance_close();
}
