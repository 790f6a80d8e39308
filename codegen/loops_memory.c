// Addresses, loads, stores and buffers.
#include "codegen/loops.h"

// ---- addresses

typedef struct address {
  tg_value *ptr;               // of lane 0
  int64_t offset[LOOPS_LANES]; // bytes of each lane from lane 0; of e2m1 elements
  tg_value *index;             // of lane 0 in elements from ptr, of e2m1 alone, where no pointer says where an element lies
  bool irregular;              // lanes differ along an axis whose stride only run time knows
  tg_value *guard;             // what must hold besides; NULL = inside
  int level;                   // the facts that make it safe hold here and further in
} address;

typedef struct sum {
  int n;
  struct {
    tg_value *v;
    int level;
  } at[TG_MAX_RANK * (LOOPS_TERMS + 2)];
} sum;

static void sum_add(lower *L, sum *s, tg_value *v) {
  if (loops_is_int(v, 0)) return;
  int k = loops_level_of(L, v), j = s->n++;
  for (; j > 0 && s->at[j - 1].level > k; j--) s->at[j] = s->at[j - 1];
  s->at[j].v = v, s->at[j].level = k;
}

static tg_value *sum_value(lower *L, const sum *s, int64_t constant) {
  tg_value *v = loops_int(L, 0);
  for (int i = 0; i < s->n; i++) v = loops_add(L, v, s->at[i].v); // outer ones come first
  return loops_addc(L, v, constant);
}

// Pointer plus all parts, one addition per level.
static tg_value *sum_pointer(lower *L, tg_value *ptr, const sum *s, int64_t element, int64_t constant) {
  for (int i = 0; i < s->n;) {
    tg_value *part = s->at[i].v;
    int level = s->at[i++].level;
    while (i < s->n && s->at[i].level == level) part = loops_add(L, part, s->at[i++].v);
    ptr = loops_ptradd(L, ptr, loops_mulc(L, part, element));
  }
  return constant ? loops_ptradd(L, ptr, loops_int(L, constant * element)) : ptr;
}

static void conjoin(lower *L, tg_value **guard, tg_value *c) { *guard = *guard ? loops_bin(L, TG_OP_AND, *guard, c) : c; }

static bool has_variables_of(const lane_index *x, const lane_index *y) {
  for (int i = 0; i < x->n; i++) {
    bool found = false;
    for (int j = 0; j < y->n && !found; j++) found = x->t[i].v == y->t[j].v;
    if (!found) return false;
  }
  return true;
}

static bool tells(const fact *f, const lane_index *x) { return !f->exact || (has_variables_of(x, &f->at) && has_variables_of(&f->at, x)); }

static int fact_level(lower *L, const tg_op *op, int axis, const lane_index *x) {
  int best = -1;
  for (int i = 0; i < L->nfacts; i++) {
    const fact *f = &L->facts[i];
    if (f->op == op && f->axis == axis && f->level > best && tells(f, x)) best = f->level;
  }
  return best;
}

static unsigned index_deps(const struct probe *P, const lane_index *x) {
  unsigned deps = 0;
  for (int i = 0; i < x->n; i++)
    for (int k = 0; k < P->nvars; k++)
      if (x->t[i].v->region == P->vars[k]->region) deps |= 1u << k;
  return deps;
}

static unsigned deps_of(const struct probe *P, const pos *p) {
  unsigned deps = 0;
  for (int a = 0; a < p->rank; a++) deps |= index_deps(P, &p->at[a]);
  return deps;
}

static constraint *new_constraint(lower *L, struct probe *P) {
  if (P->n == P->capacity) {
    int capacity = P->capacity ? P->capacity * 2 : 16;
    constraint *list = TG_NEWN(L->arena, constraint, capacity);
    if (P->n) memcpy(list, P->list, sizeof *list * (size_t)P->n);
    P->list = list, P->capacity = capacity;
  }
  return &P->list[P->n++];
}

