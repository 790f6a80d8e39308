// Every library kernel on device interp, over a few shapes of every awkward kind.
#include "kernels/conformance.h"

int main(void) {
  conformance_open("interp");
  conform_some();
  return conformance_close();
}
