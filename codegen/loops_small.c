// dot for a handful of rows: b is used where it is read, never staged, and scales go into a. Two tiles of e4m3 have a form of their own
// (loops_codes.c).
//
//   for each strip of the reduced axis, for each group of columns that share a scale
//     pack A rows x kc, both scales folded in
//     lanes along the columns (b contiguous there): per nr columns, acc[row][nr] += a[row][k] * b[k][nr]
//     lanes along the reduced axis:                 per few columns, acc[row][column][lanes] += a[row][k…] * b[k…][column], summed at the
//     end
#include "codegen/loops_dot.h"

enum { SMALL_ROWS = 4, SMALL_STRIP = 8192 };

typedef struct small_job {
  dot_job *J;
  bool along;               // lanes run along the reduced axis
  int rows, columns, lanes; // of a group; the group is columns * lanes wide when the lanes run along the columns
  bool groups;              // columns fall in groups that share a scale
  tg_value *group;          // number of that group
  int64_t group_columns;
} small_job;

// ---- packing a

static void pack_body(lower *L, nest *N, const pos *p) {
  small_job *S = N->user;
  dot_job *J = S->J;
  tg_value *x = loops_dot_a(L, J, p);
  if (J->sb) {
    pos q = {.rank = 2, .lanes = p->lanes};
    q.at[0] = loops_var(S->group);
    q.at[1] = loops_dot_scale_index(L, J, &p->at[1], p->lanes, J->K, J->sb->type.dim[1]);
    x = loops_bin(L, TG_OP_MUL, x, loops_eval(L, J->sb, &q));
  }
  pos to = *p;
  lane_index start = loops_var(J->offset);
  loops_add_index(&to.at[1], &start, p->lanes, 1);
  loops_write_buffer(L, J->apack, &to, loops_splat(L, x, p->lanes), TG_F32);
}

static void pack(lower *L, small_job *S) {
  dot_job *J = S->J;
  J->offset = loops_dot_open_trips(L, J);
  nest N;
  loops_nest_init(L, &N, 2, J->a->type.dim);
  N.need[0] = J->rows, N.need[1] = loops_dot_trip_length(L, J);
  N.body = pack_body, N.user = S;
  loops_nest_run(L, &N);
  loops_dot_close_trips(L, J);
}

// ---- products

typedef struct sums {
  int n;
  tg_value *acc[2 * SMALL_ROWS * 4]; // set by set, row by row, column by column
  tg_value *column;
  int rows, columns, lanes;
  int sets, set; // steps of the reduced axis take turns, so that additions overlap
  bool along;
} sums;

static void accumulate(lower *L, tg_value **acc, tg_value *x, tg_value *y) {
  int lanes = loops_lanes(*acc), parts = loops_lanes(x) / lanes;
  if (parts == 0) { // a single element goes to the first lane
    tg_value *in[] = {*acc, loops_fma(L, y, x, loops_pure(L, TG_OP_EXTRACT, 1, acc, 1, (tg_attr[]){TG_AINT("i", 0)}))};
    *acc = loops_pure(L, TG_OP_INSERT, 2, in, 1, (tg_attr[]){TG_AINT("i", 0)});
    return;
  }
  for (int i = 0; i < parts; i++) { // longer vectors than accumulators: halves, quarters … in turn
    tg_value *xi = parts > 1 ? loops_part(L, x, i, lanes) : x, *yi = parts > 1 && y->type.rank ? loops_part(L, y, i, lanes) : y;
    *acc = loops_fma(L, yi, xi, *acc);
  }
}

// One step of the reduced axis: a vector of it, or one element against vectors of columns.
static void step(lower *L, nest *N, const pos *k) {
  small_job *S = ((void **)N->user)[0];
  sums *s = ((void **)N->user)[1];
  dot_job *J = S->J;
  lane_index start = loops_var(J->offset);
  pos a = {.rank = 2, .lanes = k->lanes};
  a.at[1] = k->at[0];
  loops_add_index(&a.at[1], &start, k->lanes, 1);
  for (int c = 0; c < s->columns; c++) {
    pos b = *k;
    b.at[1] = loops_var(s->column);
    for (int l = 0; l < LOOPS_LANES; l++) b.at[1].c[l] += s->along ? c : c * s->lanes + l;
    if (!s->along) b.lanes = s->lanes;
    tg_value *x = loops_splat(L, loops_cast(L, loops_eval(L, J->b, &b), TG_F32), b.lanes);
    for (int r = 0; r < s->rows; r++) {
      for (int l = 0; l < LOOPS_LANES; l++) a.at[0].c[l] = r;
      accumulate(L, &s->acc[(s->set * s->rows + r) * s->columns + c], x, loops_read_buffer(L, J->apack, &a, TG_F32));
    }
  }
}

