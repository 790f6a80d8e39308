// Backward products, losses and their gradients on device cpu.
#include "kernels/conformance.h"
#include "kernels/training.h"

int main(void) {
  conformance_open("cpu");
  conform_training();
  return conformance_close();
}
