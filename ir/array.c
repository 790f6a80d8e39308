// Host arrays.
#include "ir/ir.h"

#define ALIGNMENT 64

typedef struct new_args {
  tg_context *ctx;
  tg_dtype dtype;
  int rank;
  const int64_t *dim;
  tg_array **out;
} new_args;

// Elements of a shape; throws when an extent is negative or the storage would not fit a size_t with room to spare.
static int64_t count_elements(tg_context *ctx, int rank, const int64_t *dim) {
  const int64_t limit = INT64_C(1) << 56;
  int64_t solid = 1; // product of the extents that are not 0: bounds every stride as well
  bool empty = false;
  for (int i = 0; i < rank; i++) {
    if (dim[i] < 0) tg_throw(ctx, TG_INVALID, "axis %d of an array has the negative extent %lld", i, (long long)dim[i]);
    if (dim[i] == 0) empty = true;
    else if (dim[i] > limit / solid) tg_throw(ctx, TG_INVALID, "an array's shape has more than 2^56 elements");
    else solid *= dim[i];
  }
  return empty ? 0 : solid;
}

static void new_body(void *arg) {
  new_args *a = arg;
  tg_context *ctx = a->ctx;
  if (a->dtype < 0 || a->dtype >= TG_NDTYPES) tg_throw(ctx, TG_INVALID, "%d is no dtype; tg_dtype_find gives one by name", a->dtype);
  if (a->rank < 0 || a->rank > 8) tg_throw(ctx, TG_INVALID, "an array has 0 to 8 axes, not %d", a->rank);
  const int64_t elements = count_elements(ctx, a->rank, a->dim);
  const size_t bytes = tg_dtype_bytes(a->dtype, elements);
  // One allocation: the descriptor, then the first aligned byte behind it.
  const size_t whole = sizeof(tg_array) + ALIGNMENT + bytes;
  tg_array *array = tg_realloc(ctx, NULL, whole);
  memset(array, 0, whole);
  array->dtype = a->dtype;
  array->rank = a->rank;
  for (int i = 0; i < a->rank; i++) array->dim[i] = a->dim[i];
  array->bytes = bytes;
  array->data = (void *)(((uintptr_t)(array + 1) + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1));
  *a->out = array;
}

tg_status tg_array_new(tg_context *ctx, tg_dtype dtype, int rank, const int64_t *dim, tg_array **out) {
  *out = NULL;
  return tg_protect(ctx, new_body, &(new_args){ctx, dtype, rank, dim, out});
}

void tg_array_free(tg_context *ctx, tg_array *array) {
  if (array) tg_realloc(ctx, array, 0);
}

double tg_array_get(const tg_array *array, int64_t flat) {
  const int bits = tg_dtypes[array->dtype].bits;
  const uint8_t *data = array->data;
  uint64_t code = 0;
  if (bits == 4) code = data[flat / 2] >> (flat & 1 ? 4 : 0) & 0xf;
  else memcpy(&code, data + flat * (bits / 8), (size_t)bits / 8); // little-endian hosts
  return tg_decode(array->dtype, code);
}

void tg_array_set(tg_array *array, int64_t flat, double value) {
  const int bits = tg_dtypes[array->dtype].bits;
  uint8_t *data = array->data;
  const uint64_t code = tg_encode(array->dtype, value, TG_ROUND_SAT);
  if (bits != 4) {
    memcpy(data + flat * (bits / 8), &code, (size_t)bits / 8);
    return;
  }
  uint8_t *byte = data + flat / 2;
  *byte = flat & 1 ? (uint8_t)((*byte & 0x0f) | code << 4) : (uint8_t)((*byte & 0xf0) | code);
}
