// Random kernels around matrix products: the simt lowering's PTX on the simulated GPU against the interpreter, bit by bit.
// Arguments: seed, count, one other device.
#include "interp/random_products.h"

static const char *const refuses[] = {"choose smaller tiles",    "does not have", "not supported",
                                      "has no setting 'stages'", "takes 1 here",  NULL};

static int run_on(const char *name, uint64_t seed, int count) {
  ops_open(name, refuses);
  tg_device *sim = device;
  products_with_clusters = !strcmp(name, "sim:sm_90a");
  random_products(sim, seed, count);
  device = sim;
  return ops_close();
}

int main(int argc, char **argv) {
  const uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
  const int count = argc > 2 ? atoi(argv[2]) : 25;
  if (argc > 3) return run_on(argv[3], seed, count);
  const int failed = run_on("sim:sm_80", seed, count) | run_on("sim:sm_90a", seed, count);
  return run_on("sim:sm_100a", seed, count) | failed;
}
