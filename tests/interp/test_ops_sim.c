// Every tile op through the simt lowering, on the simulated GPU. What it has no lowering for must be refused in a sentence.
#include "interp/ops.h"

static const char *const sim_refuses[] = {"not supported", "are supported", "is supported for", "of f64 has no lowering", NULL};

int main(void) {
  return ops_elementwise("sim:sm_80", sim_refuses) | ops_shape("sim:sm_80", sim_refuses) | ops_memory("sim:sm_80", sim_refuses);
}
