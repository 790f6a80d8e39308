// Matrix products without matrix instructions that would be long written out, or whose operands would fill the registers: both operands go
// to shared memory, in chunks along k, and lanes loop over a chunk.
#include "codegen/simt.h"

enum { WORD = 4, STEP = 4 }; // bytes of an element there; k of a turn: what one load of 16 bytes brings of a row

static bool is_streamed(const tg_op *op, int operand) { // loaded beside the dot, so that its loads sink to where they are used
  const tg_value *v = simt_renamed(op->in[operand]);
  while (v->def && v->def->code == TG_OP_CAST && v->def->in[0]->type.rank) v = simt_renamed(v->def->in[0]);
  return simt_is_load(v->def) && v->def->parent == op->parent;
}

bool simt_fma_loops(const tg_op *op, int warp_bits) {
  enum { FEW = 64, MANY = 4096 }; // multiplications of a thread
  const tg_type *c = &op->in[2]->type;
  const int64_t depth = op->in[0]->type.dim[1], own = ((int64_t)c->dim[0] * c->dim[1] >> (5 + warp_bits)) + 1, work = own * depth;
  if (tg_dtypes[c->dtype].bits != 8 * WORD || depth % STEP || depth < 4 * STEP || own > TG_MAX_RESULTS / 2) return false;
  return work > (is_streamed(op, 0) && is_streamed(op, 1) ? MANY : FEW);
}

typedef struct operand {
  simt *s;
  simt_tile *tile;
  tg_type type;
  int k_axis, axis; // axis: of rows, or columns
  int chunk;        // of k
  int fast, pitch;  // the axis whose neighbours are neighbours there; elements from one to the next of the other
  tg_value *base;
  int64_t bytes;
} operand;

static tg_layout held_layout(simt *s, const tg_value *v) {
  const tg_value *held = simt_renamed(v);
  tg_layout l, have = simt_plan_of(s, held);
  return simt_result_layout(v, held, &have, &l) ? l : simt_default_layout(s, v->type);
}

// Loaded tiles have the highest bits of both axes in registers, so that a chunk of k is some registers of every thread: vectors and lanes
// along the last axis, which is memory's as a rule, warps along the other.
void simt_fma_seed_operand(simt *s, const tg_value *operand) {
  const tg_value *v = simt_renamed(operand);
  simt_note *note = simt_note_of(s, v);
  if (note->planned || simt_is_lazy(v) || v->type.rank != 2 || !simt_is_load(simt_staged(s, v)->def)) return;
  tg_layout l = tg_layout_empty(2, v->type.dim);
  int taken[2] = {0};
  for (int n = 1; n < 16 * 8 / tg_dtypes[v->type.dtype].bits && taken[1] < l.out[1]; n *= 2) tg_layout_add(&l, TG_REGISTER, 1, taken[1]++);
  for (int h = TG_LANE; h <= TG_WARP; h++)
    for (int i = 0; i < (h == TG_LANE ? s->lane_bits : s->warp_bits); i++) {
      int axis = h == TG_LANE;
      if (taken[axis] == l.out[axis]) axis = !axis;
      const bool some = taken[axis] < l.out[axis];
      tg_layout_add(&l, (tg_holder)h, some ? axis : -1, some ? taken[axis]++ : 0);
    }
  for (int axis = 1; axis >= 0; axis--)
    while (taken[axis] < l.out[axis]) tg_layout_add(&l, TG_REGISTER, axis, taken[axis]++);
  note->planned = true;
  note->plan = l;
}

static operand open_operand(simt *s, const tg_value *v, int k_axis, int fast) {
  const tg_layout l = held_layout(s, v);
  return (operand){.s = s, .tile = simt_get(s, v, &l), .type = v->type, .k_axis = k_axis, .axis = !k_axis, .fast = fast};
}

static void cut(operand *o, int chunk) { // rows of 16 bytes more, so that those who store along the other axis meet less in a bank
  const int slow = o->fast == o->k_axis ? o->type.dim[o->axis] : chunk, fast = o->fast == o->k_axis ? chunk : o->type.dim[o->axis];
  o->chunk = chunk;
  o->pitch = (fast + STEP - 1) / STEP * STEP + STEP;
  o->bytes = (int64_t)slow * o->pitch * WORD;
}

static uint32_t moved_by_lanes(const tg_layout *l, int axis) { // bits of the coordinate
  uint32_t bits = 0;
  for (int h = TG_LANE; h < TG_NHOLDERS; h++)
    for (int b = 0; b < l->in[h]; b++) bits |= tg_layout_axis_part(l, tg_layout_image(l, (tg_holder)h, b), axis);
  return bits;
}

