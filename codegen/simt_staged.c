// Products of warp groups whose operands threads have put into shared memory: their asynchronous copies, or stores of what they computed.
// Such a tile lies there as the matrix unit wants it (simt_stage.c), and may serve several products, read along its rows by one and along
// its columns by another. The unit goes through another proxy than the threads: a fence stands between what they wrote and the barrier that
// tells the others.
#include "codegen/simt_pipe.h"
#include "codegen/simt_stage.h"

// Which of a dot's operands is the instruction's left (side 0) or right one, and where its axes are.
static int index_of(const simt_wgmma *w, int side) { return w->turned ? 1 - side : side; }
static int k_axis_of(int index) { return index == 0; }

// ---- which products --------------------------------------------------------------------------------------------------------

const simt_wgmma *simt_groups_of_dot(simt *s, const tg_op *dot) {
  const simt_pipe *pipe = simt_pipe_of_dot(s, dot);
  return pipe ? &pipe->shape : simt_note_of(s, dot->out[0])->groups;
}

// What of an operand lies in shared memory: what is brought or kept there for several, or what the product stores for itself.
static const tg_value *source_of(simt *s, const tg_value *operand) {
  const tg_value *staged = simt_staged(s, operand);
  return simt_note_of(s, staged)->ahead ? staged : simt_renamed(operand);
}

// Whether memory's rows run along k; false where the operand's axes are not the memory's rows and what lies side by side.
static bool find_direction(const tg_value *operand, const tg_value *source, int k_axis, bool *trans) {
  tg_layout l = tg_layout_empty(2, operand->type.dim), at, own = tg_layout_empty(source->type.rank, source->type.dim);
  for (int axis = 1; axis >= 0; axis--)
    for (int b = 0; b < l.out[axis]; b++) tg_layout_add(&l, TG_REGISTER, axis, b);
  if (!simt_follow(operand, source, &l, &at, NULL)) return false;
  const int columns = own.out[own.rank - 1];
  for (int i = 0; i < own.rank - 1; i++)
    if (own.odd[i] > 1) return false;
  for (int along = 0; along < 2; along++) { // the operand's axis that would lie side by side
    bool good = l.out[along] == columns && l.odd[along] == own.odd[own.rank - 1] && l.odd[!along] == 1;
    for (int b = 0; b < l.out[0] + l.out[1]; b++) {
      const int axis = b >= l.out[1] ? 0 : 1, bit = axis ? b : b - l.out[1];
      good &= at.map.col[b] == 1u << (axis == along ? bit : columns + bit);
    }
    if (!good) continue;
    *trans = along != k_axis;
    return true;
  }
  return false;
}

static bool operand_fits(simt *s, const tg_op *dot, const simt_wgmma *w, int side) {
  const int index = index_of(w, side);
  const tg_value *operand = dot->in[index], *source = source_of(s, operand);
  bool trans;
  if (!source->def || source->type.dtype != operand->type.dtype || simt_is_lazy(source)) return false;
  if (simt_is_load(source->def) && !simt_note_of(s, source)->ahead) return false;
  const int swizzle = simt_group_swizzle(source->type);
  if (!swizzle || !find_direction(operand, source, k_axis_of(index), &trans)) return false;
  const int size = tg_dtypes[source->type.dtype].bits / 8;
  return !trans || (w->row->trans && simt_wgmma_share(w, side) * size % swizzle == 0);
}

static bool fits(simt *s, const tg_op *dot, simt_wgmma *w) {
  enum { OTHERS = 56, MOST_REGISTERS = 255 };
  if (!s->machine->warpgroup_mma || s->lean || dot->code != TG_OP_DOT || simt_pipe_of_dot(s, dot)) return false;
  if (!simt_dot_row(s->machine, dot) || tg_dtypes[dot->in[0]->type.dtype].bits != 16) return false;
  if (!simt_wgmma_shape(dot, s->warps, simt_dot_is_turned(s, dot), w)) return false;
  if (w->blocks * w->n_each / 2 + OTHERS > simt_most_registers(s->machine, MOST_REGISTERS)) return false;
  return operand_fits(s, dot, w, 0) && operand_fits(s, dot, w, 1);
}

void simt_choose_staged(tg_op *op, void *user) {
  simt *s = user;
  simt_wgmma w;
  if (op->code != TG_OP_DOT || simt_note_of(s, op->out[0])->apart || !fits(s, op, &w)) return;
  simt_wgmma *kept = TG_NEW(s->arena, simt_wgmma);
  *kept = w;
  simt_note_of(s, op->out[0])->groups = kept;
  s->grouped = true;
}

typedef struct checking {
  simt *s;
  bool good;
} checking;

static void check(tg_op *op, void *user) {
  checking *c = user;
  simt_note *note = op->code == TG_OP_DOT ? simt_note_of(c->s, op->out[0]) : NULL;
  for (int i = 0; note && note->groups && i < 2; i++) {
    const simt_note *source = simt_note_of(c->s, source_of(c->s, op->in[i]));
    if (!source->ahead || source->kept || source->stage) continue;
    note->apart = true; // there was no room for it, or somebody else could not read it
    c->good = false;
  }
}

