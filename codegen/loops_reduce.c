// Reductions along an axis.
#include <math.h>

#include "codegen/loops.h"

static int code_of(lower *L, const char *kind) {
  static const struct {
    const char *name;
    int code;
  } kinds[] = {{"sum", TG_OP_ADD},       {"prod", TG_OP_MUL}, {"min", TG_OP_MIN}, {"max", TG_OP_MAX}, {"minnum", TG_OP_MINNUM},
               {"maxnum", TG_OP_MAXNUM}, {"and", TG_OP_AND},  {"or", TG_OP_OR},   {"xor", TG_OP_XOR}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(kinds[i].name, kind)) return kinds[i].code;
  loops_refuse(L, NULL, "internal: no reduction `%s`", kind);
}

tg_value *loops_combine(lower *L, const char *kind, tg_value *a, tg_value *b) { return loops_bin(L, code_of(L, kind), a, b); }

tg_value *loops_identity(lower *L, const char *kind, int dtype) {
  bool is_float = tg_dtypes[dtype].cls == 'f', is_bool = tg_dtypes[dtype].cls == 'b';
  int bits = tg_dtypes[dtype].bits;
  int64_t top = bits == 64 ? INT64_MAX : ((int64_t)1 << (bits - 1)) - 1, v = 0;
  switch (code_of(L, kind)) {
  case TG_OP_MUL: v = 1; break;
  case TG_OP_MIN:
  case TG_OP_MINNUM:
    if (is_float) return loops_const(L, dtype, __builtin_inf());
    v = is_bool ? 1 : top;
    break;
  case TG_OP_MAX:
  case TG_OP_MAXNUM:
    if (is_float) return loops_const(L, dtype, -__builtin_inf());
    v = is_bool ? 0 : -top - 1;
    break;
  case TG_OP_AND: v = is_bool ? 1 : -1; break;
  default: break;
  }
  if (is_float) return loops_const(L, dtype, (double)v);
  tg_attr a[] = {TG_ATYPE("type", tg_scalar_type(dtype)), TG_AINT("value", v)};
  return loops_pure(L, TG_OP_CONST, 0, NULL, 2, a);
}

typedef struct reduce_job {
  tg_value *x;
  const char *kind;
  int axis, lanes; // lanes along the axis itself; 1 when they run along another
  int dtype;       // accumulated in
  const buffer *into;
  tg_value *result; // of a single element
  int out_dtype;
} reduce_job;

static void nothing(lower *L, nest *N, const pos *p) {
  reduce_job *J = N->user;
  loops_eval(L, J->x, p);
}

static tg_value *element(lower *L, reduce_job *J, const pos *p) {
  return loops_splat(L, loops_cast(L, loops_eval(L, J->x, p), J->dtype), p->lanes);
}

// acc over indices [from, to) one at a time.
static tg_value *each(lower *L, reduce_job *J, nest *I, pos p, tg_value *from, tg_value *to, tg_value *acc, bool checked) {
  int64_t a, b;
  if (from == to || (tg_const_as_int(from, &a) && tg_const_as_int(to, &b) && a >= b)) return acc;
  tg_value *v = loops_open(L, from, to, 1, 1, &acc);
  I->vars[0] = v;
  p.at[J->axis] = loops_var(v);
  if (!checked) loops_nest_facts(L, I, 0);
  acc = loops_combine(L, J->kind, acc, element(L, J, &p));
  loops_close(L, 1, &acc);
  return acc;
}

// acc over [0, to) in vectors of J->lanes, several at once so that additions overlap; `done` = where it stopped.
static tg_value *vectors(lower *L, reduce_job *J, nest *I, pos p, tg_value *to, tg_value **done) {
  tg_value *acc[4], *at = loops_int(L, 0), *identity = loops_identity(L, J->kind, J->dtype);
  int many = loops_info(L, J->x)->weight <= 8 ? 4 : 1;
  for (int i = 0; i < many; i++) acc[i] = loops_splat(L, identity, J->lanes);
  p.lanes = J->lanes;
  for (; many; many = many > 1 ? 1 : 0) {
    int64_t step = (int64_t)many * J->lanes, a, b;
    tg_value *end = loops_down(L, to, step);
    if (end != at && !(tg_const_as_int(at, &a) && tg_const_as_int(end, &b) && a >= b)) {
      tg_value *v = loops_open(L, at, end, step, many, acc);
      I->vars[0] = v;
      loops_nest_facts(L, I, 0);
      for (int i = 0; i < many; i++) {
        p.at[J->axis] = loops_var(v);
        for (int l = 0; l < J->lanes; l++) p.at[J->axis].c[l] += l + i * J->lanes;
        acc[i] = loops_combine(L, J->kind, acc[i], element(L, J, &p));
      }
      loops_close(L, many, acc);
    }
    at = end;
    for (int i = many / 2; i; i /= 2)
      for (int k = 0; k < i; k++) acc[k] = loops_combine(L, J->kind, acc[k], acc[k + i]);
  }
  *done = at;
  return loops_pure(L, TG_OP_VREDUCE, 1, &acc[0], 1, (tg_attr[]){TG_ASTR("kind", J->kind)});
}

