// label: long
// Every library kernel that the simt lowering takes, on the simulated GPU, over a few shapes of every awkward kind.
#include "kernels/conformance.h"

int main(void) {
  conformance_open("sim:sm_80");
  conform_some();
  return conformance_close();
}
