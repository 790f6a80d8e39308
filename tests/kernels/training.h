// The training kernels on a device, judged as in conformance.h; their gradients besides by differences of the oracle's losses.
#ifndef TG_TRAINING_H
#define TG_TRAINING_H
void conform_training(void);     // everything, in seconds
void conform_training_few(void); // a shape or two of each kernel
void conform_losses(void);       // its losses and advantages
void conform_losses_few(void);
// One shape of gemm_fp8_dgrad or gemm_fp8_wgrad.
void conform_backward(const char *kernel, const char *settings, long long M, long long N, long long K);
#endif
