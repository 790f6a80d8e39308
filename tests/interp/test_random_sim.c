// Random tile kernels: the simt lowering's PTX on the simulated GPU against the interpreter, bit by bit.
// Arguments: seed, count, another device.
#include "interp/random_tiles.h"

static const char *const sim_refuses[] = {"not supported", "are supported", "is supported for", "of f64 has no lowering", NULL};

int main(int argc, char **argv) {
  ops_open(argc > 3 ? argv[3] : "sim:sm_80", sim_refuses);
  tg_device *sim = device;
  random_tiles(sim, argc > 1 ? strtoull(argv[1], NULL, 10) : 1, argc > 2 ? atoi(argv[2]) : 25);
  device = sim;
  return ops_close();
}
