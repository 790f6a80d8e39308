// Views and counts of inside indices.
#include "codegen/loops_dot.h"

// ---- views

static const tg_param *param_of(lower *L, const tg_op *op) {
  const tg_param *p = tg_find_param(L->tile, tg_attr_str(op, "name", ""));
  if (!p) loops_refuse(L, op, "there is no parameter %s", tg_attr_str(op, "name", "?"));
  return p;
}

void loops_resolve(lower *L, tg_value *v, view *out) {
  tg_op *op = v->def;
  *out = (view){.rank = v->type.rank, .dtype = v->type.dtype};
  if (!op) loops_refuse(L, NULL, "a view carried by a loop cannot be lowered; carry its offset");
  if (op->code == TG_OP_PARAM) {
    out->param = param_of(L, op);
    out->ptr = loops_arg_pointer(L, out->param->name);
    out->offset = loops_int(L, 0);
    tg_value *stride = loops_int(L, 1);
    for (int a = out->rank - 1; a >= 0; a--) {
      out->dim[a] = loops_arg_expr(L, out->param->dims[a]);
      out->stride[a] = stride;
      stride = loops_mul(L, stride, out->dim[a]);
    }
    return;
  }
  tg_value *base = op->in[0];
  while (base->def && base->def->code == TG_OP_VIEW) base = base->def->in[0];
  if (!base->def || base->def->code != TG_OP_PARAM) loops_refuse(L, op, "a view must come from a parameter");
  out->param = param_of(L, base->def);
  out->ptr = loops_arg_pointer(L, out->param->name);
  out->offset = loops_scalar(L, op->in[1]);
  for (int a = 0; a < out->rank; a++) {
    out->dim[a] = loops_scalar(L, op->in[2 + a]);
    out->stride[a] = loops_scalar(L, op->in[2 + out->rank + a]);
  }
}

bool loops_view_known(lower *L, const tg_op *op) {
  tg_reach reach;
  return tg_view_reach(L->arena, L->tile, op, &reach);
}

// The furthest that an axis leads from element 0, down or up. In f64: exact where it matters, and nothing loaded makes it wrap.
static void add_reach(lower *L, tg_value *dim, tg_value *stride, tg_value **first, tg_value **last) {
  tg_value *far = loops_bin(L, TG_OP_MUL, loops_cast(L, loops_addc(L, dim, -1), TG_F64), loops_cast(L, stride, TG_F64));
  tg_value *zero = loops_const(L, TG_F64, 0);
  *first = loops_bin(L, TG_OP_ADD, *first, loops_bin(L, TG_OP_MIN, far, zero));
  *last = loops_bin(L, TG_OP_ADD, *last, loops_bin(L, TG_OP_MAX, far, zero));
}

// A view of which only the block knows how far it leads stops the launch where it leads outside of its tensor.
void loops_check_view_where(lower *L, tg_op *op, tg_value *reached) {
  if (loops_view_known(L, op)) return;
  view v;
  loops_resolve(L, op->out[0], &v);
  tg_value *first = loops_cast(L, v.offset, TG_F64), *last = first, *empty = loops_const(L, TG_I1, 0);
  if (reached) empty = loops_bin(L, TG_OP_XOR, reached, loops_const(L, TG_I1, 1));
  for (int a = 0; a < v.rank; a++) {
    add_reach(L, v.dim[a], v.stride[a], &first, &last);
    empty = loops_bin(L, TG_OP_OR, empty, loops_bin(L, TG_OP_LE, v.dim[a], loops_int(L, 0)));
  }
  tg_value *have = loops_cast(L, loops_arg_expr(L, tg_view_storage(&L->lane->arena, v.param, v.dtype)), TG_F64);
  tg_value *inside = loops_bin(L, TG_OP_AND, loops_bin(L, TG_OP_GE, first, loops_const(L, TG_F64, 0)), loops_bin(L, TG_OP_LT, last, have));
  tg_value *holds = loops_bin(L, TG_OP_OR, empty, inside);
  const char *text =
      tg_arena_printf(&L->lane->arena, "%sthe view of '%s' leads outside of its storage; its start or an extent is too large",
                      tg_loc_text(L->arena, op->loc), v.param->name);
  loops_op(L, L->top, TG_OP_TRAP, 1, &holds, 1, (tg_attr[]){TG_ASTR("text", text)});
}

void loops_check_view(lower *L, tg_op *op) { loops_check_view_where(L, op, NULL); }

// ---- counts

static bool fixed(void *user, const char *name, int64_t *value) {
  lower *L = user;
  for (int i = 0; i < L->tile->nsymbols; i++)
    if (!strcmp(L->tile->symbols[i].name, name) && L->tile->symbols[i].value >= 0) {
      *value = L->tile->symbols[i].value;
      return true;
    }
  return false;
}

static const tg_expr *expr_of(lower *L, const tg_value *v) {
  int64_t c;
  if (tg_const_as_int(v, &c)) return tg_e_const(L->arena, c);
  if (!v->def && v->region == L->levels[0].region && (int)v->index < L->nargs) return L->args[v->index].value;
  return NULL;
}

static bool at_most_expr(lower *L, const tg_value *x, const tg_expr *bound) {
  if (x->def && x->def->code == TG_OP_MIN) return at_most_expr(L, x->def->in[0], bound) || at_most_expr(L, x->def->in[1], bound);
  const tg_expr *e = expr_of(L, x);
  return e && tg_e_equal(e, bound);
}

