// dot: operands packed to the accumulator's type in cache-sized scratch, a register-blocked micro-kernel over them.
//
//   for each strip of kc of the reduced axis
//     pack A rows x kc, scales folded in
//     for each panel of nr columns
//       pack B kc x nr, scales folded in
//       for rows in steps of mr: C[mr x nr] += A[mr x kc] . B[kc x nr], accumulators in registers from 0, added to C at the end
//
// A fold whose only work is such a dot is stripped as a whole: one strip covers as many of its trips as fit kc.
#include "codegen/loops_dot.h"

enum {
  AHEAD = 8,       // rows of a asked for before they are packed
  PREFETCH = 2048, // bytes of packed weights asked for ahead: a strip of a panel is about two pages, which no prefetcher crosses
  PAD = 16,        // elements between rows of scratch, so that rows of a power of two do not fall in the same cache sets
};

// ---- the job

static bool zero_outside(const tg_value *v) {
  const tg_op *op = v->def;
  if (!op || (v->note && (((info *)v->note)->buf || ((info *)v->note)->ssa))) return false;
  switch (op->code) {
  case TG_OP_LOAD: {
    const tg_attr *f = tg_find_attr(op, "fill");
    return !f || (f->kind == TG_ATTR_INT ? f->i == 0 : f->f == 0);
  }
  case TG_OP_CAST:
  case TG_OP_BROADCAST:
  case TG_OP_TRANSPOSE:
  case TG_OP_RESHAPE:
  case TG_OP_SPREAD:
  case TG_OP_NEG:
  case TG_OP_ABS: return zero_outside(op->in[0]);
  case TG_OP_MUL: return zero_outside(op->in[0]) || zero_outside(op->in[1]);
  default: return false;
  }
}

// Type of packed operands.
static int packed_dtype(const dot_job *J) { return J->pairs ? TG_BF16 : J->dtype; }

bool loops_dot_pairs(lower *L, const tg_op *dot) {
  return loops_dot2_fits(dot) && loops_knob(L, "dot2", 0, L->machine && L->machine->bf16_dot > 0);
}

// Asks for the row AHEAD rows after this one: rows are short and far apart, so the processor does not see the next ones coming.
static void ask_ahead(lower *L, tg_value *v, const pos *p) {
  if (L->probe || p->lanes == 1) return;
  pos next = *p;
  for (int l = 0; l < LOOPS_LANES; l++) next.at[0].c[l] += AHEAD;
  loops_prefetch(L, v, &next);
}

static void keep_body(lower *L, nest *N, const pos *p) {
  tg_value *v = ((tg_value **)N->user)[0];
  if (N->order[N->nloops - 1] == 1) ask_ahead(L, v, p);
  loops_write_buffer(L, ((void **)N->user)[1], p, loops_eval_lanes(L, v, p), v->type.dtype);
}

const buffer *loops_keep_operand(lower *L, tg_value *v) {
  int dtype = loops_info(L, v)->paired_dot ? v->type.dtype : TG_F32;
  buffer *b = loops_dot_matrix(L, dtype, v->type.dim[0] + LOOPS_LANES, v->type.dim[1] + PAD, "operand");
  nest N;
  loops_nest_init(L, &N, 2, v->type.dim);
  for (int a = 0; a < 2; a++) N.need[a] = loops_need(L, &loops_info(L, v)->needs[a], N.len[a]);
  void *user[] = {v, b};
  N.body = keep_body, N.user = user;
  loops_nest_run(L, &N);
  return b;
}

static const buffer *lies(lower *L, const dot_job *J, tg_value *v) {
  const info *f = loops_info(L, v);
  bool serves = f->buf && v->def && loops_kept_operand(f, &v->type) && f->buf->dtype == packed_dtype(J);
  return serves && !J->sa && !J->fold && J->K % J->unroll == 0 ? f->buf : NULL;
}

