// dot for few rows by dots of bf16 pairs: b is used where it is read, never staged. Codes of e4m3 become bf16 on the way, NaN codes too.
//
//   pack a: rows x strip, as bf16
//   for each group of columns, for each trip
//     lanes along the columns (b contiguous there): acc[row][column…] += a[row][k, k+1] . b[k, k+1][column…]
//     lanes along the reduced axis:                 acc[row][column] += a[row][k…] . b[k…][column], several rows a pass
//     result += acc * scales
#include "codegen/loops_dot.h"

enum {
  CODE_ROWS = 8,   // of e4m3; from there on packing is as good
  LEAST_ROWS = 5,  // of bf16, whose subnormals these dots do not know
  MOST_ROWS = 32,  // of bf16 along the reduced axis
  STRIP = 1 << 17, // elements of packed a: a part of a level-2 cache
  PREFETCH = 4096,
  LANES = 16, // of a sum along the reduced axis
  MOST_SUMS = 24
};

typedef struct few_job {
  dot_job *J;
  bool along, codes, scaled; // lanes run along the reduced axis; b is e4m3
  int rows, columns;         // of a pass; columns of a group
  tg_value *row;             // first of the pass
  bool groups;               // columns fall in groups that share a scale
  tg_value *group;           // number of that group
  int64_t group_columns;
  tg_value *column; // first
} few_job;

// ---- packing a

static void pack_body(lower *L, nest *N, const pos *p) {
  dot_job *J = N->user;
  pos to = *p;
  lane_index start = loops_var(J->offset);
  loops_add_index(&to.at[1], &start, p->lanes, 1);
  loops_write_buffer(L, J->apack, &to, loops_dot_a(L, J, p), TG_BF16);
}

// One zero stands behind each row: an odd last element has a partner.
static void pack(lower *L, dot_job *J) {
  J->offset = loops_dot_open_trips(L, J);
  nest N;
  loops_nest_init(L, &N, 2, J->a->type.dim);
  N.need[0] = J->rows, N.need[1] = loops_dot_trip_length(L, J);
  N.body = pack_body, N.user = J;
  loops_nest_run(L, &N);
  loops_dot_close_trips(L, J);
  if (loops_multiple(J->depth) % 2 == 0) return;
  pos end = {.rank = 2, .lanes = 1};
  end.at[0] = loops_var(loops_open(L, loops_int(L, 0), J->rows, 1, 0, NULL)), end.at[1] = loops_var(J->depth);
  loops_write_buffer(L, J->apack, &end, loops_const(L, TG_BF16, 0), TG_BF16);
  loops_close(L, 0, NULL);
}

// Pairs of a at row r of the pass and element k of the trip.
static tg_value *a_pairs(lower *L, const few_job *S, int r, tg_value *k, int64_t offset, int lanes) {
  dot_job *J = S->J;
  tg_value *at = loops_add(L, loops_mulc(L, S->row, J->lda), loops_add(L, J->offset, k));
  tg_value *p = loops_ptradd(L, loops_ptradd(L, J->apack->ptr, loops_mulc(L, at, 2)), loops_int(L, (r * J->lda + offset) * 2));
  return loops_load_at(L, L->top, p, lanes > 1 ? tg_vector_type(TG_I32, lanes) : tg_scalar_type(TG_I32), 2, false);
}

// ---- trips

static void no_step(lower *L, nest *N, const pos *k) {
  few_job *S = N->user;
  pos b = *k;
  b.at[1] = loops_var(S->column);
  loops_eval(L, S->J->b, &b);
}

// Opens the loop over the trips, which carries n values; N is left able to say what is inside.
static tg_value *open_trips(lower *L, few_job *S, nest *N, int n, tg_value **carry) {
  dot_job *J = S->J;
  tg_value *iv = loops_open(L, J->strip, J->strip_end, J->K, n, carry);
  loops_bind(L, J->fold->regions[0]->args[0], iv);
  J->offset = loops_sub(L, iv, J->strip);
  loops_nest_init(L, N, 2, J->b->type.dim);
  N->nloops = 1, N->order[0] = 0;
  N->need[0] = loops_dot_trip_length(L, J);
  N->body = no_step, N->user = S;
  loops_nest_probe(L, N);
  return loops_nest_inside(L, N, 0);
}

