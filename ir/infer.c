// Type rules: elementwise, shape, reduction and control ops. One function per name in the `rule` column.
#include "ir/infer.h"

#include <math.h>

bool tg_rule_fail(tg_infer_state *s, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  s->complaint = tg_arena_strdup(s->arena, text);
  return false;
}

const char *tg_rule_text(tg_infer_state *s, int operand) { return tg_type_text(s->arena, s->in[operand]->type); }

bool tg_rule_tile(tg_infer_state *s, int operand) {
  switch (s->in[operand]->type.kind) {
  case TG_TILE: return true;
  case TG_VIEW:
    return tg_rule_fail(s, "operand %d is a tensor, %s; load a tile from it by indexing it", operand + 1, tg_rule_text(s, operand));
  case TG_RANGE: return tg_rule_fail(s, "operand %d is a range; use its indices, :index(), or its start, :first()", operand + 1);
  default: return tg_rule_fail(s, "operand %d is %s, not a value to compute with", operand + 1, tg_rule_text(s, operand));
  }
}

bool tg_rule_scalar(tg_infer_state *s, int operand, unsigned dtypes) {
  if (!tg_rule_tile(s, operand)) return false;
  tg_type t = s->in[operand]->type;
  if (t.rank == 0 && (dtypes >> t.dtype & 1)) return true;
  tg_text names = {.arena = s->arena};
  for (int d = 0; d < TG_NDTYPES; d++) {
    if (dtypes >> d & 1) tg_text_add(&names, "%s%s", names.size ? " or " : "", tg_dtype_name(d));
  }
  return tg_rule_fail(s, "operand %d is %s, a scalar %s is needed", operand + 1, tg_rule_text(s, operand), names.data);
}

const tg_attr *tg_rule_attr(const tg_infer_state *s, const char *key) {
  for (int i = 0; i < s->nattrs; i++) {
    if (!strcmp(s->attrs[i].key, key)) return &s->attrs[i];
  }
  return NULL;
}

int64_t tg_rule_int(const tg_infer_state *s, const char *key, int64_t fallback) {
  const tg_attr *a = tg_rule_attr(s, key);
  return a ? a->i : fallback;
}

bool tg_rule_choice(tg_infer_state *s, const char *key, const char *const *names) {
  const tg_attr *a = tg_rule_attr(s, key);
  if (!a) return true;
  tg_text all = {.arena = s->arena};
  for (int i = 0; names[i]; i++) {
    if (!strcmp(a->s, names[i])) return true;
    tg_text_add(&all, "%s%s", i ? ", " : "", names[i]);
  }
  return tg_rule_fail(s, "%s is \"%.40s\"; it can be %s", key, a->s, all.data);
}

// A tile whose extents are positive and whose elements are not too many.
static bool tile_in_limits(tg_infer_state *s, tg_type t) {
  for (int i = 0; i < t.rank; i++) {
    if (t.dim[i] < 1) return tg_rule_fail(s, "extent %d of axis %d is not positive", t.dim[i], i + 1);
  }
  if (tg_type_elements(t) > TG_MAX_ELEMENTS)
    return tg_rule_fail(s, "a tile of %s is too large; %d elements are the most", tg_type_text(s->arena, t), TG_MAX_ELEMENTS);
  return true;
}

bool tg_rule_one(tg_infer_state *s, tg_type type) {
  if (type.kind == TG_TILE && !tile_in_limits(s, type)) return false;
  s->nout = 1;
  s->out[0] = type;
  return true;
}

// ---- elementwise

static bool needs_arithmetic(tg_infer_state *s, int operand) {
  if (!tg_rule_tile(s, operand)) return false;
  int d = s->in[operand]->type.dtype;
  if (tg_is_int(d) || tg_is_real(d)) return true;
  if (d == TG_I1) return tg_rule_fail(s, "operand %d is a boolean; cast it with :to(i32) or use where()", operand + 1);
  return tg_rule_fail(s, "operand %d is %s, which is for storage only; cast it with :to(f32)", operand + 1, tg_rule_text(s, operand));
}

