// Loops and branches, and what they carry.
#include "codegen/simt_control.h"
#include "codegen/simt_pipe.h"

// ---- carried values: scalars and the registers of tiles, one after the other -------------------------------------------------

enum { MOST_COUNTED = 4 };

static void flatten(simt *s, const tg_op *op, const tg_value *v, const tg_layout *layout, simt_flat *out) {
  if (v->type.kind != TG_TILE) simt_fail(s, op, "loops and branches carry tiles and scalars, not views or ranges");
  int n = v->type.rank ? tg_layout_registers(layout) : 1;
  if (out->n + n > TG_MAX_RESULTS)
    simt_fail(s, op, "the carried tiles take more than %d registers of a thread; choose smaller tiles or more warps", TG_MAX_RESULTS);
  if (v->type.rank) memcpy(&out->at[out->n], simt_get(s, v, layout)->reg, sizeof(tg_value *) * (size_t)n);
  else out->at[out->n] = simt_scalar(s, v);
  out->n += n;
}

// Gives `v` the next lane values of `from`, in the layout; returns how many it took.
static int unflatten(simt *s, const tg_value *v, const tg_layout *layout, tg_value *const *from) {
  if (v->type.rank == 0) {
    simt_note_of(s, v)->scalar = from[0];
    return 1;
  }
  simt_tile *t = simt_new_tile(s, layout);
  int n = tg_layout_registers(layout);
  memcpy(t->reg, from, sizeof(tg_value *) * (size_t)n);
  simt_set(s, v, t);
  return n;
}

simt_carried simt_carried_of(simt *s, const tg_op *op, tg_value *const *values) {
  const int n = op->nout;
  simt_carried c = {n, TG_NEWN(s->arena, tg_layout, n + 1), TG_NEWN(s->arena, bool, n + 1), s->slots && simt_has_pipe(s, op)};
  for (int i = 0; i < n; i++) {
    c.left[i] = s->producing && !s->followed[values[i]->id];
    if (c.left[i]) continue;
    simt_note *note = simt_note_of(s, values[i]);
    note->tiles = NULL; // of an earlier lowering of the same region
    if (values[i]->type.kind == TG_TILE && values[i]->type.rank) c.layout[i] = simt_plan_of(s, values[i]);
  }
  return c;
}

simt_flat *simt_flatten_all(simt *s, const tg_op *op, const simt_carried *c, tg_value *const *values) {
  simt_flat *f = TG_NEW(s->arena, simt_flat);
  for (int i = 0; i < c->n; i++)
    if (!c->left[i]) flatten(s, op, values[i], &c->layout[i], f);
  if (!c->counted) return f;
  if (f->n + MOST_COUNTED > TG_MAX_RESULTS) simt_fail(s, op, "the carried tiles take too many registers of a thread; choose smaller tiles");
  tg_value **count[MOST_COUNTED];
  for (int i = 0, n = simt_counts(s, count); i < n; i++) f->at[f->n++] = *count[i];
  return f;
}

void simt_unflatten_all(simt *s, const simt_carried *c, tg_value *const *values, tg_value *const *from) {
  int at = 0;
  for (int i = 0; i < c->n; i++)
    if (!c->left[i]) at += unflatten(s, values[i], &c->layout[i], from + at);
  tg_value **count[MOST_COUNTED];
  for (int i = 0, n = c->counted ? simt_counts(s, count) : 0; i < n; i++) *count[i] = from[at + i];
}

// Lowers a region into a lane region and ends it with the carried values of its yield.
static void fill_region(simt *s, const tg_op *op, const tg_region *from, tg_region *to, const simt_carried *c) {
  tg_builder outer = s->b;
  s->b.region = to;
  s->b.before = NULL;
  simt_region(s, from);
  simt_flat *f = simt_flatten_all(s, op, c, from->last->in);
  tg_build_yield(&s->b, f->n, f->at);
  s->b = outer;
}

// ---- loops ----------------------------------------------------------------------------------------------------------------------

