// Sorting: a bitonic network over keys in their order with the index below them, so that all differ and the network is stable. Positions
// lie in the registers and lanes of a warp (simt_line_layout); warps take lines apart, or repeat one another's work.
#include "codegen/simt.h"

enum { MOST_PARTS = 8, MOST_EXCHANGES = 1 << 15 };

typedef struct sort {
  simt *s;
  int bits, run_bits; // of positions; of those, registers
  int nkeys;          // 1: an i64 of key and index; 2: an i64 key, and the index in an i32
  int nparts;         // keys, then what they carry
} sort;

static tg_value *bitcast(simt *s, tg_value *x, int dtype) {
  return tg_build(&s->b, TG_OP_BITCAST, 1, &x, 1, &TG_ASTR("to", tg_dtypes[dtype].name))->out[0];
}

// An i32 or i64 that is ordered as the keys are: -0 below +0, NaN above all.
static tg_value *ordered(simt *s, tg_value *x, bool descending) {
  bool wide = tg_dtypes[x->type.dtype].bits == 64;
  int dtype = wide ? TG_I64 : TG_I32;
  tg_value *most = simt_int(s, dtype, wide ? INT64_MAX : INT32_MAX);
  if (tg_dtype_is_float(x->type.dtype)) {
    if (!wide) x = tg_cast_to(&s->b, x, TG_F32, NULL);
    tg_value *bits = bitcast(s, x, dtype), *sign = tg_build2(&s->b, TG_OP_SHR, bits, simt_int(s, dtype, wide ? 63 : 31));
    bits = tg_build2(&s->b, TG_OP_XOR, bits, tg_build2(&s->b, TG_OP_AND, sign, most));
    x = tg_build3(&s->b, TG_OP_SELECT, tg_build1(&s->b, TG_OP_ISNAN, x), most, bits);
  } else {
    x = tg_cast_to(&s->b, x, dtype, NULL);
  }
  return descending ? tg_build1(&s->b, TG_OP_NOT, x) : x;
}

static tg_value *later(sort *c, tg_value *const *x, tg_value *const *y) {
  tg_builder *b = &c->s->b;
  tg_value *above = tg_build2(b, TG_OP_GT, x[0], y[0]);
  if (c->nkeys == 1) return above;
  tg_value *equal = tg_build2(b, TG_OP_AND, tg_build2(b, TG_OP_EQ, x[0], y[0]), tg_build2(b, TG_OP_GT, x[1], y[1]));
  return tg_build2(b, TG_OP_OR, above, equal);
}

// Bit `bit` of the position that register `reg` holds: NULL and *known where the register decides, else by the lane.
static tg_value *position_bit(sort *c, int reg, int bit, bool *known) {
  simt *s = c->s;
  *known = bit < c->bits && bit < c->run_bits && reg >> bit & 1;
  return bit >= c->bits || bit < c->run_bits ? NULL : simt_lane_bit(s, bit - c->run_bits);
}

static tg_value *flipped(simt *s, tg_value *x, tg_value *flip, bool known) { // x, or not x where the condition holds
  if (flip) return tg_build2(&s->b, TG_OP_XOR, x, flip);
  return known ? tg_build1(&s->b, TG_OP_NOT, x) : x;
}

static void exchange_registers(sort *c, tg_value *(*x)[MOST_PARTS], int bit, int stage) {
  simt *s = c->s;
  for (int i = 0; i < 1 << c->run_bits; i++) {
    int j = i | 1 << bit;
    if (i == j) continue;
    bool down;
    tg_value *direction = position_bit(c, i, stage, &down), *swap = flipped(s, later(c, x[i], x[j]), direction, down);
    for (int p = 0; p < c->nparts; p++) {
      tg_value *a = x[i][p], *b = x[j][p];
      x[i][p] = tg_build3(&s->b, TG_OP_SELECT, swap, b, a);
      x[j][p] = tg_build3(&s->b, TG_OP_SELECT, swap, a, b);
    }
  }
}