static bool needs_float(tg_infer_state *s, int operand) {
  if (!tg_rule_tile(s, operand)) return false;
  int d = s->in[operand]->type.dtype;
  if (tg_is_real(d)) return true;
  return tg_rule_fail(s, "operand %d is %s; a float is needed, cast it with :to(f32)", operand + 1, tg_rule_text(s, operand));
}

static bool needs_int(tg_infer_state *s, int operand) {
  if (!tg_rule_tile(s, operand)) return false;
  int d = s->in[operand]->type.dtype;
  if (tg_is_int(d) || d == TG_I1) return true;
  return tg_rule_fail(s, "operand %d is %s; an integer or boolean is needed", operand + 1, tg_rule_text(s, operand));
}

static bool same_shape(tg_type a, tg_type b) {
  b.dtype = a.dtype;
  return tg_type_equal(a, b);
}

// Operands i and j must have one type.
static bool needs_equal(tg_infer_state *s, int i, int j) {
  if (!tg_rule_tile(s, i) || !tg_rule_tile(s, j)) return false;
  tg_type a = s->in[i]->type, b = s->in[j]->type;
  if (tg_type_equal(a, b)) return true;
  if (!same_shape(a, b)) {
    return tg_rule_fail(s, "operands %d and %d have unlike shapes, %s and %s; broadcast or reshape one of them", i + 1, j + 1,
                        tg_rule_text(s, i), tg_rule_text(s, j));
  }
  return tg_rule_fail(s, "operands %d and %d have unlike dtypes, %s and %s; cast one of them with :to(%s)", i + 1, j + 1,
                      tg_rule_text(s, i), tg_rule_text(s, j), tg_dtype_name(a.dtype == TG_F32 || b.dtype == TG_F32 ? TG_F32 : a.dtype));
}

bool tg_infer_UNARY(tg_infer_state *s) { return needs_arithmetic(s, 0) && tg_rule_one(s, s->in[0]->type); }
bool tg_infer_INT1(tg_infer_state *s) { return needs_int(s, 0) && tg_rule_one(s, s->in[0]->type); }
bool tg_infer_FLOAT1(tg_infer_state *s) { return needs_float(s, 0) && tg_rule_one(s, s->in[0]->type); }
bool tg_infer_BINARY(tg_infer_state *s) { return needs_arithmetic(s, 0) && needs_equal(s, 0, 1) && tg_rule_one(s, s->in[0]->type); }

bool tg_infer_TEST1(tg_infer_state *s) {
  if (!needs_float(s, 0)) return false;
  tg_type t = s->in[0]->type;
  t.dtype = TG_I1;
  return tg_rule_one(s, t);
}

bool tg_infer_INT2(tg_infer_state *s) {
  if (!needs_int(s, 0) || !needs_equal(s, 0, 1)) return false;
  bool logical = s->code == TG_OP_AND || s->code == TG_OP_OR || s->code == TG_OP_XOR;
  if (s->in[0]->type.dtype == TG_I1 && !logical) return tg_rule_fail(s, "operands are booleans; cast them with :to(i32)");
  return tg_rule_one(s, s->in[0]->type);
}

bool tg_infer_COMPARE(tg_infer_state *s) {
  if (!tg_rule_tile(s, 0)) return false;
  tg_type t = s->in[0]->type;
  bool booleans = t.dtype == TG_I1 && (s->code == TG_OP_EQ || s->code == TG_OP_NE);
  if ((!booleans && !needs_arithmetic(s, 0)) || !needs_equal(s, 0, 1)) return false;
  t.dtype = TG_I1;
  return tg_rule_one(s, t);
}

bool tg_infer_SELECT(tg_infer_state *s) {
  if (!tg_rule_tile(s, 0) || !needs_equal(s, 1, 2)) return false;
  if (s->in[0]->type.dtype != TG_I1) return tg_rule_fail(s, "operand 1 is %s; the condition must be i1, compare first", tg_rule_text(s, 0));
  if (!same_shape(s->in[0]->type, s->in[1]->type))
    return tg_rule_fail(s, "the condition is %s but the choices are %s; broadcast one of them", tg_rule_text(s, 0), tg_rule_text(s, 1));
  return tg_rule_one(s, s->in[1]->type);
}

