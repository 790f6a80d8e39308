// label: long
// Rotary embedding, routing, dispatch, grouped products and their relatives on the simulated GPU: every access, race and barrier of their
// PTX is looked at as it runs. Argument: another device.
#include "kernels/moe.h"
#include "kernels/conformance.h"

int main(int argc, char **argv) {
  conformance_open(argc > 1 ? argv[1] : "sim:sm_80");
  conform_moe();
  return conformance_close();
}
