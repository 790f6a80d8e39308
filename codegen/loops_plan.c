// What to keep and how much of it: weights of values, the roots that ask for them, and the counts of indices that any store keeps.
#include "codegen/loops.h"

enum {
  KEEP_WEIGHT = 16,  // an element that costs so many plain ops to make again is kept when two roots want it
  OPERAND = 1 << 20, // bytes of a dot's operand, widened, that is kept for several dots
  CHAIN = 256,       // ops that one evaluation goes through at most: it recurses, and what is deeper is kept on the way
};

bool loops_is_root(const tg_op *op) {
  switch (op->code) {
  case TG_OP_STORE:
  case TG_OP_SCATTER:
  case TG_OP_ATOMIC:
  case TG_OP_REDUCE:
  case TG_OP_SCAN:
  case TG_OP_ARGMAX:
  case TG_OP_SORT:
  case TG_OP_DOT:
  case TG_OP_DOT_SCALED:
  case TG_OP_FOR:
  case TG_OP_IF:
  case TG_OP_WHILE:
  case TG_OP_PRINT:
  case TG_OP_ASSERT:
  case TG_OP_YIELD: return true;
  default: return false;
  }
}

static bool evaluable(lower *L, tg_value *v) {
  info *f = loops_info(L, v);
  if (f->ssa || f->buf) return true;
  if (!v->def || loops_is_root(v->def) || f->cut) return false;
  if (f->asked == L->asked) return f->evaluable;
  bool yes = true;
  for (int i = 0; i < v->def->nin && yes; i++) yes = evaluable(L, v->def->in[i]);
  f->asked = L->asked, f->evaluable = yes;
  return yes;
}

bool loops_evaluable(lower *L, tg_value *v) {
  L->asked++;
  return evaluable(L, v);
}

static int base_weight(const tg_op *op) {
  switch (op->code) {
  case TG_OP_EXP:
  case TG_OP_EXP2:
  case TG_OP_LOG:
  case TG_OP_LOG2:
  case TG_OP_SIGMOID:
  case TG_OP_TANH:
  case TG_OP_SIN:
  case TG_OP_COS: return 12;
  case TG_OP_RSQRT:
  case TG_OP_SQRT:
  case TG_OP_DIV:
  case TG_OP_REM: return 6;
  case TG_OP_LOAD: return 2;
  case TG_OP_GATHER: return 8;
  case TG_OP_CAST: return tg_dtypes[op->out[0]->type.dtype].bits == 8 || tg_dtypes[op->in[0]->type.dtype].bits == 8 ? 6 : 1;
  case TG_OP_BROADCAST:
  case TG_OP_SPREAD:
  case TG_OP_RESHAPE:
  case TG_OP_TRANSPOSE:
  case TG_OP_CONST:
  case TG_OP_ASSUME: return 0;
  default: return 1;
  }
}

static void weigh(tg_op *op, void *user) {
  lower *L = user;
  if (loops_is_root(op)) {
    for (int i = 0; i < op->nout; i++) loops_info(L, op->out[i])->weight = 1;
    return;
  }
  int w = base_weight(op), depth = 0;
  for (int i = 0; i < op->nin; i++) {
    const info *f = loops_info(L, op->in[i]);
    if (!f->cut && f->depth > depth) depth = f->depth;
  }
  for (int i = 0; i < op->nout; i++) {
    info *f = loops_info(L, op->out[i]);
    f->depth = depth + 1;
    f->cut = f->depth >= CHAIN && op->out[i]->type.kind == TG_TILE;
  }
  if (op->code != TG_OP_LOAD && op->code != TG_OP_GATHER)
    for (int i = 0; i < op->nin; i++) w += op->in[i]->type.kind == TG_TILE ? loops_info(L, op->in[i])->weight : 0;
  if (w > 10000) w = 10000;
  for (int i = 0; i < op->nout; i++) loops_info(L, op->out[i])->weight = tg_type_elements(op->out[i]->type) == 1 ? 0 : w;
}

static void find_written(tg_op *op, void *user) {
  lower *L = user;
  if (op->code != TG_OP_STORE && op->code != TG_OP_SCATTER && op->code != TG_OP_ATOMIC) return;
  tg_value *v = op->in[0];
  while (v->def && v->def->code == TG_OP_VIEW) v = v->def->in[0];
  if (v->def && v->def->code == TG_OP_PARAM) L->written[L->nwritten++] = tg_attr_str(v->def, "name", "");
}

