// Lane ops of the loops lowering: each pure op goes to the outermost open region in which its operands exist, and is made once there.
#include "codegen/loops.h"
#include "codegen/math.h"

int loops_level_of(lower *L, const tg_value *v) {
  for (int k = L->top; k >= 0; k--)
    if (L->levels[k].region == v->region) return k;
  tg_throw(L->ctx, TG_FAILED, "internal: a lane value is used outside the region that made it (launch %d of %s)", L->from->index,
           L->tile->name);
}

bool loops_alive(lower *L, const tg_value *v) {
  for (int k = L->top; k >= 0; k--)
    if (L->levels[k].region == v->region) return true;
  return false;
}

tg_builder loops_at(lower *L, int k) {
  return (tg_builder){.kernel = L->lane, .region = L->levels[k].region, .before = k < L->top ? L->levels[k + 1].op : NULL, .loc = L->loc};
}

tg_op *loops_op(lower *L, int min_level, int code, int n, tg_value *const *in, int nattrs, const tg_attr *attrs) {
  int k = min_level;
  for (int i = 0; i < n; i++) {
    int at = loops_level_of(L, in[i]);
    if (at > k) k = at;
  }
  tg_builder b = loops_at(L, k);
  return tg_build(&b, code, n, in, nattrs, attrs);
}

static uint64_t hash_attr(uint64_t h, const tg_attr *a) {
  switch (a->kind) {
  case TG_ATTR_INT: return tg_hash(&a->i, sizeof a->i, h);
  case TG_ATTR_FLOAT: return tg_hash(&a->f, sizeof a->f, h);
  case TG_ATTR_STR: return tg_hash(a->s, strlen(a->s), h);
  case TG_ATTR_INTS: return tg_hash(a->ints, sizeof *a->ints * (size_t)a->n, h);
  case TG_ATTR_TYPE: return tg_hash(&a->type, sizeof a->type, h);
  case TG_ATTR_EXPR: return tg_hash(&a->e, sizeof a->e, h);
  }
  return h;
}

static bool same_attr(const tg_attr *a, const tg_attr *b) {
  if (a->kind != b->kind || strcmp(a->key, b->key)) return false;
  switch (a->kind) {
  case TG_ATTR_INT: return a->i == b->i;
  case TG_ATTR_FLOAT: return !memcmp(&a->f, &b->f, sizeof a->f);
  case TG_ATTR_STR: return !strcmp(a->s, b->s);
  case TG_ATTR_INTS: return a->n == b->n && !memcmp(a->ints, b->ints, sizeof *a->ints * (size_t)a->n);
  case TG_ATTR_TYPE: return tg_type_equal(a->type, b->type);
  case TG_ATTR_EXPR: return a->e == b->e;
  }
  return false;
}

tg_value *loops_pure(lower *L, int code, int n, tg_value *const *in, int nattrs, const tg_attr *attrs) {
  uint64_t h = tg_hash(in, sizeof *in * (size_t)n, (uint64_t)code);
  for (int i = 0; i < nattrs; i++) h = hash_attr(h, &attrs[i]);
  cell **bucket = &L->cells[h % LOOPS_CELLS];
  for (cell *c = *bucket; c; c = c->next) {
    tg_op *op = c->op;
    if (c->hash != h || op->code != code || op->nin != n || op->nattrs != nattrs) continue;
    bool same = true;
    for (int i = 0; i < n && same; i++) same = op->in[i] == in[i];
    for (int i = 0; i < nattrs && same; i++) same = same_attr(&op->attrs[i], &attrs[i]);
    if (same && loops_alive(L, op->out[0])) return op->out[0];
  }
  cell *c = TG_NEW(L->arena, cell);
  *c = (cell){.next = *bucket, .hash = h, .op = loops_op(L, 0, code, n, in, nattrs, attrs)};
  *bucket = c;
  return c->op->out[0];
}

int loops_lanes(const tg_value *v) { return v->type.rank ? v->type.dim[0] : 1; }

tg_value *loops_int(lower *L, int64_t v) {
  tg_attr a[] = {TG_ATYPE("type", tg_scalar_type(TG_I64)), TG_AINT("value", v)};
  return loops_pure(L, TG_OP_CONST, 0, NULL, 2, a);
}

