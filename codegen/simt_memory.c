// Loads and stores: from views, ranges and indices to vector accesses with the masks that are needed and no others.
#include "codegen/simt.h"

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

static bool expr_const(simt *s, const tg_expr *e, int64_t *value) {
  const char *missing;
  return e && tg_e_eval(e, known_symbol, s->tile, value, &missing);
}

static int64_t gcd(int64_t a, int64_t b) {
  while (b) {
    int64_t t = a % b;
    a = b;
    b = t;
  }
  return a < 0 ? -a : a;
}

static int64_t product(int64_t a, int64_t b) {
  int64_t p;
  return __builtin_mul_overflow(a, b, &p) ? gcd(a, 4096) : p < 0 ? -p : p; // any divisor serves; large powers of two are of no use
}

static int64_t expr_divisor(simt *s, const tg_expr *e) {
  int64_t value;
  if (expr_const(s, e, &value)) return value == INT64_MIN ? 1 : value < 0 ? -value : value;
  switch (e->op) {
  case TG_EXPR_MUL: return product(expr_divisor(s, e->a), expr_divisor(s, e->b));
  case TG_EXPR_ADD:
  case TG_EXPR_SUB:
  case TG_EXPR_MIN:
  case TG_EXPR_MAX: return gcd(expr_divisor(s, e->a), expr_divisor(s, e->b));
  default: return 1;
  }
}

int64_t simt_divisor_of(simt *s, const tg_value *v) {
  const tg_op *op = v->def;
  int64_t i;
  if (!op) {
    const tg_op *owner = v->region->owner;
    return owner && owner->code == TG_OP_FOR && v->index == 0 ? gcd(simt_divisor_of(s, owner->in[0]), tg_attr_int(owner, "step", 1)) : 1;
  }
  if (tg_const_as_int(v, &i)) return i == INT64_MIN ? 1 : i < 0 ? -i : i;
  switch (op->code) {
  case TG_OP_EXPR: return expr_divisor(s, tg_find_attr(op, "e")->e);
  case TG_OP_MUL: return product(simt_divisor_of(s, op->in[0]), simt_divisor_of(s, op->in[1]));
  case TG_OP_ADD:
  case TG_OP_SUB:
  case TG_OP_MIN:
  case TG_OP_MAX: return gcd(simt_divisor_of(s, op->in[0]), simt_divisor_of(s, op->in[1]));
  case TG_OP_SELECT: return gcd(simt_divisor_of(s, op->in[1]), simt_divisor_of(s, op->in[2]));
  case TG_OP_CAST: return tg_dtypes[op->in[0]->type.dtype].cls == 'i' ? simt_divisor_of(s, op->in[0]) : 1;
  case TG_OP_FIRST: return op->in[0]->def ? simt_divisor_of(s, op->in[0]->def->in[0]) : 1;
  case TG_OP_ASSUME: {
    int64_t known = simt_divisor_of(s, op->in[0]), promised = tg_attr_int(op, "divisible", 1);
    return known % promised == 0 ? known : promised;
  }
  default: return 1;
  }
}

static bool expr_nonnegative(const tg_expr *e) {
  if (e->op == TG_EXPR_CONST) return e->value >= 0;
  if (e->op == TG_EXPR_SYM) return true; // dims and statics
  if (e->op == TG_EXPR_SUB) return false;
  if (e->op == TG_EXPR_MAX) return expr_nonnegative(e->a) || expr_nonnegative(e->b);
  return expr_nonnegative(e->a) && expr_nonnegative(e->b);
}