static bool empty(const tg_value *from, const tg_value *to) {
  int64_t a, b;
  return from == to || (tg_const_as_int(from, &a) && tg_const_as_int(to, &b) && a >= b);
}

// sa * sb of row r of the pass and the group in this trip.
static tg_value *scale(lower *L, const few_job *S, int r) {
  dot_job *J = S->J;
  tg_value *row = loops_addc(L, S->row, r), *f = NULL;
  if (J->sa) {
    pos p = {.rank = 2, .lanes = 1};
    lane_index at = loops_var(S->rows < J->M ? loops_min(L, row, loops_int(L, J->M - 1)) : row);
    p.at[0] = loops_dot_scale_index(L, J, &at, 1, J->M, J->sa->type.dim[0]);
    f = loops_eval(L, J->sa, &p);
  }
  if (J->sb) {
    pos q = {.rank = 2, .lanes = 1};
    q.at[0] = loops_var(S->group);
    tg_value *g = loops_eval(L, J->sb, &q);
    f = f ? loops_bin(L, TG_OP_MUL, f, g) : g;
  }
  return loops_dot_sum_scale(L, f);
}

static void add_to_c(lower *L, const few_job *S, int r, int column, tg_value *x) {
  pos p = {.rank = 2, .lanes = loops_lanes(x)};
  p.at[0] = loops_var(S->row), p.at[1] = loops_var(S->column);
  for (int l = 0; l < p.lanes; l++) p.at[0].c[l] = r, p.at[1].c[l] += column + l;
  loops_write_buffer(L, S->J->c, &p, loops_bin(L, TG_OP_ADD, loops_line_read(L, S->J->c, &p, TG_F32), x), TG_F32);
}

// Elements from … to of the trip, one by one, for the pass's rows and some columns.
static void singles(lower *L, few_job *S, nest *N, tg_value *from, tg_value *to, int columns) {
  dot_job *J = S->J;
  if (empty(from, to)) return;
  tg_value *acc[MOST_SUMS];
  const int n = S->rows * columns;
  for (int i = 0; i < n; i++) acc[i] = loops_const(L, TG_F32, 0);
  tg_value *k = loops_open(L, from, to, 1, n, acc);
  N->vars[0] = k;
  loops_nest_facts(L, N, 0);
  for (int c = 0; c < columns; c++) {
    pos b = {.rank = 2, .lanes = 1}, a = b;
    b.at[0] = loops_var(k), b.at[1] = loops_var(S->column), b.at[1].c[0] += c;
    tg_value *x = loops_cast(L, loops_eval(L, J->b, &b), TG_F32);
    for (int r = 0; r < S->rows; r++) {
      a.at[0] = loops_var(S->row), a.at[0].c[0] = r, a.at[1] = loops_var(loops_add(L, J->offset, k));
      tg_value *y = loops_cast(L, loops_read_buffer(L, J->apack, &a, TG_BF16), TG_F32);
      acc[r * columns + c] = loops_fma(L, y, x, acc[r * columns + c]);
    }
  }
  loops_close(L, n, acc);
  for (int i = 0; i < n; i++)
    add_to_c(L, S, i / columns, i % columns, S->scaled ? loops_bin(L, TG_OP_MUL, acc[i], scale(L, S, i / columns)) : acc[i]);
}

static tg_value *zeros(lower *L, int lanes) { return loops_splat(L, loops_const(L, TG_F32, 0), lanes); }

// ---- lanes along the columns

static tg_value *b_row(lower *L, const few_job *S, tg_value *k, int offset) {
  pos b = {.rank = 2, .lanes = S->columns};
  b.at[0] = loops_var(k), b.at[1] = loops_var(S->column);
  for (int l = 0; l < S->columns; l++) b.at[0].c[l] += offset, b.at[1].c[l] += l;
  return loops_eval_lanes(L, S->J->b, &b);
}

