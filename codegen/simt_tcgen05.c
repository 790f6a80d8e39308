// Products into tensor memory: 128 rows by up to 256 columns an instruction, which one thread issues, from operands that the copy unit
// brought to shared memory. A plain sum of 16-bit operands stays there all through its fold; any other is one trip's alone, read by the
// warps that compute while the next is made in another part. PTX ISA, tcgen05.
#include "codegen/simt_control.h"
#include "codegen/simt_pipe.h"

static int log2_of(int n) { return __builtin_ctz((unsigned)n); }
static tg_value *int32(simt *s, int64_t x) { return simt_int(s, TG_I32, x); }

// ---- which products, in which shape

static const tg_op *fold_of(const tg_op *dot) {
  const tg_op *loop = dot->parent->owner;
  return loop && loop->code == TG_OP_FOR ? loop : NULL;
}

static bool is_pure(const tg_op *op) {
  return op->code == TG_OP_DOT || op->code == TG_OP_YIELD || (tg_op_rows()[op->code].traits & TG_PURE) ||
         (op->code == TG_OP_LOAD && op->nregions == 0);
}

// Nothing else is carried, and nothing happens beside it: those who read the sum in the end need not turn the loop. Sums of eight-bit
// operands are added in f32 outside, every block of k, as elsewhere.
bool simt_tcgen05_stays(const tg_op *dot) {
  const tg_op *loop = fold_of(dot);
  if (!loop || dot->code != TG_OP_DOT || loop->nout != 1 || tg_dtypes[dot->in[0]->type.dtype].bits != 16) return false;
  const tg_region *body = loop->regions[0];
  if (dot->in[2] != body->args[1] || body->last->in[0] != dot->out[0]) return false;
  for (const tg_op *op = body->first; op; op = op->next) {
    if (!is_pure(op)) return false;
    for (int i = 0; i < op->nin; i++) // nobody looks at what it was before
      if ((op->in[i] == dot->in[2] && op != dot) || (op->in[i] == dot->out[0] && op != body->last)) return false;
  }
  return true;
}

// Registers of a thread that computes: an equal share of the multiprocessor's, beside the group that brings and issues. (With more by
// setmaxnreg ptxas keeps what both need out of the others' few registers, and those that tcgen05.ld fills begin low: it spills.)
static int most_registers(const tg_machine *machine, int warps) {
  enum { MOST = 255, STEP = 8 };
  const int each = (int)machine->registers_sm / (32 * (warps + 4)) / STEP * STEP;
  return each > 0 && each < MOST ? each : MOST;
}

static bool shape_of(const tg_op *dot, int warps, simt_wgmma *w) {
  const tg_type *a = &dot->in[0]->type, *b = &dot->in[1]->type, *c = &dot->out[0]->type;
  if (c->rank != 2 || a->dtype != b->dtype || c->dtype != TG_F32 || warps < 4 || warps % 4) return false;
  const tg_tcgen05_row *row = tg_tcgen05_of(a->dtype);
  const int m = c->dim[0], n = c->dim[1], groups = warps / 4;
  if (!row || m % TG_TCGEN05_ROWS || n % TG_TCGEN05_STEP || n > TG_TCGEN05_MOST || a->dim[1] % row->k) return false;
  *w = (simt_wgmma){.memory = row, .k = a->dim[1], .groups_m = groups};
  const int blocks = m / TG_TCGEN05_ROWS;
  while (w->groups_m > 1 && (blocks % w->groups_m || (blocks & (blocks - 1)))) w->groups_m /= 2; // neighbouring blocks for each
  w->groups_n = groups / w->groups_m;
  w->blocks = blocks / w->groups_m;
  w->n_each = n / w->groups_n;
  return true;
}

bool simt_tcgen05_shape(const tg_machine *machine, const tg_op *dot, int warps, simt_wgmma *w) {
  if (!shape_of(dot, warps, w) || w->blocks * w->groups_m * dot->out[0]->type.dim[1] > machine->tensor_memory) return false;
  enum { OTHERS = 32 }; // addresses, scales and counters
  // What it is added to is held beside it.
  return w->blocks * w->n_each * (simt_tcgen05_stays(dot) ? 1 : 2) + OTHERS <= most_registers(machine, warps);
}

typedef struct largest {
  const tg_machine *machine;
  int warps;
} largest;

static void find_largest(tg_op *op, void *user) {
  largest *l = user;
  if ((op->code != TG_OP_DOT && op->code != TG_OP_DOT_SCALED) || op->out[0]->type.rank != 2 || !op->parent->owner) return;
  simt_wgmma w;
  enum { ALONE = 64 }; // columns that four warps are left with: the last variant, whose fragments they hold, takes more registers
  for (int warps = 4; warps <= 8; warps *= 2) {
    if (!simt_tcgen05_shape(l->machine, op, warps, &w) || (warps == 4 && w.blocks * w.n_each > ALONE)) continue;
    if (warps > l->warps) l->warps = warps;
    return;
  }
}

