// Attention on the simulated GPU in blocks as large as its shared memory: operands that lie there for two dots, rings behind masks, pages
// that lead outside and keys that one query of a block sees and another does not.
#include "kernels/attention.h"
#include "kernels/conformance.h"

int main(int argc, char **argv) {
  static const decode_shape decodes[] = {
      {1, 1, 64, 512, 64, "splits=1,BM=64,BK=32,warps=8", {161}, 0},
      {2, 2, 20, 512, 64, "splits=2,BM=32,BK=64,warps=8", {70, 3}, 0},
      {2, 1, 24, 128, 64, "splits=1,BM=32,BK=128,warps=4", {300, 64}, 0},
  };
  conformance_open(argc > 1 ? argv[1] : "sim:sm_80");
  for (size_t i = 0; i < sizeof decodes / sizeof *decodes; i++) attention_decode(&decodes[i]);
  return conformance_close();
}
