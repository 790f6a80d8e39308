// Constants, coordinates and ops that move elements without computing with them.
#include "ir/interp.h"

void tg_interp_fill(uint8_t *to, int64_t n, int64_t width, uint64_t code) {
  for (int64_t i = 0; i < n; i++) tg_interp_copy(to + i * width, &code, width);
}

static void constant(tg_interp_run *run, const tg_op *op) {
  const tg_type t = op->out[0]->type;
  const tg_attr *value = tg_find_attr(op, "value");
  uint64_t code;
  if (!tg_dtype_is_float(t.dtype)) code = (uint64_t)value->i;
  else code = tg_encode(t.dtype, value->kind == TG_ATTR_INT ? (double)value->i : value->f, TG_ROUND_IEEE);
  tg_interp_fill(tg_interp_buffer(run, op->out[0]), tg_type_elements(t), tg_interp_width(t.dtype), code);
}

static void count_up(tg_interp_run *run, const tg_op *op, int64_t start) {
  const tg_type t = op->out[0]->type;
  const int64_t n = tg_type_elements(t);
  int64_t *v = tg_interp_scratch_of(run, 3, sizeof *v * (size_t)n);
  for (int64_t i = 0; i < n; i++) v[i] = (int64_t)((uint64_t)start + (uint64_t)i);
  tg_interp_put_ints(t.dtype, v, n, tg_interp_buffer(run, op->out[0]));
}

#define COPY_ROW(type)                                                                                                                     \
  for (int64_t i = 0; i < n; i++) ((type *)to)[i] = ((const type *)from)[i * step]
static void copy_row(const uint8_t *from, uint8_t *to, int64_t n, int64_t width, int64_t step) {
  switch (width) {
  case 1: COPY_ROW(uint8_t); break;
  case 2: COPY_ROW(uint16_t); break;
  case 4: COPY_ROW(uint32_t); break;
  default: COPY_ROW(uint64_t);
  }
}

// Copies a tile whose element at (i0, i1, i2, i3) is the operand's element sum i*step; extents and steps of four axes.
static void gather_steps(const uint8_t *from, uint8_t *to, int64_t width, const int64_t dim[4], const int64_t step[4]) {
  for (int64_t i0 = 0; i0 < dim[0]; i0++)
    for (int64_t i1 = 0; i1 < dim[1]; i1++)
      for (int64_t i2 = 0; i2 < dim[2]; i2++) {
        const uint8_t *row = from + (i0 * step[0] + i1 * step[1] + i2 * step[2]) * width;
        copy_row(row, to, dim[3], width, step[3]);
        to += dim[3] * width;
      }
}

// Row-major steps of a tile, its axes moved to the last of four.
static void steps_of(tg_type t, int64_t step[4]) {
  int64_t n = 1;
  for (int i = 0; i < 4; i++) step[i] = 0;
  for (int i = t.rank - 1; i >= 0; i--) {
    step[4 - t.rank + i] = n;
    n *= t.dim[i];
  }
}
static void extents_of(tg_type t, int64_t dim[4]) {
  for (int i = 0; i < 4; i++) dim[i] = i < 4 - t.rank ? 1 : t.dim[i - (4 - t.rank)];
}

static void broadcast(tg_interp_run *run, const tg_op *op) {
  const tg_type from = op->in[0]->type, to = op->out[0]->type;
  int64_t dim[4], have[4], step[4];
  extents_of(to, dim);
  extents_of(from, have);
  steps_of(from, step);
  for (int i = 0; i < 4; i++)
    if (have[i] == 1) step[i] = 0;
  gather_steps(tg_interp_slot_of(run, op->in[0])->data, tg_interp_buffer(run, op->out[0]), tg_interp_width(to.dtype), dim, step);
}

static void transpose(tg_interp_run *run, const tg_op *op) {
  const tg_type from = op->in[0]->type, to = op->out[0]->type;
  const tg_attr *perm = tg_find_attr(op, "perm");
  int64_t dim[4], step[4], moved[4] = {0};
  extents_of(to, dim);
  steps_of(from, step);
  const int shift = 4 - from.rank;
  for (int i = 0; i < to.rank; i++) moved[shift + i] = step[shift + perm->ints[i]];
  gather_steps(tg_interp_slot_of(run, op->in[0])->data, tg_interp_buffer(run, op->out[0]), tg_interp_width(to.dtype), dim, moved);
}

static void spread(tg_interp_run *run, const tg_op *op) {
  const tg_type from = op->in[0]->type;
  const int64_t width = tg_interp_width(from.dtype), factor = tg_attr_int(op, "factor", 1);
  const int axis = (int)tg_attr_int(op, "axis", 0);
  int64_t inner = width, outer = 1;
  for (int i = axis + 1; i < from.rank; i++) inner *= from.dim[i];
  for (int i = 0; i <= axis; i++) outer *= from.dim[i];
  const uint8_t *x = tg_interp_slot_of(run, op->in[0])->data;
  uint8_t *y = tg_interp_buffer(run, op->out[0]);
  for (int64_t i = 0; i < outer; i++, x += inner)
    for (int64_t f = 0; f < factor; f++, y += inner) memcpy(y, x, (size_t)inner);
}

static void reshape(tg_interp_run *run, const tg_op *op) {
  const tg_type t = op->in[0]->type;
  memcpy(tg_interp_buffer(run, op->out[0]), tg_interp_slot_of(run, op->in[0])->data,
         (size_t)(tg_type_elements(t) * tg_interp_width(t.dtype)));
}

static void join(tg_interp_run *run, const tg_op *op) {
  const tg_type t = op->in[0]->type;
  const int64_t n = tg_type_elements(t), width = tg_interp_width(t.dtype);
  const uint8_t *x = tg_interp_slot_of(run, op->in[0])->data, *y = tg_interp_slot_of(run, op->in[1])->data;
  uint8_t *z = tg_interp_buffer(run, op->out[0]);
  for (int64_t i = 0; i < n; i++) {
    memcpy(z + 2 * i * width, x + i * width, (size_t)width);
    memcpy(z + (2 * i + 1) * width, y + i * width, (size_t)width);
  }
}

static void split(tg_interp_run *run, const tg_op *op) {
  const tg_type t = op->out[0]->type;
  const int64_t n = tg_type_elements(t), width = tg_interp_width(t.dtype);
  const uint8_t *z = tg_interp_slot_of(run, op->in[0])->data;
  uint8_t *x = tg_interp_buffer(run, op->out[0]), *y = tg_interp_buffer(run, op->out[1]);
  for (int64_t i = 0; i < n; i++) {
    memcpy(x + i * width, z + 2 * i * width, (size_t)width);
    memcpy(y + i * width, z + (2 * i + 1) * width, (size_t)width);
  }
}

void tg_interp_shape(tg_interp_run *run, const tg_op *op) {
  switch (op->code) {
  case TG_OP_CONST: constant(run, op); break;
  case TG_OP_IOTA: count_up(run, op, 0); break;
  case TG_OP_INDEX: count_up(run, op, tg_interp_slot_of(run, op->in[0])->start); break;
  case TG_OP_BROADCAST: broadcast(run, op); break;
  case TG_OP_SPREAD: spread(run, op); break;
  case TG_OP_RESHAPE: reshape(run, op); break;
  case TG_OP_TRANSPOSE: transpose(run, op); break;
  case TG_OP_JOIN: join(run, op); break;
  default: split(run, op);
  }
}
