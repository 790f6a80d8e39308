// Conformance of the kernels that a whole model needs between its products and attention: as in conformance.h.
#ifndef TG_CONFORMANCE_MODEL_H
#define TG_CONFORMANCE_MODEL_H

#include <stdint.h>

void conform_bmm(const char *settings, int64_t T, int64_t N, int64_t K, int64_t M);
void conform_model(void);     // a few shapes of every awkward kind
void conform_model_few(void); // a shape or two of each kernel

#endif
