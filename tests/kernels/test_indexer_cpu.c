// The lightning indexer, top-k and the FP8 cache's writer on device cpu.
#include "kernels/conformance.h"
#include "kernels/indexer.h"

int main(void) {
  conformance_open("cpu");
  conformance_guard(true);
  conform_indexer();
  return conformance_close();
}