static simt_flat *emit_loop(simt *s, tg_op *op, const simt_carried *c, tg_value *lb, tg_value *ub, const simt_flat *init) {
  tg_region *body = op->regions[0];
  tg_op *loop = tg_build_for(&s->b, lb, ub, tg_attr_int(op, "step", 1), init->n, init->at);
  tg_builder outer = s->b;
  s->b.region = loop->regions[0];
  s->b.before = NULL;
  simt_note_of(s, body->args[0])->scalar = loop->regions[0]->args[0];
  simt_unflatten_all(s, c, body->args + 1, loop->regions[0]->args + 1);
  s->b = outer;
  fill_region(s, op, body, loop->regions[0], c);
  simt_flat *out = TG_NEW(s->arena, simt_flat);
  for (; out->n < init->n; out->n++) out->at[out->n] = loop->out[out->n];
  return out;
}

static simt_flat *last_trip(simt *s, tg_op *op, const simt_carried *c, tg_value *i, tg_value *some, const simt_flat *before) {
  tg_region *body = op->regions[0];
  tg_type *types = TG_NEWN(s->arena, tg_type, before->n + 1);
  for (int k = 0; k < before->n; k++) types[k] = before->at[k]->type;
  tg_op *branch = tg_build_typed(&s->b, TG_OP_IF, 1, &some, 0, NULL, before->n, types);
  tg_region *then = tg_add_region(&s->b, branch, 0, 0, NULL), *otherwise = tg_add_region(&s->b, branch, 1, 0, NULL);
  tg_builder outer = s->b;
  s->b.region = then;
  s->b.before = NULL;
  simt_note_of(s, body->args[0])->scalar = i;
  simt_unflatten_all(s, c, body->args + 1, before->at);
  s->b = outer;
  fill_region(s, op, body, then, c);
  s->b.region = otherwise;
  s->b.before = NULL;
  tg_build_yield(&s->b, before->n, before->at);
  s->b = outer;
  simt_flat *out = TG_NEW(s->arena, simt_flat);
  for (; out->n < before->n; out->n++) out->at[out->n] = branch->out[out->n];
  return out;
}

// Ranges that begin at the loop's index, reach no further than its step, and end where it does: full on every trip but perhaps the last.
static void find_trip_range(tg_op *op, void *user) {
  simt_trip_ranges *t = user;
  if (op->code != TG_OP_RANGE || op->in[0] != t->loop->regions[0]->args[0] || t->n == 32) return;
  if (tg_attr_int(op, "len", 0) <= tg_attr_int(t->loop, "step", 1) && simt_same(t->s, op->in[1], t->loop->in[1]))
    t->at[t->n++] = op->out[0];
}

void simt_find_trip_ranges(simt_trip_ranges *t) { tg_walk(t->loop->regions[0], find_trip_range, t); }

bool simt_trips_are_even(simt *s, const tg_op *loop) {
  int64_t step = tg_attr_int(loop, "step", 1);
  return simt_divisor_of(s, loop->in[0]) % step == 0 && simt_divisor_of(s, loop->in[1]) % step == 0;
}

void simt_for(simt *s, tg_op *op) {
  if (simt_pipe_for(s, op) || (!s->producing && simt_ring_for(s, op))) return;
  tg_region *body = op->regions[0];
  simt_touches before = simt_order_save(s);
  simt_order_loop(s, op);
  int64_t step = tg_attr_int(op, "step", 1);
  simt_carried c = simt_carried_of(s, op, body->args + 1);
  simt_flat *values = simt_flatten_all(s, op, &c, op->in + 2);
  tg_value *lb = simt_scalar(s, op->in[0]), *ub = simt_scalar(s, op->in[1]);
  simt_trip_ranges t = {.s = s, .loop = op};
  if (s->split) simt_find_trip_ranges(&t);
  int known = s->nfull;
  if (t.n == 0 || known + t.n > (int)(sizeof s->full / sizeof s->full[0])) {
    values = emit_loop(s, op, &c, lb, ub, values);
  } else {
    bool even = simt_trips_are_even(s, op);
    tg_value *end = ub, *length = tg_build2(&s->b, TG_OP_SUB, ub, lb), *by = simt_int(s, TG_I64, step);
    if (!even) end = tg_build2(&s->b, TG_OP_SUB, ub, tg_build2(&s->b, TG_OP_REM, length, by));
    memcpy(&s->full[known], t.at, sizeof t.at[0] * (size_t)t.n);
    s->nfull = known + t.n;
    values = emit_loop(s, op, &c, lb, end, values);
    s->nfull = known;
    if (!even) {
      tg_value *some = simt_and(&s->b, tg_build2(&s->b, TG_OP_LT, lb, ub), tg_build2(&s->b, TG_OP_LT, end, ub));
      values = last_trip(s, op, &c, end, some, values);
    }
  }
  simt_unflatten_all(s, &c, op->out, values->at);
  simt_order_merge(s, before);
  simt_order_loop(s, op);
}

