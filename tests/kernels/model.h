// Conformance of the kernels that a whole model needs between its products and attention: as in conformance.h.
#ifndef TG_CONFORMANCE_MODEL_H
#define TG_CONFORMANCE_MODEL_H

void conform_model(void);     // a few shapes of every awkward kind
void conform_model_few(void); // a shape or two of each kernel

#endif