// Neighbours along an axis that a lane has in neighbouring registers, up to those of 16 bytes.
static int neighbours(const tg_layout *l, int axis) {
  int n = 1;
  for (int b = 0; b < l->in[TG_REGISTER] && n < STEP; b++, n *= 2)
    if (tg_layout_image(l, TG_REGISTER, b) != (uint32_t)n << tg_layout_axis_shift(l, axis) || moved_by_lanes(l, axis) & (uint32_t)n) break;
  return n;
}

static int64_t stride(const operand *o, int axis) { return axis == o->fast ? WORD : o->pitch * WORD; }

// Bytes of a coordinate: what the lane has of it, in the prologue, and what the register adds. `below` masks it.
static tg_value *place_along(const operand *o, int reg, int axis, int below, int64_t *more) {
  simt *s = o->s;
  const tg_layout *l = &o->tile->layout;
  const bool adds = simt_axis_adds(l, axis);
  const int offset = simt_register_offset(l, reg, axis);
  tg_value *x = simt_coordinate(s, l, adds ? 0 : reg, axis);
  if (adds) *more += (below ? offset & (below - 1) : offset) * stride(o, axis);
  if (below) x = tg_build2(&s->prologue, TG_OP_AND, x, simt_int(s, TG_I32, below - 1));
  return simt_mul(&s->prologue, x, simt_int(s, TG_I32, stride(o, axis)));
}

// Whether a register's element lies in a chunk: never, always (NULL) or in some lanes.
static bool is_in_chunk(const operand *o, int reg, int chunk, tg_value **some) {
  simt *s = o->s;
  const tg_layout *l = &o->tile->layout;
  *some = NULL;
  if (o->chunk == o->type.dim[o->k_axis]) return true;
  if (!(moved_by_lanes(l, o->k_axis) & ~((uint32_t)o->chunk - 1))) return simt_register_offset(l, reg, o->k_axis) / o->chunk == chunk;
  tg_value *high = tg_build2(&s->prologue, TG_OP_AND, simt_coordinate(s, l, reg, o->k_axis), simt_int(s, TG_I32, -o->chunk));
  *some = tg_build2(&s->prologue, TG_OP_EQ, high, simt_int(s, TG_I32, chunk * o->chunk));
  return true;
}

static void store_chunk(const operand *o, int chunk, int dtype) {
  simt *s = o->s;
  const tg_layout *l = &o->tile->layout;
  const int width = neighbours(l, o->fast), below = o->chunk == o->type.dim[o->k_axis] ? 0 : o->chunk;
  tg_value *owner = simt_owner(s, l), *some, *v[STEP];
  for (int i = 0, n = tg_layout_registers(l); i < n; i += width) {
    if (simt_is_replica(l, i) || !is_in_chunk(o, i, chunk, &some)) continue;
    int64_t more = 0;
    tg_value *x = place_along(o, i, o->axis, 0, &more), *k = place_along(o, i, o->k_axis, below, &more);
    for (int e = 0; e < width; e++) {
      v[e] = o->tile->reg[i + e];
      if (v[e]->type.dtype != dtype) v[e] = tg_cast_to(&s->b, v[e], dtype, NULL);
    }
    tg_value *mask = simt_and(&s->prologue, owner, some);
    tg_value *ptr = simt_offset(s, simt_offset(s, o->base, simt_add(&s->prologue, x, k)), simt_int(s, TG_I32, more));
    tg_value *in[] = {ptr, simt_pack(s, v, width), mask};
    if (mask && width > 1) in[2] = tg_build(&s->b, TG_OP_SPLAT, 1, &mask, 1, &TG_AINT("n", width))->out[0];
    tg_build(&s->b, mask ? TG_OP_STOREM : TG_OP_LSTORE, mask ? 3 : 2, in, 1, &TG_AINT("align", width * WORD));
  }
}

// ---- a lane's rows and columns ---------------------------------------------------------------------------------------------

typedef struct side { // of the result
  const operand *o;
  const tg_layout *c;
  int axis, width; // neighbours along the axis that one load brings; 1: neighbours in k are
  int dtype;
  tg_value **at; // by the register's part of the coordinate, and k of this turn
  tg_value *k;   // bytes of where this turn begins
} side;

static side open_side(const operand *o, const tg_layout *c, int dtype) {
  side x = {.o = o, .c = c, .axis = o->axis, .width = 1, .dtype = dtype};
  const uint32_t lanes = moved_by_lanes(c, o->axis);
  if (o->fast == o->k_axis || !simt_axis_adds(c, o->axis)) return x;
  while (x.width < STEP && x.width < 1 << c->out[o->axis] && !(lanes & (uint32_t)x.width)) x.width *= 2;
  return x;
}

static tg_value **slot(const side *x, int offset, int k) { return &x->at[offset * STEP + k]; }

