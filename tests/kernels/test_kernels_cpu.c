// Every library kernel on device cpu, over a few shapes of every awkward kind.
#include "kernels/conformance.h"

int main(void) {
  conformance_open("cpu");
  conform_some();
  return conformance_close();
}
