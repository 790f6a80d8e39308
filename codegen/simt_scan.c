// Scans. Lines lie along the lanes of a warp, each lane with a run of neighbours; warps take lines apart, or repeat one another's work.
#include <math.h>

#include "codegen/simt.h"

// The axis: lowest in each lane's registers, then over as many lanes as there are elements for; what is left of lanes and warps goes to the
// other axes, last one first, then registers. Odd parts of the axis are the outermost registers.
tg_layout simt_line_layout(simt *s, tg_type type, int axis) {
  tg_layout l = tg_layout_empty(type.rank, type.dim);
  int bits = l.out[axis], lanes = bits < s->lane_bits ? bits : s->lane_bits, taken[TG_MAX_RANK] = {0};
  for (int b = 0; b < bits - lanes; b++) tg_layout_add(&l, TG_REGISTER, axis, b);
  for (int b = bits - lanes; b < bits; b++) tg_layout_add(&l, TG_LANE, axis, b);
  for (int h = TG_LANE; h <= TG_WARP; h++) {
    int all = h == TG_LANE ? s->lane_bits : s->warp_bits;
    for (int a = type.rank - 1; a >= 0; a--)
      while (a != axis && taken[a] < l.out[a] && l.in[h] < all) tg_layout_add(&l, (tg_holder)h, a, taken[a]++);
    while (l.in[h] < all) tg_layout_add(&l, (tg_holder)h, -1, 0);
  }
  for (int a = type.rank - 1; a >= 0; a--)
    while (a != axis && taken[a] < l.out[a]) tg_layout_add(&l, TG_REGISTER, a, taken[a]++);
  return l;
}

typedef struct scan {
  simt *s;
  int code, dtype; // dtype: of what is carried
  bool exclusive, reverse;
  int lane_bits, run; // lanes along the axis, neighbours of a lane
  tg_value *lane;     // position among the lanes of a line, in the order of the scan
  tg_value *identity; // what an exclusive scan begins with
} scan;

static tg_value *combine(scan *c, tg_value *earlier, tg_value *later) {
  return earlier ? tg_build2(&c->s->b, c->code, earlier, later) : later;
}

static tg_value *from_earlier(scan *c, tg_value *v, int distance) {
  return simt_shuffle_in(c->s, v, c->reverse ? "down" : "up", simt_int(c->s, TG_I32, distance), 1 << c->lane_bits);
}

static tg_value *at_least(scan *c, int distance) { return tg_build2(&c->s->prologue, TG_OP_GE, c->lane, simt_int(c->s, TG_I32, distance)); }

// One run of each lane, in the order of the scan: becomes what is shown; *carry is what all before have come to (NULL: nothing yet).
static void scan_run(scan *c, tg_value **x, tg_value **carry, bool last_run) {
  simt *s = c->s;
  for (int j = 1; j < c->run; j++) x[j] = combine(c, x[j - 1], x[j]);
  tg_value *sum = x[c->run - 1], *before = NULL, *first = c->lane_bits ? at_least(c, 1) : NULL; // first: false in the line's first lane
  for (int d = 1; d < 1 << c->lane_bits; d *= 2)
    sum = tg_build3(&s->b, TG_OP_SELECT, at_least(c, d), combine(c, from_earlier(c, sum, d), sum), sum);
  if (c->lane_bits) before = from_earlier(c, sum, 1);
  tg_value *start = *carry; // of the whole line
  for (int j = 0; j < c->run; j++) {
    tg_value *with = before ? tg_build3(&s->b, TG_OP_SELECT, first, combine(c, before, x[j]), x[j]) : x[j];
    x[j] = combine(c, start, with);
  }
  if (!last_run) {
    tg_value *end = simt_int(s, TG_I32, c->reverse ? 0 : (1 << c->lane_bits) - 1);
    *carry = combine(c, start, c->lane_bits ? simt_shuffle_in(s, sum, "idx", end, 1 << c->lane_bits) : sum);
  }
  if (!c->exclusive) return;
  tg_value *last = x[c->run - 1], *lead = start ? start : c->identity;
  for (int j = c->run - 1; j > 0; j--) x[j] = x[j - 1];
  x[0] = c->lane_bits ? tg_build3(&s->b, TG_OP_SELECT, first, from_earlier(c, last, 1), lead) : lead;
}