static void no_step(lower *L, nest *N, const pos *k) {
  small_job *S = ((void **)N->user)[0];
  sums *s = ((void **)N->user)[1];
  pos b = *k;
  b.at[1] = loops_var(s->column);
  loops_eval(L, S->J->b, &b);
}

static void trip_part(lower *L, nest *N, tg_value *from, tg_value *to, int lanes, int unroll, sums *s) {
  int64_t a, b;
  if (from == to || (tg_const_as_int(from, &a) && tg_const_as_int(to, &b) && a >= b)) return;
  tg_value *k = loops_open(L, from, to, lanes * unroll, s->n, s->acc);
  N->vars[0] = k;
  loops_nest_facts(L, N, 0);
  for (int u = 0; u < unroll; u++) {
    pos p = {.rank = 2, .lanes = lanes};
    p.at[0] = loops_var(k);
    for (int l = 0; l < LOOPS_LANES; l++) p.at[0].c[l] += u * lanes + (s->along && lanes > 1 ? l : 0);
    s->set = u % s->sets;
    step(L, N, &p);
  }
  loops_close(L, s->n, s->acc);
}

// Sums of the strip for s->columns columns from s->column on.
static void products(lower *L, small_job *S, sums *s) {
  dot_job *J = S->J;
  J->offset = loops_int(L, 0);
  tg_value *iv = loops_open(L, J->strip, J->strip_end, J->K, s->n, s->acc);
  loops_bind(L, J->fold->regions[0]->args[0], iv);
  J->offset = loops_sub(L, iv, J->strip);
  nest N;
  loops_nest_init(L, &N, 2, J->b->type.dim);
  N.nloops = 1, N.order[0] = 0;
  N.need[0] = loops_dot_trip_length(L, J);
  void *user[] = {S, s};
  N.body = no_step, N.user = user;
  loops_nest_probe(L, &N);
  tg_value *inside = loops_nest_inside(L, &N, 0), *done = loops_int(L, 0);
  int lanes = s->along ? s->lanes : 1, unroll = s->along || s->lanes == 1 ? 1 : 4;
  for (int part = 0; part < 3; part++) {
    int w = part < 2 ? lanes : 1, u = part < 1 ? unroll : 1;
    if ((part == 0 && unroll == 1) || (part == 1 && lanes == 1)) continue;
    tg_value *to = loops_down(L, inside, w * u);
    trip_part(L, &N, done, to, w, u, s);
    done = to;
  }
  loops_close(L, s->n, s->acc);
  int n = s->n / s->sets;
  for (int i = 0; i < n; i++)
    if (s->sets == 2) s->acc[i] = loops_bin(L, TG_OP_ADD, s->acc[i], s->acc[n + i]);
}

static sums fresh(lower *L, int rows, int columns, int lanes, int width, bool along) {
  int sets = !along && rows == 1 ? 2 : 1;
  sums s = {.n = sets * rows * columns, .rows = rows, .columns = columns, .lanes = lanes, .sets = sets, .along = along};
  for (int i = 0; i < s.n; i++) s.acc[i] = loops_splat(L, loops_const(L, TG_F32, 0), width);
  return s;
}

static void add_to_c(lower *L, small_job *S, sums *s) {
  dot_job *J = S->J;
  for (int r = 0; r < s->rows; r++)
    for (int c = 0; c < s->columns; c++) {
      tg_value *x = s->acc[r * s->columns + c];
      pos p = {.rank = 2, .lanes = s->along ? 1 : s->lanes};
      p.at[1] = loops_var(s->column);
      for (int l = 0; l < LOOPS_LANES; l++) p.at[0].c[l] = r, p.at[1].c[l] += s->along ? c : c * s->lanes + l;
      if (s->along && x->type.rank) x = loops_pure(L, TG_OP_VREDUCE, 1, &x, 1, (tg_attr[]){TG_ASTR("kind", "sum")});
      loops_write_buffer(L, J->c, &p, loops_bin(L, TG_OP_ADD, loops_read_buffer(L, J->c, &p, TG_F32), x), TG_F32);
    }
}