bool simt_staged_have_all(simt *s, tg_launch *launch) {
  checking c = {s, true};
  tg_walk(launch->body, check, &c);
  return c.good;
}

tg_layout simt_group_copies(simt *s, tg_type type) {
  tg_layout l = tg_layout_empty(type.rank, type.dim);
  const int size = tg_dtypes[type.dtype].bits / 8, columns = l.out[l.rank - 1], line = __builtin_ctz((unsigned)(128 / size));
  int at[2] = {0}, end[2] = {columns, l.map.nout}, unit = __builtin_ctz((unsigned)(SIMT_UNIT / size));
  at[1] = columns;
  for (int b = 0; b < unit && at[0] < columns; b++) tg_layout_add_image(&l, TG_REGISTER, 1u << at[0]++);
  for (int b = 0, all = s->lane_bits + s->warp_bits; b < all; b++) {
    const tg_holder holder = b < s->lane_bits ? TG_LANE : TG_WARP;
    const int along = at[0] < columns && (at[0] < line || at[1] == end[1]) ? 0 : 1;
    tg_layout_add_image(&l, holder, at[along] < end[along] ? 1u << at[along]++ : 0);
  }
  for (int along = 0; along < 2; along++)
    while (at[along] < end[along]) tg_layout_add_image(&l, TG_REGISTER, 1u << at[along]++);
  return l;
}

// ---- code ------------------------------------------------------------------------------------------------------------------

// Stores an operand that nobody else reads; `where` is to be closed once it has been read.
static const simt_stage *store_own(simt *s, const tg_value *source, simt_span *where) {
  tg_layout have = simt_plan_of(s, source);
  have = tg_layout_compact(&have);
  const simt_tile *tile = simt_get(s, source, &have);
  simt_stage *g = simt_make_stage(s, source, source->type.dtype, &have);
  simt_place_for_groups(g);
  *where = simt_open_span(s, g->bytes);
  g->base = where->base;
  s->shared_top = where->from + where->bytes; // until the product is there
  simt_store_stage(s, g, tile, 0);
  simt_publish(s, true);
  return g;
}

// PTX ISA, "Register Fragments for wgmma.mma_async.m64nNk16": those of mma.m16n8k16, warp i of a group 16 rows from 16 i on.
static tg_layout fragments_of(simt *s, const simt_wgmma *w, const tg_op *dot) {
  const int index = index_of(w, 0), k = k_axis_of(index), m = 1 - k;
  tg_layout l = tg_layout_empty(2, dot->in[index]->type.dim);
  const int m_bits = l.out[m] - __builtin_ctz((unsigned)w->groups_m);
  tg_layout_add(&l, TG_REGISTER, k, 0);
  tg_layout_add(&l, TG_REGISTER, m, 3);
  for (int i = 3; i < l.out[k]; i++) tg_layout_add(&l, TG_REGISTER, k, i);
  for (int i = 6; i < m_bits; i++) tg_layout_add(&l, TG_REGISTER, m, i);
  for (int i = 1; i < 3; i++) tg_layout_add(&l, TG_LANE, k, i);
  for (int i = 0; i < 3; i++) tg_layout_add(&l, TG_LANE, m, i);
  for (int i = 4; i < 6; i++) tg_layout_add(&l, TG_WARP, m, i);
  for (int i = m_bits; i < l.out[m]; i++) tg_layout_add(&l, TG_WARP, m, i);
  while (l.in[TG_WARP] < s->warp_bits) tg_layout_add(&l, TG_WARP, -1, 0); // groups that share out columns hold the same rows
  return l;
}

// The left operand where it has been computed as the instruction's fragments: in the words of each block and step. False: it lies
// otherwise.
static bool take_fragments(simt *s, const simt_wgmma *w, const tg_op *dot, simt_matrix *out) {
  const int index = index_of(w, 0), k_axis = k_axis_of(index), steps = w->k / w->row->k;
  const tg_value *operand = dot->in[index], *held = simt_renamed(operand);
  tg_layout want = fragments_of(s, w, dot), have = simt_plan_of(s, held), as_operand;
  have = tg_layout_compact(&have);
  if (!simt_result_layout(operand, held, &have, &as_operand) || !simt_is_free(s, &as_operand, &want)) return false;
  const simt_tile *tile = simt_get(s, operand, &want);
  out->words = TG_NEWN(s->arena, tg_value *, 4 * w->blocks * steps);
  for (int i = 0, n = tg_layout_registers(&want); i < n; i += 2) { // pairs along k
    const int m = simt_register_offset(&want, i, 1 - k_axis), k = simt_register_offset(&want, i, k_axis);
    tg_value *pair = simt_pack(s, &tile->reg[i], 2);
    pair = tg_build(&s->b, TG_OP_REGROUP, 1, &pair, 1, &TG_ATYPE("type", tg_scalar_type(TG_I32)))->out[0];
    out->words[4 * (m / 64 * steps + k / w->row->k) + (k / 8 & 1) * 2 + (m / 8 & 1)] = pair;
  }
  return true;
}

