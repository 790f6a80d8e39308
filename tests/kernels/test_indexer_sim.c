// The lightning indexer, top-k and the FP8 cache's writer on the simulated GPU: every access, race and barrier of their PTX is looked at as
// it runs. Argument: another device.
#include "kernels/indexer.h"
#include "kernels/conformance.h"

int main(int argc, char **argv) {
  conformance_open(argc > 1 ? argv[1] : "sim:sm_80");
  conform_indexer();
  return conformance_close();
}
