// Every tile op through the simt lowering on the warp interpreter: the cases that all lowerings run. What it has no lowering for must be
// refused in a sentence.
#include "simt/elsewhere.h"

static const char *const refuses[] = {"'print' is not supported",
                                      "e2m1 tensors are not supported",
                                      "atomics of scope \"system\"",
                                      "of f64 has no lowering",
                                      "a dot with several scales along its tile of k is not supported",
                                      NULL};

int main(void) {
  int failed = 0;
  ops_elsewhere = elsewhere_run;
  for (elsewhere_warps = 1; elsewhere_warps <= 4; elsewhere_warps *= 4)
    for (elsewhere_variant = 0; elsewhere_variant < 2; elsewhere_variant++)
      failed |= ops_elementwise("simt", refuses) | ops_shape("simt", refuses) | ops_memory("simt", refuses);
  return failed;
}