static void describe(lower *L, dot_job *J, tg_op *dot, tg_op *fold) {
  const tg_machine *m = L->machine;
  *J = (dot_job){.dot = dot, .fold = fold, .a = dot->in[0], .b = dot->in[1], .unroll = 2};
  if (dot->code == TG_OP_DOT_SCALED) J->sa = dot->in[3], J->sb = dot->in[4];
  if (loops_dot_pairs(L, dot)) loops_dot2_describe(J);
  J->M = J->a->type.dim[0], J->K = J->a->type.dim[1], J->N = J->b->type.dim[1];
  J->dtype = dot->out[0]->type.dtype;
  J->mr = (int)loops_knob(L, "mr", 1, m && m->micro_rows > 0 ? (int)m->micro_rows : 4);
  if (J->mr > LOOPS_LANES) J->mr = LOOPS_LANES;
  J->nr = m && m->micro_lanes > 0 ? (int)m->micro_lanes : 8;
  if (J->nr > LOOPS_LANES) J->nr = LOOPS_LANES;
  while (J->nr > 4 && J->nr / 2 >= J->N) J->nr /= 2;
  if (J->mr > J->M) J->mr = J->M;
  J->kc = fold ? loops_knob(L, "kc", 1, 256) / J->K * J->K : J->K;
  if (J->kc < J->K) J->kc = J->K;
  J->kc = (J->kc + J->unroll - 1) / J->unroll * J->unroll;
  J->a_lies = lies(L, J, J->a);
  if (!J->pairs && J->N % J->nr == 0) J->b_lies = lies(L, J, J->b);
  J->lda = J->a_lies ? J->a_lies->stride[0] : J->kc + PAD;
  J->ldb = J->b_lies ? J->b_lies->stride[0] : J->nr;
  J->ldc = (J->N + J->nr - 1) / J->nr * J->nr + PAD;
  J->exact = zero_outside(J->a) && zero_outside(J->b);
  tg_value *result = fold ? fold->out[0] : dot->out[0];
  info *f = loops_info(L, result);
  J->rows = loops_need(L, &f->needs[0], J->M);
  J->cols = loops_need(L, &f->needs[1], J->N);
}

buffer *loops_dot_matrix(lower *L, int dtype, int64_t rows, int64_t stride, const char *name) {
  buffer *b = TG_NEW(L->arena, buffer);
  *b = (buffer){.dtype = dtype, .rank = 2, .stride = {stride, 1}, .level = L->top};
  b->ptr = loops_scratch(L, rows * stride * tg_dtypes[dtype].bits / 8, name);
  return b;
}

// ---- trips of the fold within a strip

// Opens the loop over the strip's trips and binds the fold's variable; gives how far into the strip the trip starts.
tg_value *loops_dot_open_trips(lower *L, dot_job *J) {
  if (!J->fold) return loops_int(L, 0);
  tg_value *iv = loops_open(L, J->strip, J->strip_end, J->K, 0, NULL);
  loops_bind(L, J->fold->regions[0]->args[0], iv);
  return loops_sub(L, iv, J->strip);
}

void loops_dot_close_trips(lower *L, dot_job *J) {
  if (J->fold) loops_close(L, 0, NULL);
}

// Elements of the reduced axis in this trip that can be other than zero.
tg_value *loops_dot_trip_length(lower *L, dot_job *J) {
  if (!J->fold || !J->exact) return loops_int(L, J->K);
  tg_value *iv = loops_info(L, J->fold->regions[0]->args[0])->ssa;
  return loops_min(L, loops_sub(L, J->end, iv), loops_int(L, J->K));
}

// ---- packing

tg_value *loops_dot_sum_scale(lower *L, tg_value *scale) { return loops_bin(L, TG_OP_ADD, scale, loops_bin(L, TG_OP_SUB, scale, scale)); }

lane_index loops_dot_scale_index(lower *L, dot_job *J, const lane_index *x, int lanes, int64_t extent, int64_t scales) {
  lane_index q = loops_zero(), r;
  if (scales == 1) return q;
  if (!loops_index_div(L, x, lanes, extent / scales, &q, &r))
    loops_refuse(L, J->dot, "scales that change within a vector cannot be lowered");
  return q;
}