tg_value *loops_const(lower *L, int dtype, double v) {
  bool integer = tg_dtypes[dtype].cls == 'i' || tg_dtypes[dtype].cls == 'b';
  tg_attr a[] = {TG_ATYPE("type", tg_scalar_type(dtype)), integer ? TG_AINT("value", (int64_t)v) : TG_AFLOAT("value", v)};
  return loops_pure(L, TG_OP_CONST, 0, NULL, 2, a);
}

tg_value *loops_splat(lower *L, tg_value *v, int lanes) {
  if (v->type.rank || lanes == 1) return v;
  return loops_pure(L, TG_OP_SPLAT, 1, &v, 1, (tg_attr[]){TG_AINT("n", lanes)});
}

static bool expands(int code) {
  switch (code) {
  case TG_OP_EXP:
  case TG_OP_EXP2:
  case TG_OP_LOG:
  case TG_OP_LOG2:
  case TG_OP_RSQRT:
  case TG_OP_SIGMOID:
  case TG_OP_TANH:
  case TG_OP_SIN:
  case TG_OP_COS: return true;
  default: return false;
  }
}

tg_value *loops_un(lower *L, int code, tg_value *a) {
  if (expands(code)) {
    int k = loops_level_of(L, a);
    tg_builder b = loops_at(L, k);
    tg_value *v = tg_math_expand(&b, code, a);
    if (v) return v;
  }
  return loops_pure(L, code, 1, &a, 0, NULL);
}

tg_value *loops_bin(lower *L, int code, tg_value *a, tg_value *b) {
  int lanes = loops_lanes(a) > loops_lanes(b) ? loops_lanes(a) : loops_lanes(b);
  tg_value *in[] = {loops_splat(L, a, lanes), loops_splat(L, b, lanes)};
  return loops_pure(L, code, 2, in, 0, NULL);
}

tg_value *loops_select(lower *L, tg_value *c, tg_value *a, tg_value *b) {
  int lanes = loops_lanes(c);
  if (loops_lanes(a) > lanes) lanes = loops_lanes(a);
  if (loops_lanes(b) > lanes) lanes = loops_lanes(b);
  tg_value *in[] = {loops_splat(L, c, lanes), loops_splat(L, a, lanes), loops_splat(L, b, lanes)};
  return loops_pure(L, TG_OP_SELECT, 3, in, 0, NULL);
}

tg_value *loops_cast(lower *L, tg_value *v, int dtype) {
  if (v->type.dtype == dtype) return v;
  return loops_pure(L, TG_OP_CAST, 1, &v, 1, (tg_attr[]){TG_ASTR("to", tg_dtypes[dtype].name)});
}

tg_value *loops_part(lower *L, tg_value *v, int part, int lanes) {
  int64_t *mask = TG_NEWN(&L->lane->arena, int64_t, lanes);
  for (int i = 0; i < lanes; i++) mask[i] = part * lanes + i;
  tg_value *in[] = {v, v};
  return loops_pure(L, TG_OP_SHUFFLE, 2, in, 1, (tg_attr[]){TG_AINTS("mask", mask, lanes)});
}

tg_value *loops_fma(lower *L, tg_value *a, tg_value *b, tg_value *c) {
  int lanes = loops_lanes(c);
  if (loops_lanes(b) > lanes) lanes = loops_lanes(b);
  if (loops_lanes(a) > lanes) lanes = loops_lanes(a);
  bool is_float = tg_dtypes[c->type.dtype].cls == 'f';
  if (!is_float || !L->machine || !L->machine->fma) return loops_bin(L, TG_OP_ADD, loops_bin(L, TG_OP_MUL, a, b), c);
  tg_value *in[] = {loops_splat(L, a, lanes), loops_splat(L, b, lanes), loops_splat(L, c, lanes)};
  return loops_pure(L, TG_OP_FMA, 3, in, 0, NULL);
}

// ---- i64 scalars, which wrap as the IR's do

static int64_t plus(int64_t x, int64_t y) { return (int64_t)((uint64_t)x + (uint64_t)y); }
static int64_t minus(int64_t x, int64_t y) { return (int64_t)((uint64_t)x - (uint64_t)y); }
static int64_t times(int64_t x, int64_t y) { return (int64_t)((uint64_t)x * (uint64_t)y); }

static bool as_int(const tg_value *v, int64_t *out) { return tg_const_as_int(v, out); }

bool loops_is_int(const tg_value *v, int64_t value) {
  int64_t x;
  return as_int(v, &x) && x == value;
}