bool tg_infer_FLOAT3(tg_infer_state *s) {
  return needs_float(s, 0) && needs_equal(s, 0, 1) && needs_equal(s, 0, 2) && tg_rule_one(s, s->in[0]->type);
}

static bool without_inf(int d) { return d == TG_E4M3 || d == TG_E4M3FNUZ || d == TG_E2M1 || d == TG_E8M0; }

bool tg_infer_CAST(tg_infer_state *s) {
  static const char *const modes[] = {"sat", "ieee", NULL};
  if (!tg_rule_tile(s, 0) || !tg_rule_choice(s, "mode", modes)) return false;
  tg_type t = s->in[0]->type;
  const char *to = tg_rule_attr(s, "to")->s;
  int d = tg_dtype_find(to), from = t.dtype;
  if (d < 0) return tg_rule_fail(s, "\"%.40s\" is not a dtype", to);
  if (d == TG_I1 && from != TG_I1) return tg_rule_fail(s, "there is no cast to i1; compare with 0, x:ne(0)");
  bool mode = tg_rule_attr(s, "mode");
  bool narrowing = without_inf(d) && from != d && from != TG_I1 && !(from == TG_E2M1 && d != TG_E8M0);
  if (narrowing && !mode) {
    return tg_rule_fail(s, "%s has no infinity: say what becomes of values beyond its largest, :to(%s, \"sat\") or :to(%s, \"ieee\")", to,
                        to, to);
  }
  if (mode && !without_inf(d)) return tg_rule_fail(s, "mode is for floats without infinity (e4m3, e4m3fnuz, e2m1, e8m0), not for %s", to);
  t.dtype = (uint8_t)d;
  return tg_rule_one(s, t);
}

bool tg_infer_BITCAST(tg_infer_state *s) {
  if (!tg_rule_tile(s, 0)) return false;
  tg_type t = s->in[0]->type;
  const char *to = tg_rule_attr(s, "to")->s;
  int d = tg_dtype_find(to);
  if (d < 0) return tg_rule_fail(s, "\"%.40s\" is not a dtype", to);
  if (d != t.dtype && (d == TG_I1 || t.dtype == TG_I1))
    return tg_rule_fail(s, "i1 has no bits to look at; cast it with :to(i8) or compare with 0");
  if (tg_dtypes[d].bits != tg_dtypes[t.dtype].bits)
    return tg_rule_fail(s, "%s has %d bits and %s %d; a bitcast keeps the width", tg_dtype_name(t.dtype), tg_dtypes[t.dtype].bits, to,
                        tg_dtypes[d].bits);
  t.dtype = (uint8_t)d;
  return tg_rule_one(s, t);
}

// ---- constants and coordinates

bool tg_rule_fits(tg_infer_state *s, int64_t value, int dtype) {
  int bits = tg_dtypes[dtype].bits;
  int64_t lo = dtype == TG_I1 ? 0 : INT64_MIN >> (64 - bits), hi = dtype == TG_I1 ? 1 : INT64_MAX >> (64 - bits);
  return value >= lo && value <= hi ? true : tg_rule_fail(s, "%lld does not fit %s", (long long)value, tg_dtype_name(dtype));
}

bool tg_infer_TYPED(tg_infer_state *s) {
  tg_type t = tg_rule_attr(s, "type")->type;
  if (t.kind != TG_TILE) return tg_rule_fail(s, "type is %s; it must be a tile's", tg_type_text(s->arena, t));
  if (s->code == TG_OP_IOTA) {
    if (t.rank != 1 || !(TG_M_INDEX >> t.dtype & 1))
      return tg_rule_fail(s, "type is %s; it must be i32 or i64 of rank 1", tg_type_text(s->arena, t));
    return tg_rule_one(s, t);
  }
  const tg_attr *v = tg_rule_attr(s, "value");
  if (tg_dtype_is_float(t.dtype)) return tg_rule_one(s, t);
  if (v->kind == TG_ATTR_FLOAT) return tg_rule_fail(s, "value is a float but the dtype is %s", tg_dtype_name(t.dtype));
  return tg_rule_fits(s, v->i, t.dtype) && tg_rule_one(s, t);
}