// a * sa at (row, k)
tg_value *loops_dot_a(lower *L, dot_job *J, const pos *p) {
  tg_value *x = loops_cast(L, loops_eval(L, J->a, p), packed_dtype(J));
  if (J->sa && !J->pairs) {
    pos q = {.rank = 2, .lanes = p->lanes};
    q.at[0] = loops_dot_scale_index(L, J, &p->at[0], p->lanes, J->M, J->sa->type.dim[0]);
    q.at[1] = loops_dot_scale_index(L, J, &p->at[1], p->lanes, J->K, J->sa->type.dim[1]);
    x = loops_bin(L, TG_OP_MUL, x, loops_eval(L, J->sa, &q));
  }
  return loops_splat(L, x, p->lanes);
}

// x * sb, for x = b at (k, column)
static tg_value *scaled_b(lower *L, dot_job *J, const pos *p, tg_value *x) {
  x = loops_cast(L, x, J->dtype);
  if (J->sb) {
    pos q = {.rank = 2, .lanes = p->lanes};
    q.at[0] = loops_dot_scale_index(L, J, &p->at[1], p->lanes, J->N, J->sb->type.dim[0]);
    q.at[1] = loops_dot_scale_index(L, J, &p->at[0], p->lanes, J->K, J->sb->type.dim[1]);
    x = loops_bin(L, TG_OP_MUL, x, loops_eval(L, J->sb, &q));
  }
  return loops_splat(L, x, p->lanes);
}

static void pack_a_body(lower *L, nest *N, const pos *p) {
  dot_job *J = N->user;
  pos to = *p;
  ask_ahead(L, J->a, p);
  lane_index start = loops_var(J->offset);
  loops_add_index(&to.at[1], &start, p->lanes, 1);
  loops_write_buffer(L, J->apack, &to, loops_dot_a(L, J, p), packed_dtype(J));
}

static void pack_a(lower *L, dot_job *J) {
  J->offset = loops_dot_open_trips(L, J);
  nest N;
  loops_nest_init(L, &N, 2, J->a->type.dim);
  N.need[0] = J->rows, N.need[1] = loops_dot_trip_length(L, J);
  N.body = pack_a_body, N.user = J;
  loops_nest_run(L, &N);
  if (J->pairs) loops_dot2_pack_sa(L, J);
  loops_dot_close_trips(L, J);
}

static tg_value *b_element(lower *L, dot_job *J, const pos *p) { return scaled_b(L, J, p, loops_eval(L, J->b, p)); }

static void b_probe(lower *L, nest *N, const pos *p) { b_element(L, N->user, p); }

// Where (k, column) lies in a panel whose first row is row `offset` of it.
static pos in_panel(dot_job *J, const pos *p, tg_value *offset) {
  pos to = *p;
  lane_index start = loops_var(offset), panel = loops_var(J->panel);
  loops_add_index(&to.at[0], &start, p->lanes, 1);
  loops_add_index(&to.at[1], &panel, p->lanes, -1);
  return to;
}

static void pack_b_body(lower *L, nest *N, const pos *p) {
  dot_job *J = N->user;
  pos to = in_panel(J, p, J->offset);
  if (J->pairs) loops_dot2_pack_b(L, J, &to, loops_eval_lanes(L, J->b, p));
  else loops_write_buffer(L, J->bpack, &to, b_element(L, J, p), J->dtype);
}

static void turn_body(lower *L, nest *N, const pos *p) {
  dot_job *J = N->user;
  pos to = in_panel(J, p, loops_int(L, 0));
  loops_write_buffer(L, J->codes, &to, loops_eval_lanes(L, J->b, p), J->b->type.dtype);
}

static void decode_body(lower *L, nest *N, const pos *p) {
  dot_job *J = N->user;
  pos from = in_panel(J, p, loops_int(L, 0)), to = in_panel(J, p, J->offset);
  tg_value *codes = loops_read_buffer(L, J->codes, &from, J->b->type.dtype);
  if (J->pairs) {
    loops_dot2_pack_b(L, J, &to, codes);
    return;
  }
  tg_value *x = scaled_b(L, J, p, codes);
  if (!L->probe) loops_write_buffer(L, J->bpack, &to, x, J->dtype);
}