tg_value *loops_add(lower *L, tg_value *a, tg_value *b) {
  int64_t x, y;
  if (as_int(a, &x)) {
    if (as_int(b, &y)) return loops_int(L, plus(x, y));
    tg_value *t = a;
    a = b, b = t;
  }
  if (as_int(b, &y)) {
    if (y == 0) return a;
    if (a->def && a->def->code == TG_OP_ADD && as_int(a->def->in[1], &x)) return loops_addc(L, a->def->in[0], plus(x, y));
  }
  return loops_bin(L, TG_OP_ADD, a, b);
}

tg_value *loops_addc(lower *L, tg_value *a, int64_t c) { return c ? loops_add(L, a, loops_int(L, c)) : a; }

tg_value *loops_sub(lower *L, tg_value *a, tg_value *b) {
  int64_t x, y;
  if (a == b) return loops_int(L, 0);
  if (as_int(b, &y)) return as_int(a, &x) ? loops_int(L, minus(x, y)) : loops_addc(L, a, minus(0, y));
  return loops_bin(L, TG_OP_SUB, a, b);
}

tg_value *loops_mul(lower *L, tg_value *a, tg_value *b) {
  int64_t x, y;
  if (as_int(a, &x)) {
    tg_value *t = a;
    a = b, b = t;
  }
  if (as_int(b, &y)) {
    if (as_int(a, &x)) return loops_int(L, times(x, y));
    if (y == 1) return a;
    if (y == 0) return b;
    if (a->def && a->def->code == TG_OP_MUL && as_int(a->def->in[1], &x)) return loops_mulc(L, a->def->in[0], times(x, y));
  }
  return loops_bin(L, TG_OP_MUL, a, b);
}

tg_value *loops_mulc(lower *L, tg_value *a, int64_t c) { return c == 1 ? a : loops_mul(L, a, loops_int(L, c)); }

tg_value *loops_min(lower *L, tg_value *a, tg_value *b) {
  int64_t x, y, m;
  if (a == b) return a;
  if (as_int(a, &x) && as_int(b, &y)) return x < y ? a : b;
  if (as_int(a, &x)) {
    tg_value *t = a;
    a = b, b = t;
  }
  if (as_int(b, &y) && loops_upper(a, &m) && m <= y) return a;
  return loops_bin(L, TG_OP_MIN, a, b);
}

tg_value *loops_max(lower *L, tg_value *a, tg_value *b) {
  int64_t x, y;
  if (a == b) return a;
  if (as_int(a, &x) && as_int(b, &y)) return x > y ? a : b;
  if (as_int(a, &x)) {
    tg_value *t = a;
    a = b, b = t;
  }
  if (as_int(b, &y) && y == 0 && loops_nonneg(L, a)) return a;
  return loops_bin(L, TG_OP_MAX, a, b);
}

static int log2_of(int64_t c) { return c > 0 && !(c & (c - 1)) ? __builtin_ctzll((uint64_t)c) : -1; }

tg_value *loops_divc(lower *L, tg_value *a, int64_t c) {
  int64_t x, m;
  if (c == 1) return a;
  if (as_int(a, &x)) return loops_int(L, x / c - (x % c < 0));
  if (loops_nonneg(L, a) && loops_upper(a, &m) && m < c) return loops_int(L, 0);
  if (a->def && a->def->code == TG_OP_MUL && as_int(a->def->in[1], &x) && x % c == 0) return loops_mulc(L, a->def->in[0], x / c);
  int s = log2_of(c);
  return s >= 0 ? loops_bin(L, TG_OP_SHR, a, loops_int(L, s)) : loops_bin(L, TG_OP_DIV, a, loops_int(L, c));
}

tg_value *loops_ceilc(lower *L, tg_value *a, int64_t c) { return c == 1 ? a : loops_divc(L, loops_addc(L, a, c - 1), c); }

tg_value *loops_down(lower *L, tg_value *a, int64_t c) {
  int64_t x, m = loops_multiple(a);
  if (c == 1) return a;
  if (as_int(a, &x)) return loops_int(L, minus(x, x % c + (x % c < 0 ? c : 0)));
  if (m % c == 0) return a;
  if (log2_of(c) >= 0) return loops_bin(L, TG_OP_AND, a, loops_int(L, -c));
  return loops_mulc(L, loops_divc(L, a, c), c);
}