// The nests being probed, but for one, learn that they do not see to every index of the op's axis: x == x.T evaluates x in two loops.
static void note_elsewhere(lower *L, const tg_op *op, int axis, const struct probe *taker) {
  for (struct probe *P = L->probe; P; P = P->outer) {
    bool known = P == taker;
    for (int i = 0; i < P->n && !known; i++) known = P->list[i].elsewhere && P->list[i].op == op && P->list[i].axis == axis;
    if (!known) *new_constraint(L, P) = (constraint){.op = op, .axis = axis, .elsewhere = true};
  }
}

// The innermost probe whose loops the index depends on takes the constraint; when none does, the innermost whose loops the access depends
// on. False: no probe can, the access has to check.
static bool record(lower *L, const tg_op *op, int axis, const pos *p, const lane_index *at, tg_value *count, tg_value *low) {
  struct probe *P = L->probe;
  while (P && !index_deps(P, at)) P = P->outer;
  if (!P)
    for (P = L->probe; P && !deps_of(P, p);) P = P->outer;
  for (int i = 0; P && i < at->n; i++)
    if (loops_level_of(L, at->t[i].v) > P->level) P = NULL;
  note_elsewhere(L, op, axis, P);
  if (!P) return false;
  unsigned deps = deps_of(P, p);
  constraint *c = new_constraint(L, P);
  *c = (constraint){.op = op, .axis = axis, .at = *at, .uneven = !loops_uniform(at, p->lanes), .count = count, .low = low, .deps = deps};
  for (int l = 1; l < p->lanes; l++)
    if (at->c[l] > c->at.c[0]) c->at.c[0] = at->c[l];
  return true;
}

// Notes the element size of what is contiguous along the innermost probed loop.
static void note_unit(lower *L, const view *v, const lane_index **at) {
  struct probe *P = L->probe;
  if (!P->nvars) return;
  for (int a = 0; a < v->rank; a++)
    for (int i = 0; at[a] && i < at[a]->n; i++)
      if (at[a]->t[i].v == P->vars[P->nvars - 1] && at[a]->t[i].coef == 1 && at[a]->t[i].div == 1 && loops_is_int(v->stride[a], 1))
        P->unit_bytes = tg_dtypes[v->dtype].bits / 8;
}

