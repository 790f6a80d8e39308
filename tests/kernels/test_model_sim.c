// label: long
// Batched products, embedding, residuals, casts, argmax and writing to the cache on the simulated GPU: every access, race and barrier of
// their PTX is looked at as it runs. Argument: another device.
#include "kernels/model.h"
#include "kernels/conformance.h"

int main(int argc, char **argv) {
  conformance_open(argc > 1 ? argv[1] : "sim:sm_80");
  conform_model();
  return conformance_close();
}