static bool axis_in(tg_infer_state *s, int limit) {
  int64_t axis = tg_rule_int(s, "axis", 0);
  return axis >= 0 && axis < limit ? true : tg_rule_fail(s, "axis %lld is not one of the %d", (long long)axis + 1, limit);
}

bool tg_infer_PID(tg_infer_state *s) { return axis_in(s, 4) && tg_rule_one(s, tg_scalar_type(TG_I64)); }
bool tg_infer_SCALAR32(tg_infer_state *s) { return axis_in(s, 3) && tg_rule_one(s, tg_scalar_type(TG_I32)); }
bool tg_infer_SCALAR64(tg_infer_state *s) { return axis_in(s, 4) && tg_rule_one(s, tg_scalar_type(TG_I64)); }
bool tg_infer_SCALAR(tg_infer_state *s) {
  tg_type t = tg_rule_attr(s, "type")->type;
  if (t.kind != TG_TILE || t.rank) return tg_rule_fail(s, "type is %s; a scalar parameter has rank 0", tg_type_text(s->arena, t));
  return tg_rule_one(s, t);
}

// ---- shape

// The attribute `shape` as a tile type of the operand's dtype.
static bool shape_attr(tg_infer_state *s, tg_type *out) {
  const tg_attr *a = tg_rule_attr(s, "shape");
  if (a->n > TG_MAX_RANK) return tg_rule_fail(s, "the shape has %d axes; a tile has at most %d", a->n, TG_MAX_RANK);
  *out = (tg_type){.kind = TG_TILE, .dtype = s->in[0]->type.dtype, .rank = (uint8_t)a->n};
  for (int i = 0; i < a->n; i++) {
    if (a->ints[i] < 1 || a->ints[i] > TG_MAX_ELEMENTS)
      return tg_rule_fail(s, "extent %lld of axis %d is out of range", (long long)a->ints[i], i + 1);
    out->dim[i] = (int32_t)a->ints[i];
  }
  return true;
}

bool tg_infer_BROADCAST(tg_infer_state *s) {
  tg_type r, t;
  if (!tg_rule_tile(s, 0) || !shape_attr(s, &r)) return false;
  t = s->in[0]->type;
  bool fits = t.rank <= r.rank;
  for (int i = 1; fits && i <= t.rank; i++) fits = t.dim[t.rank - i] == 1 || t.dim[t.rank - i] == r.dim[r.rank - i];
  if (!fits)
    return tg_rule_fail(s, "%s does not broadcast to %s: axes are matched from the last, and must be equal or 1", tg_rule_text(s, 0),
                        tg_type_text(s->arena, r));
  return tg_rule_one(s, r);
}

bool tg_infer_SPREAD(tg_infer_state *s) {
  if (!tg_rule_tile(s, 0) || !axis_in(s, s->in[0]->type.rank)) return false;
  tg_type t = s->in[0]->type;
  int64_t axis = tg_rule_int(s, "axis", 0), factor = tg_rule_int(s, "factor", 1);
  if (factor < 1 || factor > TG_MAX_ELEMENTS / t.dim[axis]) return tg_rule_fail(s, "factor %lld is out of range", (long long)factor);
  t.dim[axis] *= (int32_t)factor;
  return tg_rule_one(s, t);
}

bool tg_infer_RESHAPE(tg_infer_state *s) {
  tg_type r;
  if (!tg_rule_tile(s, 0) || !shape_attr(s, &r)) return false;
  int64_t from = tg_type_elements(s->in[0]->type), to = tg_type_elements(r);
  if (from != to)
    return tg_rule_fail(s, "%s has %lld elements and %s has %lld", tg_rule_text(s, 0), (long long)from, tg_type_text(s->arena, r),
                        (long long)to);
  return tg_rule_one(s, r);
}

bool tg_infer_TRANSPOSE(tg_infer_state *s) {
  if (!tg_rule_tile(s, 0)) return false;
  tg_type t = s->in[0]->type, r = t;
  const tg_attr *p = tg_rule_attr(s, "perm");
  unsigned seen = 0;
  if (p->n != t.rank) return tg_rule_fail(s, "the permutation has %d axes and %s has %d", p->n, tg_rule_text(s, 0), t.rank);
  for (int i = 0; i < p->n; i++) {
    if (p->ints[i] < 0 || p->ints[i] >= t.rank || (seen >> p->ints[i] & 1))
      return tg_rule_fail(s, "each axis must appear once in the permutation");
    seen |= 1u << p->ints[i];
    r.dim[i] = t.dim[p->ints[i]];
  }
  return tg_rule_one(s, r);
}

