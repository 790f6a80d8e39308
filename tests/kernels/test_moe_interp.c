// Rotary embedding, routing, dispatch, grouped products and their relatives on device interp.
#include "kernels/conformance.h"
#include "kernels/moe.h"

int main(void) {
  conformance_open("interp");
  conform_moe();
  return conformance_close();
}
