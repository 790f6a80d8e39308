// Sorting: a bitonic network in which every exchange puts the smaller first (the first step of a merge compares with the mirror image),
// over keys that carry their index. Keys become integers in their order and all pairs differ, so the network is stable; 32 bits of key and
// the index make one 64-bit number, a longer key lies beside its index. Afterwards elements are fetched by index, as many as anyone wants.
#include <stdint.h>

#include "codegen/loops.h"

enum { WORK_BYTES = 8 };

typedef struct sort_job {
  tg_op *op;
  const buffer **in, **out; // out: NULL where nobody asks
  tg_value *work[2];        // [extent][lanes across] of i64: pairs; or keys and indices
  tg_value *need;           // leading elements that anyone wants
  int narrays, axis, along; // lanes along the axis
  int across;               // lanes across lines; one of the two is 1
  int64_t extent;
  bool descending;
} sort_job;

typedef struct pairs { // as many as there are lanes
  tg_value *v[2];
} pairs;

// ---- keys

static tg_value *bits_of(lower *L, tg_value *x, int dtype) {
  return loops_pure(L, TG_OP_BITCAST, 1, &x, 1, (tg_attr[]){TG_ASTR("to", tg_dtypes[dtype].name)});
}

static tg_value *int_const(lower *L, int dtype, int64_t v) {
  return loops_pure(L, TG_OP_CONST, 0, NULL, 2, (tg_attr[]){TG_ATYPE("type", tg_scalar_type(dtype)), TG_AINT("value", v)});
}

// An i32 or i64 that is ordered as the keys are: -0 below +0, NaN above all.
static tg_value *ordered(lower *L, const sort_job *J, tg_value *x) {
  const bool wide = tg_dtypes[x->type.dtype].bits == 64, is_float = tg_dtypes[x->type.dtype].cls == 'f';
  const int dtype = wide ? TG_I64 : TG_I32;
  const int64_t most = wide ? INT64_MAX : INT32_MAX;
  if (is_float) {
    x = loops_cast(L, x, wide ? TG_F64 : TG_F32);
    tg_value *bits = bits_of(L, x, dtype), *sign = loops_bin(L, TG_OP_SHR, bits, int_const(L, dtype, wide ? 63 : 31));
    tg_value *k = loops_bin(L, TG_OP_XOR, bits, loops_bin(L, TG_OP_AND, sign, int_const(L, dtype, most)));
    x = loops_select(L, loops_un(L, TG_OP_ISNAN, x), int_const(L, dtype, most), k);
  } else {
    x = loops_cast(L, x, dtype);
  }
  return J->descending ? loops_un(L, TG_OP_NOT, x) : x;
}

static pairs make_pairs(lower *L, const sort_job *J, tg_value *key, tg_value *index) {
  key = ordered(L, J, key);
  if (J->narrays == 2) return (pairs){{key, index}};
  key = loops_bin(L, TG_OP_SHL, loops_cast(L, key, TG_I64), loops_int(L, 32));
  return (pairs){{loops_bin(L, TG_OP_OR, key, index)}};
}

// ---- exchanges

static void exchange(lower *L, const sort_job *J, pairs *a, pairs *b) { // the smaller of each lane to a
  pairs x = *a, y = *b;
  if (J->narrays == 1) {
    a->v[0] = loops_bin(L, TG_OP_MIN, x.v[0], y.v[0]), b->v[0] = loops_bin(L, TG_OP_MAX, x.v[0], y.v[0]);
    return;
  }
  tg_value *later = loops_bin(L, TG_OP_AND, loops_bin(L, TG_OP_EQ, x.v[0], y.v[0]), loops_bin(L, TG_OP_GT, x.v[1], y.v[1]));
  later = loops_bin(L, TG_OP_OR, later, loops_bin(L, TG_OP_GT, x.v[0], y.v[0]));
  for (int k = 0; k < 2; k++) a->v[k] = loops_select(L, later, y.v[k], x.v[k]), b->v[k] = loops_select(L, later, x.v[k], y.v[k]);
}

static tg_value *shuffle(lower *L, tg_value *a, tg_value *b, const int *from) {
  const int n = loops_lanes(a);
  int64_t *mask = TG_NEWN(&L->lane->arena, int64_t, n);
  for (int l = 0; l < n; l++) mask[l] = from[l];
  tg_value *in[] = {a, b};
  return loops_pure(L, TG_OP_SHUFFLE, 2, in, 1, (tg_attr[]){TG_AINTS("mask", mask, n)});
}