static void locate(lower *L, const tg_op *op, const view *v, const pos *p, address *out, bool check) {
  *out = (address){0};
  const bool nibbles = tg_dtypes[v->dtype].bits < 8;
  int64_t element = nibbles ? 1 : tg_dtypes[v->dtype].bits / 8;
  sum s = {0};
  sum_add(L, &s, v->offset);
  int64_t constant = 0;
  const lane_index *used[TG_MAX_RANK] = {0};
  int axis = 0; // of the tile
  bool moves = L->probe && check && deps_of(L->probe, p), limited = false;
  for (int a = 0; a < v->rank; a++) {
    tg_value *index = op->in[1 + a], *stride = v->stride[a];
    bool range = index->type.kind == TG_RANGE, vector = !range && index->type.rank == 1;
    const lane_index zero = loops_zero(), *x = range || vector ? &p->at[axis++] : &zero;
    int64_t st;
    bool known = tg_const_as_int(stride, &st);
    if (vector) {
      pos q = {.rank = 1, .lanes = p->lanes};
      q.at[0] = *x;
      tg_value *i = loops_eval(L, index, &q);
      if (i->type.rank) {
        out->irregular = true;
        return;
      }
      i = loops_cast(L, i, TG_I64);
      conjoin(L, &out->guard, loops_bin(L, TG_OP_GE, i, loops_int(L, 0)));
      conjoin(L, &out->guard, loops_bin(L, TG_OP_LT, i, v->dim[a]));
      sum_add(L, &s, loops_mul(L, i, stride));
      continue;
    }
    if (range) used[a] = x; // the index of a scalar does not outlive this trip
    tg_value *start = range ? loops_scalar(L, index->def->in[0]) : loops_cast(L, loops_scalar(L, index), TG_I64);
    sum_add(L, &s, loops_mul(L, start, stride));
    for (int i = 0; i < x->n; i++) sum_add(L, &s, loops_mul(L, loops_mulc(L, loops_divc(L, x->t[i].v, x->t[i].div), x->t[i].coef), stride));
    if (known) {
      constant += x->c[0] * st;
      for (int l = 0; l < p->lanes; l++) out->offset[l] += (x->c[l] - x->c[0]) * st * element;
    } else {
      if (x->c[0]) sum_add(L, &s, loops_mulc(L, stride, x->c[0]));
      if (!loops_uniform(x, p->lanes)) out->irregular = true;
    }
    if (!check) continue;
    // Inside?
    tg_value *low, *count = loops_count(L, op, a, v, &low);
    int64_t n;
    if (!low && tg_const_as_int(count, &n)) {
      int64_t max = 0;
      bool bounded = true;
      for (int i = 0; i < x->n && bounded; i++) {
        int64_t m;
        bounded = x->t[i].coef > 0 && loops_nonneg(L, x->t[i].v) && loops_upper(x->t[i].v, &m);
        if (bounded) max += m / x->t[i].div * x->t[i].coef;
      }
      int32_t high = x->c[0];
      for (int l = 1; l < p->lanes; l++) high = x->c[l] > high ? x->c[l] : high;
      if ((bounded && max + high < n) || (range && n == index->type.dim[0] && !L->asking)) continue;
    }
    int k = L->asking ? -1 : fact_level(L, op, a, x); // what is asked for ahead lies beyond what the loops around promise
    if (k >= 0) {
      if (k > out->level) out->level = k;
      continue;
    }
    if (L->probe && !L->asking && record(L, op, a, p, x, count, low)) {
      limited = limited || index_deps(L->probe, x);
      continue;
    }
    if (!loops_uniform(x, p->lanes)) {
      out->irregular = true;
      return;
    }
    tg_value *at = loops_addc(L, loops_index_base(L, x), x->c[0]);
    conjoin(L, &out->guard, loops_bin(L, TG_OP_LT, at, count));
    if (low)
      conjoin(L, &out->guard,
              loops_bin(L, TG_OP_GE, loops_add(L, at, start), loops_int(L, 0))); // a range may begin below 0 and reach inside
  }
  if (moves && !limited) L->probe->varies = true;
  if (L->probe) note_unit(L, v, used);
  if (out->irregular) return;
  if (nibbles) out->ptr = v->ptr, out->index = sum_value(L, &s, constant);
  else out->ptr = sum_pointer(L, v->ptr, &s, element, constant);
}

// ---- loads

static tg_value *from_memory(lower *L, tg_value *x, int dtype) {
  if (dtype == TG_E2M1 && x->type.dtype == TG_I8) return loops_nibble_get(L, x, loops_const(L, TG_I1, 0));
  return dtype == TG_I1 ? loops_bin(L, TG_OP_NE, x, loops_const(L, TG_I8, 0)) : x;
}

static bool written(lower *L, const char *name) {
  for (int i = 0; i < L->nwritten; i++)
    if (!strcmp(L->written[i], name)) return true;
  return false;
}