static void load(const side *x, int reg, int k) {
  simt *s = x->o->s;
  const bool adds = simt_axis_adds(x->c, x->axis), in_k = x->o->fast == x->o->k_axis;
  const int n = in_k ? STEP : x->width, offset = simt_register_offset(x->c, reg, x->axis), first = offset & -x->width;
  const int64_t each = stride(x->o, x->axis), more = (adds ? first * each : 0) + k * stride(x->o, x->o->k_axis);
  tg_value *lane = simt_mul(&s->prologue, simt_coordinate(s, x->c, adds ? 0 : reg, x->axis), simt_int(s, TG_I32, each));
  tg_value *ptr = simt_offset(s, simt_offset(s, simt_offset(s, x->o->base, lane), x->k), simt_int(s, TG_I32, more)), *v[STEP];
  tg_attr attrs[] = {TG_ATYPE("type", n > 1 ? tg_vector_type(x->dtype, n) : tg_scalar_type(x->dtype)), TG_AINT("align", n * WORD)};
  simt_unpack(s, tg_build(&s->b, TG_OP_LLOAD, 1, &ptr, 2, attrs)->out[0], v, n);
  for (int i = 0; i < n; i++) *(in_k ? slot(x, offset, i) : slot(x, first + i, k)) = v[i];
}

static tg_value *element(const side *x, int reg, int k) {
  tg_value **at = slot(x, simt_register_offset(x->c, reg, x->axis), k);
  if (!*at) load(x, reg, x->o->fast == x->o->k_axis ? 0 : k);
  return *at;
}

static void begin_turn(side *x, tg_value *k) {
  simt *s = x->o->s;
  x->at = TG_NEWN(s->arena, tg_value *, (size_t)x->o->type.dim[x->axis] * STEP);
  x->k = tg_build2(&s->b, TG_OP_MUL, k, simt_int(s, TG_I32, stride(x->o, x->o->k_axis)));
}

// The sums over a chunk, from those before it.
static void loop_over_chunk(simt *s, side *rows, side *columns, int n, tg_value **sum) {
  tg_op *loop = tg_build_for(&s->b, simt_int(s, TG_I64, 0), simt_int(s, TG_I64, rows->o->chunk), STEP, n, sum);
  const tg_builder outer = s->b;
  s->b.region = loop->regions[0];
  s->b.before = NULL;
  tg_value *k = tg_cast_to(&s->b, loop->regions[0]->args[0], TG_I32, NULL);
  begin_turn(rows, k), begin_turn(columns, k);
  memcpy(sum, loop->regions[0]->args + 1, sizeof(tg_value *) * (size_t)n);
  for (int i = 0; i < STEP; i++)
    for (int r = 0; r < n; r++) sum[r] = simt_multiply_add(s, element(rows, r, i), element(columns, r, i), sum[r]);
  tg_build_yield(&s->b, n, sum);
  s->b = outer;
  memcpy(sum, loop->out, sizeof(tg_value *) * (size_t)n);
}

// ---- the dot ---------------------------------------------------------------------------------------------------------------

// As much of k as takes little shared memory, all of it or a power of two.
static void choose_chunk(simt *s, operand *a, operand *b) {
  enum { MUCH = 40 << 10, ALIGN = 128 };
  const int depth = a->type.dim[1];
  const int64_t all = s->machine->shared_bytes > 0 ? (int64_t)s->machine->shared_bytes : TG_STATIC_SHARED;
  const int64_t left = all - s->shared_top - ALIGN, room = left < MUCH ? left : MUCH;
  int chunk = depth;
  for (cut(a, chunk), cut(b, chunk); a->bytes + b->bytes > room && chunk > STEP; cut(a, chunk), cut(b, chunk))
    chunk = chunk & (chunk - 1) ? chunk & -chunk : chunk / 2;
}

void simt_fma_loop(simt *s, tg_op *op, const tg_layout *layout) {
  const int n = tg_layout_registers(layout), dtype = op->in[2]->type.dtype;
  operand a = open_operand(s, op->in[0], 1, 1), b = open_operand(s, op->in[1], 0, 1);
  simt_tile *c = simt_get(s, op->in[2], layout), *sum = simt_new_tile(s, layout);
  memcpy(sum->reg, c->reg, sizeof(tg_value *) * (size_t)n);
  choose_chunk(s, &a, &b);
  a.base = simt_shared(s, a.bytes + b.bytes);
  b.base = simt_offset(s, a.base, simt_int(s, TG_I32, a.bytes));
  side rows = open_side(&a, layout, dtype), columns = open_side(&b, layout, dtype);
  for (int chunk = 0; chunk < a.type.dim[1] / a.chunk; chunk++) {
    simt_barrier(s); // those who read what lay there before are done
    store_chunk(&a, chunk, dtype), store_chunk(&b, chunk, dtype);
    simt_barrier(s);
    loop_over_chunk(s, &rows, &columns, n, sum->reg);
  }
  simt_set(s, op->out[0], sum);
}
