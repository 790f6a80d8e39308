// Executes lane kernels of the simt lowering on the host, all threads of a block in lock step: what shuffles, barriers and matrix
// instructions do is written from the PTX ISA, arithmetic from ir/elementwise.def; nothing is taken from the lowering or an emitter.
// Reports accesses out of bounds or misaligned, races between threads of a block, barriers and shuffles under a condition that not all
// threads share.
#ifndef TG_WARP_H
#define TG_WARP_H

#include "ir/ir.h"

typedef struct warp_job {
  int ntensors;
  tg_tensor *tensors; // parameters and workspaces by name; `data` NULL only where no element is touched
  tg_lookup_fn lookup;
  bool (*scalar)(void *user, const char *name, double *value);
  void *user;
  // results
  int64_t executed[TG_NOPCODES]; // ops, counted once for all threads
  char error[512];               // empty when all went well
} warp_job;

// True when the kernel ran and `error` is empty.
bool warp_run(tg_kernel *lane, warp_job *job);

#endif
