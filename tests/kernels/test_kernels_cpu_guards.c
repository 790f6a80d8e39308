// Products, quantisation and elementwise kernels on device cpu, products of few rows by dots of bf16 pairs too, with each array between two
// pages that cannot be touched: a byte read or written outside of an array ends the program. The programs of the attention and MoE kernels
// guard theirs themselves.
#include "kernels/conformance.h"
#include "kernels/model.h"

int main(void) {
  conformance_open("cpu");
  for (int at_end = 0; at_end < 2; at_end++) {
    conformance_guard(at_end);
    if (at_end) conform_some();
    conform_model();
    conform_few();
  }
  return conformance_close();
}