void simt_if(simt *s, tg_op *op) {
  simt_carried c = simt_carried_of(s, op, op->out);
  simt_flat types_of = {0};
  tg_type *types = TG_NEWN(s->arena, tg_type, TG_MAX_RESULTS);
  for (int i = 0; i < c.n; i++) {
    if (c.left[i]) continue;
    const tg_type *t = &op->out[i]->type;
    int n = t->kind == TG_TILE && t->rank ? tg_layout_registers(&c.layout[i]) : 1;
    if (t->kind != TG_TILE) simt_fail(s, op, "loops and branches carry tiles and scalars, not views or ranges");
    if (types_of.n + n + MOST_COUNTED > TG_MAX_RESULTS)
      simt_fail(s, op, "the results take more than %d registers of a thread; choose smaller tiles or more warps", TG_MAX_RESULTS);
    for (int k = 0; k < n; k++) types[types_of.n++] = tg_scalar_type(t->dtype);
  }
  tg_value *cond = simt_scalar(s, op->in[0]), **count[MOST_COUNTED], *counts[MOST_COUNTED];
  const int ncounts = c.counted ? simt_counts(s, count) : 0;
  for (int i = 0; i < ncounts; i++) types[types_of.n++] = tg_scalar_type(TG_I32), counts[i] = *count[i];
  tg_op *branch = tg_build_typed(&s->b, TG_OP_IF, 1, &cond, 0, NULL, types_of.n, types);
  simt_touches before = simt_order_save(s), after[2];
  for (int r = 0; r < 2; r++) {
    simt_order_restore(s, before);
    for (int i = 0; i < ncounts; i++) *count[i] = counts[i];
    fill_region(s, op, op->regions[r], tg_add_region(&s->b, branch, r, 0, NULL), &c);
    after[r] = simt_order_save(s);
  }
  simt_order_restore(s, after[0]);
  simt_order_merge(s, after[1]);
  simt_unflatten_all(s, &c, op->out, branch->out);
}

void simt_while(simt *s, tg_op *op) {
  simt_carried c = simt_carried_of(s, op, op->regions[1]->args);
  simt_touches before = simt_order_save(s);
  simt_order_loop(s, op);
  simt_flat *init = simt_flatten_all(s, op, &c, op->in);
  tg_type *types = TG_NEWN(s->arena, tg_type, init->n + 1);
  for (int i = 0; i < init->n; i++) types[i] = init->at[i]->type;
  tg_op *loop = tg_build_typed(&s->b, TG_OP_WHILE, init->n, init->at, 0, NULL, init->n, types);
  tg_builder outer = s->b;
  for (int r = 0; r < 2; r++) {
    tg_region *to = tg_add_region(&s->b, loop, r, init->n, types);
    s->b.region = to;
    s->b.before = NULL;
    simt_unflatten_all(s, &c, op->regions[r]->args, to->args);
    if (r == 0) {
      simt_region(s, op->regions[0]);
      tg_value *go_on = simt_scalar(s, op->regions[0]->last->in[0]);
      tg_build_yield(&s->b, 1, &go_on);
    }
    s->b = outer;
    if (r == 1) fill_region(s, op, op->regions[1], to, &c);
  }
  simt_unflatten_all(s, &c, op->out, loop->out);
  simt_order_merge(s, before);
  simt_order_loop(s, op);
}
