// Products of warp groups: 64 rows by up to 256 columns an instruction, from operands that the copy unit brought to shared memory.
#include "codegen/simt_control.h"
#include "codegen/simt_pipe.h"

static int log2_of(int n) { return __builtin_ctz((unsigned)n); }

// PTX ISA, wgmma: warp i of a group has rows 16 i and up of the 64, and in them what mma.m16n8 has; groups take whole blocks.
void simt_wgmma_layout(const simt_wgmma *w, const tg_type *type, tg_layout *c) {
  if (w->memory) {
    simt_tcgen05_layout(w, type, c);
    return;
  }
  *c = tg_layout_empty(2, type->dim);
  const int m = w->turned, n = !m;
  const int n_bits = w->groups_n == 1 ? c->out[n] : log2_of(w->n_each), m_bits = c->out[m] - log2_of(w->groups_m);
  tg_layout_add(c, TG_REGISTER, n, 0);
  tg_layout_add(c, TG_REGISTER, m, 3);
  for (int i = 3; i < n_bits; i++) tg_layout_add(c, TG_REGISTER, n, i);
  for (int i = 6; i < m_bits; i++) tg_layout_add(c, TG_REGISTER, m, i);
  for (int i = 1; i < 3; i++) tg_layout_add(c, TG_LANE, n, i);
  for (int i = 0; i < 3; i++) tg_layout_add(c, TG_LANE, m, i);
  for (int i = 4; i < 6; i++) tg_layout_add(c, TG_WARP, m, i);
  for (int i = m_bits; i < c->out[m]; i++) tg_layout_add(c, TG_WARP, m, i);
  for (int i = n_bits; i < c->out[n]; i++) tg_layout_add(c, TG_WARP, n, i);
}

int simt_wgmma_share(const simt_wgmma *w, int side) { return side ? w->n_each : 64 * w->blocks; }

// By a shuffle: the compiler then knows it to be the same in all lanes.
tg_value *simt_wgmma_group(simt *s, const simt_wgmma *w, int side) {
  tg_builder *b = &s->prologue;
  const int groups = side ? w->groups_n : w->groups_m, shift = side ? log2_of(w->groups_m) : 0;
  if (groups == 1) return NULL;
  tg_value *group = tg_build2(b, TG_OP_SHR, s->warp_id, simt_int(s, TG_I32, 2 + shift)), *in[] = {group, simt_int(s, TG_I32, 0)};
  tg_attr attrs[] = {TG_ASTR("kind", "idx"), TG_AINT("width", 32)};
  group = tg_build(b, TG_OP_SHFL, 2, in, 2, attrs)->out[0];
  return groups << shift < s->warps / 4 ? tg_build2(b, TG_OP_AND, group, simt_int(s, TG_I32, groups - 1)) : group;
}

// The descriptor of an operand's first block of a group, in the first slot.
static tg_value *descriptor(simt *s, const simt_pipe *pipe, int side, const simt_matrix *m) {
  tg_builder *b = &s->prologue;
  tg_value *at = tg_build2(b, TG_OP_PTRADD, s->slots->base, simt_int(s, TG_I32, pipe->box[side].offset));
  tg_value *group = simt_wgmma_group(s, &pipe->shape, side), *bytes = NULL;
  if (group) bytes = tg_build2(b, TG_OP_MUL, group, simt_int(s, TG_I32, simt_matrix_byte(m, simt_wgmma_share(&pipe->shape, side), 0)));
  if (group) at = tg_build2(b, TG_OP_PTRADD, at, bytes);
  tg_attr attrs[] = {TG_AINT("swizzle", m->swizzle), TG_AINT("lead", m->trans ? m->part_bytes : 16), TG_AINT("stride", 8 * m->swizzle)};
  return tg_build(b, TG_OP_SMEM_DESC, 1, &at, 3, attrs)->out[0];
}

int64_t simt_matrix_byte(const simt_matrix *m, int64_t x, int64_t k) {
  const int64_t row = m->trans ? k : x, along = (m->trans ? x : k) * m->size;
  return along / m->swizzle * m->part_bytes + row * m->swizzle + along % m->swizzle;
}