static int64_t magnitude(int64_t x) { return x == INT64_MIN ? INT64_C(1) << 62 : x < 0 ? -x : x; } // or a divisor of it

static int64_t gcd(int64_t a, int64_t b) {
  while (b) {
    int64_t t = a % b;
    a = b, b = t;
  }
  return magnitude(a);
}

// A divisor of every a * b; 1 where that does not fit, as what wrapped has none.
static int64_t product(int64_t a, int64_t b) {
  int64_t p;
  return __builtin_mul_overflow(a, b, &p) ? 1 : magnitude(p);
}

// What is known of an i64 scalar from the ops that made it. Loop variables: owner's bounds and step.
static const tg_op *loop_of(const tg_value *v) {
  return !v->def && v->region && v->region->owner && v->region->owner->code == TG_OP_FOR && v->index == 0 ? v->region->owner : NULL;
}

static int64_t multiple(const tg_value *v, int depth) {
  int64_t x;
  if (as_int(v, &x)) return magnitude(x);
  const tg_op *loop = loop_of(v);
  if (loop && depth) return gcd(multiple(loop->in[0], depth - 1), tg_attr_int(loop, "step", 1));
  const tg_op *d = v->def;
  if (!d || !depth) return 1;
  switch (d->code) {
  case TG_OP_ADD:
  case TG_OP_SUB:
  case TG_OP_MIN:
  case TG_OP_MAX: return gcd(multiple(d->in[0], depth - 1), multiple(d->in[1], depth - 1));
  case TG_OP_MUL: return product(multiple(d->in[0], depth - 1), multiple(d->in[1], depth - 1));
  case TG_OP_AND: return as_int(d->in[1], &x) && x < 0 && log2_of(magnitude(x)) >= 0 ? magnitude(x) : 1;
  case TG_OP_SHL: return as_int(d->in[1], &x) && x >= 0 && x < 40 ? product(INT64_C(1) << x, multiple(d->in[0], depth - 1)) : 1;
  case TG_OP_SELECT: return gcd(multiple(d->in[1], depth - 1), multiple(d->in[2], depth - 1));
  default: return 1;
  }
}

int64_t loops_multiple(const tg_value *v) { return multiple(v, 8); }

static bool expr_nonneg(const tg_expr *e) {
  switch (e->op) {
  case TG_EXPR_CONST: return e->value >= 0;
  case TG_EXPR_SYM: return true;
  case TG_EXPR_SUB: return false;
  case TG_EXPR_MAX: return expr_nonneg(e->a) || expr_nonneg(e->b);
  default: return expr_nonneg(e->a) && expr_nonneg(e->b);
  }
}

static bool nonneg(lower *L, const tg_value *v, int depth) {
  int64_t x;
  if (as_int(v, &x)) return x >= 0;
  const tg_op *loop = loop_of(v);
  if (loop) return depth && nonneg(L, loop->in[0], depth - 1);
  if (!v->def) {
    if (v->region == L->levels[0].region && (int)v->index < L->nargs) {
      const tg_expr *e = L->args[v->index].value;
      return e && expr_nonneg(e);
    }
    return v->region && !v->region->owner; // a probe's loop variable
  }
  const tg_op *d = v->def;
  if (!depth) return false;
  switch (d->code) {
  case TG_OP_CTAID: return true;
  case TG_OP_ADD:
  case TG_OP_MUL:
  case TG_OP_MIN:
  case TG_OP_DIV:
  case TG_OP_REM: return nonneg(L, d->in[0], depth - 1) && nonneg(L, d->in[1], depth - 1);
  case TG_OP_MAX:
  case TG_OP_AND: return nonneg(L, d->in[0], depth - 1) || nonneg(L, d->in[1], depth - 1);
  case TG_OP_SHR:
  case TG_OP_SHL: return nonneg(L, d->in[0], depth - 1);
  case TG_OP_SELECT: return nonneg(L, d->in[1], depth - 1) && nonneg(L, d->in[2], depth - 1);
  default: return false;
  }
}

bool loops_nonneg(lower *L, const tg_value *v) { return nonneg(L, v, 12); }