static tg_value *load_lanes(lower *L, const address *a, tg_value *ptr, int dtype, int lanes, tg_value *fill, bool constant) {
  tg_type type = lanes > 1 ? tg_vector_type(loops_memory_dtype(dtype), lanes) : tg_scalar_type(loops_memory_dtype(dtype));
  int64_t align = tg_dtypes[type.dtype].bits / 8;
  fill = loops_splat(L, fill, lanes);
  if (!a->guard) return from_memory(L, loops_load_at(L, a->level, ptr, type, align, constant), dtype);
  int k = a->level, g = loops_level_of(L, a->guard), q = loops_level_of(L, ptr);
  if (g > k) k = g;
  if (q > k) k = q;
  if (loops_level_of(L, fill) > k) k = loops_level_of(L, fill);
  tg_builder b = loops_at(L, k);
  tg_op *op = tg_build_typed(&b, TG_OP_IF, 1, &a->guard, 0, NULL, 1, &type);
  tg_builder then = {.kernel = L->lane, .region = tg_add_region(&b, op, 0, 0, NULL), .loc = L->loc};
  tg_attr attrs[] = {TG_ATYPE("type", type), TG_AINT("align", align), TG_AINT("const", 1)};
  tg_value *x = tg_build(&then, TG_OP_LLOAD, 1, &ptr, constant ? 3 : 2, attrs)->out[0];
  tg_build_yield(&then, 1, &x);
  tg_builder other = {.kernel = L->lane, .region = tg_add_region(&b, op, 1, 0, NULL), .loc = L->loc};
  tg_build_yield(&other, 1, &fill);
  return from_memory(L, op->out[0], dtype);
}

static tg_value *fill_of(lower *L, const tg_op *op, int dtype) {
  const tg_attr *f = tg_find_attr(op, "fill");
  int in_memory = dtype == TG_E2M1 ? dtype : loops_memory_dtype(dtype);
  double v = !f ? 0 : f->kind == TG_ATTR_INT ? (double)f->i : f->f;
  if (tg_dtypes[in_memory].cls == 'i' && f && f->kind == TG_ATTR_INT) {
    tg_attr a[] = {TG_ATYPE("type", tg_scalar_type(in_memory)), TG_AINT("value", f->i)};
    return loops_pure(L, TG_OP_CONST, 0, NULL, 2, a);
  }
  return loops_const(L, in_memory, v);
}

static tg_value *insert(lower *L, tg_value *all, tg_value *x, int l, int lanes) {
  if (!all) return loops_splat(L, x, lanes);
  tg_value *in[] = {all, x};
  return loops_pure(L, TG_OP_INSERT, 2, in, 1, (tg_attr[]){TG_AINT("i", l)});
}

static tg_value *pointer_of(lower *L, const tg_op *op, const pos *p) {
  view v;
  loops_resolve(L, op->in[0], &v);
  address a;
  locate(L, op, &v, p, &a, false);
  return a.ptr;
}

// Axis of the position that runs with the block's loop and is contiguous, when the lanes run along another; -1 = none.
static int block_axis(lower *L, const tg_op *op, const view *v, const pos *p) {
  if (!L->block || L->probe || v->dtype == TG_E2M1 || p->lanes % L->block->rows || L->block->rows * tg_dtypes[v->dtype].bits != 128)
    return -1;
  int axis = 0;
  for (int a = 0; a < v->rank; a++) {
    if (op->in[1 + a]->type.kind != TG_RANGE) {
      if (op->in[1 + a]->type.rank) return -1;
      continue;
    }
    const lane_index *x = &p->at[axis];
    if (loops_is_int(v->stride[a], 1) && loops_uniform(x, p->lanes))
      for (int i = 0; i < x->n; i++)
        if (x->t[i].v == L->block->var && x->t[i].coef == 1 && x->t[i].div == 1) return axis;
    axis++;
  }
  return -1;
}

// Either nibble of the fill's byte is the fill.
static tg_value *load_nibbles(lower *L, const address *a, int lanes, tg_value *fill, bool constant) {
  if (lanes > 1 && !a->guard && loops_nibbles_whole(a->index, a->offset, lanes))
    return loops_load_at(L, a->level, loops_nibbles_at(L, a->ptr, a->index), tg_vector_type(TG_E2M1, lanes), 1, constant);
  tg_value *all = NULL, *high, *both = loops_const(L, TG_I8, 0);
  for (int k = 0; k < 2; k++) both = loops_nibble_set(L, both, fill, loops_const(L, TG_I1, k));
  for (int l = 0; l < lanes; l++) {
    tg_value *ptr = loops_nibble_byte(L, a->ptr, a->index, a->offset[l], &high);
    all = insert(L, all, loops_nibble_get(L, load_lanes(L, a, ptr, TG_I8, 1, both, constant), high), l, lanes);
  }
  return all;
}