static bool nonnegative(const tg_value *v) {
  const tg_op *op = v->def;
  int64_t i;
  if (!op) {
    const tg_op *owner = v->region->owner;
    return owner && owner->code == TG_OP_FOR && v->index == 0 && nonnegative(owner->in[0]);
  }
  if (tg_const_as_int(v, &i)) return i >= 0;
  switch (op->code) {
  case TG_OP_PID: return true;
  case TG_OP_EXPR: return expr_nonnegative(tg_find_attr(op, "e")->e);
  case TG_OP_ADD:
  case TG_OP_MUL:
  case TG_OP_MIN:
  case TG_OP_DIV:
  case TG_OP_REM: return nonnegative(op->in[0]) && nonnegative(op->in[1]);
  case TG_OP_MAX: return nonnegative(op->in[0]) || nonnegative(op->in[1]);
  case TG_OP_FIRST: return op->in[0]->def && nonnegative(op->in[0]->def->in[0]);
  case TG_OP_ASSUME: return tg_attr_int(op, "min", -1) >= 0 || nonnegative(op->in[0]);
  default: return false;
  }
}

// ---- launch arguments ----------------------------------------------------------------------------------------------------

static tg_value *add_argument(simt *s, const tg_arg *arg, tg_type type) {
  tg_region *body = s->out->body;
  int n = s->out->nargs;
  for (int i = 0; i < n; i++) {
    const tg_arg *a = &s->out->args[i];
    bool same =
        a->kind == arg->kind && (arg->value ? a->value && tg_e_equal(a->value, arg->value) : !a->value && !strcmp(a->name, arg->name));
    if (same) return body->args[i];
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
  if (expr_const(s, e, &value)) return simt_int(s, TG_I64, value);
  tg_arg arg = {
      .name = tg_e_text(s->arena, e), .kind = TG_ARG_SCALAR, .dtype = TG_I64, .value = tg_e_copy(s->arena, e)}; // outlives the tile kernel
  return add_argument(s, &arg, tg_scalar_type(TG_I64));
}

tg_value *simt_scalar_argument(simt *s, const char *name, int dtype) {
  return add_argument(s, &(tg_arg){.name = tg_arena_strdup(s->arena, name), .kind = TG_ARG_SCALAR, .dtype = (uint8_t)dtype},
                      tg_scalar_type(dtype));
}

static tg_value *pointer_argument(simt *s, const tg_param *p) {
  return add_argument(s, &(tg_arg){.name = tg_arena_strdup(s->arena, p->name), .kind = TG_ARG_POINTER, .dtype = (uint8_t)p->dtype},
                      tg_ptr_type(TG_GLOBAL));
}

static void find_param(tg_op *op, void *user) {
  simt *s = user;
  if (op->code == TG_OP_PARAM) pointer_argument(s, tg_find_param(s->tile, tg_attr_str(op, "name", "")));
}

void simt_pointer_arguments(simt *s) { tg_walk(s->launch->body, find_param, s); }

// ---- views ------------------------------------------------------------------------------------------------------------------

typedef struct size { // an integer of the tile kernel: launch-time expression or value
  const tg_expr *e;
  const tg_value *v;
} size;

typedef struct view {
  const tg_param *param;
  tg_value *base;
  uint8_t dtype;
  int rank;
  int nshifts; // byte offset = sum of shift[i] * scale[i]
  size shift[8];
  int scale[8];
  size dim[TG_MAX_RANK], stride[TG_MAX_RANK];
} view;

static size size_of(simt *s, const tg_value *v) { return (size){tg_launch_expr(s->arena, v), v}; }

static tg_value *size_value(simt *s, size z) { return z.e ? simt_argument(s, z.e) : simt_scalar(s, z.v); }

static bool size_const(simt *s, size z, int64_t *value) { return z.e && expr_const(s, z.e, value); }

static bool size_same(size a, size b) { return a.e && b.e ? tg_e_equal(a.e, b.e) : a.v && a.v == b.v; }

bool simt_same(simt *s, const tg_value *a, const tg_value *b) { return a == b || size_same(size_of(s, a), size_of(s, b)); }

static int bytes_of(int dtype) { return tg_dtypes[dtype].bits / 8; }

static void resolve(simt *s, const tg_op *user, const tg_value *v, view *out) {
  const tg_op *op = v->def;
  if (!op || (op->code != TG_OP_PARAM && op->code != TG_OP_VIEW))
    simt_fail(s, user, "a view that is carried by a loop or branch is not supported");
  if (tg_dtypes[v->type.dtype].bits < 8) simt_fail(s, user, "%s tensors are not supported", tg_dtypes[v->type.dtype].name);
  if (op->code == TG_OP_PARAM) {
    const tg_param *p = out->param = tg_find_param(s->tile, tg_attr_str(op, "name", ""));
    out->base = pointer_argument(s, p);
    const tg_expr *stride = tg_e_const(s->arena, 1);
    for (int i = p->rank - 1; i >= 0; i--) {
      out->dim[i] = (size){.e = p->dims[i]};
      out->stride[i] = (size){.e = stride};
      stride = tg_e_bin(s->arena, TG_EXPR_MUL, p->dims[i], stride);
    }
  } else {
    resolve(s, user, op->in[0], out);
    if (out->nshifts == 8) simt_fail(s, user, "views nested more than 8 deep are not supported");
    out->shift[out->nshifts] = size_of(s, op->in[1]);
    out->scale[out->nshifts++] = bytes_of(v->type.dtype);
    for (int i = 0; i < v->type.rank; i++) {
      out->dim[i] = size_of(s, op->in[2 + i]);
      out->stride[i] = size_of(s, op->in[2 + v->type.rank + i]);
    }
  }
  out->dtype = v->type.dtype;
  out->rank = v->type.rank;
}

// ---- one access ---------------------------------------------------------------------------------------------------------------

typedef struct access {
  simt *s;
  const tg_op *op;
  view view;
  int rank;                        // of the tile
  int view_axis[TG_MAX_RANK];      // of each axis of the tile
  const tg_op *range[TG_MAX_RANK]; // the range op of each
  tg_layout layout;
  int width;                    // elements of a vector, along `fast`
  int fast;                     // axis of the tile whose stride is 1; -1 = none
  tg_value *ptr;                // of the lane's first element
  tg_value *inside;             // dropped axes; NULL = always
  tg_value *first[TG_MAX_RANK]; // index of the lane's first element on an axis that adds, i64
  tg_value *bound[TG_MAX_RANK]; // indices must stay below; NULL = they do
  bool below[TG_MAX_RANK];      // start may be negative
} access;

bool simt_range_is_full(simt *s, const tg_op *range) {
  int64_t len = tg_attr_int(range, "len", 0), start, end;
  for (int i = 0; i < s->nfull; i++) {
    const tg_op *known = s->full[i]->def;
    if (known == range ||
        (tg_attr_int(known, "len", 0) == len && simt_same(s, known->in[0], range->in[0]) && simt_same(s, known->in[1], range->in[1])))
      return true;
  }
  if (size_const(s, size_of(s, range->in[0]), &start) && size_const(s, size_of(s, range->in[1]), &end)) return start + len <= end;
  // One index that is the block's own coordinate on a grid axis as long as the range's end.
  const tg_op *pid = range->in[0]->def;
  if (len != 1 || !pid || pid->code != TG_OP_PID) return false;
  const tg_expr *grid = s->launch->grid[tg_attr_int(pid, "axis", 0)], *e = tg_launch_expr(s->arena, range->in[1]);
  return e && tg_e_equal(grid, e);
}

static bool index_is_inside(simt *s, const tg_value *index, size dim) {
  int64_t i, n;
  const tg_op *def = index->def;
  if (size_const(s, size_of(s, index), &i) && size_const(s, dim, &n)) return i >= 0 && i < n;
  if (def && def->code == TG_OP_PID) return dim.e && tg_e_equal(s->launch->grid[tg_attr_int(def, "axis", 0)], dim.e);
  const tg_op *owner = index->region->owner;
  return !def && owner && owner->code == TG_OP_FOR && index->index == 0 && nonnegative(owner->in[0]) &&
         size_same(size_of(s, owner->in[1]), dim);
}

static void open_access(access *a, simt *s, const tg_op *op, tg_type tile) {
  *a = (access){.s = s, .op = op, .width = 1, .fast = -1};
  resolve(s, op, op->in[0], &a->view);
  for (int i = 0; i < a->view.rank; i++) {
    const tg_value *index = op->in[1 + i];
    if (index->type.kind == TG_RANGE) {
      if (!index->def || index->def->code != TG_OP_RANGE) simt_fail(s, op, "a range that is carried by a loop or branch is not supported");
      a->range[a->rank] = index->def;
      a->view_axis[a->rank++] = i;
    } else if (index->type.rank != 0) {
      simt_fail(s, op, "an index tile (gather, scatter) is not supported; ranges and scalars are");
    }
  }
  if (a->rank != tile.rank) simt_fail(s, op, "the access has %d ranges and the tile rank %d", a->rank, tile.rank);
  for (int i = 0; i < a->rank; i++) {
    int64_t stride;
    if (size_const(s, a->view.stride[a->view_axis[i]], &stride) && stride == 1) a->fast = i;
  }
}

// ---- how wide: what has to divide by the width, proven or asked for as a precondition of this variant

static void require(simt *s, const char *text) {
  tg_kernel *k = s->lane;
  for (int i = 0; i < k->npreconditions; i++)
    if (!strcmp(k->preconditions[i], text)) return;
  k->preconditions = tg_arena_grow(s->arena, k->preconditions, (size_t)k->npreconditions, sizeof *k->preconditions);
  k->preconditions[k->npreconditions++] = text;
}

static bool divides(simt *s, size z, int64_t n, bool commit) {
  int64_t known = z.e ? expr_divisor(s, z.e) : simt_divisor_of(s, z.v);
  if (known % n == 0) return true;
  int64_t value;
  if (!z.e || !s->assume || expr_const(s, z.e, &value)) return false;
  if (commit) require(s, tg_arena_printf(s->arena, "%s %% %lld == 0", tg_e_text(s->arena, z.e), (long long)n));
  return true;
}

static bool needs_end(const access *a, int axis) { return !simt_range_is_full(a->s, a->range[axis]); }

static bool needs_dim(const access *a, int axis) {
  const tg_op *range = a->range[axis];
  size dim = a->view.dim[a->view_axis[axis]], end = size_of(a->s, range->in[1]);
  int64_t n, e, start;
  if (size_same(dim, end)) return false;
  if (!size_const(a->s, dim, &n)) return true;
  if (size_const(a->s, end, &e) && e <= n) return false;
  return !(size_const(a->s, size_of(a->s, range->in[0]), &start) && start + tg_attr_int(range, "len", 0) <= n);
}

static bool width_fits(access *a, int width, bool commit) {
  simt *s = a->s;
  view *v = &a->view;
  int bytes = width * bytes_of(v->dtype);
  const tg_op *range = a->range[a->fast];
  if (!s->assume) return false; // nothing is known of the pointer
  if (tg_attr_int(range, "align", 1) % width != 0 && !divides(s, size_of(s, range->in[0]), width, commit)) return false;
  for (int i = 0; i < v->nshifts; i++)
    if (!divides(s, v->shift[i], bytes / gcd(bytes, v->scale[i]), commit)) return false;
  for (int i = 0; i < v->rank; i++)
    if (i != a->view_axis[a->fast] && !divides(s, v->stride[i], width, commit)) return false;
  if (needs_end(a, a->fast) && !divides(s, size_of(s, range->in[1]), width, commit)) return false;
  if (needs_dim(a, a->fast) && !divides(s, v->dim[a->view_axis[a->fast]], width, commit)) return false;
  if (commit) require(s, tg_arena_printf(s->arena, "aligned(%s, %d)", v->param->name, bytes));
  return true;
}

// Neighbouring registers that are neighbours along the fast axis, up to 16 bytes of them.
static void choose_width(access *a, const tg_layout *l) {
  if (a->fast < 0) return;
  int shift = tg_layout_axis_shift(l, a->fast), width = 1, most = 16 / bytes_of(a->view.dtype);
  for (int b = 0; b < l->in[TG_REGISTER] && tg_layout_image(l, TG_REGISTER, b) == (uint32_t)width << shift && width < most; b++) width *= 2;
  for (int b = 0; b < l->map.nin; b++)
    while (width > 1 && b >= __builtin_ctz((unsigned)width) && l->map.col[b] & (uint32_t)(width - 1) << shift) width /= 2;
  while (width > 1 && !width_fits(a, width, false)) width /= 2;
  if (width > 1) width_fits(a, width, true);
  a->width = width;
}

// ---- addresses and masks

static tg_value *index_bytes(access *a, int view_axis, tg_value *index) {
  simt *s = a->s;
  tg_value *stride = simt_mul(&s->b, size_value(s, a->view.stride[view_axis]), simt_int(s, TG_I64, bytes_of(a->view.dtype)));
  return simt_mul(&s->b, index, stride);
}

static void start_access(access *a, const tg_layout *layout) {
  simt *s = a->s;
  view *v = &a->view;
  a->layout = *layout;
  choose_width(a, layout);
  tg_value *zero = simt_int(s, TG_I64, 0);
  a->ptr = v->base;
  for (int i = 0; i < v->nshifts; i++)
    a->ptr = simt_offset(s, a->ptr, simt_mul(&s->b, size_value(s, v->shift[i]), simt_int(s, TG_I64, v->scale[i])));
  for (int i = 0, axis = 0; i < v->rank; i++) {
    const tg_value *index = a->op->in[1 + i];
    if (index->type.kind == TG_RANGE) {
      int at = axis++;
      const tg_op *range = a->range[at];
      tg_value *start = size_value(s, size_of(s, range->in[0])), *end = NULL, *dim = NULL;
      uint32_t mask = layout->out[at] ? ((1u << layout->out[at]) - 1) << tg_layout_axis_shift(layout, at) : 0;
      tg_value *lane = simt_axis_adds(layout, at) ? simt_lane_part(s, layout, mask, tg_layout_axis_shift(layout, at)) : NULL;
      a->first[at] = simt_add(&s->b, start, lane ? tg_cast_to(&s->prologue, lane, TG_I64, NULL) : NULL);
      if (simt_axis_adds(layout, at)) a->ptr = simt_offset(s, a->ptr, index_bytes(a, i, a->first[at]));
      if (needs_end(a, at)) end = size_value(s, size_of(s, range->in[1]));
      if (needs_dim(a, at)) dim = size_value(s, v->dim[i]);
      a->bound[at] = end && dim ? tg_build2(&s->b, TG_OP_MIN, end, dim) : end ? end : dim;
      a->below[at] = !nonnegative(range->in[0]);
      continue;
    }
    tg_value *x = size_value(s, size_of(s, index));
    if (x->type.dtype != TG_I64) x = tg_cast_to(&s->b, x, TG_I64, NULL);
    a->ptr = simt_offset(s, a->ptr, index_bytes(a, i, x));
    if (index_is_inside(s, index, v->dim[i])) continue;
    if (!nonnegative(index)) a->inside = simt_and(&s->b, a->inside, tg_build2(&s->b, TG_OP_GE, x, zero));
    a->inside = simt_and(&s->b, a->inside, tg_build2(&s->b, TG_OP_LT, x, size_value(s, v->dim[i])));
  }
}

// Address of a register's element, and whether it is inside (NULL: always).
static tg_value *element(access *a, int reg, tg_value **inside) {
  simt *s = a->s;
  tg_value *ptr = a->ptr;
  *inside = a->inside;
  for (int i = 0; i < a->rank; i++) {
    bool adds = simt_axis_adds(&a->layout, i);
    tg_value *offset = adds ? simt_int(s, TG_I64, simt_register_offset(&a->layout, reg, i))
                            : tg_cast_to(&s->prologue, simt_coordinate(s, &a->layout, reg, i), TG_I64, NULL);
    tg_value *index = simt_add(&s->b, a->first[i], offset);
    ptr = simt_offset(s, ptr, index_bytes(a, a->view_axis[i], adds ? offset : index));
    if (a->below[i]) *inside = simt_and(&s->b, *inside, tg_build2(&s->b, TG_OP_GE, index, simt_int(s, TG_I64, 0)));
    if (a->bound[i]) *inside = simt_and(&s->b, *inside, tg_build2(&s->b, TG_OP_LT, index, a->bound[i]));
  }
  return ptr;
}

static tg_value *splat(simt *s, tg_value *x, int n) { return n > 1 ? tg_build(&s->b, TG_OP_SPLAT, 1, &x, 1, &TG_AINT("n", n))->out[0] : x; }

static tg_type group_type(const access *a) {
  return a->width > 1 ? tg_vector_type(a->view.dtype, a->width) : tg_scalar_type(a->view.dtype);
}

static tg_value *fill_value(const access *a) {
  const tg_attr *fill = tg_find_attr(a->op, "fill");
  double value = !fill ? 0 : fill->kind == TG_ATTR_INT ? (double)fill->i : fill->f;
  const tg_dtype_row *row = &tg_dtypes[a->view.dtype];
  tg_builder *b = &a->s->prologue;
  return row->cls == 'i' || row->cls == 'b' ? tg_const_int(b, group_type(a), fill && fill->kind == TG_ATTR_INT ? fill->i : (int64_t)value)
                                            : tg_const_float(b, group_type(a), value);
}

void simt_load(simt *s, tg_op *op) {
  access a;
  const tg_value *out = op->out[0];
  open_access(&a, s, op, out->type);
  tg_layout layout = simt_plan_of(s, out);
  simt_tile *t = simt_new_tile(s, &layout);
  start_access(&a, &layout);
  bool readonly = a.view.param->kind == TG_INPUT;
  for (int i = 0, n = tg_layout_registers(&layout); i < n; i += a.width) {
    tg_value *inside, *ptr = element(&a, i, &inside), *v;
    if (inside) {
      tg_value *in[] = {ptr, splat(s, inside, a.width), fill_value(&a)};
      tg_attr attrs[] = {TG_AINT("align", a.width * bytes_of(a.view.dtype)), TG_AINT("const", 1)};
      v = tg_build(&s->b, TG_OP_LOADM, 3, in, readonly ? 2 : 1, attrs)->out[0];
    } else {
      tg_attr attrs[] = {TG_ATYPE("type", group_type(&a)), TG_AINT("align", a.width * bytes_of(a.view.dtype)), TG_AINT("const", 1)};
      v = tg_build(&s->b, TG_OP_LLOAD, 1, &ptr, readonly ? 3 : 2, attrs)->out[0];
    }
    for (int k = 0; k < a.width; k++) t->reg[i + k] = a.width > 1 ? tg_build(&s->b, TG_OP_EXTRACT, 1, &v, 1, &TG_AINT("i", k))->out[0] : v;
  }
  if (out->type.rank == 0) simt_note_of(s, out)->scalar = t->reg[0];
  else simt_set(s, out, t);
}

void simt_store(simt *s, tg_op *op) {
  access a;
  bool masked = tg_attr_int(op, "mask", 0);
  const tg_value *value = op->in[op->nin - 1 - masked], *mask = masked ? op->in[op->nin - 1] : NULL;
  open_access(&a, s, op, value->type);
  tg_layout layout = simt_plan_of(s, value);
  simt_tile *t = simt_get(s, value, &layout), *m = mask ? simt_get(s, mask, &layout) : NULL;
  if (m) a.fast = -1; // each element has a mask of its own
  start_access(&a, &layout);
  tg_value *owner = simt_owner(s, &layout);
  for (int i = 0, n = tg_layout_registers(&layout); i < n; i += a.width) {
    if (simt_is_replica(&layout, i)) continue;
    tg_value *inside, *ptr = element(&a, i, &inside), *v = simt_pack(s, &t->reg[i], a.width);
    inside = simt_and(&s->b, inside, owner);
    if (m) inside = simt_and(&s->b, inside, m->reg[i]);
    tg_attr align = TG_AINT("align", a.width * bytes_of(a.view.dtype));
    if (inside) {
      tg_value *in[] = {ptr, v, splat(s, inside, a.width)};
      tg_build(&s->b, TG_OP_STOREM, 3, in, 1, &align);
    } else {
      tg_value *in[] = {ptr, v};
      tg_build(&s->b, TG_OP_LSTORE, 2, in, 1, &align);
    }
  }
}