// ---- columns

static void one_column(lower *L, small_job *S, tg_value *column) {
  int lanes = S->along ? 8 : 1;
  sums s = fresh(L, S->rows, 1, lanes, lanes, true);
  s.column = column;
  products(L, S, &s);
  add_to_c(L, S, &s);
}

static void each_column(lower *L, small_job *S, nest *columns, tg_value *from, tg_value *to) {
  tg_value *column = loops_open(L, from, to, 1, 0, NULL);
  columns->vars[0] = column;
  loops_nest_facts(L, columns, 0);
  one_column(L, S, column);
  loops_close(L, 0, NULL);
}

static void whole_group(lower *L, small_job *S, nest *columns, tg_value *n) {
  int nfacts = L->nfacts;
  columns->vars[0] = n;
  loops_nest_facts(L, columns, 0);
  int most = L->machine->vector_bits >= 512 ? 16 : 8, width = S->along && S->lanes > most && S->columns > 1 ? most : S->lanes;
  sums s = fresh(L, S->rows, S->columns, S->lanes, width, S->along);
  s.column = n;
  products(L, S, &s);
  add_to_c(L, S, &s);
  L->nfacts = nfacts;
}

static void columns_of_group(lower *L, small_job *S, nest *columns, tg_value *inside) {
  dot_job *J = S->J;
  int wide = S->along ? S->columns : S->lanes * S->columns;
  tg_value *first = S->groups ? loops_mulc(L, S->group, S->group_columns) : loops_int(L, 0);
  tg_value *last = loops_min(L, loops_min(L, loops_addc(L, first, S->group_columns), J->cols), inside);
  bool even = loops_multiple(inside) % wide == 0;
  tg_value *whole = even ? last : loops_down(L, last, wide); // groups begin at multiples of `wide`
  tg_value *n = loops_open(L, first, whole, wide, 0, NULL);
  whole_group(L, S, columns, n);
  loops_close(L, 0, NULL);
  if (!even) each_column(L, S, columns, loops_max(L, first, whole), last);
}

bool loops_dot_small(lower *L, dot_job *J, tg_value *lb, tg_value *init) {
  if (!J->fold || J->M > SMALL_ROWS || J->dtype != TG_F32 || !J->exact || J->N < 4) return false;
  nest columns;
  tg_value *inside = loops_dot_columns_inside(L, J, &columns);
  small_job S = {.J = J, .rows = J->M, .along = columns.probe.unit_bytes != 0};
  int vector = L->machine && L->machine->vector_bits >= 512 ? 32 : 16;
  if (S.along) {
    S.columns = J->M <= 2 ? 4 : 2;
    S.lanes = vector;
    while (S.lanes > J->K) S.lanes /= 2;
  } else {
    S.lanes = vector;
    S.columns = J->M <= 2 && vector == 16 ? 2 : 1;
    while (S.lanes > J->N) S.lanes /= 2;
  }
  int wide = S.along ? S.columns : S.columns * S.lanes;
  if (J->N % wide) return false;
  S.group_columns = J->sb ? J->N / J->sb->type.dim[0] : J->N;
  if (S.group_columns % wide) return false;
  int64_t trips = SMALL_STRIP / J->M / J->K;
  J->kc = (trips < 1 ? 1 : trips) * J->K;
  J->lda = J->kc + 16;
  J->c = loops_dot_matrix(L, TG_F32, J->M, J->ldc, "c");
  J->apack = loops_dot_matrix(L, TG_F32, J->M, J->lda, "a");
  loops_materialise(L, init, J->c);
  J->strip = loops_open(L, lb, J->end, J->kc, 0, NULL);
  J->strip_end = loops_min(L, loops_addc(L, J->strip, J->kc), J->end);
  S.groups = S.group_columns < J->N;
  S.group = S.groups ? loops_open(L, loops_int(L, 0), loops_ceilc(L, J->cols, S.group_columns), 1, 0, NULL) : loops_int(L, 0);
  pack(L, &S);
  columns_of_group(L, &S, &columns, inside);
  if (S.groups) loops_close(L, 0, NULL);
  loops_close(L, 0, NULL);
  return true;
}