int simt_tcgen05_warps(const tg_machine *machine, const tg_kernel *tile) {
  largest l = {.machine = machine};
  for (int i = 0; i < tile->nlaunches; i++) tg_walk(tile->launches[i]->body, find_largest, &l);
  return l.warps;
}

// Two parts where the sums of one are read while others are made.
void simt_tcgen05_buffers(simt *s, const simt_pipe *pipe) {
  simt_slots *slots = s->slots;
  const int columns = pipe->shape.blocks * pipe->shape.groups_m * pipe->dot->out[0]->type.dim[1];
  bool again = pipe->flight < 0 || s->persistent;
  for (const tg_op *outer = pipe->loop->parent->owner; outer; outer = outer->parent->owner) again |= outer->code != TG_OP_IF;
  if (s->pipes) again = true; // another pipe's sums may come before
  if (columns > slots->columns) slots->columns = columns;
  if (again || !slots->buffers) slots->buffers = again ? 2 : 1;
  if (slots->buffers * slots->columns > s->machine->tensor_memory) slots->buffers = 1;
}

// ---- barriers and columns

enum { LEAST = 32 }; // columns

int simt_tcgen05_columns(const simt_slots *slots) {
  int n = LEAST;
  while (n < slots->buffers * slots->columns) n *= 2;
  return n;
}

void simt_tcgen05_barriers(simt *s, tg_builder *init, tg_value *at) {
  simt_slots *slots = s->slots;
  tg_builder *b = &s->prologue;
  slots->ready = at;
  slots->read = tg_build2(b, TG_OP_PTRADD, at, int32(s, 8 * slots->buffers));
  slots->memory = tg_build2(b, TG_OP_PTRADD, at, int32(s, SIMT_TCGEN05_BYTES - 8)); // where its address will be
  for (int i = 0; i < 2 * slots->buffers; i++) {
    tg_value *bar = tg_build2(init, TG_OP_PTRADD, at, int32(s, 8 * i));
    tg_build(init, TG_OP_MBAR_INIT, 1, &bar, 1, &TG_AINT("count", i < slots->buffers ? 1 : s->warps));
  }
}

static void fence(simt *s, int after) { tg_build(&s->b, TG_OP_TMEM_FENCE, 0, NULL, 1, &TG_AINT("after", after)); }

// An op of the first warp alone.
static void by_first_warp(simt *s, int code, tg_value *in) {
  tg_value *first = tg_build2(&s->prologue, TG_OP_EQ, s->warp_id, int32(s, 0));
  tg_op *branch = tg_build_typed(&s->b, TG_OP_IF, 1, &first, 0, NULL, 0, NULL);
  tg_builder then = s->b, otherwise = s->b;
  then.before = otherwise.before = NULL;
  then.region = tg_add_region(&s->b, branch, 0, 0, NULL), otherwise.region = tg_add_region(&s->b, branch, 1, 0, NULL);
  tg_build(&then, code, 1, &in, 1, &TG_AINT("columns", simt_tcgen05_columns(s->slots)));
  tg_build_yield(&then, 0, NULL);
  tg_build_yield(&otherwise, 0, NULL);
}

void simt_tcgen05_allocate(simt *s) {
  by_first_warp(s, TG_OP_TMEM_ALLOC, s->slots->memory);
  fence(s, 0);
}

void simt_tcgen05_open(simt *s) {
  tg_attr attrs[] = {TG_ATYPE("type", tg_scalar_type(TG_I32)), TG_AINT("align", 4)};
  fence(s, 1);
  s->slots->memory = tg_build(&s->b, TG_OP_LLOAD, 1, &s->slots->memory, 2, attrs)->out[0];
}

void simt_tcgen05_close(simt *s) {
  simt_barrier(s);
  fence(s, 1);
  by_first_warp(s, TG_OP_TMEM_FREE, s->slots->memory);
}

static void wait_for(simt *s, tg_value *barriers, tg_value *number, tg_value *phase) {
  tg_value *in[] = {simt_barrier_at(s, barriers, number), phase};
  tg_build(&s->b, TG_OP_MBAR_WAIT, 2, in, 0, NULL);
}

// ---- those who read: warp i of a group has the lanes 32 i and up, a thread all columns of its row that are its group's