bool tg_infer_JOIN(tg_infer_state *s) {
  if (!needs_equal(s, 0, 1)) return false;
  tg_type t = s->in[0]->type;
  if (t.rank == TG_MAX_RANK) return tg_rule_fail(s, "%s has no room for one more axis", tg_rule_text(s, 0));
  t.dim[t.rank++] = 2;
  return tg_rule_one(s, t);
}

bool tg_infer_SPLIT(tg_infer_state *s) {
  if (!tg_rule_tile(s, 0)) return false;
  tg_type t = s->in[0]->type;
  if (t.rank == 0 || t.dim[t.rank - 1] != 2) return tg_rule_fail(s, "the last axis of %s must have extent 2", tg_rule_text(s, 0));
  t.dim[--t.rank] = 0;
  s->nout = 2;
  s->out[0] = s->out[1] = t;
  return true;
}

// ---- reductions

bool tg_rule_reduction(tg_infer_state *s, int dtype) {
  static const char *const kinds[] = {"sum", "prod", "min", "max", "minnum", "maxnum", "and", "or", "xor", NULL};
  if (!tg_rule_choice(s, "kind", kinds)) return false;
  const char *kind = tg_rule_attr(s, "kind")->s;
  bool logical = !strcmp(kind, "and") || !strcmp(kind, "or") || !strcmp(kind, "xor");
  bool fits = logical ? tg_is_int(dtype) || dtype == TG_I1 : tg_is_int(dtype) || tg_is_real(dtype);
  if (fits) return true;
  return tg_rule_fail(s, "\"%s\" does not work on %s; cast it with :to(%s)", kind, tg_dtype_name(dtype),
                      logical || dtype == TG_I1 ? "i32" : "f32");
}

bool tg_infer_REDUCE(tg_infer_state *s) {
  if (!tg_rule_tile(s, 0) || !axis_in(s, s->in[0]->type.rank) || !tg_rule_reduction(s, s->in[0]->type.dtype)) return false;
  tg_type t = s->in[0]->type;
  t.dim[tg_rule_int(s, "axis", 0)] = 1;
  return tg_rule_one(s, t);
}

static bool is_flag(tg_infer_state *s, const char *key) {
  int64_t v = tg_rule_int(s, key, 0);
  return v == 0 || v == 1 ? true : tg_rule_fail(s, "%s is %lld; it can be 0 or 1", key, (long long)v);
}

bool tg_infer_SCAN(tg_infer_state *s) {
  if (!tg_rule_tile(s, 0) || !axis_in(s, s->in[0]->type.rank) || !tg_rule_reduction(s, s->in[0]->type.dtype)) return false;
  return is_flag(s, "exclusive") && is_flag(s, "reverse") && tg_rule_one(s, s->in[0]->type);
}

bool tg_infer_ARGMAX(tg_infer_state *s) {
  if (!needs_arithmetic(s, 0) || !axis_in(s, s->in[0]->type.rank)) return false;
  tg_type t = s->in[0]->type;
  t.dtype = TG_I32;
  t.dim[tg_rule_int(s, "axis", 0)] = 1;
  return tg_rule_one(s, t);
}

bool tg_infer_SORT(tg_infer_state *s) {
  if (!needs_arithmetic(s, 0) || !axis_in(s, s->in[0]->type.rank) || !is_flag(s, "descending")) return false;
  int32_t n = s->in[0]->type.dim[tg_rule_int(s, "axis", 0)];
  if (n & (n - 1)) return tg_rule_fail(s, "the extent %d along the axis is not a power of two; pad the keys", n);
  if (s->nin > TG_MAX_RESULTS) return tg_rule_fail(s, "%d operands are too many", s->nin);
  for (int i = 0; i < s->nin; i++) {
    if (!tg_rule_tile(s, i)) return false;
    if (!same_shape(s->in[0]->type, s->in[i]->type))
      return tg_rule_fail(s, "the keys are %s but operand %d is %s; shapes must be equal", tg_rule_text(s, 0), i + 1, tg_rule_text(s, i));
    s->out[i] = s->in[i]->type;
  }
  s->nout = s->nin;
  return true;
}