static bool upper(const tg_value *v, int depth, int64_t *max) {
  int64_t x, y;
  if (as_int(v, max)) return true;
  const tg_op *loop = loop_of(v);
  if (loop) {
    if (!depth || !upper(loop->in[1], depth - 1, &x) || x == INT64_MIN) return false;
    int64_t lb, span, step = tg_attr_int(loop, "step", 1);
    const bool counted = as_int(loop->in[0], &lb) && x > lb && !__builtin_sub_overflow(x - 1, lb, &span);
    *max = counted ? lb + span / step * step : x - 1;
    return true;
  }
  const tg_op *d = v->def;
  if (!d || !depth) return false;
  switch (d->code) {
  case TG_OP_MIN: {
    bool a = upper(d->in[0], depth - 1, &x), b = upper(d->in[1], depth - 1, &y);
    *max = a && (!b || x < y) ? x : y;
    return a || b;
  }
  case TG_OP_MAX:
  case TG_OP_ADD:
    if (!upper(d->in[0], depth - 1, &x) || !upper(d->in[1], depth - 1, &y)) return false;
    *max = x > y ? x : y;
    return d->code == TG_OP_MAX || !__builtin_add_overflow(x, y, max);
  case TG_OP_SELECT:
    if (!upper(d->in[1], depth - 1, &x) || !upper(d->in[2], depth - 1, &y)) return false;
    *max = x > y ? x : y;
    return true;
  case TG_OP_AND:
    if (as_int(d->in[1], &x) && x >= 0) {
      *max = x;
      return true;
    }
    return as_int(d->in[1], &x) && x < 0 && upper(d->in[0], depth - 1, max);
  case TG_OP_REM:
    if (!as_int(d->in[1], &x) || x <= 0) return false;
    *max = x - 1;
    return true;
  case TG_OP_MUL:
    if (!as_int(d->in[1], &y) || y < 0 || !upper(d->in[0], depth - 1, &x)) return false;
    return !__builtin_mul_overflow(x, y, max);
  case TG_OP_SHR:
    if (!as_int(d->in[1], &y) || y < 0 || y > 62 || !upper(d->in[0], depth - 1, &x)) return false;
    *max = x >> y;
    return true;
  default: return false;
  }
}

bool loops_upper(const tg_value *v, int64_t *max) { return upper(v, 8, max); }

// ---- regions

void loops_push(lower *L, tg_region *region, tg_op *op) {
  if (L->top + 1 >= LOOPS_DEPTH)
    loops_refuse(L, NULL, "loops nest too deeply: with those over elements they are more than %d", LOOPS_DEPTH);
  L->levels[++L->top] = (level){.region = region, .op = op};
}

void loops_pop(lower *L) {
  int n = 0;
  for (int i = 0; i < L->nfacts; i++)
    if (L->facts[i].level < L->top) L->facts[n++] = L->facts[i];
  L->nfacts = n;
  L->top--;
}

tg_value *loops_open(lower *L, tg_value *lb, tg_value *ub, int64_t step, int ncarry, tg_value **carry) {
  tg_builder b = loops_at(L, L->top);
  tg_op *op = tg_build_for(&b, lb, ub, step, ncarry, carry);
  loops_push(L, op->regions[0], op);
  for (int i = 0; i < ncarry; i++) carry[i] = op->regions[0]->args[i + 1];
  return op->regions[0]->args[0];
}

void loops_close(lower *L, int ncarry, tg_value **carry) {
  tg_op *op = L->levels[L->top].op;
  tg_builder b = loops_at(L, L->top);
  tg_build_yield(&b, ncarry, carry);
  loops_pop(L);
  for (int i = 0; i < ncarry; i++) carry[i] = op->out[i];
}

tg_op *loops_open_if(lower *L, tg_value *cond, int nresults, const tg_type *types) {
  tg_builder b = loops_at(L, L->top);
  tg_op *op = tg_build_typed(&b, TG_OP_IF, 1, &cond, 0, NULL, nresults, types);
  tg_add_region(&b, op, 0, 0, NULL);
  tg_add_region(&b, op, 1, 0, NULL);
  loops_push(L, op->regions[0], op);
  return op;
}

void loops_else(lower *L, tg_op *op, int n, tg_value **values) {
  tg_builder b = loops_at(L, L->top);
  tg_build_yield(&b, n, values);
  loops_pop(L);
  loops_push(L, op->regions[1], op);
}

void loops_close_if(lower *L, tg_op *op, int n, tg_value **values) {
  tg_builder b = loops_at(L, L->top);
  tg_build_yield(&b, n, values);
  loops_pop(L);
  for (int i = 0; i < n; i++) values[i] = op->out[i];
}

// ---- memory and arguments