static void exchange_lanes(sort *c, tg_value *(*x)[MOST_PARTS], int bit, int stage) {
  simt *s = c->s;
  tg_value *distance = simt_int(s, TG_I32, 1 << (bit - c->run_bits)), *upper = simt_lane_bit(s, bit - c->run_bits);
  for (int i = 0; i < 1 << c->run_bits; i++) {
    tg_value *other[MOST_PARTS];
    for (int p = 0; p < c->nparts; p++) other[p] = simt_shuffle(s, x[i][p], "xor", distance);
    bool down;
    tg_value *direction = position_bit(c, i, stage, &down); // the upper lane keeps the later one, where the order goes down the lower
    tg_value *take = flipped(s, flipped(s, later(c, x[i], other), upper, false), direction, down);
    for (int p = 0; p < c->nparts; p++) x[i][p] = tg_build3(&s->b, TG_OP_SELECT, take, other[p], x[i][p]);
  }
}

static void sort_line(sort *c, tg_value *(*x)[MOST_PARTS]) {
  for (int stage = 1; stage <= c->bits; stage++)
    for (int bit = stage - 1; bit >= 0; bit--) (bit < c->run_bits ? exchange_registers : exchange_lanes)(c, x, bit, stage);
}

static void make_keys(sort *c, const tg_layout *l, int reg, int axis, tg_value *key, bool descending, tg_value **x) {
  simt *s = c->s;
  tg_value *index = simt_coordinate(s, l, reg, axis);
  key = ordered(s, key, descending);
  if (c->nkeys == 2) {
    x[0] = key, x[1] = index;
    return;
  }
  key = tg_build2(&s->b, TG_OP_SHL, tg_cast_to(&s->b, key, TG_I64, NULL), simt_int(s, TG_I64, 32));
  x[0] = tg_build2(&s->b, TG_OP_OR, key, tg_cast_to(&s->b, index, TG_I64, NULL));
}

void simt_sort(simt *s, tg_op *op) {
  const tg_type *type = &op->in[0]->type;
  int axis = (int)tg_attr_int(op, "axis", 0);
  tg_layout l = simt_line_layout(s, *type, axis);
  sort c = {.s = s, .bits = l.out[axis], .nkeys = tg_dtypes[type->dtype].bits == 64 ? 2 : 1};
  c.run_bits = c.bits < s->lane_bits ? 0 : c.bits - s->lane_bits;
  c.nparts = c.nkeys + op->nin;
  int n = tg_layout_registers(&l), run = 1 << c.run_bits;
  int64_t exchanges = (int64_t)n * c.bits * (c.bits + 1) / 2 * c.nparts;
  if (c.nparts > MOST_PARTS)
    simt_fail(s, op, "a sort that carries %d tiles is not supported; %d are", op->nin - 1, MOST_PARTS - 1 - c.nkeys);
  if (exchanges > MOST_EXCHANGES)
    simt_fail(s, op, "this sort takes %lld exchanges of each thread and %d are written out at most; sort shorter tiles, or fewer at a time",
              (long long)exchanges, MOST_EXCHANGES);
  simt_tile *from[MOST_PARTS], *to[MOST_PARTS];
  for (int k = 0; k < op->nin; k++) from[k] = simt_get(s, op->in[k], &l), to[k] = simt_new_tile(s, &l);
  tg_value *(*x)[MOST_PARTS] = (tg_value * (*)[MOST_PARTS]) tg_arena_alloc(s->arena, sizeof *x * (size_t)run);
  for (int first = 0; first < n; first += run) { // the axis has the lowest registers
    for (int i = 0; i < run; i++) {
      make_keys(&c, &l, first + i, axis, from[0]->reg[first + i], tg_attr_int(op, "descending", 0), x[i]);
      for (int k = 0; k < op->nin; k++) x[i][c.nkeys + k] = from[k]->reg[first + i];
    }
    sort_line(&c, x);
    for (int i = 0; i < run; i++)
      for (int k = 0; k < op->nin; k++) to[k]->reg[first + i] = x[i][c.nkeys + k];
  }
  for (int k = 0; k < op->nin; k++) simt_set(s, op->out[k], to[k]);
}