// ---- dot

static bool dot_shapes(tg_infer_state *s) {
  for (int i = 0; i < 3; i++) {
    if (!tg_rule_tile(s, i)) return false;
    if (s->in[i]->type.rank != 2) return tg_rule_fail(s, "operand %d is %s; it must have two axes", i + 1, tg_rule_text(s, i));
  }
  const int32_t *a = s->in[0]->type.dim, *b = s->in[1]->type.dim, *c = s->in[2]->type.dim;
  if (a[1] != b[0]) {
    const char *cure = a[1] == b[1]   ? "; transpose the second operand (.T)"
                       : a[0] == b[0] ? "; transpose the first operand (.T)"
                                      : "; the first operand is [M,K], the second [K,N]";
    return tg_rule_fail(s, "inner extents %d and %d differ in %s and %s%s", a[1], b[0], tg_rule_text(s, 0), tg_rule_text(s, 1), cure);
  }
  if (c[0] != a[0] || c[1] != b[1])
    return tg_rule_fail(s, "the accumulator is %s but %s and %s make [%dx%d]", tg_rule_text(s, 2), tg_rule_text(s, 0), tg_rule_text(s, 1),
                        a[0], b[1]);
  return true;
}

static bool dot_dtypes(tg_infer_state *s, bool scaled) {
  int a = s->in[0]->type.dtype, b = s->in[1]->type.dtype;
  for (int i = 0; i < 2; i++) {
    int d = s->in[i]->type.dtype;
    if (tg_is_small(d) || tg_is_real(d) || (d == TG_I8 && !scaled)) continue;
    return tg_rule_fail(s, "operand %d is %s; %s can be multiplied", i + 1, tg_rule_text(s, i), scaled ? "floats" : "floats and i8");
  }
  if (a != b && !(tg_is_small(a) && tg_is_small(b))) {
    return tg_rule_fail(s, "operands are %s and %s; cast one of them with :to(%s) (unlike dtypes are for 8-bit and 4-bit floats)",
                        tg_rule_text(s, 0), tg_rule_text(s, 1), tg_dtype_name(tg_is_small(a) ? b : a));
  }
  int acc = a == TG_I8 ? TG_I32 : a == TG_F64 ? TG_F64 : TG_F32;
  if (scaled && a == TG_F64) return tg_rule_fail(s, "scales are f32; f64 operands cannot be scaled, multiply them yourself");
  if (s->in[2]->type.dtype != acc)
    return tg_rule_fail(s, "the accumulator is %s; %s operands accumulate in %s", tg_rule_text(s, 2), tg_dtype_name(a), tg_dtype_name(acc));
  return true;
}

bool tg_infer_DOT(tg_infer_state *s) { return dot_shapes(s) && dot_dtypes(s, false) && tg_rule_one(s, s->in[2]->type); }

// Operand i holds one scale per equal block of the `rows` x K elements that it scales.
static bool scale_fits(tg_infer_state *s, int i, const char *of, int32_t rows, int32_t k) {
  if (!tg_rule_tile(s, i)) return false;
  tg_type t = s->in[i]->type;
  if (t.dtype != TG_F32) return tg_rule_fail(s, "the scale of %s is %s; cast it with :to(f32)", of, tg_rule_text(s, i));
  if (t.rank == 2 && rows % t.dim[0] == 0 && k % t.dim[1] == 0) return true;
  return tg_rule_fail(s, "the scale of %s is %s; its extents must divide [%dx%d] (%s)", of, tg_rule_text(s, i), rows, k,
                      i == 3 ? "rows, K" : "columns, K");
}

bool tg_infer_DOT_SCALED(tg_infer_state *s) {
  if (!dot_shapes(s) || !dot_dtypes(s, true)) return false;
  const int32_t *a = s->in[0]->type.dim, *b = s->in[1]->type.dim;
  return scale_fits(s, 3, "the first operand", a[0], a[1]) && scale_fits(s, 4, "the second operand", b[1], a[1]) &&
         tg_rule_one(s, s->in[2]->type);
}