// Lane l with lane l ^ with, the smaller to the lower lane.
static void exchange_lanes(lower *L, const sort_job *J, pairs *v, int with) {
  int partner[LOOPS_LANES], side[LOOPS_LANES];
  for (int l = 0; l < J->along; l++) {
    partner[l] = l ^ with;
    side[l] = (l ^ with) > l ? l : J->along + l;
  }
  pairs low = *v, high;
  for (int k = 0; k < J->narrays; k++) high.v[k] = shuffle(L, v->v[k], v->v[k], partner);
  if (J->narrays == 2) { // both sides of a pair have to see it alike: the lower lane's element first
    pairs first, second;
    int lower_lane[LOOPS_LANES], upper_lane[LOOPS_LANES];
    for (int l = 0; l < J->along; l++) lower_lane[l] = partner[l] > l ? l : partner[l], upper_lane[l] = partner[l] > l ? partner[l] : l;
    for (int k = 0; k < 2; k++)
      first.v[k] = shuffle(L, v->v[k], v->v[k], lower_lane), second.v[k] = shuffle(L, v->v[k], v->v[k], upper_lane);
    low = first, high = second;
  }
  exchange(L, J, &low, &high);
  for (int k = 0; k < J->narrays; k++) v->v[k] = shuffle(L, low.v[k], high.v[k], side);
}

static pairs mirrored(lower *L, const sort_job *J, pairs v) {
  int from[LOOPS_LANES];
  for (int l = 0; l < J->along; l++) from[l] = J->along - 1 - l;
  for (int k = 0; k < J->narrays && J->along > 1; k++) v.v[k] = shuffle(L, v.v[k], v.v[k], from);
  return v;
}

// ---- the network over memory

static tg_value *work_at(lower *L, const sort_job *J, int array, tg_value *index) {
  return loops_ptradd(L, J->work[array], loops_mulc(L, index, (int64_t)WORK_BYTES * J->across));
}

static tg_type work_type(const sort_job *J) {
  const int lanes = J->along * J->across;
  return lanes > 1 ? tg_vector_type(TG_I64, lanes) : tg_scalar_type(TG_I64);
}

static pairs get(lower *L, const sort_job *J, tg_value *index) {
  pairs v = {{NULL}};
  for (int k = 0; k < J->narrays; k++) v.v[k] = loops_load_at(L, L->top, work_at(L, J, k, index), work_type(J), WORK_BYTES, false);
  return v;
}

static void put(lower *L, const sort_job *J, tg_value *index, pairs v) {
  for (int k = 0; k < J->narrays; k++) loops_store_at(L, work_at(L, J, k, index), v.v[k], WORK_BYTES);
}

static tg_value *power(lower *L, tg_value *exponent) { return loops_bin(L, TG_OP_SHL, loops_int(L, 1), exponent); }

// Exchanges of blocks of 2^log elements: each half with the other's mirror image, or as it is.
static void pass(lower *L, const sort_job *J, tg_value *log, bool mirror) {
  tg_value *size = power(L, log), *half = loops_bin(L, TG_OP_SHR, size, loops_int(L, 1));
  tg_value *block = loops_open(L, loops_int(L, 0), loops_bin(L, TG_OP_SHR, loops_int(L, J->extent), log), 1, 0, NULL);
  tg_value *base = loops_bin(L, TG_OP_SHL, block, log);
  tg_value *o = loops_open(L, loops_int(L, 0), half, J->along, 0, NULL);
  tg_value *i = loops_add(L, base, o);
  tg_value *j = mirror ? loops_sub(L, loops_addc(L, loops_add(L, base, size), -J->along), o) : loops_add(L, i, half);
  pairs a = get(L, J, i), b = get(L, J, j);
  if (mirror) b = mirrored(L, J, b);
  exchange(L, J, &a, &b);
  put(L, J, i, a);
  put(L, J, j, mirror ? mirrored(L, J, b) : b);
  loops_close(L, 0, NULL);
  loops_close(L, 0, NULL);
}

static void merge_lanes(lower *L, const sort_job *J, pairs *v) {
  for (int with = J->along / 2; with; with /= 2) exchange_lanes(L, J, v, with);
}

// Vectors are sorted in themselves; merges blocks of twice the size until one is left.
static void network(lower *L, const sort_job *J) {
  const int first = __builtin_ctz((unsigned)J->along), last = __builtin_ctzll((unsigned long long)J->extent);
  if (first == last) return;
  tg_value *log = loops_open(L, loops_int(L, first + 1), loops_int(L, last + 1), 1, 0, NULL);
  pass(L, J, log, true);
  tg_value *t = loops_open(L, loops_int(L, 0), loops_addc(L, log, -first - 1), 1, 0, NULL);
  pass(L, J, loops_sub(L, loops_addc(L, log, -1), t), false);
  loops_close(L, 0, NULL);
  if (J->along > 1) {
    tg_value *i = loops_open(L, loops_int(L, 0), loops_int(L, J->extent), J->along, 0, NULL);
    pairs v = get(L, J, i);
    merge_lanes(L, J, &v);
    put(L, J, i, v);
    loops_close(L, 0, NULL);
  }
  loops_close(L, 0, NULL);
}

