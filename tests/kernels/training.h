// The training kernels on a device, judged as in conformance.h; their gradients besides by differences of the oracle's losses.
#ifndef TG_TRAINING_H
#define TG_TRAINING_H
void conform_training(void); // everything, in seconds
void conform_losses(void);   // its losses and advantages
#endif
