// Scans and argmax. The operand is written to memory once, whole vectors at a time, and its lines along the axis are worked on there: a
// scan in place. Lanes run along another axis, where each has a line to itself, or along the axis when that is the last one.
#include <math.h>

#include "codegen/loops.h"

void loops_lines(lower *L, tg_value *result, int axis, nest *N, int *along) {
  loops_nest_init(L, N, result->type.rank, result->type.dim);
  const info *f = loops_info(L, result);
  const bool lane_axis = axis == N->rank - 1 || (N->nloops && N->order[N->nloops - 1] == axis);
  int n = 0;
  for (int k = 0; k < N->nloops; k++)
    if (N->order[k] != axis) N->order[n++] = N->order[k];
  N->nloops = n;
  for (int a = 0; a < N->rank; a++)
    if (a != axis) N->need[a] = loops_need(L, &f->needs[a], N->len[a]);
  N->lanes = n && !lane_axis ? loops_width(L, N->len[N->order[n - 1]]) : 1;
  *along = lane_axis;
}

tg_value *loops_line_read(lower *L, const buffer *b, const pos *p, int dtype) {
  buffer now = *b;
  now.level = L->top;
  return loops_read_buffer(L, &now, p, dtype);
}

static pos at_index(const pos *p, int axis, tg_value *index, int lanes) {
  pos q = *p;
  q.at[axis] = loops_var(index);
  if (lanes == 1) return q;
  q.lanes = lanes;
  for (int l = 0; l < lanes; l++) q.at[axis].c[l] += l;
  return q;
}

// ---- scan

typedef struct scan_job {
  const buffer *buf;
  const char *kind;
  int axis, lanes;          // lanes along the axis
  int dtype, running_dtype; // of the elements, of what is carried
  int64_t extent;
  bool exclusive, reverse;
} scan_job;

// What leaves every x as it is: not 0 for sums, as 0 + -0 is 0, and not an Inf where NaN gives way to it.
static tg_value *neutral(lower *L, const scan_job *J) {
  const bool is_float = tg_dtypes[J->running_dtype].cls == 'f';
  if (is_float && !strcmp(J->kind, "sum")) return loops_const(L, J->running_dtype, -0.0);
  if (is_float && (!strcmp(J->kind, "minnum") || !strcmp(J->kind, "maxnum"))) return loops_const(L, J->running_dtype, (double)NAN);
  return loops_identity(L, J->kind, J->running_dtype);
}

// Each lane takes the one `by` before it in the order of the scan, the first ones take `other`.
static tg_value *shifted(lower *L, const scan_job *J, tg_value *v, int by, tg_value *other) {
  const int n = loops_lanes(v);
  int64_t *mask = TG_NEWN(&L->lane->arena, int64_t, n);
  for (int l = 0; l < n; l++) {
    const int from = J->reverse ? l + by : l - by;
    mask[l] = from < 0 || from >= n ? n : from;
  }
  tg_value *in[] = {v, loops_splat(L, other, n)};
  return loops_pure(L, TG_OP_SHUFFLE, 2, in, 1, (tg_attr[]){TG_AINTS("mask", mask, n)});
}

// Elements [from, to) in the order of the scan, `lanes` along the axis at a time. carry: what has been scanned so far, and what an
// exclusive scan shows next.
static void scan_part(lower *L, const scan_job *J, const pos *outer, int64_t from, int64_t to, int lanes, tg_value **carry) {
  if (from >= to) return;
  const int ncarry = J->exclusive ? 2 : 1;
  tg_value *i = loops_open(L, loops_int(L, from), loops_int(L, to), lanes, ncarry, carry);
  const pos p = at_index(outer, J->axis, J->reverse ? loops_sub(L, loops_int(L, J->extent - lanes), i) : i, lanes);
  tg_value *x = loops_cast(L, loops_line_read(L, J->buf, &p, J->dtype), J->running_dtype), *shown, *last;
  for (int by = 1; by < lanes; by *= 2) x = loops_combine(L, J->kind, shifted(L, J, x, by, neutral(L, J)), x);
  shown = last = x = loops_combine(L, J->kind, carry[0], x);
  if (lanes > 1) last = loops_pure(L, TG_OP_EXTRACT, 1, &x, 1, (tg_attr[]){TG_AINT("i", J->reverse ? 0 : lanes - 1)});
  if (J->exclusive) shown = lanes > 1 ? shifted(L, J, x, 1, carry[1]) : carry[1];
  loops_write_buffer(L, J->buf, &p, loops_cast(L, shown, J->dtype), J->dtype);
  carry[0] = carry[1] = last;
  loops_close(L, ncarry, carry);
}

static void scan_body(lower *L, nest *N, const pos *p) {
  const scan_job *J = N->user;
  tg_value *carry[] = {loops_splat(L, neutral(L, J), p->lanes), loops_splat(L, loops_identity(L, J->kind, J->running_dtype), p->lanes)};
  const int64_t whole = J->lanes > 1 ? J->extent / J->lanes * J->lanes : 0;
  scan_part(L, J, p, 0, whole, J->lanes, carry);
  scan_part(L, J, p, whole, J->extent, 1, carry);
}

