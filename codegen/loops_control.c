// Regions, loops with carried tiles, conditions.
#include "codegen/loops.h"

static void write_element(lower *L, nest *N, const pos *p) {
  tg_value *v = ((tg_value **)N->user)[0];
  const buffer *b = ((void **)N->user)[1];
  loops_write_buffer(L, b, p, loops_eval_lanes(L, v, p), v->type.dtype);
}

void loops_materialise(lower *L, tg_value *v, const buffer *into) {
  nest N;
  loops_nest_init(L, &N, v->type.rank, v->type.dim);
  info *f = loops_info(L, v);
  for (int a = 0; a < N.rank; a++) N.need[a] = loops_need(L, &f->needs[a], N.len[a]);
  const void *user[] = {v, into};
  N.body = write_element, N.user = user;
  loops_nest_run(L, &N);
}

const buffer *loops_materialise_new(lower *L, tg_value *v, const char *name) {
  buffer *b = loops_new_buffer(L, v->type.dtype, v->type.rank, v->type.dim, name);
  loops_materialise(L, v, b);
  return b;
}

static bool single(const tg_value *v) { return tg_type_elements(v->type) == 1; }

// ---- carried values

typedef struct carried {
  tg_value *arg, *init, *result;
  buffer *buf; // NULL: one element, carried in SSA form
  int slot;    // of its SSA value
} carried;

// How the elements of `v` reach those of `arg`: not at all, at the same position only, or otherwise.
enum { REACH_NOT, REACH_SAME, REACH_OTHER };
static int reach_once(lower *L, tg_value *v, const tg_value *arg, bool same) {
  if (v == arg) return same ? REACH_SAME : REACH_OTHER;
  if (!v->def) return REACH_NOT;
  info *f = loops_info(L, v);
  if (f->ssa || f->buf) return REACH_NOT;
  if (f->reach_of[same] == L->reaches) return f->reach[same];
  bool elementwise = tg_op_rows()[v->def->code].traits & TG_ELEMENTWISE;
  int worst = REACH_NOT;
  for (int i = 0; i < v->def->nin; i++) {
    int r = reach_once(L, v->def->in[i], arg, same && elementwise);
    if (r > worst) worst = r;
  }
  f->reach_of[same] = L->reaches, f->reach[same] = worst;
  return worst;
}

static int reach(lower *L, tg_value *v, const tg_value *arg) {
  L->reaches++;
  return reach_once(L, v, arg, true);
}

static int setup(lower *L, tg_op *op, int n, tg_value *const *args, tg_value *const *inits, carried *c, tg_value **ssa) {
  int nssa = 0;
  for (int i = 0; i < n; i++) {
    if (args[i]->type.kind != TG_TILE) loops_refuse(L, op, "a loop can carry tiles and scalars, not views or ranges");
    c[i] = (carried){.arg = args[i], .init = inits[i], .result = op->out[i]};
    if (single(args[i])) {
      c[i].slot = nssa;
      ssa[nssa++] = loops_scalar(L, inits[i]);
    } else {
      c[i].buf = loops_new_buffer(L, args[i]->type.dtype, args[i]->type.rank, args[i]->type.dim, "carried");
    }
  }
  for (int i = 0; i < n; i++)
    if (c[i].buf) loops_materialise(L, inits[i], c[i].buf);
  return nssa;
}

static void bind_args(lower *L, int n, const carried *c, tg_value *const *args, tg_value **ssa) {
  for (int i = 0; i < n; i++) {
    if (!c[i].buf) {
      loops_bind(L, args[i], ssa[c[i].slot]);
      continue;
    }
    buffer *inside = TG_NEW(L->arena, buffer);
    *inside = *c[i].buf;
    inside->level = L->top;
    loops_bind_buffer(L, args[i], inside);
  }
}

// An argument yielded in another's place: its buffer may be overwritten before it is read.
static bool is_carried(int n, const carried *c, const tg_value *v) {
  for (int i = 0; i < n; i++)
    if (c[i].arg == v) return true;
  return false;
}

static void next_trip(lower *L, int n, const carried *c, tg_op *yield, tg_value **ssa) {
  const buffer *copy[64];
  tg_value *next[64];
  for (int i = 0; i < n; i++) {
    copy[i] = NULL;
    if (!c[i].buf) next[i] = loops_scalar(L, yield->in[i]);
    else if (yield->in[i] == c[i].arg) continue;
    else {
      bool in_place = reach(L, yield->in[i], c[i].arg) != REACH_OTHER;
      for (int j = 0; j < n && in_place; j++)
        if (j != i) in_place = reach(L, yield->in[j], c[i].arg) == REACH_NOT;
      const info *f = loops_info(L, yield->in[i]);
      if (in_place && !f->buf) loops_materialise(L, yield->in[i], c[i].buf);
      else copy[i] = f->buf && !is_carried(n, c, yield->in[i]) ? f->buf : loops_materialise_new(L, yield->in[i], "next");
    }
  }
  for (int i = 0; i < n; i++) {
    if (!c[i].buf) ssa[c[i].slot] = next[i];
    if (!copy[i]) continue;
    info *f = loops_info(L, yield->in[i]);
    info saved = *f;
    f->buf = copy[i], f->ssa = NULL, f->memos = NULL;
    loops_materialise(L, yield->in[i], c[i].buf);
    f->buf = saved.buf, f->ssa = saved.ssa, f->memos = NULL;
  }
}

static void bind_results(lower *L, int n, const carried *c, tg_value **ssa) {
  for (int i = 0; i < n; i++) {
    if (!c[i].buf) {
      loops_bind(L, c[i].result, ssa[c[i].slot]);
      continue;
    }
    c[i].buf->level = L->top;
    loops_bind_buffer(L, c[i].result, c[i].buf);
  }
}