static void count_ops(tg_op *op, void *user) {
  (void)op;
  (*(int *)user)++;
}

static const char *loaded(const tg_op *op) {
  const tg_value *v = op->in[0];
  while (v->def && v->def->code == TG_OP_VIEW) v = v->def->in[0];
  return v->def && v->def->code == TG_OP_PARAM ? tg_attr_str(v->def, "name", "") : "";
}

static int depth_of(const tg_region *r) {
  int d = 0;
  for (; r && r->owner; r = r->owner->parent) d++;
  return d;
}

static void ask(lower *L, tg_value *v, const void *root, const tg_region *from) {
  info *f = loops_info(L, v);
  if (f->root && f->root != root) f->many_roots = true;
  f->root = root;
  if (v->def && depth_of(from) > depth_of(v->def->parent) && tg_type_elements(v->type) > 1) f->many_roots = true; // asked for in every trip
}

// ---- needs

// The same scalar, by the ops that make it.
static bool same_scalar(const tg_value *x, const tg_value *y) {
  if (x == y) return true;
  if (!x->def || !y->def || x->def->code != y->def->code || x->def->nin != y->def->nin || !(tg_op_rows()[x->def->code].traits & TG_PURE))
    return false;
  for (int i = 0; i < x->def->nin; i++)
    if (!same_scalar(x->def->in[i], y->def->in[i])) return false;
  int64_t a, b;
  switch (x->def->code) {
  case TG_OP_EXPR: return tg_e_equal(tg_find_attr(x->def, "e")->e, tg_find_attr(y->def, "e")->e);
  case TG_OP_PID: return tg_attr_int(x->def, "axis", 0) == tg_attr_int(y->def, "axis", 0);
  case TG_OP_CONST: return tg_const_as_int(x, &a) && tg_const_as_int(y, &b) && a == b;
  default: return x->def->nattrs == 0;
  }
}

static bool same_need(lower *L, const need *a, const need *b) {
  if (a->kind != b->kind) return false;
  if (a->kind != NEED_COUNT) return true;
  if (a->op == b->op && a->axis == b->axis) return true;
  tg_value *x = a->op->in[1 + a->axis], *y = b->op->in[1 + b->axis];
  if (x->type.kind != TG_RANGE || y->type.kind != TG_RANGE || !x->def || !y->def) return false;
  if (x != y &&
      (x->type.dim[0] != y->type.dim[0] || !same_scalar(x->def->in[0], y->def->in[0]) || !same_scalar(x->def->in[1], y->def->in[1])))
    return false;
  tg_op *u = a->op->in[0]->def, *v = b->op->in[0]->def;
  if (!u || !v || u->code != v->code) return false;
  if (u->code == TG_OP_VIEW) return same_scalar(u->in[2 + a->axis], v->in[2 + b->axis]);
  if (u->code != TG_OP_PARAM) return false;
  const tg_param *p = tg_find_param(L->tile, tg_attr_str(u, "name", "")), *q = tg_find_param(L->tile, tg_attr_str(v, "name", ""));
  return p && q && tg_e_equal(p->dims[a->axis], q->dims[b->axis]);
}

static bool merge(lower *L, need *into, const need *n) {
  if (n->kind == NEED_NONE || same_need(L, into, n)) return false;
  if (into->kind == NEED_NONE) *into = *n;
  else if (into->kind == NEED_ALL) return false;
  else into->kind = NEED_ALL;
  return true;
}

static const need everything = {.kind = NEED_ALL};

static void need_all(lower *L, tg_value *v) {
  info *f = loops_info(L, v);
  for (int a = 0; a < TG_MAX_RANK; a++) merge(L, &f->needs[a], &everything);
}

static void need_as(lower *L, tg_value *v, const need *needs) {
  info *f = loops_info(L, v);
  for (int a = 0; a < TG_MAX_RANK; a++) merge(L, &f->needs[a], &needs[a]);
}

static void plan_region(lower *L, tg_region *region);

