// Devices "cuda:N" of this process are the fake library's, which takes PTX alone.
#ifndef TG_USE_FAKE_H
#define TG_USE_FAKE_H
#include <stdlib.h>

static inline void use_fake(void) {
  setenv("TEGULA_LIBCUDA", BUILD_DIR "/tests/libfake_cuda.so", 1);
  setenv("TEGULA_CUDA_CODE", "ptx", 1);
}

#endif
