// Where the elements of a tile lie: from views, ranges and indices to addresses, the widths that accesses may have and the masks that are
// needed and no others.
#include "codegen/simt_access.h"

// ---- views ------------------------------------------------------------------------------------------------------------------

simt_size simt_size_of(simt *s, const tg_value *v) { return (simt_size){tg_launch_expr(s->arena, v), v}; }

tg_value *simt_size_value(simt *s, simt_size z) { return z.e ? simt_argument(s, z.e) : simt_scalar(s, z.v); }

bool simt_size_const(simt *s, simt_size z, int64_t *value) { return z.e && simt_expr_const(s, z.e, value); }

bool simt_size_same(simt_size a, simt_size b) { return a.e && b.e ? tg_e_equal(a.e, b.e) : a.v && a.v == b.v; }

bool simt_same(simt *s, const tg_value *a, const tg_value *b) { return a == b || simt_size_same(simt_size_of(s, a), simt_size_of(s, b)); }

static int bytes_of(int dtype) { return tg_dtypes[dtype].bits / 8; }

void simt_resolve_view(simt *s, const tg_op *user, const tg_value *v, simt_view *out) {
  const tg_op *op = v->def;
  if (!op || (op->code != TG_OP_PARAM && op->code != TG_OP_VIEW))
    simt_fail(s, user, "a view that is carried by a loop or branch is not supported");
  if (tg_dtypes[v->type.dtype].bits < 8) simt_fail(s, user, "%s tensors are not supported", tg_dtypes[v->type.dtype].name);
  if (op->code == TG_OP_PARAM) {
    const tg_param *p = out->param = tg_find_param(s->tile, tg_attr_str(op, "name", ""));
    out->base = simt_pointer_argument(s, p);
    const tg_expr *stride = tg_e_const(s->arena, 1);
    for (int i = p->rank - 1; i >= 0; i--) {
      out->dim[i] = (simt_size){.e = p->dims[i]};
      out->stride[i] = (simt_size){.e = stride};
      stride = tg_e_bin(s->arena, TG_EXPR_MUL, p->dims[i], stride);
    }
  } else {
    simt_resolve_view(s, user, op->in[0], out);
    out->shift = simt_size_of(s, op->in[1]); // counted from the start of the storage, whatever the base begins at
    out->scale = bytes_of(v->type.dtype);
    for (int i = 0; i < v->type.rank; i++) {
      out->dim[i] = simt_size_of(s, op->in[2 + i]);
      out->stride[i] = simt_size_of(s, op->in[2 + v->type.rank + i]);
    }
  }
  out->dtype = v->type.dtype;
  out->rank = v->type.rank;
}

// ---- one access ---------------------------------------------------------------------------------------------------------------

static bool is_beyond(simt *s, const tg_op *pid) { return s->beyond && tg_attr_int(pid, "axis", 0) == s->cluster_axis; } // or may be

static bool pid_is_below(simt *s, const tg_op *pid, const tg_expr *e) {
  return !is_beyond(s, pid) && tg_e_equal(s->launch->grid[tg_attr_int(pid, "axis", 0)], e);
}