static simt_matrix matrix_of(simt *s, const tg_op *dot, const simt_wgmma *w, int side, simt_span *own) {
  const int index = index_of(w, side);
  const tg_value *operand = dot->in[index], *source = source_of(s, operand);
  const simt_stage *g = simt_note_of(s, source)->stage;
  simt_matrix m = {0};
  if (!g && side == 0 && take_fragments(s, w, dot, &m)) return m;
  if (!g) g = store_own(s, simt_renamed(operand), own);
  m.swizzle = g->swizzle, m.size = tg_dtypes[g->type.dtype].bits / 8;
  if (!g->swizzle || !find_direction(operand, g->value, k_axis_of(index), &m.trans))
    tg_throw(s->ctx, TG_FAILED, "simt: an operand of warp groups lies otherwise");
  m.part_bytes = (int64_t)g->swizzle << (g->tile.map.nout - g->tile.out[g->tile.rank - 1]);
  tg_value *at = g->base, *group = simt_wgmma_group(s, w, side);
  if (group) {
    const int64_t bytes = simt_matrix_byte(&m, simt_wgmma_share(w, side), 0);
    at = simt_offset(s, at, simt_mul(&s->prologue, group, simt_int(s, TG_I32, bytes)));
  }
  tg_attr attrs[] = {TG_AINT("swizzle", m.swizzle), TG_AINT("lead", m.trans ? m.part_bytes : 16), TG_AINT("stride", 8 * m.swizzle)};
  m.desc = tg_build(&s->b, TG_OP_SMEM_DESC, 1, &at, 3, attrs)->out[0];
  return m;
}

static bool same_shape(const simt_wgmma *v, const simt_wgmma *w) {
  return v->row == w->row && v->groups_m == w->groups_m && v->groups_n == w->groups_n && v->blocks == w->blocks && v->n_each == w->n_each &&
         v->turned == w->turned;
}

// Whether an operand lies in shared memory before the region at work, or the trip, begins.
static bool waits_there(simt *s, const tg_op *dot, int index) {
  const tg_value *source = source_of(s, dot->in[index]);
  const simt_note *note = simt_note_of(s, source);
  return note->stage && (note->in_ring || source->def->parent != dot->parent);
}

// Whether no code is made of an op, or none that minds a product in flight.
static bool is_silent(simt *s, const tg_op *op) {
  switch (op->code) {
  case TG_OP_CONST:
  case TG_OP_EXPR:
  case TG_OP_SCALAR:
  case TG_OP_PARAM:
  case TG_OP_RANGE:
  case TG_OP_VIEW: return true;
  default: return op->nout == 1 && (simt_is_lazy(op->out[0]) || simt_note_of(s, op->out[0])->in_ring);
  }
}

// The product that alone adds to a product's sums, at once: they stay in flight until it is done. NULL: none.
static const tg_op *continued_by(simt *s, const tg_op *dot) {
  const simt_note *note = simt_note_of(s, dot->out[0]);
  const tg_op *next = note->uses == 1 && note->users->operand == 2 ? note->users->op : NULL;
  const simt_wgmma *w = next && next->code == TG_OP_DOT && next->parent == dot->parent ? simt_note_of(s, next->out[0])->groups : NULL;
  if (!w || !same_shape(w, note->groups) || !waits_there(s, next, 0) || !waits_there(s, next, 1)) return NULL;
  for (const tg_op *op = dot->next; op != next; op = op->next)
    if (!is_silent(s, op)) return NULL;
  return next;
}

void simt_staged_dot(simt *s, tg_op *dot) {
  const simt_wgmma *w = simt_note_of(s, dot->out[0])->groups;
  const int64_t top = s->shared_top;
  const bool from_zero = simt_is_zero(dot->in[2]);
  tg_layout c;
  simt_wgmma_layout(w, &dot->out[0]->type, &c);
  const int n = w->blocks * w->n_each / 2, *order = simt_wgmma_order(s, w, &c);
  tg_value **sum = TG_NEWN(s->arena, tg_value *, n);
  const simt_tile *from = from_zero ? NULL : simt_get(s, dot->in[2], &c);
  for (int i = 0; from && i < n; i++) sum[i] = from->reg[order[i]];
  simt_span own[2] = {{0}};
  const simt_matrix m[] = {matrix_of(s, dot, w, 0, &own[0]), matrix_of(s, dot, w, 1, &own[1])};
  tg_build(&s->b, TG_OP_WGMMA_BEGIN, 0, NULL, 0, NULL);
  simt_wgmma_multiply(s, w, m, sum, from_zero);
  if (!continued_by(s, dot)) {
    tg_build(&s->b, TG_OP_WGMMA_COMMIT, 0, NULL, 0, NULL);
    simt_wgmma_wait(s, 0, n, sum);
  }
  s->shared_top = top;
  for (int i = 0; i < 2; i++) simt_close_span(s, &own[i]);
  simt_tile *t = simt_new_tile(s, &c);
  for (int i = 0; i < n; i++) t->reg[order[i]] = sum[i];
  simt_set(s, dot->out[0], t);
}
