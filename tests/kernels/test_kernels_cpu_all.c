// label: long
// Every library kernel on device cpu, over every combination of the awkward shapes.
#include "kernels/conformance.h"

int main(void) {
  conformance_open("cpu");
  conform_all();
  return conformance_close();
}