int *simt_wgmma_order(simt *s, const simt_wgmma *w, const tg_layout *c) {
  const int held = w->n_each / 2;
  int *order = TG_NEWN(s->arena, int, w->blocks *held);
  for (int i = 0, n = tg_layout_registers(c); i < n; i++) {
    int m = simt_register_offset(c, i, w->turned), at = simt_register_offset(c, i, !w->turned);
    order[m / 64 * held + at / 8 * 4 + (m / 8 & 1) * 2 + (at & 1)] = i;
  }
  return order;
}

static void multiply_block(simt *s, const simt_wgmma *w, const simt_matrix m[2], int block, tg_value **sum, bool from_zero) {
  const int held = w->n_each / 2;
  tg_value *in[128 + 4 + 1];
  for (int k = 0; k < w->k; k += w->row->k) {
    int n = 0;
    if (k || !from_zero)
      for (; n < held; n++) in[n] = sum[n];
    if (m[0].words) memcpy(in + n, m[0].words + 4 * ((block * w->k + k) / w->row->k), 4 * sizeof *in);
    else in[n] = m[0].desc;
    n += m[0].words ? 4 : 1;
    in[n++] = m[1].desc;
    tg_attr attrs[] = {TG_ASTR("row", w->row->name),
                       TG_AINT("n", w->n_each),
                       TG_AINT("at_a", m[0].words ? 0 : simt_matrix_byte(&m[0], block * 64, k) >> 4),
                       TG_AINT("at_b", simt_matrix_byte(&m[1], 0, k) >> 4),
                       TG_AINT("trans_a", m[0].trans),
                       TG_AINT("trans_b", m[1].trans)};
    tg_op *op = tg_build(&s->b, TG_OP_WGMMA, n, in, w->row->trans ? 6 : 4, attrs);
    memcpy(sum, op->out, sizeof *sum * (size_t)held);
  }
}

void simt_wgmma_multiply(simt *s, const simt_wgmma *w, const simt_matrix m[2], tg_value **sum, bool from_zero) {
  for (int i = 0; i < w->blocks; i++) multiply_block(s, w, m, i, sum + i * (w->n_each / 2), from_zero);
}

void simt_wgmma_wait(simt *s, int pending, int n, tg_value **sum) {
  tg_op *op = tg_build(&s->b, TG_OP_WGMMA_WAIT, n, sum, 1, &TG_AINT("pending", pending));
  memcpy(sum, op->out, sizeof *sum * (size_t)n);
}

// One of each warp says that the warp has read a slot (in a cluster one for each block): what one warp waits for says nothing of the
// others.
static void release(simt *s, tg_value *barrier) {
  tg_value *in[] = {barrier, s->slots->releases};
  tg_build(&s->b, TG_OP_MBAR_ARRIVE, 2, in, s->cluster > 1, &TG_AINT("remote", 1));
}

void simt_wgmma_dot(simt *s, tg_op *dot) {
  simt_pipe *pipe = simt_pipe_of_dot(s, dot);
  const simt_wgmma *w = &pipe->shape;
  if (w->memory) {
    simt_tcgen05_dot(s, dot);
    return;
  }
  tg_layout c;
  simt_wgmma_layout(w, &dot->out[0]->type, &c);
  const int n = w->blocks * w->n_each / 2, *order = simt_wgmma_order(s, w, &c);
  const bool from_zero = simt_is_zero(dot->in[2]);
  tg_value **sum = TG_NEWN(s->arena, tg_value *, n);
  if (!from_zero) {
    const simt_tile *from = simt_get(s, dot->in[2], &c);
    for (int i = 0; i < n; i++) sum[i] = from->reg[order[i]];
  }
  const simt_slots *slots = s->slots;
  tg_value *in[] = {simt_barrier_at(s, slots->full, slots->slot), slots->parity};
  tg_build(&s->b, TG_OP_MBAR_WAIT, 2, in, 0, NULL);
  tg_value *units = simt_mul(&s->b, slots->slot, simt_int(s, TG_I32, slots->bytes >> 4));
  simt_matrix m[2];
  for (int i = 0; i < 2; i++) {
    const simt_box *box = &pipe->box[i];
    m[i] = (simt_matrix){.part_bytes = (int64_t)box->rows * box->map.swizzle,
                         .swizzle = box->map.swizzle,
                         .size = tg_dtypes[w->row->operands].bits / 8,
                         .trans = box->trans};
    m[i].desc = tg_build2(&s->b, TG_OP_DESC_ADD, descriptor(s, pipe, i, &m[i]), units);
  }
  tg_build(&s->b, TG_OP_WGMMA_BEGIN, 0, NULL, 0, NULL);
  simt_wgmma_multiply(s, w, m, sum, from_zero);
  tg_build(&s->b, TG_OP_WGMMA_COMMIT, 0, NULL, 0, NULL);
  simt_wgmma_wait(s, pipe->flight >= 0 ? 1 : 0, n, sum);
  release(s, pipe->flight >= 0 ? simt_offset(s, slots->released, pipe->before) : simt_barrier_at(s, slots->released, slots->slot));
  simt_tile *t = simt_new_tile(s, &c);
  for (int i = 0; i < n; i++) t->reg[order[i]] = sum[i];
  simt_set(s, dot->out[0], t);
}