// Elements from … to, `unroll` pairs a trip that take turns in `sets` sets of sums; an odd last one when unroll is 0.
static void pairs_across(lower *L, few_job *S, nest *N, tg_value *from, tg_value *to, int unroll, int sets, tg_value **acc) {
  if (empty(from, to)) return;
  tg_value *k = loops_open(L, from, to, unroll ? 2 * unroll : 1, sets * S->rows, acc);
  N->vars[0] = k;
  loops_nest_facts(L, N, 0);
  for (int u = 0; u < (unroll ? unroll : 1); u++) {
    L->prefetch = PREFETCH;
    tg_value *in[2] = {b_row(L, S, k, 2 * u)};
    L->prefetch = 0;
    in[1] = unroll ? b_row(L, S, k, 2 * u + 1) : loops_splat(L, loops_const(L, S->J->b->type.dtype, 0), S->columns);
    tg_value *b = loops_pure(L, TG_OP_PAIRS, 2, in, 0, NULL);
    for (int r = 0; r < S->rows; r++) {
      tg_value **sum = &acc[u % sets * S->rows + r], *x[] = {*sum, loops_splat(L, a_pairs(L, S, r, k, 2 * u, 1), S->columns), b};
      *sum = loops_pure(L, TG_OP_DOT2, 3, x, 0, NULL);
    }
  }
  loops_close(L, sets * S->rows, acc);
}

static void across(lower *L, few_job *S) {
  const int sets = S->rows <= 2 ? 2 : 1;
  tg_value *acc[2 * CODE_ROWS];
  nest N;
  tg_value *inside = open_trips(L, S, &N, 0, NULL), *four = loops_down(L, inside, 4), *even = loops_down(L, inside, 2);
  for (int i = 0; i < sets * S->rows; i++) acc[i] = zeros(L, S->columns);
  pairs_across(L, S, &N, loops_int(L, 0), four, 2, sets, acc);
  pairs_across(L, S, &N, four, even, 1, sets, acc);
  pairs_across(L, S, &N, even, inside, 0, sets, acc);
  for (int r = 0; r < S->rows; r++) {
    tg_value *sum = sets > 1 ? loops_bin(L, TG_OP_ADD, acc[r], acc[S->rows + r]) : acc[r];
    add_to_c(L, S, r, 0, S->scaled ? loops_bin(L, TG_OP_MUL, sum, scale(L, S, r)) : sum);
  }
  loops_close(L, 0, NULL);
}

// ---- lanes along the reduced axis

// Pairs of b at k and on in column c of the group, in vectors of LANES; asks for those of the next group.
static tg_value *b_pairs(lower *L, const few_job *S, tg_value *k, int c) {
  tg_value *x[2];
  for (int h = 0; h < 1 + S->codes; h++) {
    pos b = {.rank = 2, .lanes = LOOPS_LANES};
    b.at[0] = loops_var(k), b.at[1] = loops_var(S->column);
    for (int l = 0; l < LOOPS_LANES; l++) b.at[0].c[l] += h * LOOPS_LANES + l, b.at[1].c[l] += c;
    x[h] = loops_eval_lanes(L, S->J->b, &b);
    for (int l = 0; l < LOOPS_LANES; l++) b.at[1].c[l] += S->columns;
    if (h == 0) loops_prefetch(L, S->J->b, &b);
  }
  if (S->codes) {
    int64_t *mask = TG_NEWN(&L->lane->arena, int64_t, 2 * LOOPS_LANES);
    for (int i = 0; i < 2 * LOOPS_LANES; i++) mask[i] = i;
    x[0] = loops_pure(L, TG_OP_SHUFFLE, 2, x, 1, (tg_attr[]){TG_AINTS("mask", mask, 2 * LOOPS_LANES)});
  }
  return loops_pure(L, TG_OP_PAIRS, 1, x, 0, NULL);
}

