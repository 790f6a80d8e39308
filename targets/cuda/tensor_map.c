// Tensor maps: from the record's terms to the driver's encoding.
#include "targets/cuda/cuda.h"

// E2M1 is copied as the bytes that hold two of it.
static const struct {
  int dtype, type;
} types[] = {
    {TG_I1, CU_TENSOR_MAP_DATA_TYPE_UINT8},       {TG_I8, CU_TENSOR_MAP_DATA_TYPE_UINT8},    {TG_E4M3, CU_TENSOR_MAP_DATA_TYPE_UINT8},
    {TG_E4M3FNUZ, CU_TENSOR_MAP_DATA_TYPE_UINT8}, {TG_E5M2, CU_TENSOR_MAP_DATA_TYPE_UINT8},  {TG_E8M0, CU_TENSOR_MAP_DATA_TYPE_UINT8},
    {TG_I32, CU_TENSOR_MAP_DATA_TYPE_INT32},      {TG_I64, CU_TENSOR_MAP_DATA_TYPE_INT64},   {TG_F16, CU_TENSOR_MAP_DATA_TYPE_FLOAT16},
    {TG_BF16, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16},  {TG_F32, CU_TENSOR_MAP_DATA_TYPE_FLOAT32}, {TG_F64, CU_TENSOR_MAP_DATA_TYPE_FLOAT64}};
static const struct {
  int bytes, swizzle;
} swizzles[] = {
    {0, CU_TENSOR_MAP_SWIZZLE_NONE}, {32, CU_TENSOR_MAP_SWIZZLE_32B}, {64, CU_TENSOR_MAP_SWIZZLE_64B}, {128, CU_TENSOR_MAP_SWIZZLE_128B}};
static const int fills[TG_NFILLS] = {[TG_FILL_ZERO] = CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
                                     [TG_FILL_NAN] = CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA};

static int type_of(tg_context *ctx, const char *name, int dtype) {
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].dtype == dtype) return types[i].type;
  tg_throw(ctx, TG_INVALID, "tensor map '%s': CUDA's tensor maps have no elements of %s", name, tg_dtype_name(dtype));
}

static int swizzle_of(tg_context *ctx, const char *name, int bytes) {
  for (size_t i = 0; i < sizeof swizzles / sizeof *swizzles; i++)
    if (swizzles[i].bytes == bytes) return swizzles[i].swizzle;
  tg_throw(ctx, TG_INVALID, "tensor map '%s': a swizzle of %d bytes; CUDA has 32, 64 and 128", name, bytes);
}

void cuda_encode_map(cuda_device *d, const tg_record_arg *arg, const tg_record_values *values, cu_tensor_map *out) {
  tg_context *ctx = d->device->ctx;
  tg_tensor_map map;
  if (!d->lib->encode_tiled)
    tg_throw(ctx, TG_FAILED, "the kernel takes tensor maps, and this driver, for CUDA %d.%d, has no cuTensorMapEncodeTiled (CUDA 12.0)",
             d->lib->version / 1000, d->lib->version % 1000 / 10);
  tg_record_tensor_map(ctx, arg, values, &map);
  const int type = type_of(ctx, arg->name, map.dtype), swizzle = swizzle_of(ctx, arg->name, map.swizzle);
  cuda_check(d,
             d->lib->encode_tiled(out, type, (uint32_t)map.rank, (void *)(uintptr_t)map.address, map.dims, map.strides_bytes, map.box,
                                  map.element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                  fills[map.fill]),
             "making tensor map '%s' (cuTensorMapEncodeTiled)", arg->name);
}