// Whether a value is known to lie below an expression of the launch: a loop's index below where the loop ends, a block's coordinate times
// what its axis was divided by (unless there are blocks beyond), and either divided by what the expression was.
static bool look_below(simt *s, const tg_value *v, const tg_expr *e, int *left) {
  const tg_op *op = v->def, *owner = v->region->owner;
  int64_t by, divisor;
  if ((*left)-- <= 0) return false;
  if (!op) {
    const tg_expr *end = owner && owner->code == TG_OP_FOR && v->index == 0 ? tg_launch_expr(s->arena, owner->in[1]) : NULL;
    return end && tg_e_equal(end, e);
  }
  if (op->code == TG_OP_PID) return pid_is_below(s, op, e);
  if (op->code == TG_OP_MIN) return look_below(s, op->in[0], e, left) || look_below(s, op->in[1], e, left);
  if (op->code == TG_OP_EXPR) { // e - 1
    const tg_expr *x = tg_launch_expr(s->arena, v);
    return x && x->op == TG_EXPR_ADD && tg_expr_is_const(x->b, &by) && by < 0 && tg_e_equal(x->a, e);
  }
  if (op->code == TG_OP_ASSUME) return look_below(s, op->in[0], e, left);
  if ((op->code != TG_OP_MUL && op->code != TG_OP_DIV) || !tg_const_as_int(op->in[1], &by) || by < 1) return false;
  if (op->code == TG_OP_MUL) { // i < ceildiv(e, by) is i * by < e
    const tg_op *pid = op->in[0]->def;
    if (!pid || pid->code != TG_OP_PID || is_beyond(s, pid)) return false;
    const tg_expr *grid = s->launch->grid[tg_attr_int(pid, "axis", 0)];
    return grid->op == TG_EXPR_CEILDIV && tg_e_equal(grid->a, e) && tg_expr_is_const(grid->b, &divisor) && divisor == by;
  }
  return e->op == TG_EXPR_CEILDIV && tg_expr_is_const(e->b, &divisor) && divisor == by && simt_nonnegative(op->in[0]) &&
         look_below(s, op->in[0], e->a, left);
}

bool simt_is_below(simt *s, const tg_value *v, const tg_expr *e) { return look_below(s, v, e, &(int){SIMT_MOST_LOOKED_AT}); }

bool simt_range_is_full(simt *s, const tg_op *range) {
  int64_t len = tg_attr_int(range, "len", 0), start, end;
  for (int i = 0; i < s->nfull; i++) {
    const tg_op *known = s->full[i]->def;
    if (known == range ||
        (tg_attr_int(known, "len", 0) == len && simt_same(s, known->in[0], range->in[0]) && simt_same(s, known->in[1], range->in[1])))
      return true;
  }
  if (simt_size_const(s, simt_size_of(s, range->in[0]), &start) && simt_size_const(s, simt_size_of(s, range->in[1]), &end))
    return start + len <= end;
  const tg_expr *e = len == 1 ? tg_launch_expr(s->arena, range->in[1]) : NULL;
  return e && simt_is_below(s, range->in[0], e);
}

static bool index_is_inside(simt *s, const tg_value *index, simt_size dim) {
  int64_t i, n;
  const tg_op *def = index->def;
  if (simt_size_const(s, simt_size_of(s, index), &i) && simt_size_const(s, dim, &n)) return i >= 0 && i < n;
  if (def && def->code == TG_OP_PID) return dim.e && pid_is_below(s, def, dim.e);
  const tg_op *owner = index->region->owner;
  return !def && owner && owner->code == TG_OP_FOR && index->index == 0 && simt_nonnegative(owner->in[0]) &&
         simt_size_same(simt_size_of(s, owner->in[1]), dim);
}

void simt_open_access(simt_access *a, simt *s, const tg_op *op, tg_type tile) {
  *a = (simt_access){.s = s, .op = op, .width = 1, .fast = -1};
  simt_resolve_view(s, op, op->in[0], &a->view);
  for (int i = 0; i < a->view.rank; i++) {
    const tg_value *index = op->in[1 + i];
    if (index->type.kind == TG_RANGE) {
      if (!index->def || index->def->code != TG_OP_RANGE) simt_fail(s, op, "a range that is carried by a loop or branch is not supported");
      a->range[a->rank] = index->def;
      a->view_axis[a->rank++] = i;
    } else if (index->type.rank) {
      a->vector[a->rank] = index;
      a->view_axis[a->rank++] = i;
    }
  }
  if (a->rank != tile.rank) simt_fail(s, op, "the access has %d ranges and the tile rank %d", a->rank, tile.rank);
  for (int i = 0; i < a->rank; i++) {
    int64_t stride;
    if (a->range[i] && simt_size_const(s, a->view.stride[a->view_axis[i]], &stride) && stride == 1) a->fast = i;
  }
}