// Finds at how many columns every access to b is inside, before any loop over the panel is open.
tg_value *loops_dot_columns_inside(lower *L, dot_job *J, nest *N) {
  loops_nest_init(L, N, 2, J->b->type.dim);
  N->nloops = 0;
  if (J->N > 1) N->order[N->nloops++] = 1;
  if (J->K > 1) N->order[N->nloops++] = 0;
  N->body = b_probe, N->user = J;
  tg_region *r = NULL;
  if (J->fold) { // a stand-in for the fold's variable
    r = TG_NEW(L->arena, tg_region);
    tg_value *v = TG_NEW(L->arena, tg_value);
    *v = (tg_value){.type = tg_scalar_type(TG_I64), .region = r, .id = L->lane->next_id++};
    loops_push(L, r, NULL);
    loops_bind(L, J->fold->regions[0]->args[0], v);
  }
  loops_nest_probe(L, N);
  if (r) loops_pop(L);
  return J->N > 1 ? loops_nest_inside(L, N, 0) : loops_int(L, 1);
}

// Elements of columns n … last, k … length, one by one.
static void elements(lower *L, dot_job *J, tg_value *n, tg_value *last, tg_value *k, tg_value *length, nest_body *body) {
  nest N = {.user = J};
  pos p = {.rank = 2, .lanes = 1};
  p.at[1] = loops_var(loops_open(L, n, last, 1, 0, NULL));
  p.at[0] = loops_var(loops_open(L, k, length, 1, 0, NULL));
  if (J->K == 1) p.at[0] = loops_zero();
  body(L, &N, &p);
  loops_close(L, 0, NULL);
  loops_close(L, 0, NULL);
}

// A nest along the reduced axis over `lanes` columns from n on.
static void down_columns(lower *L, dot_job *J, nest *N, tg_value *n, int lanes, nest_body *body) {
  loops_nest_init(L, N, 2, J->b->type.dim);
  N->nloops = 0;
  if (J->K > 1) N->order[N->nloops++] = 0;
  N->need[0] = loops_dot_trip_length(L, J);
  N->lanes = 1, N->fixed_lanes = N->start.lanes = lanes;
  N->start.at[1] = loops_var(n);
  for (int l = 0; l < lanes; l++) N->start.at[1].c[l] += l;
  N->body = body, N->user = J;
}

// Columns that are contiguous along the reduced axis are read and turned in squares, one square's columns to the end before the next: few
// rows of memory at a time, and little code. Codes of eight bits are turned as they are and decoded afterwards.
static void whole_panel(lower *L, dot_job *J, nest *columns) {
  if (J->N > 1) {
    columns->vars[0] = J->panel;
    loops_nest_facts(L, columns, 0);
  }
  int unit = columns->probe.unit_bytes, group = unit && 16 / unit < J->nr ? 16 / unit : J->nr;
  bool codes = unit == 1 && J->K % 16 == 0 && group == 16 && tg_dtypes[J->b->type.dtype].bits == 8;
  if (codes) J->codes = loops_dot_matrix(L, J->b->type.dtype, J->K, J->nr, "codes");
  J->offset = loops_dot_open_trips(L, J);
  tg_value *n = group < J->nr ? loops_open(L, J->panel, loops_addc(L, J->panel, J->nr), group, 0, NULL) : J->panel;
  nest N;
  down_columns(L, J, &N, n, group, codes ? turn_body : pack_b_body);
  N.unroll = unit ? 16 / unit : 4;
  if (N.unroll > J->K) N.unroll = J->K;
  N.blocks = true;
  L->prefetch = !unit && tg_dtypes[J->b->type.dtype].bits == 8 ? PREFETCH : 0; // panels of packed weights: nothing prefetches over pages
  loops_nest_run(L, &N);
  L->prefetch = 0;
  if (N.done && N.done != N.need[0]) elements(L, J, n, loops_addc(L, n, group), N.done, N.need[0], N.body);
  if (group < J->nr) loops_close(L, 0, NULL);
  if (codes) {
    down_columns(L, J, &N, J->panel, J->nr, decode_body);
    if (J->pairs) N.unroll = 2;
    loops_nest_run(L, &N);
  }
  if (J->pairs) loops_dot2_pack_sb(L, J, J->panel, J->nr);
  loops_dot_close_trips(L, J);
}

