// Canonical form: constants folded, algebra that is exact for every input (floats too) applied, shape ops on constants and identities
// removed, branches and loops with known trip counts resolved.
//
// One walk in program order. value->note holds a value's replacement while the pass runs; operands are redirected as they are visited.
#include "ir/fold.h"

static tg_builder builder_at(tg_op *op) {
  return (tg_builder){op->parent->launch ? op->parent->launch->kernel : NULL, op->parent, op, op->loc};
}

static tg_value *constant(tg_builder *b, tg_type type, tg_scalar s) {
  return s.is_int ? tg_const_int(b, type, s.i) : tg_const_float(b, type, s.f);
}

static bool is_int_value(const tg_value *v, int64_t value) {
  tg_scalar s;
  return tg_scalar_of(v, &s) && s.is_int && s.i == value;
}
static bool is_float_value(const tg_value *v, double value) {
  tg_scalar s;
  return tg_scalar_of(v, &s) && !s.is_int && s.f == value && !__builtin_signbit(s.f) == !__builtin_signbit(value);
}
static bool is_one(const tg_value *v) { return is_int_value(v, 1) || is_float_value(v, 1); }

static tg_value *fold_constants(tg_builder *b, tg_op *op) {
  tg_scalar in[3], out;
  if (!(tg_op_rows()[op->code].traits & TG_ELEMENTWISE) || op->nin > 3) return NULL;
  for (int i = 0; i < op->nin; i++)
    if (!tg_scalar_of(op->in[i], &in[i])) return NULL;
  return tg_fold_scalar(op, in, &out) ? constant(b, op->out[0]->type, out) : NULL;
}

// x + c and x * c with the constant on the right; (x + a) + b = x + (a + b) for integers, which wrap.
static tg_value *reassociate(tg_builder *b, tg_op *op) {
  if (tg_op_rows()[op->code].traits & TG_COMMUTATIVE && tg_is_const(op->in[0]) && !tg_is_const(op->in[1])) {
    tg_value *t = op->in[0];
    op->in[0] = op->in[1];
    op->in[1] = t;
  }
  int64_t outer, inner;
  tg_op *def = op->in[0]->def;
  if (op->code != TG_OP_ADD || !def || def->code != TG_OP_ADD || !tg_const_as_int(op->in[1], &outer) ||
      !tg_const_as_int(def->in[1], &inner))
    return NULL;
  if (tg_dtypes[op->in[1]->type.dtype].cls != 'i') return NULL;
  tg_value *sum = tg_const_int(b, op->in[1]->type, (int64_t)((uint64_t)outer + (uint64_t)inner));
  return tg_build2(b, TG_OP_ADD, def->in[0], sum);
}

static tg_value *binary_identity(tg_op *op) {
  tg_value *x = op->in[0], *y = op->in[1];
  bool integer = tg_dtypes[x->type.dtype].cls != 'f';
  switch (op->code) {
  case TG_OP_ADD: return is_int_value(y, 0) || is_float_value(y, -0.0) ? x : NULL; // x + 0.0 turns -0 into +0
  case TG_OP_SUB: return is_int_value(y, 0) || is_float_value(y, 0.0) ? x : NULL;
  case TG_OP_MUL: return is_one(y) ? x : is_int_value(y, 0) ? y : NULL;
  case TG_OP_DIV: return is_one(y) ? x : NULL;
  case TG_OP_SHL:
  case TG_OP_SHR: return is_int_value(y, 0) ? x : NULL;
  case TG_OP_AND: return x == y ? x : is_int_value(y, 0) ? y : x->type.dtype == TG_I1 && is_int_value(y, 1) ? x : NULL;
  case TG_OP_OR: return x == y || is_int_value(y, 0) ? x : x->type.dtype == TG_I1 && is_int_value(y, 1) ? y : NULL;
  case TG_OP_XOR: return is_int_value(y, 0) ? x : NULL;
  case TG_OP_MIN:
  case TG_OP_MAX: return x == y && integer ? x : NULL;
  default: return NULL;
  }
}

static bool is_identity(int n, const int64_t *perm) {
  for (int i = 0; i < n; i++)
    if (perm[i] != i) return false;
  return true;
}

static tg_value *simplify_shape(tg_builder *b, tg_op *op) {
  tg_value *x = op->in[0];
  tg_type type = op->out[0]->type;
  tg_scalar s;
  if (tg_scalar_of(x, &s)) return constant(b, type, s);
  if (op->code != TG_OP_TRANSPOSE && tg_type_equal(x->type, type)) return x;
  const tg_attr *perm = tg_find_attr(op, "perm");
  if (op->code == TG_OP_TRANSPOSE) {
    if (is_identity(perm->n, perm->ints)) return x;
    if (x->def && x->def->code == TG_OP_TRANSPOSE) {
      const tg_attr *first = tg_find_attr(x->def, "perm");
      int64_t both[TG_MAX_RANK];
      for (int i = 0; i < perm->n; i++) both[i] = first->ints[perm->ints[i]];
      if (is_identity(perm->n, both)) return x->def->in[0];
      return tg_build(b, TG_OP_TRANSPOSE, 1, x->def->in, 1, (tg_attr[]){TG_AINTS("perm", both, perm->n)})->out[0];
    }
  }
  if (op->code == TG_OP_RESHAPE && x->def && x->def->code == TG_OP_RESHAPE && tg_type_equal(x->def->in[0]->type, type))
    return x->def->in[0];
  if (op->code == TG_OP_RESHAPE && x->def && x->def->code == TG_OP_RESHAPE)
    return tg_build(b, TG_OP_RESHAPE, 1, x->def->in, 1, tg_find_attr(op, "shape"))->out[0];
  return NULL;
}

