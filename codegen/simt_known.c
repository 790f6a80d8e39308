// What is known of integers of the tile kernel, and the arguments of a launch.
#include "codegen/simt_pipe.h"

// ---- what is known of integers -----------------------------------------------------------------------------------------

static bool known_symbol(void *user, const char *name, int64_t *value) {
  const tg_kernel *k = user;
  for (int i = 0; i < k->nsymbols; i++)
    if (!strcmp(k->symbols[i].name, name)) {
      *value = k->symbols[i].value;
      return *value >= 0;
    }
  return false;
}

bool simt_expr_const(simt *s, const tg_expr *e, int64_t *value) {
  const char *missing;
  return e && tg_e_eval(e, known_symbol, s->tile, value, &missing);
}

int64_t simt_gcd(int64_t a, int64_t b) {
  while (b) {
    int64_t t = a % b;
    a = b;
    b = t;
  }
  return a < 0 ? -a : a;
}

static int64_t product(int64_t a, int64_t b) {
  int64_t p;
  return __builtin_mul_overflow(a, b, &p) ? simt_gcd(a, 4096) : p < 0 ? -p : p; // any divisor serves; large powers of two are of no use
}

int64_t simt_expr_divisor(simt *s, const tg_expr *e) {
  int64_t value;
  if (simt_expr_const(s, e, &value)) return value == INT64_MIN ? 1 : value < 0 ? -value : value;
  switch (e->op) {
  case TG_EXPR_MUL: return product(simt_expr_divisor(s, e->a), simt_expr_divisor(s, e->b));
  case TG_EXPR_ADD:
  case TG_EXPR_SUB:
  case TG_EXPR_MIN:
  case TG_EXPR_MAX: return simt_gcd(simt_expr_divisor(s, e->a), simt_expr_divisor(s, e->b));
  default: return 1;
  }
}

static int64_t divisor_of(simt *s, const tg_value *v, int *left) {
  const tg_op *op = v->def;
  int64_t i;
  if ((*left)-- <= 0) return 1;
  if (!op) {
    const tg_op *owner = v->region->owner;
    return owner && owner->code == TG_OP_FOR && v->index == 0 ? simt_gcd(divisor_of(s, owner->in[0], left), tg_attr_int(owner, "step", 1))
                                                              : 1;
  }
  if (tg_const_as_int(v, &i)) return i == INT64_MIN ? 1 : i < 0 ? -i : i;
  switch (op->code) {
  case TG_OP_EXPR: return simt_expr_divisor(s, tg_find_attr(op, "e")->e);
  case TG_OP_MUL: return product(divisor_of(s, op->in[0], left), divisor_of(s, op->in[1], left));
  case TG_OP_ADD:
  case TG_OP_SUB:
  case TG_OP_MIN:
  case TG_OP_MAX: return simt_gcd(divisor_of(s, op->in[0], left), divisor_of(s, op->in[1], left));
  case TG_OP_SELECT: return simt_gcd(divisor_of(s, op->in[1], left), divisor_of(s, op->in[2], left));
  case TG_OP_CAST: return tg_dtypes[op->in[0]->type.dtype].cls == 'i' ? divisor_of(s, op->in[0], left) : 1;
  case TG_OP_FIRST: return op->in[0]->def ? divisor_of(s, op->in[0]->def->in[0], left) : 1;
  case TG_OP_ASSUME: {
    int64_t known = divisor_of(s, op->in[0], left), promised = tg_attr_int(op, "divisible", 1);
    return known % promised == 0 ? known : promised;
  }
  default: return 1;
  }
}

int64_t simt_divisor_of(simt *s, const tg_value *v) { return divisor_of(s, v, &(int){SIMT_MOST_LOOKED_AT}); }

static bool expr_nonnegative(const tg_expr *e) {
  if (e->op == TG_EXPR_CONST) return e->value >= 0;
  if (e->op == TG_EXPR_SYM) return true; // dims and statics
  if (e->op == TG_EXPR_SUB) return false;
  if (e->op == TG_EXPR_MAX) return expr_nonnegative(e->a) || expr_nonnegative(e->b);
  return expr_nonnegative(e->a) && expr_nonnegative(e->b);
}

static bool nonnegative(const tg_value *v, int *left) {
  const tg_op *op = v->def;
  int64_t i;
  if ((*left)-- <= 0) return false;
  if (!op) {
    const tg_op *owner = v->region->owner;
    return owner && owner->code == TG_OP_FOR && v->index == 0 && nonnegative(owner->in[0], left);
  }
  if (tg_const_as_int(v, &i)) return i >= 0;
  switch (op->code) {
  case TG_OP_PID: return true;
  case TG_OP_EXPR: return expr_nonnegative(tg_find_attr(op, "e")->e);
  case TG_OP_ADD:
  case TG_OP_MUL:
  case TG_OP_MIN:
  case TG_OP_DIV:
  case TG_OP_REM: return nonnegative(op->in[0], left) && nonnegative(op->in[1], left);
  case TG_OP_MAX: return nonnegative(op->in[0], left) || nonnegative(op->in[1], left);
  case TG_OP_CAST: // of integers, to one as wide or wider
    return tg_dtypes[op->in[0]->type.dtype].cls == 'i' && tg_dtypes[v->type.dtype].cls == 'i' &&
           tg_dtypes[v->type.dtype].bits >= tg_dtypes[op->in[0]->type.dtype].bits && nonnegative(op->in[0], left);
  case TG_OP_FIRST: return op->in[0]->def && nonnegative(op->in[0]->def->in[0], left);
  case TG_OP_ASSUME: return tg_attr_int(op, "min", -1) >= 0 || nonnegative(op->in[0], left);
  default: return false;
  }
}

