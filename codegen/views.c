// Which elements of its tensor a view covers, as far as the launch tells: what is checked before it starts.
#include "codegen/codegen.h"

const tg_expr *tg_launch_expr(tg_arena *arena, const tg_value *v) {
  static const struct {
    int code;
    tg_expr_op op;
  } ops[] = {
      {TG_OP_ADD, TG_EXPR_ADD}, {TG_OP_SUB, TG_EXPR_SUB}, {TG_OP_MUL, TG_EXPR_MUL}, {TG_OP_MIN, TG_EXPR_MIN}, {TG_OP_MAX, TG_EXPR_MAX}};
  const tg_op *op = v->def;
  int64_t i;
  if (!op || v->type.kind != TG_TILE || v->type.rank != 0) return NULL;
  if (tg_const_as_int(v, &i)) return tg_e_const(arena, i);
  if (op->code == TG_OP_EXPR) return tg_find_attr(op, "e")->e;
  for (size_t k = 0; k < sizeof ops / sizeof ops[0]; k++) {
    if (op->code != ops[k].code) continue;
    const tg_expr *a = tg_launch_expr(arena, op->in[0]), *b = a ? tg_launch_expr(arena, op->in[1]) : NULL;
    return b ? tg_e_bin(arena, ops[k].op, a, b) : NULL;
  }
  return NULL;
}

const tg_expr *tg_view_storage(tg_arena *arena, const tg_param *param, int dtype) {
  const tg_expr *elements = tg_e_const(arena, 1);
  for (int a = 0; a < param->rank; a++) elements = tg_e_bin(arena, TG_EXPR_MUL, elements, param->dims[a]);
  const int from = tg_dtypes[param->dtype].bits, to = tg_dtypes[dtype].bits;
  if (from == to) return elements;
  return tg_e_bin(arena, TG_EXPR_FLOORDIV, tg_e_bin(arena, TG_EXPR_MUL, elements, tg_e_const(arena, from)), tg_e_const(arena, to));
}

const tg_param *tg_view_param(const tg_kernel *kernel, const tg_op *view) {
  const tg_value *base = view->in[0];
  while (base->def && base->def->code == TG_OP_VIEW) base = base->def->in[0];
  return base->def && base->def->code == TG_OP_PARAM ? tg_find_param(kernel, tg_attr_str(base->def, "name", "")) : NULL;
}

// Whether the launch tells that the op is reached: `some` becomes 0 or less where it is not. What an `if` or `while` guards is not known,
// nor what stands in a loop whose trips only the block knows.
static bool reached(tg_arena *arena, const tg_op *op, const tg_expr **some) {
  const tg_region *region = op->parent;
  for (; region->owner; region = region->owner->parent) {
    if (region->owner->code != TG_OP_FOR) return false;
    const tg_expr *lb = tg_launch_expr(arena, region->owner->in[0]), *ub = tg_launch_expr(arena, region->owner->in[1]);
    if (!lb || !ub) return false;
    *some = tg_e_bin(arena, TG_EXPR_MIN, *some, tg_e_bin(arena, TG_EXPR_SUB, ub, lb));
  }
  for (int i = 0; i < region->launch->naxes; i++) *some = tg_e_bin(arena, TG_EXPR_MIN, *some, region->launch->grid[i]);
  return true;
}

bool tg_view_reach(tg_arena *arena, const tg_kernel *kernel, const tg_op *view, tg_reach *out) {
  const tg_param *param = tg_view_param(kernel, view);
  const tg_type type = view->out[0]->type;
  const tg_expr *zero = tg_e_const(arena, 0), *one = tg_e_const(arena, 1), *offset = tg_launch_expr(arena, view->in[1]);
  if (!param || !offset) return false;
  *out = (tg_reach){.some = one, .first = offset, .last = offset, .have = tg_view_storage(arena, param, type.dtype)};
  if (!reached(arena, view, &out->some)) return false;
  for (int a = 0; a < type.rank; a++) {
    const tg_expr *dim = tg_launch_expr(arena, view->in[2 + a]), *stride = tg_launch_expr(arena, view->in[2 + type.rank + a]);
    if (!dim || !stride) return false;
    const tg_expr *far = tg_e_bin(arena, TG_EXPR_MUL, tg_e_bin(arena, TG_EXPR_SUB, dim, one), stride);
    out->some = tg_e_bin(arena, TG_EXPR_MIN, out->some, dim);
    out->first = tg_e_bin(arena, TG_EXPR_ADD, out->first, tg_e_bin(arena, TG_EXPR_MIN, far, zero));
    out->last = tg_e_bin(arena, TG_EXPR_ADD, out->last, tg_e_bin(arena, TG_EXPR_MAX, far, zero));
  }
  return true;
}
