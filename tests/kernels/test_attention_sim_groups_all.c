// label: long
// Attention by products of warp groups on the simulated GPU, in more shapes: lengths around blocks of keys, heads that do not fill an
// instruction's rows, splits without keys, pages in halves, rows of two groups or two blocks of one, caches of FP8.
#include "kernels/attention.h"
#include "kernels/conformance.h"

int main(void) {
  static const decode_shape decodes[] = {
      {4, 1, 16, 512, 64, "splits=2,BM=64,BK=64,warps=8", {0, 63, 64, 65}, 0},
      {4, 2, 33, 512, 64, "splits=1,BM=64,BK=64,warps=8", {1, 2, 65, 130}, 0},
      {2, 1, 64, 512, 64, "splits=1,BM=64,BK=64,warps=8", {192, 129}, 0},
      {2, 1, 20, 128, 64, "splits=1,BM=64,BK=64,warps=4", {300, 64}, 0},
      {2, 3, 30, 128, 32, "splits=2,BM=64,BK=32,warps=8", {66, 130}, 0},
      {1, 1, 128, 256, 64, "splits=1,BM=128,BK=64,warps=8", {150}, 0},
      {2, 1, 16, 512, 64, "splits=2,BM=64,BK=64,warps=8,cache=fp8", {130, 64}, 0},
      {2, 2, 16, 512, 64, "splits=2,BM=64,BK=64,warps=8", {130, 64}, 70},
  };
  static const prefill_shape prefills[] = {
      {2, 192, 128, "BQ=64,BK=64,warps=8", {0, 1, 17, 129}, 4},
      {1, 192, 128, "BQ=128,BK=64,warps=8", {200}, 1},
  };
  conformance_open("sim:sm_90a");
  for (size_t i = 0; i < sizeof decodes / sizeof *decodes; i++) attention_decode(&decodes[i]);
  attention_decode_hostile("splits=2,BM=64,BK=64,warps=8", 0);
  attention_decode_hostile("splits=1,BM=64,BK=64,warps=8", 33);
  for (size_t i = 0; i < sizeof prefills / sizeof *prefills; i++) attention_prefill(&prefills[i]);
  return conformance_close();
}
