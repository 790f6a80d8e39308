// Products by warp groups from what the copy unit brings, on the simulated GPU: plain and scaled, tiles that stick out on each side, tails
// of k, rings that go round several times, tiles split along m and along n, several blocks of 64 rows a group; blocks walked in groups of
// rows, of which the producer must know as the others do; and calls that only the last variant takes.
#include "kernels/conformance.h"

int main(void) {
  conformance_open("sim:sm_90a");
  conform_gemm("gemm_bf16", "", (shape){0, 24, 16});
  conform_gemm("gemm_bf16", "", (shape){64, 24, 0});
  conform_gemm("gemm_bf16", "BM=128,BN=64,BK=64", (shape){130, 70, 392});
  conform_gemm("gemm_bf16", "BM=64,BN=128,BK=32,warps=8", (shape){65, 130, 200});
  conform_gemm("gemm_bf16", "BM=256,BN=32,BK=128,stages=2", (shape){257, 34, 264});
  conform_gemm("gemm_bf16", "BM=192,BN=64,BK=64", (shape){192, 64, 72});
  conform_gemm("gemm_bf16", "BM=64,BN=64,BK=64", (shape){33, 35, 41}); // neither rows of 16 bytes nor pairs
  conform_gemm("gemm_fp8", "BM=128,BN=128", (shape){129, 132, 656});
  conform_gemm("gemm_fp8", "BM=128,BN=192", (shape){129, 580, 400}); // tiles that begin, or end, within a block of B's scales
  conform_gemm("gemm_fp8", "BM=64,BN=192,warps=4", (shape){1, 132, 144});
  conform_gemm("gemm_fp8", "BM=64,BN=192", (shape){65, 62, 130});                 // one block of scales; by the last variant
  conform_gemm("gemm_bf16", "BM=64,BN=64,BK=64,raster=4", (shape){330, 200, 72}); // groups of four and two rows of blocks
  conform_gemm("gemm_fp8", "BM=64,BN=64,raster=2", (shape){190, 132, 144});
  conform_gemm("gemm_fp8", "BM=64,BN=64", (shape){60, 70, 144});
  conform_gemm("gemm_bf16", "specialise=0,BM=128,BN=64,BK=64", (shape){130, 72, 392}); // by wgmma from what threads copy
  conform_gemm("gemm_fp8", "specialise=0,BM=64,BN=64", (shape){65, 72, 272});
  return conformance_close();
}
