// The attention kernels on device interp.
#include "kernels/attention.h"
#include "kernels/conformance.h"

int main(void) {
  conformance_open("interp");
  attention_all();
  return conformance_close();
}
