// Folds that are not at the top of a launch, by warp groups from what the copy unit brings, on the simulated GPU: products of experts,
// where the thread that asks for boxes finds its way by what it loads itself. Experts without rows, with one, with a tile's and one more or
// less; tails of k; rows and columns that stick out; NaN in the rows that a tile brings of the next expert's.
#include "kernels/conformance.h"
#include "kernels/model.h"
#include "kernels/moe.h"

int main(void) {
  conformance_open("sim:sm_90a");
  conform_grouped("grouped_gemm_bf16", "BM=64,BN=64,BK=64", 8, (int[]){0, 1, 64, 63, 65, 9, 130, 0}, 72, 200);
  conform_grouped("grouped_gemm_bf16", "BM=128,BN=128,BK=32,stages=2", 4, (int[]){129, 0, 127, 128}, 136, 72);
  conform_grouped("grouped_gemm_fp8", "BM=64,BN=128", 5, (int[]){63, 65, 0, 1, 129}, 140, 272);
  conform_grouped("grouped_gemm_fp8", "BM=128,BN=64", 3, (int[]){127, 129, 9}, 64, 144);
  conform_grouped("grouped_gemm_fp8_masked", "BM=64,BN=64", 5, (int[]){63, 65, 0, 1, 129}, 72, 272);
  conform_bmm("BT=64,BM=64,BK=64", 65, 3, 72, 136);
  conform_bmm("BT=128,BM=128,BK=64", 130, 2, 136, 64);
  return conformance_close();
}