// What the indices from `inside` on add when every one of them is the same value: nothing that varies is left outside the limits.
static tg_value *rest_at_once(lower *L, reduce_job *J, pos p, tg_value *inside, tg_value *wanted, tg_value *acc) {
  tg_type type = acc->type;
  tg_value *some = loops_bin(L, TG_OP_LT, inside, wanted);
  tg_op *branch = loops_open_if(L, some, 1, &type);
  p.at[J->axis] = loops_var(inside);
  tg_value *x = element(L, J, &p);
  if (!strcmp(J->kind, "sum")) x = loops_bin(L, TG_OP_MUL, x, loops_cast(L, loops_sub(L, wanted, inside), J->dtype));
  tg_value *v = loops_combine(L, J->kind, acc, x);
  loops_else(L, branch, 1, &v);
  v = acc;
  loops_close_if(L, branch, 1, &v);
  return v;
}

// A range may begin below 0 and still reach inside: what then lies outside the limits is not one value.
static bool begins_below(const constraint *c) { return c->low && c->op->in[1 + c->axis]->type.kind == TG_RANGE; }

static bool one_limit(nest *I) {
  const constraint *a = NULL;
  for (int i = 0; i < I->probe.n; i++) {
    const constraint *b = &I->probe.list[i];
    if (b->elsewhere) continue;
    if (!a) {
      if (begins_below(b) || b->uneven) return false;
      a = b;
    }
    if (a->count != b->count || a->low != b->low || b->uneven || a->at.n != b->at.n ||
        memcmp(a->at.t, b->at.t, sizeof(term) * (size_t)a->at.n) || a->at.c[0] != b->at.c[0])
      return false;
  }
  return a && !a->low; // with a start below 0 the inside ones do not come first
}

static void reduce_body(lower *L, nest *N, const pos *outer) {
  reduce_job *J = N->user;
  nest I;
  loops_nest_init(L, &I, J->x->type.rank, J->x->type.dim);
  I.nloops = 1, I.order[0] = J->axis, I.start = *outer;
  I.body = nothing, I.user = J;
  loops_nest_probe(L, &I);
  tg_value *inside = loops_nest_inside(L, &I, 0), *wanted = loops_int(L, I.len[J->axis]), *acc, *done = loops_int(L, 0);
  int64_t n;
  bool few = tg_const_as_int(inside, &n) && n < J->lanes;
  if (J->lanes > 1 && !few) acc = vectors(L, J, &I, *outer, inside, &done);
  else acc = loops_splat(L, loops_identity(L, J->kind, J->dtype), outer->lanes);
  acc = each(L, J, &I, *outer, done, inside, acc, false);
  bool once = strcmp(J->kind, "prod") && strcmp(J->kind, "xor") && !I.probe.varies && one_limit(&I);
  if (inside != wanted) acc = once ? rest_at_once(L, J, *outer, inside, wanted, acc) : each(L, J, &I, *outer, inside, wanted, acc, true);
  acc = loops_cast(L, acc, J->out_dtype);
  if (J->into) loops_write_buffer(L, J->into, outer, acc, J->out_dtype);
  else J->result = acc;
}