// ---- how wide: what has to divide by the width, proven or asked for as a precondition of this variant

void simt_require(simt *s, const char *text) {
  tg_kernel *k = s->lane;
  for (int i = 0; i < k->npreconditions; i++)
    if (!strcmp(k->preconditions[i], text)) return;
  k->preconditions = tg_arena_grow(s->arena, k->preconditions, (size_t)k->npreconditions, sizeof *k->preconditions);
  k->preconditions[k->npreconditions++] = text;
}

bool simt_divides(simt *s, simt_size z, int64_t n, bool commit) {
  int64_t known = z.e ? simt_expr_divisor(s, z.e) : simt_divisor_of(s, z.v);
  if (known % n == 0) return true;
  int64_t value;
  if (!z.e || !s->assume || simt_expr_const(s, z.e, &value)) return false;
  if (commit) simt_require(s, tg_arena_printf(s->arena, "%s %% %lld == 0", tg_e_text(s->arena, z.e), (long long)n));
  return true;
}

static bool needs_end(const simt_access *a, int axis) { return !simt_range_is_full(a->s, a->range[axis]); }

// The end is what the tensor has, or the smaller of that and something else.
static bool ends_within(simt *s, simt_size end, simt_size dim, int *left) {
  if ((*left)-- <= 0) return false;
  if (simt_size_same(dim, end)) return true;
  const tg_op *op = end.v ? end.v->def : NULL;
  if (!op || op->code != TG_OP_MIN || op->in[0]->type.rank) return false;
  return ends_within(s, simt_size_of(s, op->in[0]), dim, left) || ends_within(s, simt_size_of(s, op->in[1]), dim, left);
}

bool simt_ends_within(simt *s, simt_size end, simt_size dim) { return ends_within(s, end, dim, &(int){SIMT_MOST_LOOKED_AT}); }

static bool needs_dim(const simt_access *a, int axis) {
  const tg_op *range = a->range[axis];
  simt_size dim = a->view.dim[a->view_axis[axis]], end = simt_size_of(a->s, range->in[1]);
  int64_t n, e, start;
  if (simt_ends_within(a->s, end, dim)) return false;
  if (!simt_size_const(a->s, dim, &n)) return true;
  if (simt_size_const(a->s, end, &e) && e <= n) return false;
  return !(simt_size_const(a->s, simt_size_of(a->s, range->in[0]), &start) && start + tg_attr_int(range, "len", 0) <= n);
}

static bool width_fits(simt_access *a, int width, bool commit) {
  simt *s = a->s;
  simt_view *v = &a->view;
  int bytes = width * bytes_of(v->dtype);
  const tg_op *range = a->range[a->fast];
  if (!s->assume) return false; // nothing is known of the pointer
  if (tg_attr_int(range, "align", 1) % width != 0 && !simt_divides(s, simt_size_of(s, range->in[0]), width, commit)) return false;
  if (v->scale && !simt_divides(s, v->shift, bytes / simt_gcd(bytes, v->scale), commit)) return false;
  for (int i = 0; i < v->rank; i++)
    if (i != a->view_axis[a->fast] && !simt_divides(s, v->stride[i], width, commit)) return false;
  if (needs_end(a, a->fast) && !simt_divides(s, simt_size_of(s, range->in[1]), width, commit)) return false;
  if (needs_dim(a, a->fast) && !simt_divides(s, v->dim[a->view_axis[a->fast]], width, commit)) return false;
  if (commit) simt_require(s, tg_arena_printf(s->arena, "aligned(%s, %d)", v->param->name, bytes));
  return true;
}