void loops_for(lower *L, tg_op *op) {
  if (loops_dot_fold(L, op)) return;
  carried c[64];
  tg_value *ssa[64];
  int n = op->nin - 2;
  if (n > 64) loops_refuse(L, op, "a loop carries %d values, more than 64", n);
  tg_region *body = op->regions[0];
  int nssa = setup(L, op, n, body->args + 1, op->in + 2, c, ssa);
  tg_value *lb = loops_cast(L, loops_scalar(L, op->in[0]), TG_I64), *ub = loops_cast(L, loops_scalar(L, op->in[1]), TG_I64);
  tg_value *iv = loops_open(L, lb, ub, tg_attr_int(op, "step", 1), nssa, ssa);
  loops_bind(L, body->args[0], iv);
  bind_args(L, n, c, body->args + 1, ssa);
  loops_region(L, body);
  next_trip(L, n, c, body->last, ssa);
  loops_close(L, nssa, ssa);
  bind_results(L, n, c, ssa);
}

void loops_while(lower *L, tg_op *op) {
  carried c[64];
  tg_value *ssa[64], *seen[64];
  tg_type types[64];
  int n = op->nin;
  if (n > 64) loops_refuse(L, op, "a loop carries %d values, more than 64", n);
  int nssa = setup(L, op, n, op->regions[1]->args, op->in, c, ssa); // those that the next trip is made of
  for (int i = 0; i < nssa; i++) types[i] = ssa[i]->type;
  tg_builder b = loops_at(L, L->top);
  tg_op *loop = tg_build_typed(&b, TG_OP_WHILE, nssa, ssa, 0, NULL, nssa, types);
  for (int r = 0; r < 2; r++) {
    tg_region *region = tg_add_region(&b, loop, r, nssa, types);
    loops_push(L, region, loop);
    for (int i = 0; i < nssa; i++) seen[i] = region->args[i];
    bind_args(L, n, c, op->regions[r]->args, seen);
    loops_region(L, op->regions[r]);
    tg_op *yield = op->regions[r]->last;
    if (r == 0) seen[0] = loops_scalar(L, yield->in[0]);
    else next_trip(L, n, c, yield, seen);
    tg_builder end = loops_at(L, L->top);
    tg_build_yield(&end, r == 0 ? 1 : nssa, seen);
    loops_pop(L);
  }
  for (int i = 0; i < nssa; i++) ssa[i] = loop->out[i];
  bind_results(L, n, c, ssa);
}

void loops_if(lower *L, tg_op *op) {
  buffer *buf[64];
  tg_type types[64];
  tg_value *values[64];
  int nssa = 0;
  if (op->nout > 64) loops_refuse(L, op, "a condition gives %d values, more than 64", op->nout);
  for (int i = 0; i < op->nout; i++) {
    const tg_type *t = &op->out[i]->type;
    if (t->kind != TG_TILE) loops_refuse(L, op, "a condition can give tiles and scalars, not views or ranges");
    buf[i] = single(op->out[i]) ? NULL : loops_new_buffer(L, t->dtype, t->rank, t->dim, "chosen");
    if (!buf[i]) types[nssa++] = tg_scalar_type(t->dtype);
  }
  tg_op *branch = loops_open_if(L, loops_scalar(L, op->in[0]), nssa, types);
  for (int r = 0; r < 2; r++) {
    loops_region(L, op->regions[r]);
    tg_op *yield = op->regions[r]->last;
    for (int i = 0, k = 0; i < op->nout; i++)
      if (buf[i]) loops_materialise(L, yield->in[i], buf[i]);
      else values[k++] = loops_scalar(L, yield->in[i]);
    if (r == 0) loops_else(L, branch, nssa, values);
    else loops_close_if(L, branch, nssa, values);
  }
  for (int i = 0, k = 0; i < op->nout; i++) {
    if (buf[i]) {
      buf[i]->level = L->top;
      loops_bind_buffer(L, op->out[i], buf[i]);
    } else {
      loops_bind(L, op->out[i], values[k++]);
    }
  }
}

// ---- ops in program order

static void keep(lower *L, tg_value *v) {
  if (v->type.kind != TG_TILE) return;
  if (single(v)) {
    loops_bind(L, v, loops_scalar(L, v));
    return;
  }
  bool operand = loops_kept_operand(loops_info(L, v), &v->type);
  loops_bind_buffer(L, v, operand ? loops_keep_operand(L, v) : loops_materialise_new(L, v, "kept"));
}

void loops_region(lower *L, tg_region *region) {
  for (tg_op *op = region->first; op; op = op->next) {
    L->loc = op->loc;
    switch (op->code) {
    case TG_OP_STORE:
    case TG_OP_SCATTER: loops_store(L, op); break;
    case TG_OP_REDUCE: loops_reduce(L, op); break;
    case TG_OP_DOT:
    case TG_OP_DOT_SCALED: loops_dot(L, op); break;
    case TG_OP_FOR: loops_for(L, op); break;
    case TG_OP_WHILE: loops_while(L, op); break;
    case TG_OP_IF: loops_if(L, op); break;
    case TG_OP_YIELD: break;
    case TG_OP_ATOMIC: loops_atomic(L, op); break;
    case TG_OP_SCAN: loops_scan(L, op); break;
    case TG_OP_ARGMAX: loops_argmax(L, op); break;
    case TG_OP_SORT: loops_sort(L, op); break;
    case TG_OP_PRINT: loops_print(L, op); break;
    case TG_OP_ASSERT: loops_assert(L, op); break;
    case TG_OP_VIEW: loops_check_view(L, op); break;
    default:
      for (int i = 0; i < op->nout; i++)
        if (loops_info(L, op->out[i])->keep) keep(L, op->out[i]);
    }
  }
}