void loops_scan(lower *L, tg_op *op) {
  tg_value *x = op->in[0], *y = op->out[0];
  scan_job J = {.kind = tg_attr_str(op, "kind", "sum"),
                .axis = (int)tg_attr_int(op, "axis", 0),
                .dtype = x->type.dtype,
                .exclusive = tg_attr_int(op, "exclusive", 0),
                .reverse = tg_attr_int(op, "reverse", 0)};
  J.running_dtype = tg_dtypes[J.dtype].cls == 'f' && tg_dtypes[J.dtype].bits < 32 ? TG_F32 : J.dtype;
  J.extent = x->type.dim[J.axis];
  J.buf = loops_materialise_new(L, x, "scanned");
  nest N;
  int along;
  loops_lines(L, y, J.axis, &N, &along);
  J.lanes = along ? loops_width(L, J.extent) : 1;
  N.body = scan_body, N.user = &J;
  loops_nest_run(L, &N);
  loops_bind_buffer(L, y, J.buf);
}

// ---- argmax

typedef struct argmax_job {
  const buffer *buf, *into;
  tg_value *result; // of a single element
  int axis, lanes;  // lanes along the axis
  int dtype, key_dtype;
  int64_t extent;
} argmax_job;

// a > b where NaN is greater than all that is not and equal to itself.
static tg_value *greater(lower *L, tg_value *a, tg_value *b) {
  if (tg_dtypes[a->type.dtype].cls != 'f') return loops_bin(L, TG_OP_GT, a, b);
  return loops_bin(L, TG_OP_AND, loops_un(L, TG_OP_NOT, loops_bin(L, TG_OP_LE, a, b)), loops_bin(L, TG_OP_EQ, b, b));
}

static tg_value *index_of(lower *L, tg_value *at, int lanes) { // i32
  tg_value *i = loops_cast(L, at, TG_I32);
  if (lanes == 1) return i;
  tg_value *lane = loops_pure(L, TG_OP_IOTA, 0, NULL, 1, (tg_attr[]){TG_ATYPE("type", tg_vector_type(TG_I32, lanes))});
  return loops_bin(L, TG_OP_ADD, lane, i);
}

static tg_value *key_at(lower *L, const argmax_job *J, const pos *p, tg_value *at, int lanes) {
  const pos q = at_index(p, J->axis, at, lanes);
  return loops_cast(L, loops_line_read(L, J->buf, &q, J->dtype), J->key_dtype);
}

// best: the greatest key so far and its index, of each lane.
static void argmax_part(lower *L, const argmax_job *J, const pos *p, int64_t from, int64_t to, int lanes, tg_value **best) {
  if (from >= to) return;
  tg_value *i = loops_open(L, loops_int(L, from), loops_int(L, to), lanes, 2, best);
  tg_value *key = key_at(L, J, p, i, lanes), *more = greater(L, key, best[0]);
  best[0] = loops_select(L, more, key, best[0]);
  best[1] = loops_select(L, more, index_of(L, i, lanes), best[1]);
  loops_close(L, 2, best);
}

// The upper half of the lanes against the lower one: of equals the lower index, wherever it lies.
static void halve(lower *L, tg_value **best) {
  for (int n = loops_lanes(best[0]) / 2; n; n /= 2) {
    tg_value *low[2], *high[2];
    for (int k = 0; k < 2; k++) {
      low[k] = n > 1 ? loops_part(L, best[k], 0, n) : loops_pure(L, TG_OP_EXTRACT, 1, &best[k], 1, (tg_attr[]){TG_AINT("i", 0)});
      high[k] = n > 1 ? loops_part(L, best[k], 1, n) : loops_pure(L, TG_OP_EXTRACT, 1, &best[k], 1, (tg_attr[]){TG_AINT("i", 1)});
    }
    tg_value *equal = loops_un(L, TG_OP_NOT, greater(L, low[0], high[0]));
    tg_value *take = loops_bin(L, TG_OP_AND, equal, loops_bin(L, TG_OP_LT, high[1], low[1]));
    take = loops_bin(L, TG_OP_OR, take, greater(L, high[0], low[0]));
    for (int k = 0; k < 2; k++) best[k] = loops_select(L, take, high[k], low[k]);
  }
}

static void argmax_body(lower *L, nest *N, const pos *p) {
  argmax_job *J = N->user;
  tg_value *zero = loops_int(L, 0);
  tg_value *best[] = {key_at(L, J, p, zero, J->lanes), loops_splat(L, index_of(L, zero, J->lanes), p->lanes)};
  const int64_t whole = J->extent / J->lanes * J->lanes;
  argmax_part(L, J, p, J->lanes, whole, J->lanes, best);
  if (J->lanes > 1) halve(L, best);
  argmax_part(L, J, p, whole, J->extent, 1, best);
  if (J->into) loops_write_buffer(L, J->into, p, best[1], TG_I32);
  else J->result = best[1];
}

void loops_argmax(lower *L, tg_op *op) {
  tg_value *x = op->in[0], *y = op->out[0];
  argmax_job J = {.axis = (int)tg_attr_int(op, "axis", 0), .dtype = x->type.dtype};
  J.key_dtype = tg_dtypes[J.dtype].cls == 'f' && tg_dtypes[J.dtype].bits < 32 ? TG_F32 : J.dtype;
  J.extent = x->type.dim[J.axis];
  J.buf = loops_info(L, x)->buf;
  if (!J.buf) J.buf = loops_materialise_new(L, x, "compared");
  nest N;
  int along;
  loops_lines(L, y, J.axis, &N, &along);
  J.lanes = along ? loops_width(L, J.extent) : 1;
  if (tg_type_elements(y->type) > 1) J.into = loops_new_buffer(L, TG_I32, y->type.rank, y->type.dim, "indices");
  N.body = argmax_body, N.user = &J;
  loops_nest_run(L, &N);
  if (J.into) loops_bind_buffer(L, y, J.into);
  else loops_bind(L, y, J.result);
}