// ---- the fold --------------------------------------------------------------------------------------------------------------

static int first_register(const simt_carried *c, const tg_op *loop, int carried) {
  int at = 0;
  for (int i = 0; i < carried; i++) at += loop->out[i]->type.rank ? tg_layout_registers(&c->layout[i]) : 1;
  return at;
}

// The number of trips, i32: a map's coordinates have no more bits.
static tg_value *trips_of(simt *s, const tg_op *op) {
  tg_builder *b = &s->b;
  const int64_t step = tg_attr_int(op, "step", 1);
  const tg_expr *lb = tg_launch_expr(s->arena, op->in[0]), *ub = tg_launch_expr(s->arena, op->in[1]);
  if (lb && ub) {
    const tg_expr *length = tg_e_bin(s->arena, TG_EXPR_SUB, ub, lb);
    return tg_cast_to(&s->prologue, simt_argument(s, tg_e_bin(s->arena, TG_EXPR_CEILDIV, length, tg_e_const(s->arena, step))), TG_I32,
                      NULL);
  }
  tg_value *length = tg_build2(b, TG_OP_SUB, simt_scalar(s, op->in[1]), simt_scalar(s, op->in[0]));
  length = simt_add(b, length, simt_int(s, TG_I64, step - 1));
  return tg_cast_to(b, tg_build2(b, TG_OP_DIV, length, simt_int(s, TG_I64, step)), TG_I32, NULL);
}

// The index that the fold's body knows, and the quotients of it that are the trip's number.
static void begin_trip(simt *s, const tg_op *op, tg_value *number) {
  const tg_region *body = op->regions[0];
  const int64_t step = tg_attr_int(op, "step", 1);
  int64_t first, by;
  tg_value *wide = tg_cast_to(&s->b, number, TG_I64, NULL);
  simt_note_of(s, body->args[0])->scalar = simt_add(&s->b, simt_scalar(s, op->in[0]), simt_mul(&s->b, wide, simt_int(s, TG_I64, step)));
  if (!tg_const_as_int(op->in[0], &first) || first != 0) return;
  for (tg_op *q = body->first; q; q = q->next) {
    if (q->code != TG_OP_DIV || q->in[0] != body->args[0] || !tg_const_as_int(q->in[1], &by) || by != step) continue;
    simt_note_of(s, q->out[0])->scalar = wide;
    simt_note_of(s, q->out[0])->hoisted = true;
  }
}

static void end_trips(const tg_op *op, simt *s) { // others lower the same ops elsewhere
  for (tg_op *q = op->regions[0]->first; q; q = q->next)
    if (q->code == TG_OP_DIV && q->in[0] == op->regions[0]->args[0]) simt_note_of(s, q->out[0])->hoisted = false;
}