void simt_tcgen05_layout(const simt_wgmma *w, const tg_type *type, tg_layout *c) {
  *c = tg_layout_empty(2, type->dim);
  const int run = c->out[1] - log2_of(w->groups_n), m_bits = c->out[0] - log2_of(w->groups_m);
  for (int i = 0; i < run; i++) tg_layout_add(c, TG_REGISTER, 1, i);
  for (int i = 7; i < m_bits; i++) tg_layout_add(c, TG_REGISTER, 0, i);
  for (int i = 0; i < 5; i++) tg_layout_add(c, TG_LANE, 0, i);
  for (int i = 5; i < 7; i++) tg_layout_add(c, TG_WARP, 0, i);
  for (int i = m_bits; i < c->out[0]; i++) tg_layout_add(c, TG_WARP, 0, i);
  for (int i = run; i < c->out[1]; i++) tg_layout_add(c, TG_WARP, 1, i);
}

// The warp's lanes, and its group's first column. By a shuffle: the compiler then knows it to be the same in all lanes.
static tg_value *own_part(simt *s, const simt_wgmma *w, const tg_layout *c, int n) {
  tg_builder *b = &s->prologue;
  tg_value *in[] = {s->warp_id, int32(s, 0)};
  tg_attr attrs[] = {TG_ASTR("kind", "idx"), TG_AINT("width", 32)};
  tg_value *warp = tg_build(b, TG_OP_SHFL, 2, in, 2, attrs)->out[0];
  tg_value *at = tg_build2(b, TG_OP_SHL, tg_build2(b, TG_OP_AND, warp, int32(s, 3)), int32(s, 16 + 5));
  const int m_shift = log2_of(w->groups_m), n_shift = log2_of(w->groups_n);
  if (m_shift) {
    tg_value *group = tg_build2(b, TG_OP_AND, tg_build2(b, TG_OP_SHR, warp, int32(s, 2)), int32(s, w->groups_m - 1));
    at = simt_add(b, at, simt_mul(b, group, int32(s, w->blocks * n)));
  }
  if (n_shift) {
    tg_value *group = tg_build2(b, TG_OP_AND, tg_build2(b, TG_OP_SHR, warp, int32(s, 2 + m_shift)), int32(s, w->groups_n - 1));
    at = simt_add(b, at, tg_build2(b, TG_OP_SHL, group, int32(s, c->out[1] - n_shift)));
  }
  return at;
}

// What is in the part of tensor memory whose turn it is, once it is ready; then the part is free.
static simt_tile *take(simt *s, const simt_pipe *pipe) {
  const simt_wgmma *w = &pipe->shape;
  const simt_slots *slots = s->slots;
  const int n = pipe->dot->out[0]->type.dim[1];
  tg_layout c;
  simt_tcgen05_layout(w, &pipe->dot->out[0]->type, &c);
  const int run = 1 << (c.out[1] - log2_of(w->groups_n));
  simt_tile *t = simt_new_tile(s, &c);
  wait_for(s, slots->ready, slots->buffer, slots->phase);
  fence(s, 1);
  tg_value *base = simt_add(&s->b, slots->memory, simt_mul(&s->b, slots->buffer, int32(s, slots->columns)));
  base = simt_add(&s->b, base, own_part(s, w, &c, n));
  for (int i = 0, all = tg_layout_registers(&c); i < all; i += run) {
    const int m = simt_register_offset(&c, i, 0), at = simt_register_offset(&c, i, 1);
    tg_value *from = simt_add(&s->b, base, int32(s, m / TG_TCGEN05_ROWS * n + at));
    tg_op *load = tg_build(&s->b, TG_OP_TMEM_LOAD, 1, &from, 1, &TG_AINT("n", run));
    memcpy(&t->reg[i], load->out, sizeof *load->out * (size_t)run);
  }
  fence(s, 0);
  tg_value *in[] = {simt_barrier_at(s, slots->read, slots->buffer), tg_build2(&s->prologue, TG_OP_EQ, s->lane_id, int32(s, 0))};
  tg_build(&s->b, TG_OP_MBAR_ARRIVE, 2, in, 0, NULL);
  return t;
}

static void add_to(simt *s, simt_tile *t, const tg_value *other) {
  if (simt_is_zero(other)) return;
  const simt_tile *from = simt_get(s, other, &t->layout);
  for (int i = 0, n = tg_layout_registers(&t->layout); i < n; i++) t->reg[i] = tg_build2(&s->b, TG_OP_ADD, t->reg[i], from->reg[i]);
}

void simt_tcgen05_dot(simt *s, tg_op *dot) {
  simt_tile *t = take(s, simt_pipe_of_dot(s, dot));
  add_to(s, t, dot->in[2]);
  simt_set(s, dot->out[0], t);
}

// Whether the fold is sure to turn: it goes over all of an extent, which a tensor map wants to be 1 at least.
static bool turns(const tg_op *loop, const simt_pipe *pipe, tg_arena *arena) {
  int64_t first;
  const tg_expr *end = tg_launch_expr(arena, loop->in[1]);
  return tg_const_as_int(loop->in[0], &first) && first == 0 && end && tg_e_equal(end, pipe->box[0].map.dims[0]);
}