// Neighbouring registers that are neighbours along the fast axis, up to 16 bytes of them.
static void choose_width(simt_access *a, const tg_layout *l) {
  if (a->fast < 0) return;
  int shift = tg_layout_axis_shift(l, a->fast), width = 1, most = 16 / bytes_of(a->view.dtype);
  for (int b = 0; b < l->in[TG_REGISTER] && tg_layout_image(l, TG_REGISTER, b) == (uint32_t)width << shift && width < most; b++) width *= 2;
  for (int b = 0; b < l->map.nin; b++)
    while (width > 1 && b >= __builtin_ctz((unsigned)width) && l->map.col[b] & (uint32_t)(width - 1) << shift) width /= 2;
  while (width > 1 && !width_fits(a, width, false)) width /= 2;
  if (width > 1) width_fits(a, width, true);
  a->width = width;
}

int simt_access_width(simt_access *a, const tg_layout *layout) {
  choose_width(a, layout);
  return a->width;
}

// ---- addresses and masks

static tg_value *index_bytes(simt_access *a, int view_axis, tg_value *index) {
  simt *s = a->s;
  tg_value *stride = simt_mul(&s->b, simt_size_value(s, a->view.stride[view_axis]), simt_int(s, TG_I64, bytes_of(a->view.dtype)));
  return simt_mul(&s->b, index, stride);
}

// The indices of an axis, held like the tile's elements along it.
static simt_tile *along_axis(simt *s, const tg_layout *layout, const tg_value *vector, int axis) {
  tg_layout empty = tg_layout_empty(1, vector->type.dim);
  tg_map f = tg_map_zero(layout->map.nout, empty.map.nout);
  for (int b = 0; b < layout->out[axis]; b++) f.col[tg_layout_axis_shift(layout, axis) + b] = 1u << b;
  tg_layout want = tg_layout_rename(layout, &f, 1, vector->type.dim);
  simt_tile *held = simt_get(s, vector, &want), *t = simt_new_tile(s, layout);
  for (int i = 0, n = tg_layout_registers(layout), bits = layout->in[TG_REGISTER]; i < n; i++) {
    tg_value *x = held->reg[simt_repetition(layout, i, axis) << bits | (i & ((1 << bits) - 1))];
    t->reg[i] = x->type.dtype == TG_I64 ? x : tg_cast_to(&s->b, x, TG_I64, NULL);
  }
  return t;
}

// Part of the addresses; what moves with a loop is kept apart, so that the rest need not be made again on every trip.
static void add_term(simt_access *a, tg_value *bytes, const tg_value *by) {
  const tg_region *region = by->def ? by->def->parent : by->region;
  if (region == a->s->out->body) a->ptr = simt_offset(a->s, a->ptr, bytes);
  else a->moving = simt_add(&a->s->b, a->moving, bytes);
}

// An axis whose address has parts of the lane's and the register's that are added.
static bool axis_adds(const simt_access *a, int at) { return !a->clamped[at] && simt_axis_adds(&a->layout, at); }

// The range ends as only the block knows, but not beyond the tensor.
static bool ends_as_block_knows(const simt_access *a, int at) {
  simt_size end = simt_size_of(a->s, a->range[at]->in[1]);
  return !end.e && simt_ends_within(a->s, end, a->view.dim[a->view_axis[at]]);
}