// A cast to a wider float and back loses nothing.
static tg_value *simplify_cast(tg_op *op) {
  tg_value *x = op->in[0];
  if (x->type.dtype == op->out[0]->type.dtype) return x;
  tg_op *def = x->def;
  if (!def || def->code != TG_OP_CAST) return NULL;
  int from = def->in[0]->type.dtype, middle = x->type.dtype;
  const tg_dtype_row *f = &tg_dtypes[from], *m = &tg_dtypes[middle];
  bool exact = f->cls == 'f' && m->cls == 'f' && m->man >= f->man && (middle == TG_F32 || middle == TG_F64) && from != TG_F64;
  return exact && from == op->out[0]->type.dtype ? def->in[0] : NULL;
}

static tg_value *simplify(tg_builder *b, tg_op *op) {
  tg_value *folded = fold_constants(b, op);
  if (folded) return folded;
  int64_t value;
  switch (op->code) {
  case TG_OP_EXPR: return tg_expr_is_const(tg_find_attr(op, "e")->e, &value) ? tg_const_int(b, op->out[0]->type, value) : NULL;
  case TG_OP_FIRST: return op->in[0]->def && op->in[0]->def->code == TG_OP_RANGE ? op->in[0]->def->in[0] : NULL;
  case TG_OP_LAST: return op->in[0]->def && op->in[0]->def->code == TG_OP_RANGE ? op->in[0]->def->in[1] : NULL;
  case TG_OP_BROADCAST:
  case TG_OP_SPREAD:
  case TG_OP_RESHAPE:
  case TG_OP_TRANSPOSE: return simplify_shape(b, op);
  case TG_OP_CAST: return simplify_cast(op);
  case TG_OP_BITCAST: return op->in[0]->type.dtype == op->out[0]->type.dtype ? op->in[0] : NULL;
  case TG_OP_SELECT:
    if (op->in[1] == op->in[2]) return op->in[1];
    return tg_const_as_int(op->in[0], &value) ? op->in[value ? 1 : 2] : NULL;
  }
  if (op->nin == 2 && op->nout == 1 && (tg_op_rows()[op->code].traits & TG_ELEMENTWISE)) {
    tg_value *v = reassociate(b, op);
    return v ? v : binary_identity(op);
  }
  return NULL;
}

// Moves a region's ops in front of `op` and makes what it yielded op's results.
static void inline_region(tg_op *op, tg_region *region) {
  tg_op *yield = region->last;
  for (tg_op *inner = region->first, *next; inner != yield; inner = next) {
    next = inner->next;
    tg_move_before(inner, op);
  }
  for (int i = 0; i < op->nout; i++) op->out[i]->note = yield->in[i];
  tg_remove_op(op);
}

static void visit(tg_kernel *kernel, tg_region *region);

static void redirect(tg_op *op) {
  for (int i = 0; i < op->nin; i++)
    while (op->in[i]->note) op->in[i] = op->in[i]->note;
}

static void resolve_if(tg_kernel *kernel, tg_op *op, int64_t condition) {
  tg_region *taken = op->regions[condition ? 0 : 1];
  visit(kernel, taken);
  redirect(taken->last);
  inline_region(op, taken);
}

// A for without trips gives its inits; a carried value that every trip passes on unchanged is its init.
static bool resolve_for(tg_op *op) {
  int64_t lb, ub;
  if (tg_const_as_int(op->in[0], &lb) && tg_const_as_int(op->in[1], &ub) && lb >= ub) {
    for (int i = 0; i < op->nout; i++) op->out[i]->note = op->in[2 + i];
    tg_remove_op(op);
    return true;
  }
  tg_region *body = op->regions[0];
  for (int i = 0; i < op->nout; i++)
    if (body->last->in[i] == body->args[1 + i]) body->args[1 + i]->note = op->out[i]->note = op->in[2 + i];
  return false;
}

static void visit_op(tg_kernel *kernel, tg_op *op) {
  int64_t condition;
  redirect(op);
  if (op->code == TG_OP_IF && tg_const_as_int(op->in[0], &condition)) {
    resolve_if(kernel, op, condition);
    return;
  }
  if (op->code == TG_OP_FOR && resolve_for(op)) return;
  for (int i = 0; i < op->nregions; i++) visit(kernel, op->regions[i]);
  if (op->nout != 1 || op->nregions || tg_is_const(op->out[0])) return;
  tg_builder b = builder_at(op);
  b.kernel = kernel;
  tg_value *v = simplify(&b, op);
  if (!v || v == op->out[0]) return;
  op->out[0]->note = v;
  tg_remove_op(op);
}

static void visit(tg_kernel *kernel, tg_region *region) {
  for (tg_op *op = region->first, *next; op; op = next) {
    next = op->next;
    visit_op(kernel, op);
  }
}

static void clear(tg_op *op, void *user) {
  (void)user;
  for (int i = 0; i < op->nout; i++) op->out[i]->note = NULL;
  for (int r = 0; r < op->nregions; r++)
    for (int i = 0; i < op->regions[r]->nargs; i++) op->regions[r]->args[i]->note = NULL;
}

void tg_pass_canonicalise(tg_kernel *kernel) {
  for (int l = 0; l < kernel->nlaunches; l++) {
    visit(kernel, kernel->launches[l]->body);
    tg_walk(kernel->launches[l]->body, clear, NULL);
  }
}
