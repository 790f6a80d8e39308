// label: long
// Backward products, losses and their gradients on the simulated GPU: every access, race and barrier of their PTX is looked at as it runs.
// Argument: another device.
#include "kernels/training.h"
#include "kernels/conformance.h"

int main(int argc, char **argv) {
  conformance_open(argc > 1 ? argv[1] : "sim:sm_80");
  conform_training();
  return conformance_close();
}