// The last panel of a tile that ends within it: column by column, the missing ones 0.
static void edge_panel(lower *L, dot_job *J) {
  tg_value *k = loops_open(L, loops_int(L, 0), loops_int(L, J->kc), 1, 0, NULL);
  pos to = {.rank = 2, .lanes = J->nr};
  to.at[0] = loops_var(k);
  for (int l = 0; l < J->nr; l++) to.at[1].c[l] = l;
  loops_write_buffer(L, J->bpack, &to, loops_splat(L, loops_const(L, packed_dtype(J), 0), J->nr), packed_dtype(J));
  loops_close(L, 0, NULL);
  J->offset = loops_dot_open_trips(L, J);
  tg_value *last = loops_min(L, J->cols, loops_addc(L, J->panel, J->nr));
  elements(L, J, J->panel, last, loops_int(L, 0), loops_dot_trip_length(L, J), pack_b_body);
  if (J->pairs && J->sb) {
    loops_dot2_pack_sb(L, J, loops_open(L, J->panel, last, 1, 0, NULL), 1);
    loops_close(L, 0, NULL);
  }
  loops_dot_close_trips(L, J);
}

// Zeros behind the last element, up to a whole number of unrolled steps.
static void pad_depth(lower *L, dot_job *J, bool a) {
  if (J->depth == J->padded) return;
  tg_value *zero = loops_const(L, packed_dtype(J), 0);
  tg_value *i = a ? loops_open(L, loops_int(L, 0), J->rows, 1, 0, NULL) : NULL;
  tg_value *k = loops_open(L, J->depth, J->padded, 1, 0, NULL);
  pos to = {.rank = 2, .lanes = a ? 1 : J->nr};
  to.at[0] = loops_var(a ? i : k);
  if (a) to.at[1] = loops_var(k);
  else
    for (int l = 0; l < J->nr; l++) to.at[1].c[l] = l;
  zero = loops_splat(L, zero, to.lanes);
  if (J->pairs && !a) loops_dot2_pack_b(L, J, &to, zero);
  else loops_write_buffer(L, a ? J->apack : J->bpack, &to, zero, packed_dtype(J));
  loops_close(L, 0, NULL);
  if (a) loops_close(L, 0, NULL);
}

// ---- the micro-kernel

static void micro(lower *L, dot_job *J, tg_value *row, int height) {
  if (J->pairs) {
    loops_dot2_micro(L, J, row, height);
    return;
  }
  int64_t es = tg_dtypes[J->dtype].bits / 8;
  tg_value *acc[LOOPS_LANES];
  tg_type vector = tg_vector_type(J->dtype, J->nr), scalar = tg_scalar_type(J->dtype);
  tg_value *c = loops_ptradd(L, loops_ptradd(L, J->c->ptr, loops_mulc(L, J->panel, es)), loops_mulc(L, row, J->ldc * es));
  for (int r = 0; r < height; r++) acc[r] = loops_splat(L, loops_const(L, J->dtype, 0), J->nr);
  tg_value *a = loops_ptradd(L, J->apack->ptr, loops_mulc(L, row, J->lda * es));
  tg_value *b0 = J->b_lies ? loops_ptradd(L, J->bpack->ptr, loops_mulc(L, J->panel, es)) : J->bpack->ptr;
  tg_value *k = loops_open(L, J->first, J->padded, J->unroll, height, acc);
  tg_value *ak = loops_ptradd(L, a, loops_mulc(L, k, es)), *bk = loops_ptradd(L, b0, loops_mulc(L, k, J->ldb * es));
  for (int u = 0; u < J->unroll; u++) {
    tg_value *b = loops_load_at(L, L->top, loops_ptradd(L, bk, loops_int(L, u * J->ldb * es)), vector, es * 4, false);
    for (int r = 0; r < height; r++) {
      tg_value *x = loops_load_at(L, L->top, loops_ptradd(L, ak, loops_int(L, (r * J->lda + u) * es)), scalar, es, false);
      acc[r] = loops_fma(L, x, b, acc[r]);
    }
  }
  loops_close(L, height, acc);
  for (int r = 0; r < height; r++) {
    tg_value *p = loops_ptradd(L, c, loops_int(L, r * J->ldc * es)), *old = loops_load_at(L, L->top, p, vector, es * 4, false);
    loops_store_at(L, p, loops_bin(L, TG_OP_ADD, old, acc[r]), es * 4);
  }
}