static void chunks_along(lower *L, few_job *S, nest *N, tg_value *to, tg_value **acc) {
  const int halves = 1 + S->codes, n = S->rows * S->columns;
  tg_value *k = loops_open(L, loops_int(L, 0), to, halves * LOOPS_LANES, n, acc);
  N->vars[0] = k;
  loops_nest_facts(L, N, 0);
  tg_value *b[MOST_SUMS];
  for (int c = 0; c < S->columns; c++) b[c] = b_pairs(L, S, k, c);
  for (int r = 0; r < S->rows; r++)
    for (int h = 0; h < halves; h++) {
      tg_value *a = a_pairs(L, S, r, k, h * LOOPS_LANES, LANES);
      for (int c = 0; c < S->columns; c++) {
        tg_value **sum = &acc[r * S->columns + c], *x[] = {*sum, a, S->codes ? loops_part(L, b[c], h, LANES) : b[c]};
        *sum = loops_pure(L, TG_OP_DOT2, 3, x, 0, NULL);
      }
    }
  loops_close(L, n, acc);
}

// What whole chunks leave of the trips. A loop of its own: the sums of the other keep their registers.
static void leftovers(lower *L, few_job *S, int chunk) {
  nest N;
  tg_value *inside = open_trips(L, S, &N, 0, NULL), *whole = loops_down(L, inside, chunk);
  if (!empty(whole, inside)) {
    tg_op *some = loops_open_if(L, loops_bin(L, TG_OP_LT, whole, inside), 0, NULL);
    singles(L, S, &N, whole, inside, S->columns);
    loops_else(L, some, 0, NULL);
    loops_close_if(L, some, 0, NULL);
  }
  loops_close(L, 0, NULL);
}

// A pass: rows of a that share what is read of b.
static void along(lower *L, few_job *S) {
  dot_job *J = S->J;
  const int n = S->rows * S->columns, chunk = (1 + S->codes) * LOOPS_LANES;
  S->row = S->rows < J->M ? loops_open(L, loops_int(L, 0), J->rows, S->rows, 0, NULL) : loops_int(L, 0);
  tg_value *sums[MOST_SUMS], *acc[MOST_SUMS];
  for (int i = 0; i < n; i++) sums[i] = zeros(L, LANES);
  nest N;
  tg_value *inside = open_trips(L, S, &N, n, sums), *whole = loops_down(L, inside, chunk);
  for (int i = 0; i < n; i++) acc[i] = S->scaled ? zeros(L, LANES) : sums[i];
  chunks_along(L, S, &N, whole, acc);
  for (int i = 0; i < n; i++) sums[i] = S->scaled ? loops_fma(L, acc[i], scale(L, S, i / S->columns), sums[i]) : acc[i];
  loops_close(L, n, sums);
  for (int i = 0; i < n; i++)
    add_to_c(L, S, i / S->columns, i % S->columns, loops_pure(L, TG_OP_VREDUCE, 1, &sums[i], 1, (tg_attr[]){TG_ASTR("kind", "sum")}));
  leftovers(L, S, chunk);
  if (S->rows < J->M) loops_close(L, 0, NULL);
}

// ---- columns

// A column beyond the last whole group.
static void edge(lower *L, few_job *S) {
  few_job one = *S;
  one.rows = 1;
  one.row = loops_open(L, loops_int(L, 0), S->J->rows, 1, 0, NULL);
  nest N;
  tg_value *inside = open_trips(L, &one, &N, 0, NULL);
  singles(L, &one, &N, loops_int(L, 0), inside, 1);
  loops_close(L, 0, NULL);
  loops_close(L, 0, NULL);
}