// Asks for the line of a vector that is contiguous. Nothing is read but, where it lies inside, what the address depends on.
static void ask(lower *L, const tg_op *op, const view *v, const pos *p) {
  address a;
  L->asking = true;
  locate(L, op, v, p, &a, false);
  L->asking = false;
  bool unit = a.ptr && !a.index && p->lanes > 1;
  for (int l = 0; unit && l < p->lanes; l++) unit = a.offset[l] == l * (int64_t)tg_dtypes[v->dtype].bits / 8;
  if (unit) loops_touch(L, a.ptr);
}

tg_value *loops_eval_load(lower *L, tg_op *op, const pos *p) {
  view v;
  loops_resolve(L, op->in[0], &v);
  if (L->prefetch_only && !L->asking) {
    ask(L, op, &v, p);
    return loops_splat(L, loops_const(L, v.dtype, 0), p->lanes);
  }
  address a;
  locate(L, op, &v, p, &a, true);
  tg_value *fill = fill_of(L, op, v.dtype), *all = NULL;
  bool constant = !written(L, v.param->name);
  if (!constant) a.level = L->top; // an address that stays the same may hold something else on the next trip
  int along = !a.guard && !loops_uniform_pos(p) ? block_axis(L, op, &v, p) : -1;
  if (along >= 0)
    return from_memory(L, loops_block_load(L, op, p, along, loops_memory_dtype(v.dtype), pointer_of, a.level, constant), v.dtype);
  if (a.irregular) {
    for (int l = 0; l < p->lanes; l++) {
      pos q = loops_lane(p, l);
      all = insert(L, all, loops_eval(L, op->out[0], &q), l, p->lanes);
    }
    return all;
  }
  if (a.index) return load_nibbles(L, &a, p->lanes, fill, constant);
  bool unit = true, still = true;
  int64_t element = tg_dtypes[v.dtype].bits / 8;
  for (int l = 0; l < p->lanes; l++) unit = unit && a.offset[l] == l * element, still = still && a.offset[l] == 0;
  if (p->lanes == 1 || still) return load_lanes(L, &a, a.ptr, v.dtype, 1, fill, constant);
  if (unit) {
    if (L->prefetch) loops_touch(L, loops_ptradd(L, a.ptr, loops_int(L, L->prefetch)));
    return load_lanes(L, &a, a.ptr, v.dtype, p->lanes, fill, constant);
  }
  for (int l = 0; l < p->lanes; l++) {
    tg_value *ptr = loops_ptradd(L, a.ptr, loops_int(L, a.offset[l]));
    all = insert(L, all, load_lanes(L, &a, ptr, v.dtype, 1, fill, constant), l, p->lanes);
  }
  return all;
}

// ---- stores

static tg_value *to_memory(lower *L, tg_value *x, int dtype) {
  if (dtype == TG_E2M1) return loops_nibble_set(L, loops_const(L, TG_I8, 0), x, loops_const(L, TG_I1, 0));
  if (dtype != TG_I1) return x;
  return loops_select(L, x, loops_const(L, TG_I8, 1), loops_const(L, TG_I8, 0));
}