static void plan_store(lower *L, tg_op *op) {
  int rank = op->in[0]->type.rank, axis = 0;
  need needs[TG_MAX_RANK];
  for (int a = 0; a < TG_MAX_RANK; a++) needs[a] = everything;
  for (int a = 0; a < rank; a++) {
    tg_value *index = op->in[1 + a];
    if (index->type.kind == TG_RANGE) needs[axis++] = (need){.kind = NEED_COUNT, .op = op, .axis = a};
    else if (index->type.rank == 1) axis++;
  }
  for (int i = 0; i < op->nin; i++)
    if (i > rank) need_as(L, op->in[i], needs);
    else need_all(L, op->in[i]);
}

// Yields what the results need and what the next trip needs; settles in a few rounds because needs only grow.
static void plan_loop(lower *L, tg_op *op) {
  tg_region *body = op->regions[op->nregions - 1];
  tg_op *yield = body->last;
  int first = op->code == TG_OP_FOR ? 2 : 0, arg0 = op->code == TG_OP_FOR ? 1 : 0;
  for (int round = 0; round < 6; round++) {
    bool changed = false;
    for (int i = 0; i < op->nout; i++) {
      info *arg = loops_info(L, body->args[arg0 + i]), *y = loops_info(L, yield->in[i]), *r = loops_info(L, op->out[i]);
      for (int a = 0; a < TG_MAX_RANK; a++) {
        if (op->code == TG_OP_WHILE || round == 5) changed = merge(L, &r->needs[a], &everything) || changed;
        changed = merge(L, &r->needs[a], &arg->needs[a]) || changed;
        changed = merge(L, &y->needs[a], &r->needs[a]) || changed;
      }
    }
    for (int r = 0; r < op->nregions; r++) plan_region(L, op->regions[r]);
    if (!changed) break;
  }
  for (int i = 0; i < op->nout; i++) {
    info *arg = loops_info(L, body->args[arg0 + i]), *r = loops_info(L, op->out[i]);
    for (int a = 0; a < TG_MAX_RANK; a++) {
      merge(L, &r->needs[a], &arg->needs[a]);
      merge(L, &arg->needs[a], &r->needs[a]);
    }
    need_as(L, op->in[first + i], r->needs);
  }
  for (int i = 0; i < first; i++) need_all(L, op->in[i]);
}

static void plan_needs(lower *L, tg_op *op) {
  const info *f = op->nout ? loops_info(L, op->out[0]) : NULL;
  need n[TG_MAX_RANK];
  for (int a = 0; a < TG_MAX_RANK; a++) n[a] = everything;
  switch (op->code) {
  case TG_OP_YIELD: return; // its owner has said
  case TG_OP_STORE:
  case TG_OP_SCATTER:
  case TG_OP_ATOMIC: plan_store(L, op); return;
  case TG_OP_FOR:
  case TG_OP_WHILE: plan_loop(L, op); return;
  case TG_OP_IF:
    for (int r = 0; r < 2; r++) {
      tg_op *y = op->regions[r]->last;
      for (int i = 0; y && i < y->nin; i++) need_as(L, y->in[i], loops_info(L, op->out[i])->needs);
      plan_region(L, op->regions[r]);
    }
    need_all(L, op->in[0]);
    return;
  case TG_OP_REDUCE:
  case TG_OP_SCAN:
  case TG_OP_ARGMAX: {
    int axis = (int)tg_attr_int(op, "axis", 0);
    for (int a = 0; a < op->in[0]->type.rank; a++)
      if (a != axis) n[a] = f->needs[a];
    need_as(L, op->in[0], n);
    return;
  }
  case TG_OP_SORT: { // the first result's stand for all: lines are sorted and fetched together
    int axis = (int)tg_attr_int(op, "axis", 0);
    for (int k = 1; k < op->nout; k++)
      for (int a = 0; a < TG_MAX_RANK; a++) merge(L, &loops_info(L, op->out[0])->needs[a], &loops_info(L, op->out[k])->needs[a]);
    for (int a = 0; a < op->in[0]->type.rank; a++)
      if (a != axis) n[a] = f->needs[a];
    for (int k = 0; k < op->nin; k++) need_as(L, op->in[k], n);
    return;
  }
  case TG_OP_DOT:
  case TG_OP_DOT_SCALED:
    n[0] = f->needs[0];
    need_as(L, op->in[0], n);
    n[0] = everything, n[1] = f->needs[1];
    need_as(L, op->in[1], n);
    n[0] = f->needs[0];
    need_as(L, op->in[2], n);
    for (int i = 3; i < op->nin; i++) need_all(L, op->in[i]);
    return;
  case TG_OP_BROADCAST: {
    const tg_type *from = &op->in[0]->type, *to = &op->out[0]->type;
    int shift = to->rank - from->rank;
    for (int a = 0; a < from->rank; a++)
      if (from->dim[a] == to->dim[a + shift]) n[a] = f->needs[a + shift];
    need_as(L, op->in[0], n);
    return;
  }
  case TG_OP_TRANSPOSE: {
    const tg_attr *perm = tg_find_attr(op, "perm");
    for (int a = 0; a < op->out[0]->type.rank; a++) n[perm->ints[a]] = f->needs[a];
    need_as(L, op->in[0], n);
    return;
  }
  default:
    for (int i = 0; i < op->nin; i++)
      if (tg_op_rows()[op->code].traits & TG_ELEMENTWISE) need_as(L, op->in[i], f->needs);
      else need_all(L, op->in[i]);
  }
}

