// Elements of every dtype as numbers, and back: conversions within the interpreter, cast and bitcast.
#include <math.h>

#include "ir/interp.h"

const float *tg_interp_floats(tg_interp_run *run, int dtype, const void *from, int64_t n, int which) {
  if (dtype == TG_F32) return from;
  float *to = tg_interp_scratch_of(run, which, sizeof *to * (size_t)n);
  const uint8_t *bytes = from;
  switch (dtype) {
  case TG_BF16:
    for (int64_t i = 0; i < n; i++) to[i] = tg_bf16_to_f32(((const uint16_t *)from)[i]);
    break;
  case TG_F16:
    for (int64_t i = 0; i < n; i++) to[i] = (float)tg_decode(TG_F16, ((const uint16_t *)from)[i]);
    break;
  default: // 8-bit and 4-bit floats
    for (int64_t i = 0; i < n; i++) to[i] = run->small[dtype][bytes[i]];
  }
  return to;
}

const double *tg_interp_doubles(tg_interp_run *run, int dtype, const void *from, int64_t n, int which) {
  if (dtype == TG_F64) return from;
  double *to = tg_interp_scratch_of(run, which, sizeof *to * (size_t)n);
  const int64_t width = tg_interp_width(dtype);
  for (int64_t i = 0; i < n; i++) {
    uint64_t code = 0;
    memcpy(&code, (const uint8_t *)from + i * width, (size_t)width);
    to[i] = tg_decode(dtype, code);
  }
  return to;
}

const int64_t *tg_interp_ints(tg_interp_run *run, int dtype, const void *from, int64_t n, int which) {
  if (dtype == TG_I64) return from;
  int64_t *to = tg_interp_scratch_of(run, which, sizeof *to * (size_t)n);
  if (dtype == TG_I32) {
    for (int64_t i = 0; i < n; i++) to[i] = ((const int32_t *)from)[i];
  } else if (dtype == TG_I8) {
    for (int64_t i = 0; i < n; i++) to[i] = ((const int8_t *)from)[i];
  } else {
    for (int64_t i = 0; i < n; i++) to[i] = ((const uint8_t *)from)[i] != 0;
  }
  return to;
}

void tg_interp_put_floats(int dtype, const float *from, int64_t n, void *to) {
  switch (dtype) {
  case TG_F32: memcpy(to, from, sizeof *from * (size_t)n); break;
  case TG_BF16:
    for (int64_t i = 0; i < n; i++) ((uint16_t *)to)[i] = tg_f32_to_bf16(from[i]);
    break;
  case TG_F16:
    for (int64_t i = 0; i < n; i++) ((uint16_t *)to)[i] = (uint16_t)tg_encode(TG_F16, from[i], TG_ROUND_IEEE);
    break;
  case TG_F64:
    for (int64_t i = 0; i < n; i++) ((double *)to)[i] = from[i];
    break;
  default:
    for (int64_t i = 0; i < n; i++) ((uint8_t *)to)[i] = (uint8_t)tg_encode(dtype, from[i], TG_ROUND_IEEE);
  }
}

void tg_interp_put_ints(int dtype, const int64_t *from, int64_t n, void *to) {
  switch (dtype) {
  case TG_I64: memcpy(to, from, sizeof *from * (size_t)n); break;
  case TG_I32:
    for (int64_t i = 0; i < n; i++) ((int32_t *)to)[i] = (int32_t)(uint32_t)from[i];
    break;
  case TG_I8:
    for (int64_t i = 0; i < n; i++) ((int8_t *)to)[i] = (int8_t)(uint8_t)from[i];
    break;
  default:
    for (int64_t i = 0; i < n; i++) ((uint8_t *)to)[i] = from[i] & 1;
  }
}

// An i64 as a double that rounds to any narrower format as the integer itself would: the bits that do not fit are gathered in the last one
// that does (rounding to odd: Boldo and Melquiond 2008).
static double odd_double(int64_t v) {
  uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
  int shift = 0;
  while (magnitude >> shift >= UINT64_C(1) << 53) shift++;
  uint64_t kept = magnitude >> shift;
  if (magnitude != kept << shift) kept |= 1;
  const double d = ldexp((double)kept, shift);
  return v < 0 ? -d : d;
}

static void cast_from_ints(int dtype, const int64_t *x, int64_t n, tg_round_mode mode, void *to) {
  const int64_t width = tg_interp_width(dtype);
  for (int64_t i = 0; i < n; i++) {
    uint64_t code;
    if (dtype == TG_F64) code = tg_encode(TG_F64, (double)x[i], mode);
    else code = tg_encode(dtype, odd_double(x[i]), mode);
    memcpy((uint8_t *)to + i * width, &code, (size_t)width);
  }
}

static void cast_from_floats(int dtype, const float *x, int64_t n, tg_round_mode mode, void *to) {
  const int64_t width = tg_interp_width(dtype);
  if (dtype == TG_F32 || dtype == TG_BF16 || dtype == TG_F64) {
    tg_interp_put_floats(dtype, x, n, to);
  } else if (dtype == TG_E4M3) {
    for (int64_t i = 0; i < n; i++) ((uint8_t *)to)[i] = tg_f32_to_e4m3(x[i], mode);
  } else {
    for (int64_t i = 0; i < n; i++) {
      const uint64_t code = tg_encode(dtype, x[i], mode);
      memcpy((uint8_t *)to + i * width, &code, (size_t)width);
    }
  }
}

static bool is_integer(int dtype) { return tg_dtypes[dtype].cls == 'i' || tg_dtypes[dtype].cls == 'b'; }

void tg_interp_cast(tg_interp_run *run, const tg_op *op) {
  const tg_type t = op->in[0]->type;
  const int from = t.dtype, to = op->out[0]->type.dtype;
  const int64_t n = tg_type_elements(t), width = tg_interp_width(to);
  const void *x = tg_interp_slot_of(run, op->in[0])->data;
  void *y = tg_interp_buffer(run, op->out[0]);
  const tg_round_mode mode = strcmp(tg_attr_str(op, "mode", "ieee"), "sat") ? TG_ROUND_IEEE : TG_ROUND_SAT;
  if (op->code == TG_OP_BITCAST || from == to) {
    memcpy(y, x, (size_t)(n * width));
  } else if (is_integer(from) && is_integer(to)) {
    tg_interp_put_ints(to, tg_interp_ints(run, from, x, n, 0), n, y);
  } else if (is_integer(from)) {
    cast_from_ints(to, tg_interp_ints(run, from, x, n, 0), n, mode, y);
  } else if (from == TG_F64) {
    const double *d = x;
    for (int64_t i = 0; i < n; i++) {
      const uint64_t code = tg_encode(to, d[i], mode);
      memcpy((uint8_t *)y + i * width, &code, (size_t)width);
    }
  } else {
    cast_from_floats(to, tg_interp_floats(run, from, x, n, 0), n, mode, y);
  }
}