static void columns_of_group(lower *L, few_job *S, nest *columns, tg_value *inside) {
  dot_job *J = S->J;
  tg_value *first = S->groups ? loops_mulc(L, S->group, S->group_columns) : loops_int(L, 0);
  tg_value *last = loops_min(L, loops_min(L, loops_addc(L, first, S->group_columns), J->cols), inside);
  bool even = loops_multiple(inside) % S->columns == 0;
  tg_value *whole = even ? last : loops_down(L, last, S->columns); // groups begin at multiples
  int nfacts = L->nfacts;
  S->column = columns->vars[0] = loops_open(L, first, whole, S->columns, 0, NULL);
  loops_nest_facts(L, columns, 0);
  if (S->along) along(L, S);
  else across(L, S);
  L->nfacts = nfacts;
  loops_close(L, 0, NULL);
  if (even) return;
  S->column = columns->vars[0] = loops_open(L, loops_max(L, first, whole), last, 1, 0, NULL);
  loops_nest_facts(L, columns, 0);
  edge(L, S);
  loops_close(L, 0, NULL);
}

bool loops_dot2_few(const tg_op *dot) {
  const tg_type *a = &dot->in[0]->type;
  if (!loops_dot2_takes(dot) || a->dim[1] % 2) return false;
  if (dot->code == TG_OP_DOT_SCALED && (dot->in[3]->type.dim[1] != 1 || dot->in[4]->type.dim[1] != 1)) return false;
  if (a->dtype == TG_E4M3 && dot->in[1]->type.dtype == TG_E4M3) return a->dim[0] <= CODE_ROWS && a->dim[1] % 64 == 0;
  return a->dtype == TG_BF16 && dot->in[1]->type.dtype == TG_BF16 && a->dim[0] >= LEAST_ROWS && a->dim[0] <= MOST_ROWS &&
         a->dim[1] % 32 == 0 && dot->code == TG_OP_DOT;
}

static void shape(few_job *S) {
  const int M = S->J->M, most = S->codes ? 4 : 6, passes = (M + most - 1) / most;
  S->rows = S->along ? (M + passes - 1) / passes : M;
  S->columns = !S->along ? LOOPS_LANES : !S->codes || S->rows <= 2 ? 4 : 2;
}

bool loops_dot_few(lower *L, dot_job *J, tg_value *lb, tg_value *init) {
  if (!J->fold || J->dtype != TG_F32 || !J->exact || !loops_dot2_few(J->dot)) return false;
  if (!loops_knob(L, "dot2", 0, L->machine && L->machine->bf16_dot > 0)) return false;
  nest columns;
  tg_value *inside = loops_dot_columns_inside(L, J, &columns);
  few_job S = {.J = J, .along = columns.probe.unit_bytes != 0, .codes = J->b->type.dtype == TG_E4M3, .scaled = J->sa || J->sb};
  if (!S.codes && !S.along) return false;
  shape(&S);
  S.group_columns = J->sb ? J->N / J->sb->type.dim[0] : J->N;
  if (J->N % S.columns || S.group_columns % S.columns) return false;
  J->pairs = true;
  int64_t trips = STRIP / J->M / J->K;
  J->kc = (trips < 1 ? 1 : trips) * J->K;
  J->lda = J->kc + 32;
  J->c = loops_dot_matrix(L, TG_F32, J->M + S.rows, J->ldc, "c");
  J->apack = loops_dot_matrix(L, TG_BF16, J->M + S.rows, J->lda, "a");
  loops_materialise(L, init, J->c);
  J->strip = loops_open(L, lb, J->end, J->kc, 0, NULL);
  J->strip_end = loops_min(L, loops_addc(L, J->strip, J->kc), J->end);
  J->depth = loops_sub(L, J->strip_end, J->strip);
  pack(L, J);
  S.row = loops_int(L, 0);
  S.groups = S.group_columns < J->N;
  S.group = S.groups ? loops_open(L, loops_int(L, 0), loops_ceilc(L, J->cols, S.group_columns), 1, 0, NULL) : loops_int(L, 0);
  columns_of_group(L, &S, &columns, inside);
  if (S.groups) loops_close(L, 0, NULL);
  loops_close(L, 0, NULL);
  return true;
}
