// Conformance of the kernels around attention and experts: as in conformance.h.
#ifndef TG_CONFORMANCE_MOE_H
#define TG_CONFORMANCE_MOE_H

#include <stdint.h>

// A grouped product (bf16 or fp8, contiguous or masked) of experts with so many rows each; nothing passes from one expert's rows to
// another's.
void conform_grouped(const char *kernel, const char *settings, int64_t E, const int *rows, int64_t N, int64_t K);
void conform_moe(void);     // a few shapes of every awkward kind
void conform_moe_few(void); // a shape or two of each kernel

#endif
