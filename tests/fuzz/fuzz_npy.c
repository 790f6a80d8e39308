// libFuzzer: any bytes as a .npy file, read as every dtype; what is accepted must survive a round trip.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tegula/tegula.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static tg_context *ctx;
  if (!ctx && tg_context_new(NULL, &ctx)) abort();
  char name[64], copy[64];
  const int in = memfd_create("in.npy", 0);
  if (in < 0 || write(in, data, size) != (ssize_t)size) abort();
  snprintf(name, sizeof name, "/proc/self/fd/%d", in);
  snprintf(copy, sizeof copy, "/tmp/fuzz-npy-%ld.npy", (long)getpid());
  for (tg_dtype dtype = -1; dtype < tg_dtype_count(); dtype++) {
    tg_array *a, *b;
    if (tg_npy_read(ctx, name, dtype, &a)) continue;
    const bool odd = tg_dtype_bits(a->dtype) == 4 && (a->rank == 0 || a->dim[a->rank - 1] % 2); // two codes a byte cannot hold it
    if (odd) {
      tg_array_free(ctx, a);
      continue;
    }
    if (tg_npy_write(ctx, copy, a) || tg_npy_read(ctx, copy, a->dtype, &b)) abort();
    if (a->bytes != b->bytes || memcmp(a->data, b->data, a->bytes)) abort();
    tg_array_free(ctx, b);
    tg_array_free(ctx, a);
  }
  unlink(copy);
  close(in);
  return 0;
}
