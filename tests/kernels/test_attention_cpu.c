// The attention kernels on device cpu, each array before a page that cannot be touched.
#include "kernels/attention.h"
#include "kernels/conformance.h"

int main(void) {
  conformance_open("cpu");
  conformance_guard(true);
  attention_all();
  return conformance_close();
}