// Rows in steps of mr and then of a lower kernel, so that few rows beyond the last are computed: how many of the lower ones serve best
// depends on rows mod mr alone, four bits each of a constant.
static void row_tiles(lower *L, dot_job *J) {
  int low = J->mr > 8 ? 8 : J->mr > 4 ? 4 : J->mr;
  int64_t table = 0;
  for (int rest = 0; rest < J->mr; rest++) {
    int best = 0, waste = J->mr;
    for (int n = 0; n < 4; n++) { // n low kernels and whole ones for what remains
      int left = rest - n * low;
      while (left <= -J->mr) left += J->mr;
      int w = left > 0 ? J->mr - left : -left;
      if (w < waste) waste = w, best = n;
    }
    table |= (int64_t)best << (4 * rest);
  }
  tg_value *zero = loops_int(L, 0), *split;
  if (low == J->mr) {
    split = zero;
  } else {
    tg_value *whole = loops_mulc(L, loops_divc(L, J->rows, J->mr), J->mr), *rest = loops_sub(L, J->rows, whole);
    tg_value *n = loops_bin(L, TG_OP_AND, loops_bin(L, TG_OP_SHR, loops_int(L, table), loops_mulc(L, rest, 4)), loops_int(L, 15));
    tg_value *left = loops_max(L, loops_sub(L, J->rows, loops_mulc(L, n, low)), zero);
    split = loops_mulc(L, loops_ceilc(L, left, J->mr), J->mr);
    tg_value *row = loops_open(L, zero, split, J->mr, 0, NULL);
    micro(L, J, row, J->mr);
    loops_close(L, 0, NULL);
  }
  tg_value *row = loops_open(L, split, J->rows, low, 0, NULL);
  micro(L, J, row, low);
  loops_close(L, 0, NULL);
}

// ---- the whole

// b as it lies: a's rows and b's panels in strips of about kc, as many steps in each.
static void strips_in_place(lower *L, dot_job *J) {
  int64_t most = loops_knob(L, "kc", 1, 256), n = (J->K + most - 1) / most;
  int64_t step = ((J->K + n - 1) / n + J->unroll - 1) / J->unroll * J->unroll;
  J->first = loops_open(L, loops_int(L, 0), loops_int(L, J->K), step, 0, NULL);
  J->padded = loops_min(L, loops_addc(L, J->first, step), loops_int(L, J->K));
  J->panel = loops_open(L, loops_int(L, 0), J->cols, J->nr, 0, NULL);
  row_tiles(L, J);
  loops_close(L, 0, NULL);
  loops_close(L, 0, NULL);
}

static void strip(lower *L, dot_job *J) {
  if (!J->a_lies) {
    pack_a(L, J);
    pad_depth(L, J, true);
  }
  if (J->b_lies) {
    strips_in_place(L, J);
    return;
  }
  nest columns;
  tg_value *inside = loops_dot_columns_inside(L, J, &columns);
  J->panel = loops_open(L, loops_int(L, 0), J->cols, J->nr, 0, NULL);
  int64_t n;
  if (tg_const_as_int(inside, &n) && n == J->N && J->N % J->nr == 0) {
    whole_panel(L, J, &columns);
  } else {
    tg_value *whole = loops_bin(L, TG_OP_LE, loops_addc(L, J->panel, J->nr), inside);
    tg_op *branch = loops_open_if(L, whole, 0, NULL);
    whole_panel(L, J, &columns);
    loops_else(L, branch, 0, NULL);
    edge_panel(L, J);
    loops_close_if(L, branch, 0, NULL);
  }
  pad_depth(L, J, false);
  row_tiles(L, J);
  loops_close(L, 0, NULL);
}

