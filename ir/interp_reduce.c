// Reductions along one axis: reduce, scan, argmax, sort. Floats are summed in index order, f16 and bf16 in float and rounded at the end of
// a reduction; a scan rounds what it stores, not what it carries.
#include <math.h>
#include <stdlib.h>

#include "ir/interp.h"

typedef enum kind { SUM, PROD, MIN, MAX, MINNUM, MAXNUM, AND, OR, XOR } kind;

static kind kind_of(const tg_op *op) {
  static const char *const names[] = {"sum", "prod", "min", "max", "minnum", "maxnum", "and", "or", "xor"};
  const char *name = tg_attr_str(op, "kind", "sum");
  kind k = SUM;
  while (k < XOR && strcmp(names[k], name)) k++;
  return k;
}

// A tile as outer x extent x inner, the axis in the middle.
typedef struct lines {
  int64_t outer, extent, inner;
} lines;

static lines lines_of(const tg_op *op) {
  const tg_type t = op->in[0]->type;
  const int axis = (int)tg_attr_int(op, "axis", 0);
  lines l = {1, t.dim[axis], 1};
  for (int i = 0; i < t.rank; i++)
    if (i != axis) *(i < axis ? &l.outer : &l.inner) *= t.dim[i];
  return l;
}

#define COMBINE(type)                                                                                                                      \
  static type combine_##type(kind k, type a, type b) {                                                                                     \
    switch (k) {                                                                                                                           \
    case SUM: return a + b;                                                                                                                \
    case PROD: return a * b;                                                                                                               \
    case MIN: return isnan(a) || isnan(b) ? (type)NAN : b < a || (b == a && signbit(b)) ? b : a;                                           \
    case MAX: return isnan(a) || isnan(b) ? (type)NAN : b > a || (b == a && signbit(a)) ? b : a;                                           \
    case MINNUM: return isnan(a) ? b : isnan(b) ? a : b < a || (b == a && signbit(b)) ? b : a;                                             \
    default: return isnan(a) ? b : isnan(b) ? a : b > a || (b == a && signbit(a)) ? b : a;                                                 \
    }                                                                                                                                      \
  }
COMBINE(float)
COMBINE(double)

static int64_t combine_int64_t(kind k, int64_t a, int64_t b) {
  switch (k) {
  case SUM: return (int64_t)((uint64_t)a + (uint64_t)b);
  case PROD: return (int64_t)((uint64_t)a * (uint64_t)b);
  case MIN:
  case MINNUM: return b < a ? b : a;
  case MAX:
  case MAXNUM: return b > a ? b : a;
  case AND: return a & b;
  case OR: return a | b;
  default: return a ^ b;
  }
}

// What an exclusive scan begins with.
static double identity_of_floats(kind k) {
  switch (k) {
  case PROD: return 1;
  case MIN:
  case MINNUM: return INFINITY;
  case MAX:
  case MAXNUM: return -INFINITY;
  default: return 0;
  }
}

static int64_t identity_of_ints(kind k, int dtype) {
  const int bits = dtype == TG_I1 ? 1 : tg_dtypes[dtype].bits;
  switch (k) {
  case PROD: return 1;
  case MIN:
  case MINNUM: return (int64_t)(UINT64_MAX >> 1 >> (64 - bits));
  case MAX:
  case MAXNUM: return -(int64_t)(UINT64_MAX >> 1 >> (64 - bits)) - 1;
  case AND: return -1;
  default: return 0;
  }
}

#define REDUCE(type)                                                                                                                       \
  static void reduce_##type(kind k, lines l, const type *x, type *y) {                                                                     \
    for (int64_t o = 0; o < l.outer; o++, x += l.extent * l.inner, y += l.inner) {                                                         \
      memcpy(y, x, sizeof *x * (size_t)l.inner);                                                                                           \
      for (int64_t e = 1; e < l.extent; e++)                                                                                               \
        for (int64_t i = 0; i < l.inner; i++) y[i] = combine_##type(k, y[i], x[e * l.inner + i]);                                          \
    }                                                                                                                                      \
  }                                                                                                                                        \
  static void scan_##type(kind k, lines l, const type *x, type first, bool exclusive, bool reverse, type *y) {                             \
    for (int64_t o = 0; o < l.outer; o++, x += l.extent * l.inner, y += l.extent * l.inner)                                                \
      for (int64_t i = 0; i < l.inner; i++) {                                                                                              \
        type carried = first;                                                                                                              \
        for (int64_t s = 0; s < l.extent; s++) {                                                                                           \
          const int64_t at = (reverse ? l.extent - 1 - s : s) * l.inner + i;                                                               \
          const type with = s == 0 ? x[at] : combine_##type(k, carried, x[at]);                                                            \
          y[at] = exclusive ? carried : with;                                                                                              \
          carried = with;                                                                                                                  \
        }                                                                                                                                  \
      }                                                                                                                                    \
  }
REDUCE(float)
REDUCE(double)
REDUCE(int64_t)

