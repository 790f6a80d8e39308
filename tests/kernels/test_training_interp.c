// Backward products, losses and their gradients on device interp.
#include "kernels/conformance.h"
#include "kernels/training.h"

int main(void) {
  conformance_open("interp");
  conform_training();
  return conformance_close();
}
