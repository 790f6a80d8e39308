// Every tile op through the loops lowering, on the cpu device. What it has no lowering for must be refused in a sentence.
#include "interp/ops.h"

static const char *const cpu_refuses[] = {"of f64 has no lowering", NULL};

int main(void) { return ops_elementwise("cpu", cpu_refuses) | ops_shape("cpu", cpu_refuses) | ops_memory("cpu", cpu_refuses); }
