// Sorting: a bitonic network over keys in their order with the index below them, so that all differ and the network is stable (Batcher,
// "Sorting networks and their applications", 1968). Short lines lie in the registers and lanes of a warp (simt_line_layout), and the
// network is written out; warps take lines apart, or repeat one another's work. Longer ones lie in shared memory, where all threads of the
// block take exchanges of all lines in loops over the network's stages, so that code does not grow with the line.
#include "codegen/simt.h"

// Parts of an element; exchanges of a part that each thread has written out, where shared memory has room and where it does not; bits of
// positions that a thread exchanges at once in shared memory.
enum { MOST_PARTS = 8, FEW_EXCHANGES = 1 << 11, MOST_EXCHANGES = 1 << 15, AT_ONCE = 3 };

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

static void exchange(sort *c, tg_value **x, tg_value **y, int nparts, tg_value *direction, bool down) {
  simt *s = c->s;
  tg_value *swap = flipped(s, later(c, x, y), direction, down);
  for (int p = 0; p < nparts; p++) {
    tg_value *a = x[p], *b = y[p];
    x[p] = tg_build3(&s->b, TG_OP_SELECT, swap, b, a);
    y[p] = tg_build3(&s->b, TG_OP_SELECT, swap, a, b);
  }
}

static void exchange_registers(sort *c, tg_value *(*x)[MOST_PARTS], int bit, int stage) {
  for (int i = 0; i < 1 << c->run_bits; i++) {
    int j = i | 1 << bit;
    if (i == j) continue;
    bool down;
    tg_value *direction = position_bit(c, i, stage, &down);
    exchange(c, x[i], x[j], c->nparts, direction, down);
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

// ---- in shared memory

typedef struct shared_sort {
  sort *c;
  const tg_layout *layout; // of the tiles that come and go
  int axis, elements;      // of all lines, one line after the other
  tg_value *keys, *indices, *thread;
} shared_sort;

static tg_value *with(sort *c, int code, tg_value *x, int n) { return tg_build2(&c->s->b, code, x, simt_int(c->s, TG_I32, n)); }

static tg_value *shared_at(simt *s, tg_value *base, tg_value *element, int size) {
  return simt_offset(s, base, tg_build2(&s->b, TG_OP_MUL, element, simt_int(s, TG_I32, size)));
}

static tg_value *read_shared(simt *s, tg_value *base, tg_value *element, int dtype) {
  int size = (tg_dtypes[dtype].bits + 7) / 8;
  tg_value *ptr = shared_at(s, base, element, size);
  return tg_build(&s->b, TG_OP_LLOAD, 1, &ptr, 2, (tg_attr[]){TG_ATYPE("type", tg_scalar_type(dtype)), TG_AINT("align", size)})->out[0];
}

static void write_shared(simt *s, tg_value *base, tg_value *element, tg_value *v, tg_value *owner) {
  int size = (tg_dtypes[v->type.dtype].bits + 7) / 8;
  tg_value *in[] = {shared_at(s, base, element, size), v, owner};
  tg_build(&s->b, owner ? TG_OP_STOREM : TG_OP_LSTORE, owner ? 3 : 2, in, 1, &TG_AINT("align", size));
}

// Where keys lie: sixteen i64 fill the banks, and lanes that take eight neighbours each would meet in two of them. Keys stay in their line.
static tg_value *key_place(sort *c, tg_value *at) {
  int mask = c->bits < AT_ONCE ? (1 << c->bits) - 1 : (1 << AT_ONCE) - 1;
  return tg_build2(&c->s->b, TG_OP_XOR, at, with(c, TG_OP_AND, with(c, TG_OP_SHR, at, 4), mask));
}

static void read_keys(shared_sort *m, tg_value *at, tg_value **x) {
  at = key_place(m->c, at);
  x[0] = read_shared(m->c->s, m->keys, at, TG_I64);
  if (m->indices) x[1] = read_shared(m->c->s, m->indices, at, TG_I32);
}

static void write_keys(shared_sort *m, tg_value *at, tg_value **x, tg_value *owner) {
  at = key_place(m->c, at);
  write_shared(m->c->s, m->keys, at, x[0], owner);
  if (m->indices) write_shared(m->c->s, m->indices, at, x[1], owner);
}

// From here on code is that of the loop's body; returns its index, i32.
static tg_value *enter_loop(simt *s, tg_value *from, tg_value *to, int64_t step) {
  tg_op *loop = tg_build_for(&s->b, tg_cast_to(&s->b, from, TG_I64, NULL), tg_cast_to(&s->b, to, TG_I64, NULL), step, 0, NULL);
  s->b.region = loop->regions[0];
  s->b.before = NULL;
  return tg_cast_to(&s->b, loop->regions[0]->args[0], TG_I32, NULL);
}

static void leave_loop(simt *s, tg_builder outer) {
  tg_build_yield(&s->b, 0, NULL);
  s->b = outer;
}

// Sorts each 2^bits neighbours, up and down in turns.
static void sort_neighbours(shared_sort *m, int bits) {
  sort *c = m->c;
  simt *s = c->s;
  tg_builder outer = s->b;
  tg_value *group = enter_loop(s, m->thread, simt_int(s, TG_I32, m->elements >> bits), (int64_t)s->warps << s->lane_bits);
  tg_value *x[1 << AT_ONCE][2], *at[1 << AT_ONCE];
  for (int e = 0; e < 1 << bits; e++) {
    at[e] = with(c, TG_OP_OR, with(c, TG_OP_SHL, group, bits), e);
    read_keys(m, at[e], x[e]);
  }
  tg_value *turn = bits < c->bits ? with(c, TG_OP_NE, with(c, TG_OP_AND, group, 1), 0) : NULL;
  for (int stage = 1; stage <= bits; stage++)
    for (int bit = stage - 1; bit >= 0; bit--)
      for (int e = 0; e < 1 << bits; e++)
        if (!(e >> bit & 1)) exchange(c, x[e], x[e | 1 << bit], c->nkeys, stage < bits ? NULL : turn, stage < bits && e >> stage & 1);
  for (int e = 0; e < 1 << bits; e++) write_keys(m, at[e], x[e], NULL);
  leave_loop(s, outer);
}

// The exchanges of a stage along `bits` bits of the position, `low` and up.
static void merge(shared_sort *m, int bits, tg_value *low, tg_value *stage) {
  sort *c = m->c;
  simt *s = c->s;
  tg_builder outer = s->b;
  simt_barrier(s);
  tg_value *group = enter_loop(s, m->thread, simt_int(s, TG_I32, m->elements >> bits), (int64_t)s->warps << s->lane_bits);
  tg_builder *b = &s->b;
  tg_value *one = simt_int(s, TG_I32, 1), *below = with(c, TG_OP_SUB, tg_build2(b, TG_OP_SHL, one, low), 1);
  tg_value *high = tg_build2(b, TG_OP_SHL, tg_build2(b, TG_OP_SHR, group, low), with(c, TG_OP_ADD, low, bits));
  tg_value *first = tg_build2(b, TG_OP_OR, high, tg_build2(b, TG_OP_AND, group, below));
  tg_value *position = with(c, TG_OP_AND, first, (1 << c->bits) - 1); // the last stage goes up in every line
  tg_value *down = with(c, TG_OP_NE, tg_build2(b, TG_OP_AND, position, tg_build2(b, TG_OP_SHL, one, stage)), 0);
  tg_value *x[1 << AT_ONCE][2], *at[1 << AT_ONCE];
  for (int e = 0; e < 1 << bits; e++) {
    at[e] = tg_build2(b, TG_OP_OR, first, tg_build2(b, TG_OP_SHL, simt_int(s, TG_I32, e), low));
    read_keys(m, at[e], x[e]);
  }
  for (int bit = bits - 1; bit >= 0; bit--)
    for (int e = 0; e < 1 << bits; e++)
      if (!(e >> bit & 1)) exchange(c, x[e], x[e | 1 << bit], c->nkeys, down, false);
  for (int e = 0; e < 1 << bits; e++) write_keys(m, at[e], x[e], NULL);
  leave_loop(s, outer);
}

static void sort_keys(shared_sort *m) {
  sort *c = m->c;
  simt *s = c->s;
  int bits = c->bits < AT_ONCE ? c->bits : AT_ONCE;
  tg_value *zero = simt_int(s, TG_I32, 0);
  sort_neighbours(m, bits);
  if (bits == c->bits) return;
  tg_builder stages = s->b;
  tg_value *stage = enter_loop(s, simt_int(s, TG_I32, bits + 1), simt_int(s, TG_I32, c->bits + 1), 1);
  tg_builder steps = s->b;
  tg_value *i = enter_loop(s, zero, with(c, TG_OP_REM, stage, bits), 1);
  merge(m, 1, with(c, TG_OP_SUB, tg_build2(&s->b, TG_OP_SUB, stage, i), 1), stage);
  leave_loop(s, steps);
  tg_value *times = with(c, TG_OP_DIV, stage, bits);
  i = enter_loop(s, zero, times, 1);
  merge(m, bits, with(c, TG_OP_MUL, with(c, TG_OP_SUB, tg_build2(&s->b, TG_OP_SUB, times, i), 1), bits), stage);
  leave_loop(s, steps);
  leave_loop(s, stages);
}

// The element that begins a register's line.
static tg_value *line_of(shared_sort *m, int reg) {
  simt *s = m->c->s;
  tg_value *at = simt_int(s, TG_I32, 0);
  for (int a = 0; a < m->layout->rank; a++) {
    if (a == m->axis) continue;
    at = simt_add(&s->prologue, simt_mul(&s->prologue, at, simt_int(s, TG_I32, m->layout->odd[a] << m->layout->out[a])),
                  simt_coordinate(s, m->layout, reg, a));
  }
  return simt_mul(&s->prologue, at, simt_int(s, TG_I32, 1 << m->c->bits));
}

static int64_t shared_bytes(const sort *c, const tg_op *op, int64_t elements) {
  int64_t each = c->nkeys == 2 ? 12 : 8;
  for (int k = 0; k < op->nin; k++)
    if (simt_is_used(c->s, op->out[k])) each += (tg_dtypes[op->in[k]->type.dtype].bits + 7) / 8;
  return each * elements;
}

static void by_shared(sort *c, tg_op *op, int axis) {
  simt *s = c->s;
  tg_layout l = simt_default_layout(s, op->in[0]->type);
  int n = tg_layout_registers(&l);
  shared_sort m = {.c = c, .layout = &l, .axis = axis, .elements = (int)tg_type_elements(op->in[0]->type)};
  simt_tile *from[MOST_PARTS];
  for (int k = 0; k < op->nin; k++) from[k] = simt_get(s, op->in[k], &l);
  tg_value *base = simt_shared(s, shared_bytes(c, op, m.elements)), *carried[MOST_PARTS], *owner = simt_owner(s, &l);
  int64_t top = 8 * (int64_t)m.elements;
  m.keys = base;
  if (c->nkeys == 2) m.indices = simt_offset(s, base, simt_int(s, TG_I32, top)), top += 4 * (int64_t)m.elements;
  for (int k = 0; k < op->nin; k++) {
    if (!simt_is_used(s, op->out[k])) continue;
    carried[k] = simt_offset(s, base, simt_int(s, TG_I32, top));
    top += (int64_t)(tg_dtypes[op->in[k]->type.dtype].bits + 7) / 8 * m.elements;
  }
  m.thread = simt_add(&s->prologue, simt_mul(&s->prologue, s->warp_id, simt_int(s, TG_I32, 1 << s->lane_bits)), s->lane_id);
  simt_barrier(s);
  for (int r = 0; r < n; r++) {
    if (simt_is_replica(&l, r)) continue;
    tg_value *x[2], *at = simt_add(&s->prologue, line_of(&m, r), simt_coordinate(s, &l, r, axis));
    make_keys(c, &l, r, axis, from[0]->reg[r], tg_attr_int(op, "descending", 0), x);
    write_keys(&m, at, x, owner);
    for (int k = 0; k < op->nin; k++)
      if (simt_is_used(s, op->out[k])) write_shared(s, carried[k], at, from[k]->reg[r], owner);
  }
  simt_barrier(s);
  sort_keys(&m);
  simt_barrier(s);
  simt_tile *to[MOST_PARTS];
  for (int k = 0; k < op->nin; k++) to[k] = simt_new_tile(s, &l);
  for (int r = 0; r < n; r++) {
    tg_value *x[2], *line = line_of(&m, r);
    read_keys(&m, simt_add(&s->prologue, line, simt_coordinate(s, &l, r, axis)), x);
    tg_value *index = c->nkeys == 2 ? x[1] : tg_cast_to(&s->b, x[0], TG_I32, NULL), *at = tg_build2(&s->b, TG_OP_ADD, line, index);
    for (int k = 0; k < op->nin; k++)
      if (simt_is_used(s, op->out[k])) to[k]->reg[r] = read_shared(s, carried[k], at, op->in[k]->type.dtype);
  }
  for (int k = 0; k < op->nin; k++)
    if (simt_is_used(s, op->out[k])) simt_set(s, op->out[k], to[k]);
}

// ---- either way

static sort sort_of(simt *s, const tg_op *op, const tg_layout *line, int axis) {
  sort c = {.s = s, .bits = line->out[axis], .nkeys = tg_dtypes[op->in[0]->type.dtype].bits == 64 ? 2 : 1};
  c.run_bits = c.bits < s->lane_bits ? 0 : c.bits - s->lane_bits;
  c.nparts = c.nkeys + op->nin;
  return c;
}

static int64_t exchanges_of(const sort *c, const tg_layout *line) {
  return (int64_t)tg_layout_registers(line) * c->bits * (c->bits + 1) / 2 * c->nparts;
}

tg_layout simt_sort_layout(simt *s, const tg_op *op) {
  int axis = (int)tg_attr_int(op, "axis", 0);
  tg_layout line = simt_line_layout(s, op->in[0]->type, axis);
  sort c = sort_of(s, op, &line, axis);
  return exchanges_of(&c, &line) <= FEW_EXCHANGES ? line : simt_default_layout(s, op->in[0]->type);
}

void simt_sort(simt *s, tg_op *op) {
  const tg_type *type = &op->in[0]->type;
  int axis = (int)tg_attr_int(op, "axis", 0);
  tg_layout l = simt_line_layout(s, *type, axis);
  sort c = sort_of(s, op, &l, axis);
  int n = tg_layout_registers(&l), run = 1 << c.run_bits;
  int64_t exchanges = exchanges_of(&c, &l);
  if (c.nparts > MOST_PARTS)
    simt_fail(s, op, "a sort that carries %d tiles is not supported; %d are", op->nin - 1, MOST_PARTS - 1 - c.nkeys);
  if (exchanges > FEW_EXCHANGES && simt_has_shared(s, shared_bytes(&c, op, tg_type_elements(*type)))) {
    by_shared(&c, op, axis);
    return;
  }
  if (exchanges > MOST_EXCHANGES)
    simt_fail(s, op,
              "this sort does not fit into shared memory, and takes %lld exchanges of each thread, of which %d are written out at most; "
              "sort shorter tiles, or fewer at a time",
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