static void begin(lower *L, dot_job *J, tg_value *init) {
  J->c = loops_dot_matrix(L, J->dtype, J->M + J->mr, J->ldc, "c");
  J->first = loops_int(L, 0);
  J->apack = J->a_lies ? J->a_lies : loops_dot_matrix(L, packed_dtype(J), J->M + J->mr, J->lda, "a");
  J->bpack = J->b_lies ? J->b_lies : loops_dot_matrix(L, packed_dtype(J), J->kc, J->nr, "b");
  if (J->pairs) loops_dot2_begin(L, J);
  loops_materialise(L, init, J->c);
}

void loops_dot(lower *L, tg_op *op) {
  dot_job J;
  describe(L, &J, op, NULL);
  begin(L, &J, op->in[2]);
  J.depth = loops_int(L, J.K), J.padded = loops_int(L, J.kc);
  strip(L, &J);
  loops_bind_buffer(L, op->out[0], J.c);
}

static int uses_of(const tg_region *region, const tg_value *v) {
  int n = 0;
  for (const tg_op *op = region->first; op; op = op->next) {
    for (int i = 0; i < op->nin; i++) n += op->in[i] == v;
    for (int i = 0; i < op->nregions; i++) n += uses_of(op->regions[i], v);
  }
  return n;
}

// Is the view the same in all trips?
static bool same_view(const tg_region *body, const tg_op *view) {
  for (int i = 1; i < view->nin; i++)
    if (view->in[i]->region == body) return false;
  return true;
}

// The body is not emitted as it stands: what its views need is looked at before the loop.
static void check_views(lower *L, const tg_region *body, tg_value *some) {
  for (tg_op *o = body->first; o; o = o->next)
    if (o->code == TG_OP_VIEW) loops_check_view_where(L, o, some);
}

bool loops_dot_fold(lower *L, tg_op *op) {
  tg_region *body = op->regions[0];
  if (op->nout != 1 || !body->last || body->last->code != TG_OP_YIELD) return false;
  tg_op *dot = body->last->in[0]->def;
  if (!dot || dot->parent != body || (dot->code != TG_OP_DOT && dot->code != TG_OP_DOT_SCALED) || dot->in[2] != body->args[1]) return false;
  if (uses_of(body, body->args[1]) != 1 || uses_of(body, dot->out[0]) != 1) return false;
  for (tg_op *o = body->first; o; o = o->next) {
    if (o != dot && o != body->last && loops_is_root(o)) return false;
    if (o->code == TG_OP_VIEW && !loops_view_known(L, o) && !same_view(body, o)) return false;
    for (int i = 0; i < o->nout; i++)
      if (loops_info(L, o->out[i])->keep) return false;
  }
  if (tg_attr_int(op, "step", 1) != dot->in[0]->type.dim[1]) return false;
  dot_job J;
  describe(L, &J, dot, op);
  tg_value *lb = loops_cast(L, loops_scalar(L, op->in[0]), TG_I64);
  J.end = loops_cast(L, loops_scalar(L, op->in[1]), TG_I64);
  check_views(L, body, loops_bin(L, TG_OP_LT, lb, J.end));
  if (loops_dot_few(L, &J, lb, op->in[2]) || loops_dot_codes(L, &J, lb, op->in[2]) || loops_dot_small(L, &J, lb, op->in[2])) {
    loops_bind_buffer(L, op->out[0], J.c);
    return true;
  }
  begin(L, &J, op->in[2]);
  J.strip = loops_open(L, lb, J.end, J.kc / J.K * J.K, 0, NULL);
  J.strip_end = loops_min(L, loops_addc(L, J.strip, J.kc / J.K * J.K), J.end);
  J.depth = loops_sub(L, J.strip_end, J.strip);
  if (!J.exact) J.depth = loops_mulc(L, loops_ceilc(L, J.depth, J.K), J.K);
  J.padded = loops_mulc(L, loops_ceilc(L, J.depth, J.unroll), J.unroll);
  if (loops_multiple(J.depth) % J.unroll == 0) J.padded = J.depth;
  strip(L, &J);
  loops_close(L, 0, NULL);
  loops_bind_buffer(L, op->out[0], J.c);
  return true;
}