static bool at_most(lower *L, const tg_value *x, const tg_value *bound) {
  if (x == bound) return true;
  if (x->def && x->def->code == TG_OP_MIN) return at_most(L, x->def->in[0], bound) || at_most(L, x->def->in[1], bound);
  const tg_expr *a = expr_of(L, x), *b = expr_of(L, bound);
  if (a && b && a->op == TG_EXPR_CONST && b->op == TG_EXPR_CONST) return a->value <= b->value;
  return a && b && tg_e_equal(a, b);
}

// start < bound for every block or trip that runs.
static bool below(lower *L, const tg_value *start, const tg_value *bound) {
  int64_t c = 1, x, y;
  if (tg_const_as_int(start, &x) && tg_const_as_int(bound, &y)) return x < y;
  const tg_expr *e = expr_of(L, bound);
  if (!start->def) { // a loop's variable
    const tg_op *loop = start->region->owner;
    return loop && loop->code == TG_OP_FOR && start->index == 0 && at_most(L, loop->in[1], bound);
  }
  const tg_value *s = start;
  if (s->def->code == TG_OP_MUL && tg_const_as_int(s->def->in[1], &x)) c = x, s = s->def->in[0];
  if (s->def && s->def->code == TG_OP_CTAID && e && c > 0) {
    const tg_expr *grid = L->from->grid[tg_attr_int(s->def, "axis", 0)];
    const char *missing;
    if (tg_e_eval(grid, fixed, L, &x, &missing) && tg_e_eval(e, fixed, L, &y, &missing)) return x == 0 || (x - 1) * c < y;
    const tg_expr *whole = e;
    int64_t f = c;
    if (e->op == TG_EXPR_CEILDIV && e->b->op == TG_EXPR_CONST) whole = e->a, f = c * e->b->value;
    if (tg_e_equal(grid, tg_e_bin(L->arena, TG_EXPR_CEILDIV, whole, tg_e_const(L->arena, f)))) return true;
    return tg_e_equal(grid, c == 1 ? e : tg_e_bin(L->arena, TG_EXPR_CEILDIV, e, tg_e_const(L->arena, c)));
  }
  // floor(y / c) < ceildiv(X, c) when y < X
  int64_t d = 0;
  if (start->def->code == TG_OP_SHR && tg_const_as_int(start->def->in[1], &x) && x >= 0 && x < 62) d = (int64_t)1 << x;
  if (start->def->code == TG_OP_DIV && tg_const_as_int(start->def->in[1], &x) && x > 0) d = x;
  if (d && e && e->op == TG_EXPR_CEILDIV && e->b->op == TG_EXPR_CONST && e->b->value == d) {
    const tg_value *inner = start->def->in[0];
    if (inner->def) {
      for (int i = 0; i < L->nargs; i++)
        if (L->args[i].value && tg_e_equal(L->args[i].value, e->a)) return below(L, inner, L->levels[0].region->args[i]);
      return false;
    }
    const tg_op *loop = inner->region->owner;
    return loop && loop->code == TG_OP_FOR && inner->index == 0 && at_most_expr(L, loop->in[1], e->a);
  }
  return false;
}

tg_value *loops_count(lower *L, const tg_op *op, int axis, const view *view, tg_value **low) {
  tg_value *index = op->in[1 + axis], *start, *end = view->dim[axis];
  int64_t len = 1, x, y;
  if (index->type.kind == TG_RANGE) {
    start = loops_scalar(L, index->def->in[0]);
    tg_value *stop = loops_scalar(L, index->def->in[1]);
    const tg_expr *a = expr_of(L, stop), *b = expr_of(L, end);
    bool within = a && b && b->op == TG_EXPR_MUL && // stop <= stop * constant
                  ((b->b->op == TG_EXPR_CONST && b->b->value >= 1 && tg_e_equal(a, b->a)) ||
                   (b->a->op == TG_EXPR_CONST && b->a->value >= 1 && tg_e_equal(a, b->b)));
    if (within) end = stop;
    else if (!(a && b && tg_e_equal(a, b))) end = loops_min(L, stop, end);
    len = index->type.dim[0];
  } else {
    start = loops_cast(L, loops_scalar(L, index), TG_I64);
  }
  *low = loops_nonneg(L, start) ? NULL : loops_bin(L, TG_OP_GE, start, loops_int(L, 0));
  bool some = below(L, start, end);
  if (tg_const_as_int(end, &y)) {
    if (tg_const_as_int(start, &x)) {
      return loops_int(L, y <= x ? 0 : (uint64_t)y - (uint64_t)x > (uint64_t)len ? len : y - x);
    }
    if (some && y % len == 0 && loops_multiple(start) % len == 0) return loops_int(L, len);
  }
  if (some && len == 1) return loops_int(L, 1);
  if (!loops_nonneg(L, end)) end = loops_max(L, end, loops_int(L, 0)); // a start near 2^63 off a negative end would wrap to much room
  tg_value *n = loops_min(L, loops_sub(L, end, start), loops_int(L, len));
  return some ? n : loops_max(L, n, loops_int(L, 0));
}

tg_value *loops_need(lower *L, const need *n, int64_t len) {
  if (n->kind != NEED_COUNT) return loops_int(L, len);
  const tg_op *at = n->op;
  for (int i = 0; i < at->nin; i++)
    if (i <= n->op->in[0]->type.rank && !loops_evaluable(L, at->in[i])) return loops_int(L, len);
  view v;
  tg_value *low;
  loops_resolve(L, n->op->in[0], &v);
  return loops_count(L, n->op, n->axis, &v, &low);
}
