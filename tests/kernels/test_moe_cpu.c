// Rotary embedding, routing, dispatch, grouped products and their relatives on device cpu.
#include "kernels/conformance.h"
#include "kernels/moe.h"

int main(void) {
  conformance_open("cpu");
  conform_moe();
  return conformance_close();
}
