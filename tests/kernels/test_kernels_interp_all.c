// label: long
// Every library kernel on device interp, over every combination of the awkward shapes.
#include "kernels/conformance.h"

int main(void) {
  conformance_open("interp");
  conform_all();
  return conformance_close();
}