void loops_reduce(lower *L, tg_op *op) {
  tg_value *x = op->in[0], *y = op->out[0];
  reduce_job J = {.x = x,
                  .kind = tg_attr_str(op, "kind", "sum"),
                  .axis = (int)tg_attr_int(op, "axis", 0),
                  .dtype = x->type.dtype,
                  .out_dtype = y->type.dtype,
                  .lanes = 1};
  if (tg_dtypes[J.dtype].cls == 'f' && tg_dtypes[J.dtype].bits < 32) J.dtype = TG_F32;
  nest N;
  loops_nest_init(L, &N, x->type.rank, x->type.dim);
  bool lane_axis = N.nloops && N.order[N.nloops - 1] == J.axis;
  int n = 0;
  for (int k = 0; k < N.nloops; k++)
    if (N.order[k] != J.axis) N.order[n++] = N.order[k];
  N.nloops = n;
  info *f = loops_info(L, y);
  for (int a = 0; a < N.rank; a++)
    if (a != J.axis) N.need[a] = loops_need(L, &f->needs[a], N.len[a]);
  N.lanes = 1;
  if (lane_axis) J.lanes = loops_width(L, x->type.dim[J.axis]);
  else if (n) N.lanes = loops_width(L, x->type.dim[N.order[n - 1]]);
  N.body = reduce_body, N.user = &J;
  bool single = tg_type_elements(y->type) == 1;
  buffer *b = single ? NULL : loops_new_buffer(L, y->type.dtype, y->type.rank, y->type.dim, "reduced");
  J.into = b;
  loops_nest_run(L, &N);
  if (single) loops_bind(L, y, J.result);
  else loops_bind_buffer(L, y, b);
}

// ---- minnum and maxnum of nothing but NaN

typedef struct search {
  lower *L;
  tg_value *v;
  int code;   // MINNUM or MAXNUM
  bool tells; // someone could tell NaN from the identity
} search;

static bool tells_nan(lower *L, tg_value *v, int code);

static bool is_number(const tg_value *v) {
  double x;
  while (v->def && (v->def->code == TG_OP_BROADCAST || v->def->code == TG_OP_RESHAPE)) v = v->def->in[0];
  return tg_const_as_float(v, &x) && x == x;
}

static void look_at_use(tg_op *op, void *user) {
  search *s = user;
  for (int i = 0; i < op->nin && !s->tells; i++) {
    if (op->in[i] != s->v) continue;
    if (op->code == s->code) s->tells = !is_number(op->in[1 - i]);
    else if (op->code == TG_OP_REDUCE && code_of(s->L, tg_attr_str(op, "kind", "sum")) == s->code)
      s->tells = tells_nan(s->L, op->out[0], s->code);
    else if (op->code == TG_OP_RESHAPE || op->code == TG_OP_BROADCAST || op->code == TG_OP_TRANSPOSE)
      s->tells = tells_nan(s->L, op->out[0], s->code);
    else s->tells = true;
  }
}

static bool tells_nan(lower *L, tg_value *v, int code) {
  search s = {.L = L, .v = v, .code = code};
  tg_walk(L->from->body, look_at_use, &s);
  return s.tells;
}

// The reductions start from an Inf, which is what all NaN would leave: where that shows, select(any number, reduced, NaN) takes the place
// of the result.
static void restore_nan(tg_op *op, void *user) {
  lower *L = user;
  if (op->code != TG_OP_REDUCE || tg_dtypes[op->out[0]->type.dtype].cls != 'f') return;
  const int code = code_of(L, tg_attr_str(op, "kind", "sum"));
  tg_value *r = op->out[0], *x = op->in[0];
  if ((code != TG_OP_MINNUM && code != TG_OP_MAXNUM) || !tells_nan(L, r, code)) return;
  tg_builder b = {.kernel = L->tile, .region = op->parent, .before = op->next, .loc = op->loc};
  tg_value *number = tg_build(&b, TG_OP_EQ, 2, (tg_value *[]){x, x}, 0, NULL)->out[0];
  tg_value *any =
      tg_build(&b, TG_OP_REDUCE, 1, &number, 2, (tg_attr[]){TG_ASTR("kind", "or"), TG_AINT("axis", tg_attr_int(op, "axis", 0))})->out[0];
  tg_value *nan = tg_build(&b, TG_OP_CONST, 0, NULL, 2, (tg_attr[]){TG_ATYPE("type", r->type), TG_AFLOAT("value", (double)NAN)})->out[0];
  tg_op *chosen = tg_build(&b, TG_OP_SELECT, 3, (tg_value *[]){any, r, nan}, 0, NULL);
  tg_replace_all(L->tile, r, chosen->out[0]);
  chosen->in[1] = r;
}

void loops_restore_nan(lower *L) { tg_walk(L->from->body, restore_nan, L); }
