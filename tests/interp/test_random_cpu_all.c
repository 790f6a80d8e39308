// label: long
// Fifteen hundred random tile kernels: the loops lowering on the cpu device against the interpreter, bit by bit.
#include "interp/random_tiles.h"

static const char *const cpu_refuses[] = {NULL};

int main(void) {
  ops_open("cpu", cpu_refuses);
  tg_device *cpu = device;
  for (uint64_t seed = 1000; seed < 1015; seed++) random_tiles(cpu, seed, 100);
  device = cpu;
  return ops_close();
}
