// Random tile kernels: the loops lowering on the cpu device against the interpreter, bit by bit.
// Arguments: seed, count, target, as in 700 100 cpu:avx2.
#include "interp/random_tiles.h"

static const char *const cpu_refuses[] = {NULL};

int main(int argc, char **argv) {
  ops_open("cpu", cpu_refuses);
  tg_device *cpu = device;
  if (argc > 3) cpu->target = argv[3];
  random_tiles(cpu, argc > 1 ? strtoull(argv[1], NULL, 10) : 1, argc > 2 ? atoi(argv[2]) : 25);
  device = cpu;
  return ops_close();
}