void simt_tcgen05_fold(simt *s, tg_op *loop, simt_pipe *pipe) {
  simt_tile *t = take(s, pipe);
  simt_next_buffer(s);
  if (!turns(loop, pipe, s->arena)) {
    tg_value *some = tg_build2(&s->b, TG_OP_LT, simt_scalar(s, loop->in[0]), simt_scalar(s, loop->in[1]));
    tg_value *zero = tg_const_float(&s->prologue, tg_scalar_type(TG_F32), 0);
    for (int i = 0, n = tg_layout_registers(&t->layout); i < n; i++) t->reg[i] = tg_build3(&s->b, TG_OP_SELECT, some, t->reg[i], zero);
  }
  add_to(s, t, loop->in[2]);
  simt_set(s, loop->out[0], t);
}

// ---- the thread that issues products

static tg_value *descriptor(simt *s, const simt_box *box) {
  tg_value *at = tg_build2(&s->prologue, TG_OP_PTRADD, s->slots->base, int32(s, box->offset));
  tg_attr attrs[] = {TG_AINT("swizzle", box->map.swizzle), TG_AINT("lead", 16), TG_AINT("stride", 8 * box->map.swizzle),
                     TG_AINT("version", 1)};
  return tg_build(&s->prologue, TG_OP_SMEM_DESC, 1, &at, 4, attrs)->out[0];
}

static void multiply(simt *s, const simt_pipe *pipe, tg_value *sums, const simt_matrix m[2], tg_value *add) {
  const simt_wgmma *w = &pipe->shape;
  const int n = pipe->dot->out[0]->type.dim[1];
  tg_value *again = tg_const_int(&s->prologue, tg_scalar_type(TG_I1), 1);
  for (int block = 0; block < w->blocks * w->groups_m; block++)
    for (int k = 0; k < w->k; k += w->memory->k) {
      tg_value *in[4] = {simt_add(&s->b, sums, int32(s, block * n))};
      for (int i = 0; i < 2; i++) {
        const int64_t byte = simt_matrix_byte(&m[i], i ? 0 : block * TG_TCGEN05_ROWS, k);
        in[1 + i] = tg_build2(&s->b, TG_OP_DESC_ADD, m[i].desc, int32(s, byte >> 4));
      }
      in[3] = k ? again : add;
      tg_attr attrs[] = {TG_ASTR("row", w->memory->name), TG_AINT("n", n)};
      tg_build(&s->b, TG_OP_TMEM_MMA, 4, in, 2, attrs);
    }
}

static void commit(simt *s, tg_value *barriers, tg_value *number) {
  tg_value *bar = simt_barrier_at(s, barriers, number);
  tg_build(&s->b, TG_OP_TMEM_COMMIT, 1, &bar, 0, NULL);
}

static void issue_trip(simt *s, simt_pipe *pipe, tg_value *index) {
  const simt_slots *slots = s->slots;
  const bool stays = pipe->flight >= 0;
  if (!stays) wait_for(s, slots->read, slots->buffer, slots->phase);
  wait_for(s, slots->full, slots->slot, slots->parity);
  fence(s, 1);
  tg_value *units = simt_mul(&s->b, slots->slot, int32(s, slots->bytes >> 4));
  simt_matrix m[2];
  for (int i = 0; i < 2; i++) {
    const simt_box *box = &pipe->box[i];
    m[i] = (simt_matrix){.desc = tg_build2(&s->b, TG_OP_DESC_ADD, descriptor(s, box), units),
                         .part_bytes = (int64_t)box->rows * box->map.swizzle,
                         .swizzle = box->map.swizzle,
                         .size = tg_dtypes[pipe->shape.memory->operands].bits / 8};
  }
  tg_value *add =
      stays ? tg_build2(&s->b, TG_OP_NE, index, simt_scalar(s, pipe->loop->in[0])) : tg_const_int(&s->prologue, tg_scalar_type(TG_I1), 0);
  tg_value *sums = simt_add(&s->b, slots->memory, simt_mul(&s->b, slots->buffer, int32(s, slots->columns)));
  multiply(s, pipe, sums, m, add);
  commit(s, slots->empty, slots->slot);
  simt_next_slot(s);
  if (stays) return;
  commit(s, slots->ready, slots->buffer);
  simt_next_buffer(s);
}

void simt_issue(simt *s, simt_pipe *pipe) {
  const simt_slots *slots = s->slots;
  const bool stays = pipe->flight >= 0;
  if (stays) wait_for(s, slots->read, slots->buffer, slots->phase);
  simt_turn(s, pipe, issue_trip);
  if (!stays) return;
  commit(s, slots->ready, slots->buffer);
  simt_next_buffer(s);
}