static void count_on(simt *s, tg_value **at, tg_value **phase, int n) {
  tg_builder *b = &s->b;
  tg_value *next = simt_add(b, *at, simt_int(s, TG_I32, 1)), *round = tg_build2(b, TG_OP_EQ, next, simt_int(s, TG_I32, n));
  *at = tg_build3(b, TG_OP_SELECT, round, simt_int(s, TG_I32, 0), next);
  *phase = tg_build2(b, TG_OP_XOR, *phase, tg_cast_to(b, round, TG_I32, NULL));
}

void simt_next_slot(simt *s) { count_on(s, &s->slots->slot, &s->slots->parity, s->slots->n); }
void simt_next_buffer(simt *s) { count_on(s, &s->slots->buffer, &s->slots->phase, s->slots->buffers); }

// Slots where copies or products are waited for, parts of tensor memory where sums are.
int simt_counts(simt *s, tg_value **at[4]) {
  simt_slots *slots = s->slots;
  int n = 0;
  if (!slots->buffers || s->producing) at[n++] = &slots->slot, at[n++] = &slots->parity;
  if (slots->buffers && (!s->producing || s->issuing)) at[n++] = &slots->buffer, at[n++] = &slots->phase;
  return n;
}

// What the last trip has left in flight, of the values that the loop hands on, and the slot that it read.
static void land(simt *s, const simt_pipe *pipe, const simt_carried *c, tg_value **out, tg_value *slot) {
  const int at = first_register(c, pipe->loop, pipe->flight);
  simt_wgmma_wait(s, 0, tg_layout_registers(&c->layout[pipe->flight]), out + at);
  release(s, simt_offset(s, s->slots->released, slot));
}

// The fold as those make it who multiply.
static void multiply_all(simt *s, tg_op *op, simt_pipe *pipe) {
  tg_region *body = op->regions[0];
  simt_touches before = simt_order_save(s);
  simt_order_loop(s, op);
  simt_carried c = simt_carried_of(s, op, body->args + 1);
  simt_flat *init = simt_flatten_all(s, op, &c, op->in + 2);
  const int values = init->n;
  if (values + 1 > TG_MAX_RESULTS) simt_fail(s, op, "the carried tiles take too many registers of a thread; choose smaller tiles");
  if (pipe->flight >= 0) init->at[init->n++] = simt_int(s, TG_I32, 8 * s->slots->n); // nobody's
  tg_op *loop = tg_build_for(&s->b, simt_int(s, TG_I32, 0), trips_of(s, op), 1, init->n, init->at);
  tg_builder outer = s->b;
  tg_value *const *args = loop->regions[0]->args + 1;
  s->b.region = loop->regions[0];
  s->b.before = NULL;
  simt_unflatten_all(s, &c, body->args + 1, args);
  if (pipe->flight >= 0) pipe->before = args[values];
  begin_trip(s, op, loop->regions[0]->args[0]);
  s->trip = pipe;
  simt_region(s, body);
  s->trip = NULL;
  tg_value *done = pipe->flight >= 0 ? tg_build2(&s->b, TG_OP_SHL, s->slots->slot, simt_int(s, TG_I32, 3)) : NULL;
  if (pipe->shape.memory) simt_next_buffer(s);
  else simt_next_slot(s);
  simt_flat *f = simt_flatten_all(s, op, &c, body->last->in);
  if (done) f->at[f->n++] = done;
  end_trips(op, s);
  tg_build_yield(&s->b, f->n, f->at);
  s->b = outer;
  tg_value **out = TG_NEWN(s->arena, tg_value *, values + 1);
  memcpy(out, loop->out, sizeof *out * (size_t)values);
  if (pipe->flight >= 0) land(s, pipe, &c, out, loop->out[values]);
  simt_unflatten_all(s, &c, op->out, out);
  simt_order_merge(s, before);
  simt_order_loop(s, op);
}

bool simt_pipe_for(simt *s, tg_op *op) {
  simt_pipe *pipe = simt_pipe_of_loop(s, op);
  if (!pipe) return false;
  if (s->issuing) simt_issue(s, pipe);
  else if (s->producing) simt_produce(s, pipe);
  else if (pipe->shape.memory && pipe->flight >= 0) simt_tcgen05_fold(s, op, pipe);
  else multiply_all(s, op, pipe);
  return true;
}