// Scratch 0 holds what is read, 3 what is made.
static void reduce_or_scan(tg_interp_run *run, const tg_op *op) {
  const int dtype = op->in[0]->type.dtype;
  const lines l = lines_of(op);
  const kind k = kind_of(op);
  const bool scan = op->code == TG_OP_SCAN, exclusive = tg_attr_int(op, "exclusive", 0), reverse = tg_attr_int(op, "reverse", 0);
  const int64_t n = tg_type_elements(op->in[0]->type), made = tg_type_elements(op->out[0]->type);
  const void *x = tg_interp_slot_of(run, op->in[0])->data;
  void *y = tg_interp_buffer(run, op->out[0]);
  if (dtype == TG_F64) {
    if (scan) scan_double(k, l, x, identity_of_floats(k), exclusive, reverse, y);
    else reduce_double(k, l, x, y);
  } else if (tg_dtype_is_float(dtype)) {
    const float *v = tg_interp_floats(run, dtype, x, n, 0);
    float *z = dtype == TG_F32 ? y : tg_interp_scratch_of(run, 3, sizeof *z * (size_t)made);
    if (scan) scan_float(k, l, v, (float)identity_of_floats(k), exclusive, reverse, z);
    else reduce_float(k, l, v, z);
    if (dtype != TG_F32) tg_interp_put_floats(dtype, z, made, y);
  } else {
    const int64_t *v = tg_interp_ints(run, dtype, x, n, 0);
    int64_t *z = tg_interp_scratch_of(run, 3, sizeof *z * (size_t)made);
    if (scan) scan_int64_t(k, l, v, identity_of_ints(k, dtype), exclusive, reverse, z);
    else reduce_int64_t(k, l, v, z);
    tg_interp_put_ints(dtype, z, made, y);
  }
}

// ---- argmax and sort compare keys in one total order

// Floats as integers in their total order: NaN above all (one and the same, whatever its bits), -0 below +0.
static int64_t float_key(double v) {
  if (isnan(v)) return INT64_MAX;
  int64_t bits;
  memcpy(&bits, &v, sizeof bits);
  return bits < 0 ? INT64_MIN - bits - 1 : bits;
}

static const int64_t *keys_of(tg_interp_run *run, const tg_op *op, int64_t n) {
  const int dtype = op->in[0]->type.dtype;
  const void *x = tg_interp_slot_of(run, op->in[0])->data;
  if (!tg_dtype_is_float(dtype)) return tg_interp_ints(run, dtype, x, n, 0);
  const double *v = tg_interp_doubles(run, dtype, x, n, 0);
  int64_t *keys = tg_interp_scratch_of(run, 1, sizeof *keys * (size_t)n);
  for (int64_t i = 0; i < n; i++) keys[i] = float_key(v[i]);
  return keys;
}

static void argmax(tg_interp_run *run, const tg_op *op) {
  const lines l = lines_of(op);
  const bool floats = tg_dtype_is_float(op->in[0]->type.dtype);
  const int64_t *keys = keys_of(run, op, tg_type_elements(op->in[0]->type));
  int32_t *out = tg_interp_buffer(run, op->out[0]);
  for (int64_t o = 0; o < l.outer; o++)
    for (int64_t i = 0; i < l.inner; i++) {
      int64_t best = 0, greatest = 0;
      for (int64_t e = 0; e < l.extent; e++) {
        int64_t key = keys[(o * l.extent + e) * l.inner + i];
        if (floats && key == -1) key = 0; // -0 is as great as +0 here: the lower index wins
        if (e == 0 || key > greatest) greatest = key, best = e;
      }
      out[o * l.inner + i] = (int32_t)best;
    }
}

typedef struct sorted {
  int64_t key, index;
} sorted;
static int ascending(const void *a, const void *b) {
  const sorted *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}
static int descending(const void *a, const void *b) {
  const sorted *x = a, *y = b;
  if (x->key != y->key) return x->key > y->key ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

static void sort(tg_interp_run *run, const tg_op *op) {
  const lines l = lines_of(op);
  const int64_t *keys = keys_of(run, op, tg_type_elements(op->in[0]->type));
  sorted *line = tg_interp_scratch_of(run, 3, sizeof *line * (size_t)l.extent);
  for (int v = 0; v < op->nin; v++) tg_interp_buffer(run, op->out[v]);
  for (int64_t o = 0; o < l.outer; o++)
    for (int64_t i = 0; i < l.inner; i++) {
      const int64_t base = o * l.extent * l.inner + i;
      for (int64_t e = 0; e < l.extent; e++) line[e] = (sorted){keys[base + e * l.inner], e};
      qsort(line, (size_t)l.extent, sizeof *line, tg_attr_int(op, "descending", 0) ? descending : ascending);
      for (int v = 0; v < op->nin; v++) {
        const size_t width = (size_t)tg_interp_width(op->in[v]->type.dtype);
        const uint8_t *from = tg_interp_slot_of(run, op->in[v])->data;
        uint8_t *to = tg_interp_slot_of(run, op->out[v])->data;
        for (int64_t e = 0; e < l.extent; e++)
          memcpy(to + (size_t)(base + e * l.inner) * width, from + (size_t)(base + line[e].index * l.inner) * width, width);
      }
    }
}

void tg_interp_reduce(tg_interp_run *run, const tg_op *op) {
  switch (op->code) {
  case TG_OP_ARGMAX: argmax(run, op); break;
  case TG_OP_SORT: sort(run, op); break;
  default: reduce_or_scan(run, op);
  }
}