static bool reads_written(lower *L, const tg_op *op) {
  if (op->code != TG_OP_LOAD && op->code != TG_OP_GATHER) return false;
  for (int i = 0; i < L->nwritten; i++)
    if (!strcmp(L->written[i], loaded(op))) return true;
  return false;
}

static bool loop_between(const tg_region *from, const tg_region *to) {
  for (; from != to && from && from->owner; from = from->owner->parent)
    if (from->owner->code == TG_OP_FOR || from->owner->code == TG_OP_WHILE) return true;
  return false;
}

// What several dots take, or one in every trip of a loop, is packed once: kept in the form in which they read it.
static void plan_operand(lower *L, tg_value *v, const tg_op *dot) {
  info *f = loops_info(L, v);
  if (!v->def || loops_is_root(v->def)) return;
  if (f->dot && f->dot != dot) f->many_dots = true;
  f->dot = dot;
  f->inner_dot = f->inner_dot || loop_between(dot->parent, v->def->parent);
  f->paired_dot = f->paired_dot || loops_dot_pairs(L, dot);
}

bool loops_kept_operand(const info *f, const tg_type *type) {
  bool widens = type->dtype == TG_BF16 || type->dtype == TG_F16 || type->dtype == TG_F32;
  return widens && type->rank == 2 && tg_type_elements(*type) * 4 <= OPERAND && (f->many_dots || (f->inner_dot && !f->paired_dot));
}

// Each root that asks for a result asks for the operands, unless the result is kept.
static void plan_op(lower *L, tg_op *op) {
  plan_needs(L, op);
  bool root = loops_is_root(op);
  if (op->code == TG_OP_DOT && op->out[0]->type.dtype == TG_F32)
    for (int i = 0; i < 2; i++) plan_operand(L, op->in[i], op);
  for (int k = 0; k < op->nout && !loops_is_root(op) && op->out[0]->type.kind == TG_TILE; k++) {
    info *f = loops_info(L, op->out[k]);
    if ((f->many_roots && f->weight >= KEEP_WEIGHT) || f->cut || reads_written(L, op) || loops_kept_operand(f, &op->out[k]->type))
      f->keep = true;
    root = root || f->keep;
  }
  for (int i = 0; i < op->nin; i++) {
    const void *id = op->code == TG_OP_YIELD || op->code == TG_OP_FOR ? (const void *)&op->in[i] : (const void *)op;
    if (root) ask(L, op->in[i], id, op->parent);
    for (int k = 0; k < op->nout && !root; k++) {
      const info *f = loops_info(L, op->out[k]);
      if (!f->root) continue;
      ask(L, op->in[i], f->root, op->parent);
      if (f->many_roots) loops_info(L, op->in[i])->many_roots = true;
    }
  }
}

static void plan_region(lower *L, tg_region *region) {
  for (tg_op *op = region->last; op; op = op->prev) plan_op(L, op);
}

void loops_plan(lower *L, tg_launch *launch) {
  int n = 0;
  tg_walk(launch->body, count_ops, &n);
  L->written = TG_NEWN(L->arena, const char *, n + 1);
  tg_walk(launch->body, find_written, L);
  tg_walk(launch->body, weigh, L);
  plan_region(L, launch->body);
}