static tg_value *identity_of(simt *s, const char *kind, int dtype) {
  bool real = tg_dtype_is_float(dtype), low = !strncmp(kind, "max", 3), high = !strncmp(kind, "min", 3);
  tg_type type = tg_scalar_type(dtype);
  if (real) return tg_const_float(&s->prologue, type, low ? -INFINITY : high ? INFINITY : !strcmp(kind, "prod"));
  int bits = dtype == TG_I1 ? 1 : tg_dtypes[dtype].bits;
  int64_t most = (int64_t)(UINT64_MAX >> 1 >> (64 - bits));
  int64_t value = low ? -most - 1 : high ? most : !strcmp(kind, "prod") ? 1 : !strcmp(kind, "and") ? -1 : 0;
  return tg_const_int(&s->prologue, type, tg_wrap_int(dtype, value));
}

// Registers of one line and repetition, in the order of the scan.
static void scan_line(scan *c, const simt_tile *from, simt_tile *to, int line, int axis, tg_value **carry, int repetition, bool last_run) {
  simt *s = c->s;
  const tg_layout *l = &from->layout;
  int n = tg_layout_registers(l), dtype = from->reg[0]->type.dtype, count = 0;
  tg_value **x = TG_NEWN(s->arena, tg_value *, c->run);
  int *reg = TG_NEWN(s->arena, int, c->run);
  for (int k = 0; k < n; k++) {
    int r = c->reverse ? n - 1 - k : k;
    bool mine = simt_repetition(l, r, axis) == repetition;
    for (int a = 0; a < l->rank; a++) mine &= a == axis || simt_register_offset(l, r, a) == simt_register_offset(l, line, a);
    if (!mine) continue;
    reg[count] = r;
    x[count++] = dtype == c->dtype ? from->reg[r] : tg_cast_to(&s->b, from->reg[r], c->dtype, NULL);
  }
  scan_run(c, x, carry, last_run);
  for (int j = 0; j < count; j++) to->reg[reg[j]] = dtype == c->dtype ? x[j] : tg_cast_to(&s->b, x[j], dtype, NULL);
}

void simt_scan(simt *s, tg_op *op) {
  const tg_value *x = op->in[0];
  const char *kind = tg_attr_str(op, "kind", "sum");
  int axis = (int)tg_attr_int(op, "axis", 0), dtype = x->type.dtype;
  tg_layout l = simt_line_layout(s, x->type, axis);
  scan c = {.s = s, .code = simt_combining_op(kind), .dtype = dtype};
  if (tg_dtype_is_float(dtype) && tg_dtypes[dtype].bits < 32) c.dtype = TG_F32; // what is stored is rounded, not what is carried
  c.exclusive = tg_attr_int(op, "exclusive", 0), c.reverse = tg_attr_int(op, "reverse", 0);
  c.lane_bits = l.out[axis] < s->lane_bits ? l.out[axis] : s->lane_bits;
  c.run = 1 << (l.out[axis] - c.lane_bits);
  c.identity = identity_of(s, kind, c.dtype);
  tg_builder *b = &s->prologue;
  int mask = (1 << c.lane_bits) - 1;
  c.lane = tg_build2(b, TG_OP_AND, s->lane_id, simt_int(s, TG_I32, mask));
  if (c.reverse) c.lane = tg_build2(b, TG_OP_SUB, simt_int(s, TG_I32, mask), c.lane);
  simt_tile *from = simt_get(s, x, &l), *to = simt_new_tile(s, &l);
  for (int line = 0, n = tg_layout_registers(&l); line < n; line++) { // the register that begins each line stands for it
    if (simt_register_offset(&l, line, axis)) continue;
    tg_value *carry = NULL;
    for (int k = 0; k < l.odd[axis]; k++)
      scan_line(&c, from, to, line, axis, &carry, c.reverse ? l.odd[axis] - 1 - k : k, k == l.odd[axis] - 1);
  }
  simt_set(s, op->out[0], to);
}
