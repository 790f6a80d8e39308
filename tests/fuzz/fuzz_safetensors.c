// libFuzzer: any bytes as a .safetensors file, and after a line of '#' as an index beside it. What is accepted is read as every dtype that
// it allows, mapped, and must survive being written and read again.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tegula/tegula.h"

static char dir[] = "/tmp/fuzz-safetensors-XXXXXX";
static char model[64], index_file[64], copy[64];

static void put(const char *file, const uint8_t *data, size_t size) {
  FILE *f = fopen(file, "wb");
  if (!f || fwrite(data, 1, size, f) != size || fclose(f)) abort();
}

static void check_tensor(tg_context *ctx, tg_checkpoint *c, const tg_tensor_info *info) {
  const void *data;
  size_t bytes;
  if (tg_checkpoint_map(c, info->name, &data, &bytes) || bytes != info->bytes) abort();
  volatile uint8_t sum = 0;
  for (size_t i = 0; i < bytes; i++) sum = (uint8_t)(sum + ((const uint8_t *)data)[i]);
  for (tg_dtype dtype = -1; dtype < tg_dtype_count(); dtype++) {
    tg_array *a, *b;
    if (tg_checkpoint_read(c, info->name, dtype, &a)) continue;
    if (a->bytes != bytes || (a->dtype != tg_dtype_find("i1") && memcmp(a->data, data, bytes))) abort();
    const tg_named_array one = {info->name, a};
    tg_checkpoint *again;
    if (tg_safetensors_write(ctx, copy, 1, &one, NULL) || tg_checkpoint_open(ctx, copy, &again)) abort();
    if (tg_checkpoint_read(again, info->name, a->dtype, &b)) abort();
    if (a->bytes != b->bytes || a->rank != b->rank || memcmp(a->dim, b->dim, sizeof a->dim) || memcmp(a->data, b->data, a->bytes)) abort();
    tg_checkpoint_close(again);
    tg_array_free(ctx, a);
    tg_array_free(ctx, b);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static tg_context *ctx;
  if (!ctx) {
    if (tg_context_new(NULL, &ctx) || !mkdtemp(dir)) abort();
    snprintf(model, sizeof model, "%s/m", dir);
    snprintf(index_file, sizeof index_file, "%s/i.json", dir);
    snprintf(copy, sizeof copy, "%s/c", dir);
  }
  const uint8_t *cut = memmem(data, size, "\n#\n", 3);
  const size_t first = cut ? (size_t)(cut - data) : size;
  put(model, data, first);
  if (cut) put(index_file, cut + 3, size - first - 3);
  tg_checkpoint *c;
  if (tg_checkpoint_open(ctx, cut ? index_file : model, &c)) return 0;
  for (int i = 0; i < tg_checkpoint_count(c) && i < 20; i++) {
    const tg_tensor_info *info = tg_checkpoint_info(c, i);
    if (tg_checkpoint_find(c, info->name) != info) abort();
    check_tensor(ctx, c, info);
  }
  tg_checkpoint_close(c);
  return 0;
}