tg_value *loops_scratch(lower *L, int64_t bytes, const char *name) {
  tg_attr a[] = {TG_ASTR("space", "local"), TG_AINT("bytes", bytes), TG_AINT("align", 64), TG_ASTR("name", name)};
  return loops_op(L, 0, TG_OP_SCRATCH, 0, NULL, 4, a)->out[0];
}

tg_value *loops_ptradd(lower *L, tg_value *p, tg_value *bytes) {
  if (loops_is_int(bytes, 0)) return p;
  tg_value *in[] = {p, bytes};
  return loops_pure(L, TG_OP_PTRADD, 2, in, 0, NULL);
}

tg_value *loops_load_at(lower *L, int min_level, tg_value *p, tg_type type, int64_t align, bool constant) {
  tg_attr a[] = {TG_ATYPE("type", type), TG_AINT("align", align), TG_AINT("const", 1)};
  return loops_op(L, min_level, TG_OP_LLOAD, 1, &p, constant ? 3 : 2, a)->out[0];
}

tg_value *loops_misalign(lower *L, tg_value *p, int64_t to) {
  return loops_pure(L, TG_OP_MISALIGN, 1, &p, 1, (tg_attr[]){TG_AINT("to", to)});
}

void loops_store_at(lower *L, tg_value *p, tg_value *v, int64_t align) {
  tg_value *in[] = {p, v};
  tg_attr a[] = {TG_AINT("align", L->stream ? L->stream : align), TG_AINT("stream", 1)};
  loops_op(L, L->top, TG_OP_LSTORE, 2, in, L->stream ? 2 : 1, a);
}

void loops_touch(lower *L, tg_value *p) { loops_op(L, L->top, TG_OP_PREFETCH, 1, &p, 1, (tg_attr[]){TG_AINT("level", 1)}); }

static tg_value *add_arg(lower *L, tg_arg arg, tg_type type) {
  if (L->nargs == (int)(sizeof L->args / sizeof *L->args))
    tg_throw(L->ctx, TG_INVALID, "%s: launch %d needs more than %d arguments", L->tile->name, L->from->index, L->nargs);
  tg_region *body = L->levels[0].region;
  tg_value *v = TG_NEW(&L->lane->arena, tg_value);
  *v = (tg_value){.type = type, .region = body, .index = (uint32_t)L->nargs, .id = L->lane->next_id++};
  L->arg_types[L->nargs] = type;
  L->args[L->nargs] = arg;
  body->args[L->nargs++] = v;
  body->nargs = L->nargs;
  return v;
}

tg_value *loops_arg_expr(lower *L, const tg_expr *e) {
  if (e->op == TG_EXPR_CONST) return loops_int(L, e->value);
  if (e->op == TG_EXPR_SYM)
    for (int i = 0; i < L->tile->nsymbols; i++)
      if (!strcmp(L->tile->symbols[i].name, e->name) && L->tile->symbols[i].value >= 0) return loops_int(L, L->tile->symbols[i].value);
  for (int i = 0; i < L->nargs; i++)
    if (L->args[i].value && tg_e_equal(L->args[i].value, e)) return L->levels[0].region->args[i];
  tg_arg a = {.name = tg_e_text(&L->lane->arena, e), .kind = TG_ARG_SCALAR, .dtype = TG_I64, .value = e};
  return add_arg(L, a, tg_scalar_type(TG_I64));
}

tg_value *loops_arg_pointer(lower *L, const char *name) {
  for (int i = 0; i < L->nargs; i++)
    if (L->args[i].kind == TG_ARG_POINTER && !strcmp(L->args[i].name, name)) return L->levels[0].region->args[i];
  int dtype = TG_I8;
  const tg_param *p = tg_find_param(L->tile, name);
  if (p) dtype = p->dtype;
  return add_arg(L, (tg_arg){.name = name, .kind = TG_ARG_POINTER, .dtype = (uint8_t)dtype}, tg_ptr_type(TG_GLOBAL));
}

tg_value *loops_arg_scalar(lower *L, const char *name, int dtype) {
  for (int i = 0; i < L->nargs; i++)
    if (L->args[i].kind == TG_ARG_SCALAR && !L->args[i].value && !strcmp(L->args[i].name, name)) return L->levels[0].region->args[i];
  return add_arg(L, (tg_arg){.name = name, .kind = TG_ARG_SCALAR, .dtype = (uint8_t)dtype}, tg_scalar_type(dtype));
}