// ---- control, checks, promises

// Operands from `first` on are carried: results have their types.
static bool carried(tg_infer_state *s, int first) {
  s->nout = s->nin - first;
  if (s->nout > TG_MAX_RESULTS) return tg_rule_fail(s, "%d carried values are too many; %d are the most", s->nout, TG_MAX_RESULTS);
  for (int i = first; i < s->nin; i++) {
    tg_type t = s->in[i]->type;
    if (t.kind != TG_TILE && t.kind != TG_PTR)
      return tg_rule_fail(s, "carried value %d is %s; only tiles are carried, carry its start or offset", i - first + 1,
                          tg_rule_text(s, i));
    s->out[i - first] = t;
  }
  return true;
}

bool tg_infer_FOR(tg_infer_state *s) {
  const bool narrow = tg_type_equal(s->in[0]->type, tg_scalar_type(TG_I32)) && tg_type_equal(s->in[1]->type, s->in[0]->type);
  if (!narrow && (!tg_rule_scalar(s, 0, TG_M_I64) || !tg_rule_scalar(s, 1, TG_M_I64))) return false; // i32: lane level (verify.c)
  if (tg_rule_int(s, "step", 0) < 1) return tg_rule_fail(s, "step %lld is not positive", (long long)tg_rule_int(s, "step", 0));
  return carried(s, 2);
}

bool tg_infer_WHILE(tg_infer_state *s) { return carried(s, 0); }

bool tg_infer_IF(tg_infer_state *s) {
  s->nout = -1;
  return tg_rule_scalar(s, 0, TG_M_I1);
}

bool tg_infer_NONE(tg_infer_state *s) {
  s->nout = 0;
  return true;
}

bool tg_infer_ASSERT(tg_infer_state *s) {
  s->nout = 0;
  if (!tg_rule_tile(s, 0)) return false;
  return s->in[0]->type.dtype == TG_I1 ? true : tg_rule_fail(s, "operand 1 is %s; an i1 is needed, compare first", tg_rule_text(s, 0));
}

bool tg_infer_ASSUME(tg_infer_state *s) {
  if (!tg_rule_tile(s, 0)) return false;
  if (!tg_is_int(s->in[0]->type.dtype)) return tg_rule_fail(s, "operand 1 is %s; promises are about integers", tg_rule_text(s, 0));
  if (tg_rule_int(s, "divisible", 1) < 1)
    return tg_rule_fail(s, "divisible is %lld; it must be positive", (long long)tg_rule_int(s, "divisible", 1));
  if (tg_rule_int(s, "min", INT64_MIN) > tg_rule_int(s, "max", INT64_MAX)) return tg_rule_fail(s, "min is greater than max");
  return tg_rule_one(s, s->in[0]->type);
}

// ---- the table

static tg_rule *const rules[TG_NOPCODES] = {
#define OP(enum_, name, lo, hi, outs, regions, traits, rule, attrs, doc) tg_infer_##rule,
#include "ir/elementwise.def"
#include "ir/tile.def"
#include "ir/lane.def"
#undef OP
};

bool tg_infer(tg_arena *arena, int code, int nin, tg_value *const *in, int nattrs, const tg_attr *attrs, int *nout,
              tg_type out[TG_MAX_RESULTS], const char **complaint) {
  tg_infer_state s = {.arena = arena, .code = code, .nin = nin, .nattrs = nattrs, .in = in, .attrs = attrs, .out = out};
  const tg_op_info *info = tg_opcode_info(code);
  bool ok;
  if (nin < info->in_lo || (info->in_hi >= 0 && nin > info->in_hi)) {
    const char *than = info->in_lo == info->in_hi ? "" : nin < info->in_lo ? "at least " : "at most ";
    ok = tg_rule_fail(&s, "%d operands were given, %s%d needed", nin, than, nin < info->in_lo ? info->in_lo : info->in_hi);
  } else {
    ok = rules[code](&s);
  }
  *nout = s.nout;
  *complaint = s.complaint;
  return ok;
}