// ---- lines

static pos at_index(const sort_job *J, const pos *p, tg_value *index, int lanes) {
  pos q = *p;
  q.at[J->axis] = loops_var(index);
  if (lanes == 1) return q;
  q.lanes = lanes;
  for (int l = 0; l < lanes; l++) q.at[J->axis].c[l] += l;
  return q;
}

static void load_pairs(lower *L, const sort_job *J, const pos *p) {
  tg_value *i = loops_open(L, loops_int(L, 0), loops_int(L, J->extent), J->along, 0, NULL), *index = i;
  const pos q = at_index(J, p, i, J->along);
  tg_value *key = loops_line_read(L, J->in[0], &q, J->op->in[0]->type.dtype);
  if (J->along > 1) {
    tg_value *lane = loops_pure(L, TG_OP_IOTA, 0, NULL, 1, (tg_attr[]){TG_ATYPE("type", tg_vector_type(TG_I64, J->along))});
    index = loops_bin(L, TG_OP_ADD, lane, i);
  }
  pairs v = make_pairs(L, J, key, loops_splat(L, index, J->across));
  for (int size = 2; size <= J->along; size *= 2) {
    exchange_lanes(L, J, &v, size - 1);
    for (int with = size / 4; with; with /= 2) exchange_lanes(L, J, &v, with);
  }
  put(L, J, i, v);
  loops_close(L, 0, NULL);
}

static void fetch(lower *L, const sort_job *J, const pos *p) {
  tg_value *i = loops_open(L, loops_int(L, 0), J->need, 1, 0, NULL);
  const pos to = at_index(J, p, i, 1);
  for (int l = 0; l < J->across; l++) {
    tg_value *at = loops_ptradd(L, work_at(L, J, J->narrays - 1, i), loops_int(L, WORK_BYTES * l));
    tg_value *index = loops_load_at(L, L->top, at, tg_scalar_type(TG_I64), WORK_BYTES, false);
    if (J->narrays == 1) index = loops_bin(L, TG_OP_AND, index, loops_int(L, UINT32_MAX));
    const pos lane = loops_lane(&to, l), from = at_index(J, &lane, index, 1);
    for (int k = 0; k < J->op->nin; k++) {
      const int dtype = J->op->in[k]->type.dtype;
      if (J->out[k]) loops_write_buffer(L, J->out[k], &lane, loops_line_read(L, J->in[k], &from, dtype), dtype);
    }
  }
  loops_close(L, 0, NULL);
}

static void sort_body(lower *L, nest *N, const pos *p) {
  sort_job *J = N->user;
  J->across = p->lanes;
  load_pairs(L, J, p);
  network(L, J);
  fetch(L, J, p);
}

void loops_sort(lower *L, tg_op *op) {
  const tg_type type = op->in[0]->type;
  sort_job J = {.op = op, .axis = (int)tg_attr_int(op, "axis", 0), .descending = tg_attr_int(op, "descending", 0)};
  J.narrays = tg_dtypes[type.dtype].bits == 64 ? 2 : 1;
  J.extent = type.dim[J.axis];
  J.in = TG_NEWN(L->arena, const buffer *, op->nin), J.out = TG_NEWN(L->arena, const buffer *, op->nin);
  nest N;
  int along;
  loops_lines(L, op->out[0], J.axis, &N, &along);
  J.along = along ? loops_width(L, 2 * J.extent) / 2 : 1;
  for (int k = 0; k < op->nin; k++) {
    if (k && !loops_info(L, op->out[k])->root) continue;
    J.in[k] = loops_info(L, op->in[k])->buf;
    if (!J.in[k]) J.in[k] = loops_materialise_new(L, op->in[k], "unsorted");
    if (!loops_info(L, op->out[k])->root) continue;
    J.out[k] = loops_new_buffer(L, op->in[k]->type.dtype, type.rank, type.dim, "sorted");
    loops_bind_buffer(L, op->out[k], J.out[k]);
  }
  for (int k = 0; k < J.narrays; k++) J.work[k] = loops_scratch(L, WORK_BYTES * J.extent * N.lanes, "pairs");
  J.need = loops_need(L, &loops_info(L, op->out[0])->needs[J.axis], J.extent);
  N.body = sort_body, N.user = &J;
  loops_nest_run(L, &N);
}