void loops_place(lower *L, tg_op *op, placement *at, nest *N) {
  *at = (placement){.op = op, .unit = -1};
  loops_resolve(L, op->in[0], &at->view);
  const int rank = at->view.rank;
  at->value = op->in[1 + rank];
  at->mask = tg_attr_int(op, "mask", 0) ? op->in[2 + rank] : NULL;
  loops_nest_init(L, N, at->value->type.rank, at->value->type.dim);
  for (int a = 0, axis = 0; a < rank; a++) {
    tg_value *index = op->in[1 + a], *low, *count;
    if (index->type.kind != TG_RANGE && index->type.rank == 1) {
      axis++;
      continue;
    }
    count = loops_count(L, op, a, &at->view, &low);
    if (index->type.kind == TG_RANGE) {
      if (low) at->low = true;
      N->need[axis] = count;
      if (N->len[axis] == 1 && !loops_is_int(count, 1)) // no loop looks at it
        conjoin(L, &at->whole, loops_bin(L, TG_OP_GT, count, loops_int(L, 0)));
      if (loops_is_int(at->view.stride[a], 1) && N->len[axis] > 1) at->unit = axis;
      axis++;
    } else {
      if (!loops_is_int(count, 1)) conjoin(L, &at->whole, loops_bin(L, TG_OP_GT, count, loops_int(L, 0)));
      if (low) conjoin(L, &at->whole, low);
    }
  }
}

tg_value *loops_place_element(lower *L, const placement *at, const pos *p, tg_value **guard) {
  address a;
  locate(L, at->op, &at->view, p, &a, at->low);
  *guard = a.guard;
  if (at->mask) conjoin(L, guard, loops_eval(L, at->mask, p));
  return a.ptr;
}

static void store_nibbles(lower *L, const address *a, tg_value *x, int lanes) {
  if (lanes > 1 && loops_nibbles_whole(a->index, a->offset, lanes)) {
    loops_store_at(L, loops_nibbles_at(L, a->ptr, a->index), x, 1);
    return;
  }
  for (int l = 0; l < lanes; l++) {
    tg_value *code = lanes > 1 ? loops_pure(L, TG_OP_EXTRACT, 1, &x, 1, (tg_attr[]){TG_AINT("i", l)}) : x;
    loops_nibble_store(L, a->ptr, a->index, a->offset[l], code);
  }
}

static void store_body(lower *L, nest *N, const pos *p) {
  const placement *J = N->user;
  address a;
  tg_value *x = loops_eval_lanes(L, J->value, p);
  if (J->view.dtype != TG_E2M1) x = to_memory(L, x, J->view.dtype);
  locate(L, J->op, &J->view, p, &a, J->low);
  if (a.irregular) loops_refuse(L, J->op, "internal: store along an axis of run-time stride");
  tg_value *guard = a.guard;
  if (J->mask) conjoin(L, &guard, loops_eval(L, J->mask, p));
  int64_t element = tg_dtypes[J->view.dtype].bits / 8;
  tg_op *branch = guard ? loops_open_if(L, guard, 0, NULL) : NULL;
  if (a.index) {
    store_nibbles(L, &a, x, p->lanes);
  } else if (p->lanes == 1 || a.offset[1] == element) {
    loops_store_at(L, a.ptr, x, element);
  } else {
    for (int l = 0; l < p->lanes; l++) {
      tg_value *e = loops_pure(L, TG_OP_EXTRACT, 1, &x, 1, (tg_attr[]){TG_AINT("i", l)});
      loops_store_at(L, loops_ptradd(L, a.ptr, loops_int(L, a.offset[l])), e, element);
    }
  }
  if (branch) {
    loops_else(L, branch, 0, NULL);
    loops_close_if(L, branch, 0, NULL);
  }
}

// Stores may pass by the caches where the whole tensor is larger than them and the row begins at a whole vector.
static tg_value *may_stream(lower *L, nest *N, const pos *p) {
  const placement *J = N->user;
  const tg_param *param = J->view.param;
  tg_value *bytes = loops_int(L, tg_dtypes[param->dtype].bits / 8);
  for (int i = 0; i < param->rank; i++) bytes = loops_mul(L, bytes, loops_arg_expr(L, param->dims[i]));
  int64_t known;
  if (tg_const_as_int(bytes, &known) && known < L->stream_from) return NULL;
  address a;
  locate(L, J->op, &J->view, p, &a, false);
  tg_value *large = loops_bin(L, TG_OP_GE, bytes, loops_int(L, L->stream_from));
  return loops_bin(L, TG_OP_AND, large, loops_bin(L, TG_OP_EQ, loops_misalign(L, a.ptr, N->stream), loops_int(L, 0)));
}

