// Random tile kernels: the simt lowering on the warp interpreter against the tile interpreter, bit by bit. Arguments: seed, count.
#include "simt/elsewhere.h"

#include "interp/random_tiles.h"

static const char *const refuses[] = {"atomics of scope \"system\"", NULL};

int main(int argc, char **argv) {
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
  ops_elsewhere = elsewhere_run;
  ops_open("simt", refuses);
  tg_device *simt = device;
  for (elsewhere_warps = 1; elsewhere_warps <= 8; elsewhere_warps *= 2) {
    elsewhere_variant = elsewhere_warps == 2;
    random_tiles(simt, seed + (uint64_t)elsewhere_warps, argc > 2 ? atoi(argv[2]) : 15);
  }
  device = simt;
  return ops_close();
}
