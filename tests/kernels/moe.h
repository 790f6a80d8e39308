// Conformance of the kernels around attention and experts: as in conformance.h.
#ifndef TG_CONFORMANCE_MOE_H
#define TG_CONFORMANCE_MOE_H

void conform_moe(void);     // a few shapes of every awkward kind
void conform_moe_few(void); // a shape or two of each kernel

#endif