// ---- stores that turn

enum { TURN_WEIGHT = 8 }; // cost of an element, which is emitted once for each row of the square

static void value_body(lower *L, nest *N, const pos *p) {
  const placement *J = N->user;
  loops_eval(L, J->value, p);
}

// Where what is read is contiguous along another axis than what is stored, squares are turned in registers (loops_block.c): lanes run along
// the stored axis and a loop, many steps at once, along the other. For whole tiles of two axes; false when it does not serve. Leaves a
// branch open for the tiles that end within the stored axis: its other side.
static bool turned(lower *L, const placement *J, const nest *plain, tg_op **branch) {
  const int unit = J->unit;
  nest across = *plain, N = *plain;
  if (plain->nloops != 2 || plain->lanes == 1 || loops_info(L, J->value)->weight > TURN_WEIGHT) return false;
  const int other = plain->order[0], bytes = tg_dtypes[J->view.dtype].bits == 8,
            lanes = bytes && plain->len[unit] % LOOPS_LANES == 0 ? LOOPS_LANES : plain->lanes;
  across.order[0] = unit, across.order[1] = other, across.body = value_body;
  loops_nest_probe(L, &across);
  const int rows = across.probe.unit_bytes ? 16 / across.probe.unit_bytes : 0;
  if (rows < 4 || lanes % rows || plain->len[unit] % lanes) return false;
  tg_value *inside = loops_nest_inside(L, &across, 0), *whole = loops_int(L, plain->len[unit]);
  if (inside != whole) *branch = loops_open_if(L, loops_bin(L, TG_OP_GE, inside, whole), 0, NULL);
  tg_value *panel = loops_open(L, loops_int(L, 0), whole, lanes, 0, NULL);
  across.vars[0] = panel;
  loops_nest_facts(L, &across, 0);
  N.nloops = 1, N.lanes = 1, N.fixed_lanes = lanes, N.unroll = rows, N.streams = NULL;
  N.start.at[unit] = loops_var(panel), N.start.lanes = lanes;
  for (int l = 0; l < lanes; l++) N.start.at[unit].c[l] += l;
  loops_nest_run(L, &N);
  loops_close(L, 0, NULL);
  if (*branch) loops_else(L, *branch, 0, NULL);
  return true;
}

void loops_store(lower *L, tg_op *op) {
  placement J;
  nest N;
  loops_place(L, op, &J, &N);
  for (int i = 0; i < N.nloops; i++) // the contiguous axis last
    if (N.order[i] == J.unit) {
      for (; i + 1 < N.nloops; i++) N.order[i] = N.order[i + 1];
      N.order[N.nloops - 1] = J.unit;
    }
  if (J.unit < 0 || J.low || J.mask) N.lanes = 1;
  else N.lanes = loops_width(L, N.len[J.unit]);
  N.body = store_body, N.user = &J;
  N.stream = (int64_t)N.lanes * (tg_dtypes[J.view.dtype].bits / 8);
  if (N.stream > 64) N.stream = 64;
  if (L->stream_from && N.stream >= 16 && op->code == TG_OP_STORE && J.view.param->kind == TG_OUTPUT) N.streams = may_stream;
  tg_op *branch = J.whole ? loops_open_if(L, J.whole, 0, NULL) : NULL, *turn = NULL;
  const bool turns = J.unit >= 0 && op->code == TG_OP_STORE && turned(L, &J, &N, &turn);
  if (!turns || turn) loops_nest_run(L, &N);
  if (turn) loops_close_if(L, turn, 0, NULL);
  if (branch) {
    loops_else(L, branch, 0, NULL);
    loops_close_if(L, branch, 0, NULL);
  }
}

