// Rotary embedding, routing, dispatch, grouped products and their relatives on device cpu, each array before a page that
// cannot be touched.
#include "kernels/conformance.h"
#include "kernels/moe.h"

int main(void) {
  conformance_open("cpu");
  conformance_guard(true);
  conform_moe();
  return conformance_close();
}