bool simt_nonnegative(const tg_value *v) { return nonnegative(v, &(int){SIMT_MOST_LOOKED_AT}); }

static const tg_value *unnamed(const tg_value *v) { // through all that only renames
  while (simt_is_lazy(v) && v->def->nin == 1 && v->def->in[0]->type.kind == TG_TILE) v = v->def->in[0];
  return v;
}

tg_value *simt_compare_known(simt *s, const tg_op *op) {
  if (op->code != TG_OP_LT) return NULL;
  const tg_value *index = unnamed(op->in[0]), *end = unnamed(op->in[1]);
  const tg_op *range = index->def && index->def->code == TG_OP_INDEX ? index->def->in[0]->def : NULL;
  if (!range || range->code != TG_OP_RANGE || end->type.rank || !simt_same(s, range->in[1], end)) return NULL;
  return simt_range_is_full(s, range) ? simt_int(s, TG_I1, 1) : NULL;
}

// ---- launch arguments ----------------------------------------------------------------------------------------------------

static bool same_argument(const tg_arg *a, const tg_arg *b) {
  if (a->kind != b->kind) return false;
  if (a->map) return a->dtype == b->dtype && tg_arg_map_equal(a->map, b->map);
  return b->value ? a->value && tg_e_equal(a->value, b->value) : !a->value && !strcmp(a->name, b->name);
}

static tg_value *add_argument(simt *s, const tg_arg *arg, tg_type type) {
  tg_region *body = s->out->body;
  int n = s->out->nargs;
  for (int i = 0; i < n; i++) {
    const tg_arg *a = &s->out->args[i];
    if (same_argument(a, arg)) return body->args[i];
  }
  tg_value *v = TG_NEW(s->arena, tg_value);
  *v = (tg_value){.type = type, .region = body, .index = (uint32_t)n, .id = s->lane->next_id++};
  s->out->args = tg_arena_grow(s->arena, s->out->args, (size_t)n, sizeof *s->out->args);
  body->args = tg_arena_grow(s->arena, body->args, (size_t)n, sizeof *body->args);
  s->out->args[n] = *arg;
  body->args[n] = v;
  s->out->nargs = body->nargs = n + 1;
  return v;
}

tg_value *simt_argument(simt *s, const tg_expr *e) {
  int64_t value;
  if (simt_expr_const(s, e, &value)) return simt_int(s, TG_I64, value);
  tg_arg arg = {
      .name = tg_e_text(s->arena, e), .kind = TG_ARG_SCALAR, .dtype = TG_I64, .value = tg_e_copy(s->arena, e)}; // outlives the tile kernel
  return add_argument(s, &arg, tg_scalar_type(TG_I64));
}

tg_value *simt_scalar_argument(simt *s, const char *name, int dtype) {
  return add_argument(s, &(tg_arg){.name = tg_arena_strdup(s->arena, name), .kind = TG_ARG_SCALAR, .dtype = (uint8_t)dtype},
                      tg_scalar_type(dtype));
}

tg_value *simt_pointer_argument(simt *s, const tg_param *p) {
  return add_argument(s, &(tg_arg){.name = tg_arena_strdup(s->arena, p->name), .kind = TG_ARG_POINTER, .dtype = (uint8_t)p->dtype},
                      tg_ptr_type(TG_GLOBAL));
}

tg_value *simt_map_argument(simt *s, const simt_box *box) {
  const tg_arg_map *map = tg_arg_map_copy(s->arena, &box->map); // outlives the tile kernel
  int n = 0;
  for (int i = 0; i < s->out->nargs; i++) n += s->out->args[i].kind == TG_ARG_MAP;
  const uint8_t dtype = box->load->out[0]->type.dtype;
  const char *name = tg_arena_printf(s->arena, "%s.map%d", map->of, n);
  return add_argument(s, &(tg_arg){.name = name, .kind = TG_ARG_MAP, .dtype = dtype, .map = map}, tg_ptr_type(TG_PARAMETER));
}

static void find_param(tg_op *op, void *user) {
  simt *s = user;
  if (op->code == TG_OP_PARAM) simt_pointer_argument(s, tg_find_param(s->tile, tg_attr_str(op, "name", "")));
}

void simt_pointer_arguments(simt *s) { tg_walk(s->launch->body, find_param, s); }
