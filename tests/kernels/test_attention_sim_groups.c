// Attention by products of warp groups on the simulated GPU: scores and values from one tile in shared memory, which copies of threads
// brought there, behind masks. Lengths around a page, several queries, pages and positions that lead outside, slots that nobody wrote.
#include "kernels/attention.h"
#include "kernels/conformance.h"

int main(void) {
  static const decode_shape decodes[] = {
      {4, 1, 16, 128, 64, "splits=1,BM=64,BK=64,warps=8", {0, 63, 64, 65}, 0},
      {1, 2, 33, 512, 64, "splits=1,BM=64,BK=64,warps=8", {130}, 0},
      {2, 2, 16, 128, 0, "splits=2,BM=64,BK=64,warps=4", {130, 64}, 70},
  };
  conformance_open("sim:sm_90a");
  for (size_t i = 0; i < sizeof decodes / sizeof *decodes; i++) attention_decode(&decodes[i]);
  attention_decode_hostile("splits=2,BM=64,BK=64,warps=8", 0);
  attention_prefill(&(prefill_shape){2, 64, 64, "BQ=64,BK=32,warps=4", {65, 3}, 2});
  return conformance_close();
}