// ---- buffers

buffer *loops_new_buffer(lower *L, int dtype, int rank, const int32_t *len, const char *name) {
  buffer *b = TG_NEW(L->arena, buffer);
  b->dtype = loops_memory_dtype(dtype), b->rank = rank;
  int64_t n = 1;
  for (int a = rank - 1; a >= 0; a--) b->stride[a] = n, n *= len[a];
  b->ptr = loops_scratch(L, (n * tg_dtypes[b->dtype].bits / 8 + 63) / 64 * 64, name);
  b->level = L->top;
  return b;
}

static tg_value *buffer_at(lower *L, const buffer *b, const pos *p, int64_t *offset) {
  sum s = {0};
  int64_t constant = 0, element = tg_dtypes[b->dtype].bits / 8;
  for (int l = 0; l < p->lanes; l++) offset[l] = 0;
  for (int a = 0; a < b->rank; a++) {
    const lane_index *x = &p->at[a];
    for (int i = 0; i < x->n; i++)
      sum_add(L, &s, loops_mulc(L, loops_mulc(L, loops_divc(L, x->t[i].v, x->t[i].div), x->t[i].coef), b->stride[a]));
    constant += x->c[0] * b->stride[a];
    for (int l = 0; l < p->lanes; l++) offset[l] += (x->c[l] - x->c[0]) * b->stride[a] * element;
  }
  return sum_pointer(L, b->ptr, &s, element, constant);
}

// A value read from a buffer that may hold it in a wider float.
static tg_value *from_buffer(lower *L, const buffer *b, tg_value *x, int dtype) {
  return b->dtype == loops_memory_dtype(dtype) ? from_memory(L, x, dtype) : loops_cast(L, x, dtype);
}

tg_value *loops_read_buffer(lower *L, const buffer *b, const pos *p, int dtype) {
  int64_t offset[LOOPS_LANES], element = tg_dtypes[b->dtype].bits / 8;
  if (L->probe && deps_of(L->probe, p)) L->probe->varies = true;
  tg_value *ptr = buffer_at(L, b, p, offset), *all = NULL;
  bool unit = true, still = true;
  for (int l = 0; l < p->lanes; l++) unit = unit && offset[l] == l * element, still = still && offset[l] == 0;
  if (still) return from_buffer(L, b, loops_load_at(L, b->level, ptr, tg_scalar_type(b->dtype), element, false), dtype);
  if (unit) return from_buffer(L, b, loops_load_at(L, b->level, ptr, tg_vector_type(b->dtype, p->lanes), element, false), dtype);
  for (int l = 0; l < p->lanes; l++) {
    tg_value *x = loops_load_at(L, b->level, loops_ptradd(L, ptr, loops_int(L, offset[l])), tg_scalar_type(b->dtype), element, false);
    all = insert(L, all, x, l, p->lanes);
  }
  return from_buffer(L, b, all, dtype);
}

void loops_write_buffer(lower *L, const buffer *b, const pos *p, tg_value *value, int dtype) {
  int64_t offset[LOOPS_LANES], element = tg_dtypes[b->dtype].bits / 8;
  tg_value *ptr = buffer_at(L, b, p, offset),
           *x = b->dtype == loops_memory_dtype(dtype) ? to_memory(L, value, dtype) : loops_cast(L, value, b->dtype);
  if (p->lanes == 1 || offset[1] == element) {
    loops_store_at(L, ptr, x, element);
    return;
  }
  for (int l = 0; l < p->lanes; l++) {
    tg_value *e = loops_pure(L, TG_OP_EXTRACT, 1, &x, 1, (tg_attr[]){TG_AINT("i", l)});
    loops_store_at(L, loops_ptradd(L, ptr, loops_int(L, offset[l])), e, element);
  }
}
