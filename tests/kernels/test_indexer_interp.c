// The lightning indexer, top-k and the FP8 cache's writer on device interp.
#include "kernels/conformance.h"
#include "kernels/indexer.h"

int main(void) {
  conformance_open("interp");
  conform_indexer();
  return conformance_close();
}