static void start_axis(simt_access *a, int at) {
  simt *s = a->s;
  const tg_layout *layout = &a->layout;
  const int i = a->view_axis[at];
  if (a->vector[at]) {
    a->index[at] = along_axis(s, layout, a->vector[at], at);
    a->bound[at] = simt_size_value(s, a->view.dim[i]);
    a->below[at] = true;
    return;
  }
  const tg_op *range = a->range[at];
  tg_value *start = simt_size_value(s, simt_size_of(s, range->in[0])), *end = NULL, *dim = NULL;
  uint32_t mask = layout->out[at] ? ((1u << layout->out[at]) - 1) << tg_layout_axis_shift(layout, at) : 0;
  tg_value *lane = simt_axis_adds(layout, at) ? simt_lane_part(s, layout, mask, tg_layout_axis_shift(layout, at)) : NULL;
  tg_value *lane64 = lane ? tg_cast_to(&s->prologue, lane, TG_I64, NULL) : NULL;
  a->first[at] = simt_add(&s->b, start, lane64);
  if (axis_adds(a, at)) {
    if (lane64) a->ptr = simt_offset(s, a->ptr, index_bytes(a, i, lane64));
    add_term(a, index_bytes(a, i, start), start);
  }
  if (needs_end(a, at)) end = simt_size_value(s, simt_size_of(s, range->in[1]));
  if (needs_dim(a, at)) dim = simt_size_value(s, a->view.dim[i]);
  a->bound[at] = end && dim ? tg_build2(&s->b, TG_OP_MIN, end, dim) : end ? end : dim;
  a->there[at] = a->clamped[at] && ends_as_block_knows(a, at) ? simt_size_value(s, a->view.dim[i]) : a->bound[at];
  a->below[at] = !simt_nonnegative(range->in[0]);
}

bool simt_clamp_access(simt_access *a) {
  simt *s = a->s;
  const char *text[2 * TG_MAX_RANK];
  int n = 0;
  for (int i = 0; i < a->rank; i++) {
    int64_t known;
    if (!a->range[i] || !simt_nonnegative(a->range[i]->in[0])) return false;
    simt_size ends[] = {simt_size_of(s, a->range[i]->in[1]), a->view.dim[a->view_axis[i]]};
    const bool asks[] = {needs_end(a, i), needs_dim(a, i)};
    if (asks[0] && ends_as_block_knows(a, i)) ends[0] = ends[1];
    for (int k = 0; k < 2; k++) {
      if (!asks[k]) continue;
      a->clamped[i] = true;
      if (simt_size_const(s, ends[k], &known) ? known < 1 : !ends[k].e) return false;
      if (ends[k].e && !simt_size_const(s, ends[k], &known))
        text[n++] = tg_arena_printf(s->arena, "%s > 0", tg_e_text(s->arena, ends[k].e));
    }
  }
  for (int i = 0; i < a->view.rank; i++) {
    const tg_value *index = a->op->in[1 + i];
    if (index->type.kind != TG_RANGE && !index_is_inside(s, index, a->view.dim[i])) return false;
  }
  while (n) simt_require(s, text[--n]);
  return true;
}

void simt_start_access(simt_access *a, const tg_layout *layout) {
  simt *s = a->s;
  simt_view *v = &a->view;
  a->layout = *layout;
  choose_width(a, layout);
  tg_value *zero = simt_int(s, TG_I64, 0);
  a->ptr = v->base;
  if (v->scale) a->ptr = simt_offset(s, a->ptr, simt_mul(&s->b, simt_size_value(s, v->shift), simt_int(s, TG_I64, v->scale)));
  for (int i = 0, axis = 0; i < v->rank; i++) {
    const tg_value *index = a->op->in[1 + i];
    if (index->type.kind == TG_RANGE || index->type.rank) {
      start_axis(a, axis++);
      continue;
    }
    tg_value *x = simt_size_value(s, simt_size_of(s, index));
    if (x->type.dtype != TG_I64) x = tg_cast_to(&s->b, x, TG_I64, NULL);
    add_term(a, index_bytes(a, i, x), x);
    if (index_is_inside(s, index, v->dim[i])) continue;
    if (!simt_nonnegative(index)) a->inside = simt_and(&s->b, a->inside, tg_build2(&s->b, TG_OP_GE, x, zero));
    a->inside = simt_and(&s->b, a->inside, tg_build2(&s->b, TG_OP_LT, x, simt_size_value(s, v->dim[i])));
  }
}

