// The library's products by dots of bf16 pairs, which a machine with AVX512_BF16 takes by itself and any other when asked for.
#include "kernels/conformance.h"

int main(void) {
  conformance_open("cpu");
  conform_pairs();
  return conformance_close();
}
