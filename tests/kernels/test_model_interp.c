// Batched products, embedding, residuals, casts, argmax and writing to the cache on device interp.
#include "kernels/conformance.h"
#include "kernels/model.h"

int main(void) {
  conformance_open("interp");
  conform_model();
  return conformance_close();
}