tg_value *simt_element(simt_access *a, int reg, tg_value **inside) {
  simt *s = a->s;
  tg_value *ptr = a->ptr, *last = NULL; // last: what becomes part of the instruction
  int64_t known;
  *inside = a->inside;
  for (int i = 0; i < a->rank; i++) {
    bool adds = !a->index[i] && axis_adds(a, i);
    tg_value *offset = NULL, *index, *at;
    if (a->index[i]) {
      index = a->index[i]->reg[reg];
    } else {
      offset = simt_axis_adds(&a->layout, i) ? simt_int(s, TG_I64, simt_register_offset(&a->layout, reg, i))
                                             : tg_cast_to(&s->prologue, simt_coordinate(s, &a->layout, reg, i), TG_I64, NULL);
      index = simt_add(&s->b, a->first[i], offset);
    }
    at = a->clamped[i] ? tg_build2(&s->b, TG_OP_MIN, index, tg_build2(&s->b, TG_OP_SUB, a->there[i], simt_int(s, TG_I64, 1))) : index;
    tg_value *bytes = index_bytes(a, a->view_axis[i], adds ? offset : at);
    if (tg_const_as_int(bytes, &known)) last = simt_add(&s->b, last, bytes);
    else ptr = simt_offset(s, ptr, bytes);
    if (a->below[i]) *inside = simt_and(&s->b, *inside, tg_build2(&s->b, TG_OP_GE, index, simt_int(s, TG_I64, 0)));
    if (a->bound[i]) *inside = simt_and(&s->b, *inside, tg_build2(&s->b, TG_OP_LT, index, a->bound[i]));
  }
  return simt_offset(s, simt_offset(s, ptr, a->moving), last);
}

// ---- views that lead outside

// Where only the block knows how far a view leads, the launch stops if that is outside of its tensor. In f64: exact where it matters, and
// nothing loaded makes it wrap.
void simt_check_view(simt *s, const tg_op *op) {
  tg_reach reach;
  if (tg_view_reach(s->arena, s->tile, op, &reach)) return;
  tg_builder *b = &s->b;
  simt_view v;
  simt_resolve_view(s, op, op->out[0], &v);
  tg_value *zero = tg_const_float(b, tg_scalar_type(TG_F64), 0), *none = simt_int(s, TG_I64, 0), *one = simt_int(s, TG_I64, 1);
  tg_value *first = tg_cast_to(b, simt_scalar(s, op->in[1]), TG_F64, NULL), *last = first, *fine = NULL;
  for (int a = 0; a < v.rank; a++) {
    tg_value *dim = simt_size_value(s, v.dim[a]), *stride = simt_size_value(s, v.stride[a]);
    tg_value *far =
        tg_build2(b, TG_OP_MUL, tg_cast_to(b, tg_build2(b, TG_OP_SUB, dim, one), TG_F64, NULL), tg_cast_to(b, stride, TG_F64, NULL));
    first = tg_build2(b, TG_OP_ADD, first, tg_build2(b, TG_OP_MIN, far, zero));
    last = tg_build2(b, TG_OP_ADD, last, tg_build2(b, TG_OP_MAX, far, zero));
    tg_value *empty = tg_build2(b, TG_OP_LE, dim, none);
    fine = fine ? tg_build2(b, TG_OP_OR, fine, empty) : empty;
  }
  tg_value *have = tg_cast_to(b, simt_argument(s, tg_view_storage(s->arena, v.param, v.dtype)), TG_F64, NULL);
  tg_value *inside = tg_build2(b, TG_OP_AND, tg_build2(b, TG_OP_GE, first, zero), tg_build2(b, TG_OP_LT, last, have));
  inside = fine ? tg_build2(b, TG_OP_OR, fine, inside) : inside;
  const char *text = tg_arena_printf(s->arena, "%sthe view of '%s' leads outside of its storage; its start or an extent is too large",
                                     tg_loc_text(s->arena, op->loc), v.param->name);
  tg_build(b, TG_OP_TRAP, 1, &inside, 1, &TG_ASTR("text", text));
}
