// Accesses of a block to one tensor take effect in program order, tile by tile, though other threads may make the later one: a barrier goes
// before an access that may touch what an earlier one touched, unless each thread meets only its own elements.
#include "codegen/simt.h"

typedef struct simt_touch {
  const tg_op *op;
  const tg_op *loop; // it was made in an earlier trip of this loop; NULL: before, in this trip
  bool alone;        // no element in two threads
  tg_layout layout;
} simt_touch;

static bool is_access(const tg_op *op) {
  switch (op->code) {
  case TG_OP_LOAD:
  case TG_OP_GATHER:
  case TG_OP_STORE:
  case TG_OP_SCATTER:
  case TG_OP_ATOMIC: return true;
  default: return false;
  }
}

static bool writes(const tg_op *op) { return op->code != TG_OP_LOAD && op->code != TG_OP_GATHER; }

static const char *tensor_of(simt *s, const tg_op *op) {
  const tg_value *v = op->in[0];
  while (v->def && v->def->code == TG_OP_VIEW) v = v->def->in[0];
  (void)s;
  return v->def && v->def->code == TG_OP_PARAM ? tg_attr_str(v->def, "name", "") : "";
}

static bool is_input(simt *s, const char *name) {
  const tg_param *p = tg_find_param(s->tile, name);
  return p && p->kind == TG_INPUT;
}

static void remember(simt *s, simt_touch touch) {
  s->touches = tg_arena_grow(s->arena, s->touches, (size_t)s->ntouches, sizeof *s->touches);
  s->touches[s->ntouches++] = touch;
}

// Both at the same indices of the same view.
static bool same_place(simt *s, const tg_op *a, const tg_op *b) {
  if (a->in[0] != b->in[0]) return false;
  for (int i = 1; i <= a->in[0]->type.rank; i++)
    if (a->in[i] != b->in[i] && !simt_same(s, a->in[i], b->in[i])) return false;
  return true;
}

// The loop's index itself, or ranges that begin there and reach no further than its step.
static bool follows(const tg_value *index, const tg_op *loop) {
  const tg_value *i = loop->regions[0]->args[0];
  const tg_op *def = index->def;
  if (index == i) return true;
  if (!def) return false;
  if (def->code == TG_OP_FIRST) return follows(def->in[0], loop);
  return def->code == TG_OP_RANGE && def->in[0] == i && tg_attr_int(def, "len", 0) <= tg_attr_int(loop, "step", 1);
}

// No two trips touch one element.
static bool trips_apart(const tg_op *a, const tg_op *b, const tg_op *loop) {
  if (loop->code != TG_OP_FOR || a->in[0] != b->in[0]) return false;
  for (int i = 1; i <= a->in[0]->type.rank; i++)
    if (follows(a->in[i], loop) && follows(b->in[i], loop)) return true;
  return false;
}

static bool conflicts(simt *s, const simt_touch *t, const tg_op *op, const tg_layout *layout, bool alone) {
  if (!writes(t->op) && !writes(op)) return false;
  if (strcmp(tensor_of(s, t->op), tensor_of(s, op))) return false;
  if (t->loop) return !trips_apart(t->op, op, t->loop);
  return !(t->alone && alone && same_place(s, t->op, op) && tg_layout_equal(&t->layout, layout));
}

void simt_barrier(simt *s) {
  tg_attr attrs[] = {TG_AINT("id", 1), TG_AINT("threads", s->consumers)}; // threads that bring operands have gone their own way
  tg_build(&s->b, TG_OP_BARRIER, 0, NULL, s->consumers ? 2 : 0, attrs);
  s->ntouches = 0;
}

void simt_order(simt *s, const tg_op *op, const tg_layout *layout) {
  if (is_input(s, tensor_of(s, op))) return;
  bool alone = !simt_owner(s, layout), met = false;
  for (int i = 0; i < s->ntouches && !met; i++) met = conflicts(s, &s->touches[i], op, layout, alone);
  if (met) simt_barrier(s);
  remember(s, (simt_touch){op, NULL, alone, *layout});
}

typedef struct looking {
  simt *s;
  const tg_op *loop;
} looking;

static void add_of_loop(tg_op *op, void *user) {
  looking *l = user;
  if (is_access(op) && !is_input(l->s, tensor_of(l->s, op))) remember(l->s, (simt_touch){.op = op, .loop = l->loop});
}

void simt_order_loop(simt *s, const tg_op *loop) {
  looking l = {s, loop};
  for (int r = 0; r < loop->nregions; r++) tg_walk(loop->regions[r], add_of_loop, &l);
}

simt_touches simt_order_save(simt *s) {
  simt_touches kept = {TG_NEWN(s->arena, simt_touch, s->ntouches + 1), s->ntouches};
  if (s->ntouches) memcpy(kept.at, s->touches, sizeof *kept.at * (size_t)s->ntouches);
  return kept;
}

void simt_order_restore(simt *s, simt_touches kept) {
  s->ntouches = 0;
  simt_order_merge(s, kept);
}

void simt_order_merge(simt *s, simt_touches kept) {
  for (int i = 0; i < kept.n; i++) remember(s, kept.at[i]);
}
