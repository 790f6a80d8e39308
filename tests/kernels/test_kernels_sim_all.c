// label: long
// Every library kernel that the simt lowering takes, on the simulated GPU, over a few shapes of every awkward kind. Argument: another
// device.
#include "kernels/conformance.h"

int main(int argc, char **argv) {
  conformance_open(argc > 1 ? argv[1] : "sim:sm_80");
  conform_some();
  return conformance_close();
}
