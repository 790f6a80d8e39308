// Tensor maps of a launch, from the record's expressions.
#include "targets/record.h"

_Noreturn static void refuse(tg_context *ctx, const tg_record_arg *arg, const char *what, int axis, int64_t value, const char *may) {
  tg_throw(ctx, TG_INVALID, "tensor map '%s': %s %d is %lld for these dims; it may be %s", arg->name, what, axis, (long long)value, may);
}

// Bytes from row to row of a box in shared memory: a swizzle spans the whole of it (CUDA Driver API, cuTensorMapEncodeTiled).
static void check_box(tg_context *ctx, const tg_record_arg *arg) {
  const tg_arg_map *map = arg->map;
  const int64_t bytes = (int64_t)tg_dtype_bytes(arg->dtype, map->box[0]);
  for (int i = 0; i < map->rank; i++)
    if (map->box[i] < 1 || map->box[i] > 256) refuse(ctx, arg, "the box's axis", i, map->box[i], "1 to 256 elements");
  if (bytes % 16) refuse(ctx, arg, "the box's axis", 0, map->box[0], "as many elements as make a multiple of 16 bytes");
  if (map->swizzle && bytes > map->swizzle) refuse(ctx, arg, "the box's axis", 0, map->box[0], "as many elements as the swizzle has bytes");
}

void tg_record_tensor_map(tg_context *ctx, const tg_record_arg *arg, const tg_record_values *values, tg_tensor_map *out) {
  const tg_arg_map *map = arg->map;
  if (!map) tg_throw(ctx, TG_INVALID, "the launch's argument '%s' is no tensor map", arg->name);
  check_box(ctx, arg);
  const int64_t offset = tg_record_eval(ctx, map->byte_offset, values->dims, arg->name);
  *out = (tg_tensor_map){.address = tg_record_address(ctx, map->of, values) + (uint64_t)offset,
                         .dtype = arg->dtype,
                         .rank = map->rank,
                         .swizzle = map->swizzle,
                         .fill = (int)map->fill};
  if (out->address % 16) refuse(ctx, arg, "the address of axis", 0, (int64_t)out->address, "a multiple of 16");
  for (int i = 0; i < map->rank; i++) {
    const int64_t dim = tg_record_eval(ctx, map->dims[i], values->dims, arg->name);
    if (dim < 1 || dim > (int64_t)1 << 32) refuse(ctx, arg, "the extent of axis", i, dim, "1 to 2^32");
    out->dims[i] = (uint64_t)dim;
    out->box[i] = (uint32_t)map->box[i], out->element_strides[i] = (uint32_t)map->element_strides[i];
    if (i + 1 == map->rank) break;
    const int64_t stride = tg_record_eval(ctx, map->strides_bytes[i], values->dims, arg->name);
    if (stride < 0 || stride % 16 || stride >= (int64_t)1 << 40)
      refuse(ctx, arg, "the stride of axis", i + 1, stride, "a multiple of 16 bytes below 2^40");
    out->strides_bytes[i] = (uint64_t)stride;
  }
}
