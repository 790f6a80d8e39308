// Random kernels around matrix products: the simt lowering's PTX on the simulated GPU against the interpreter, bit by bit.
// Arguments: seed, count, another device.
#include "interp/random_products.h"

static const char *const refuses[] = {"choose smaller tiles", "does not have", "not supported", "has no setting 'stages'", NULL};

int main(int argc, char **argv) {
  ops_open(argc > 3 ? argv[3] : "sim:sm_80", refuses);
  tg_device *sim = device;
  random_products(sim, argc > 1 ? strtoull(argv[1], NULL, 10) : 1, argc > 2 ? atoi(argv[2]) : 25);
  device = sim;
  return ops_close();
}
