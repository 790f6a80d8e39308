// dot of two e4m3 tiles for at most eight rows: b is decoded where it is read, never staged. What bounds it is the stream of b and its
// decoding, so codes go to f32 by shifts and a mask alone, and the NaN codes that this does not know are looked for on the side: columns
// that have one become NaN. Scales multiply the sum of a trip, not what is summed: codes times codes neither overflow nor vanish.
//
//   for each strip of the reduced axis
//     pack a: rows x strip, as f32 times a power of two
//     for each group of columns, for each trip (and for each four rows, where lanes run along the columns)
//       lanes along the columns (b contiguous there): acc[row][part] += a[row][k] * part of b[k][columns…]
//       lanes along the reduced axis:                 acc[row][column] += part of a[row][k…] * part of b[k…][column]
//       sums += acc * scales
#include <math.h>

#include "codegen/loops_dot.h"

enum {
  ROWS = 8,
  TOGETHER = 4 /* rows in a pass across */,
  STRIP = 4096 /* elements of packed a: half of a small level-1 cache */,
  PREFETCH = 4096,
  PARTS = 4
};

typedef struct codes_job {
  dot_job *J;
  bool along;              // lanes run along the reduced axis
  bool strided;            // part p of a chunk has codes p, p + 4, …; else `lanes` consecutive ones
  int rows, columns;       // columns of a group
  int chunk, parts, lanes; // so many codes are read at once and become `parts` vectors of `lanes`
  int decoded;             // parts are b times 2^-decoded
  int packed;              // a is packed times 2^packed
  int passes;              // over a trip for the same rows, each with its share of the parts
  buffer *sums;            // of a group's columns: [row and part][lanes] or [row and column][lanes]
  bool groups;             // columns fall in groups that share a scale
  tg_value *group;         // number of that group
  int64_t group_columns;
} codes_job;

typedef struct pass {
  codes_job *S;
  tg_value *column;                // first
  int columns, rows, width;        // width: lanes of the sums, 1 = code by code
  int row;                         // first
  int n, nparts, part[PARTS];      // sums; parts of a chunk that take part
  bool look;                       // for NaN codes
  tg_value *acc[ROWS * PARTS + 1]; // row by row, in it part by part or column by column; then the greatest magnitude code seen
} pass;

// ---- packing a

// Where element k of a row lies when the parts of a chunk lie one behind the other.
static tg_value *place(lower *L, const codes_job *S, tg_value *k) {
  if (!S->along || !S->strided) return k;
  tg_value *in_chunk = loops_bin(L, TG_OP_AND, k, loops_int(L, S->chunk - 1));
  tg_value *part = loops_bin(L, TG_OP_AND, k, loops_int(L, PARTS - 1));
  return loops_add(L, loops_down(L, k, S->chunk), loops_add(L, loops_mulc(L, part, S->lanes), loops_divc(L, in_chunk, PARTS)));
}

static tg_value *part_of(lower *L, const codes_job *S, tg_value *x, int part) {
  int64_t *mask = TG_NEWN(&L->lane->arena, int64_t, S->lanes);
  for (int l = 0; l < S->lanes; l++) mask[l] = S->strided ? PARTS * l + part : part * S->lanes + l;
  tg_value *in[] = {x, x};
  return loops_pure(L, TG_OP_SHUFFLE, 2, in, 1, (tg_attr[]){TG_AINTS("mask", mask, S->lanes)});
}

static void write_packed(lower *L, dot_job *J, const pos *p, tg_value *x) {
  pos to = *p;
  lane_index start = loops_var(J->offset);
  loops_add_index(&to.at[1], &start, p->lanes, 1);
  loops_write_buffer(L, J->apack, &to, x, TG_F32);
}

static void pack_body(lower *L, nest *N, const pos *p) {
  codes_job *S = N->user;
  tg_value *x = loops_cast(L, loops_eval_lanes(L, S->J->a, p), TG_F32);
  x = loops_bin(L, TG_OP_MUL, x, loops_const(L, TG_F32, ldexp(1, S->packed)));
  if (!S->along || !S->strided) {
    write_packed(L, S->J, p, x);
  } else if (p->lanes == 1) {
    pos q = *p;
    q.at[1] = loops_var(place(L, S, loops_index_value(L, &p->at[1], 1)));
    write_packed(L, S->J, &q, x);
  } else {
    for (int part = 0; part < S->parts; part++) {
      pos q = *p;
      q.lanes = S->lanes;
      for (int l = 0; l < S->lanes; l++) q.at[1].c[l] = p->at[1].c[0] + part * S->lanes + l;
      write_packed(L, S->J, &q, part_of(L, S, x, part));
    }
  }
}

static void pack(lower *L, codes_job *S) {
  dot_job *J = S->J;
  J->offset = loops_dot_open_trips(L, J);
  nest N;
  loops_nest_init(L, &N, 2, J->a->type.dim);
  if (S->along && S->strided) N.lanes = S->chunk;
  N.need[0] = J->rows, N.need[1] = loops_dot_trip_length(L, J);
  N.body = pack_body, N.user = S;
  loops_nest_run(L, &N);
  loops_dot_close_trips(L, J);
}

// ---- products

static tg_value *decode(lower *L, const codes_job *S, tg_value *codes, int part) {
  if (!S->strided) {
    tg_attr type = TG_ATYPE("type", tg_vector_type(TG_F32, S->chunk));
    tg_value *all = loops_pure(L, TG_OP_DECODE, 1, &codes, 1, &type);
    return S->parts == 1 ? all : part_of(L, S, all, part);
  }
  return loops_pure(L, TG_OP_DECODE, 1, &codes, 2, (tg_attr[]){TG_ATYPE("type", tg_vector_type(TG_F32, S->lanes)), TG_AINT("part", part)});
}

static void look(lower *L, pass *P, tg_value *codes) {
  tg_value *bits = loops_pure(L, TG_OP_BITCAST, 1, &codes, 1, (tg_attr[]){TG_ASTR("to", "i8")});
  P->acc[P->n] = loops_bin(L, TG_OP_MAX, P->acc[P->n], loops_bin(L, TG_OP_AND, bits, loops_const(L, TG_I8, 0x7f)));
}

static tg_value *a_at(lower *L, const codes_job *S, int row, tg_value *k, int first, int lanes) {
  pos p = {.rank = 2, .lanes = lanes};
  p.at[1] = loops_var(k);
  lane_index start = loops_var(S->J->offset);
  for (int l = 0; l < lanes; l++) p.at[0].c[l] = row, p.at[1].c[l] += first + l;
  loops_add_index(&p.at[1], &start, lanes, 1);
  return loops_read_buffer(L, S->J->apack, &p, TG_F32);
}

// A chunk of the reduced axis for each column.
static void step_along(lower *L, pass *P, tg_value *k) {
  codes_job *S = P->S;
  for (int c = 0; c < P->columns; c++) {
    pos b = {.rank = 2, .lanes = S->chunk};
    b.at[0] = loops_var(k), b.at[1] = loops_var(P->column);
    for (int l = 0; l < S->chunk; l++) b.at[0].c[l] += l, b.at[1].c[l] += c;
    tg_value *codes = loops_eval(L, S->J->b, &b);
    if (P->look) look(L, P, codes);
    if (!P->rows) continue;
    for (int l = 0; l < S->chunk; l++) b.at[1].c[l] += P->columns; // the same of the next group
    loops_prefetch(L, S->J->b, &b);
    for (int i = 0; i < S->parts; i++) {
      tg_value *x = decode(L, S, codes, i);
      for (int r = 0; r < P->rows; r++) {
        tg_value **acc = &P->acc[r * P->columns + c];
        *acc = loops_fma(L, a_at(L, S, r, k, i * S->lanes, S->lanes), x, *acc);
      }
    }
  }
}

// One element of the reduced axis, a chunk of columns.
static void step_across(lower *L, pass *P, tg_value *k, int offset) {
  codes_job *S = P->S;
  pos b = {.rank = 2, .lanes = S->chunk};
  b.at[0] = loops_var(k), b.at[1] = loops_var(P->column);
  for (int l = 0; l < S->chunk; l++) b.at[0].c[l] += offset, b.at[1].c[l] += l;
  L->prefetch = P->look ? PREFETCH : 0;
  tg_value *codes = loops_eval(L, S->J->b, &b), *x[PARTS];
  L->prefetch = 0;
  if (P->look) look(L, P, codes);
  for (int i = 0; i < P->nparts; i++) x[i] = decode(L, S, codes, P->part[i]);
  for (int r = 0; r < P->rows; r++) {
    tg_value *a = a_at(L, S, P->row + r, k, offset, 1);
    for (int i = 0; i < P->nparts; i++) P->acc[r * P->nparts + i] = loops_fma(L, a, x[i], P->acc[r * P->nparts + i]);
  }
}

// One element of the reduced axis for each column, NaN codes known; goes to the first lane of the sums.
static void step_single(lower *L, pass *P, tg_value *k) {
  codes_job *S = P->S;
  for (int c = 0; P->rows && c < P->columns; c++) {
    pos b = {.rank = 2, .lanes = 1};
    b.at[0] = loops_var(k), b.at[1] = loops_var(P->column);
    b.at[1].c[0] += c;
    tg_value *x = loops_bin(L, TG_OP_MUL, loops_cast(L, loops_eval(L, S->J->b, &b), TG_F32), loops_const(L, TG_F32, ldexp(1, -S->decoded)));
    for (int r = 0; r < P->rows; r++) {
      tg_value **acc = &P->acc[r * P->columns + c], *a = a_at(L, S, r, place(L, S, k), 0, 1);
      if (P->width == 1) {
        *acc = loops_fma(L, a, x, *acc);
        continue;
      }
      tg_value *in[] = {*acc, loops_fma(L, a, x, loops_pure(L, TG_OP_EXTRACT, 1, acc, 1, (tg_attr[]){TG_AINT("i", 0)}))};
      *acc = loops_pure(L, TG_OP_INSERT, 2, in, 1, (tg_attr[]){TG_AINT("i", 0)});
    }
  }
}

static void no_step(lower *L, nest *N, const pos *k) {
  pass *P = N->user;
  pos b = *k;
  b.at[1] = loops_var(P->column);
  loops_eval(L, P->S->J->b, &b);
}

static void steps(lower *L, pass *P, nest *N, tg_value *from, tg_value *to, int step, int unroll) {
  int64_t a, b;
  if (from == to || (tg_const_as_int(from, &a) && tg_const_as_int(to, &b) && a >= b)) return;
  tg_value *k = loops_open(L, from, to, step * unroll, P->n + 1, P->acc);
  N->vars[0] = k;
  loops_nest_facts(L, N, 0);
  for (int u = 0; u < unroll; u++)
    if (P->width == 1 || (P->S->along && step == 1)) step_single(L, P, k);
    else if (P->S->along) step_along(L, P, k);
    else step_across(L, P, k, u);
  loops_close(L, P->n + 1, P->acc);
}

// ---- sums

static tg_value *sum_pointer(lower *L, const codes_job *S, int i) { return loops_ptradd(L, S->sums->ptr, loops_int(L, i * S->lanes * 4)); }
static tg_type sum_type(const pass *P) { return P->width > 1 ? tg_vector_type(TG_F32, P->width) : tg_scalar_type(TG_F32); }
static tg_value *sum(lower *L, const pass *P, int i) { return loops_load_at(L, L->top, sum_pointer(L, P->S, i), sum_type(P), 4, false); }

// sa * sb of a row and the group in this trip; NULL: there are no scales.
static tg_value *scale(lower *L, const codes_job *S, int row) {
  dot_job *J = S->J;
  pos p = {.rank = 2, .lanes = 1}, q = p;
  tg_value *f = NULL;
  if (J->sa) {
    p.at[0].c[0] = row / (J->M / J->sa->type.dim[0]);
    f = loops_eval(L, J->sa, &p);
  }
  if (J->sb) {
    q.at[0] = loops_var(S->group);
    tg_value *g = loops_eval(L, J->sb, &q);
    f = f ? loops_bin(L, TG_OP_MUL, f, g) : g;
  }
  return f ? loops_dot_sum_scale(L, f) : NULL;
}

static int sum_index(const pass *P, int row, int i) { // i: part or column of the pass
  return P->S->along || P->width == 1 ? row * P->columns + i : (P->row + row) * P->S->parts + P->part[i];
}

// One pass over a trip: its sums, times the scales, go to S->sums.
static void run_pass(lower *L, pass *P, nest *N, tg_value *inside) {
  codes_job *S = P->S;
  for (int i = 0; i < P->n; i++) P->acc[i] = loops_splat(L, loops_const(L, TG_F32, 0), P->width);
  tg_value *done = loops_int(L, 0), *to;
  if (P->width > 1 && S->along) {
    to = loops_down(L, inside, S->chunk);
    steps(L, P, N, done, to, S->chunk, 1);
    done = to;
  } else if (P->width > 1) {
    to = loops_down(L, inside, 2);
    steps(L, P, N, done, to, 1, 2);
    done = to;
  }
  steps(L, P, N, done, inside, 1, 1);
  for (int r = 0; r < P->rows; r++) {
    tg_value *f = scale(L, S, P->row + r);
    int each = P->n / P->rows;
    for (int i = 0; i < each; i++) {
      tg_value *old = sum(L, P, sum_index(P, r, i)), *x = P->acc[r * each + i];
      loops_store_at(L, sum_pointer(L, S, sum_index(P, r, i)), f ? loops_fma(L, x, f, old) : loops_bin(L, TG_OP_ADD, x, old), 4);
    }
  }
}

// All trips of the strip for P's columns; gives the greatest magnitude code seen by each lane.
static tg_value *trips(lower *L, pass *P) {
  codes_job *S = P->S;
  dot_job *J = S->J;
  bool whole = !S->along && P->width > 1;
  tg_value *seen = loops_splat(L, loops_const(L, TG_I8, 0), S->chunk);
  int passes = whole ? S->passes : 1, total = whole ? P->rows * S->parts : P->rows * P->columns;
  for (int i = 0; i < total; i++) loops_store_at(L, sum_pointer(L, S, i), loops_splat(L, loops_const(L, TG_F32, 0), P->width), 4);
  tg_value *iv = loops_open(L, J->strip, J->strip_end, J->K, 1, &seen);
  loops_bind(L, J->fold->regions[0]->args[0], iv);
  J->offset = loops_sub(L, iv, J->strip);
  nest N;
  loops_nest_init(L, &N, 2, J->b->type.dim);
  N.nloops = 1, N.order[0] = 0;
  N.need[0] = loops_dot_trip_length(L, J);
  N.body = no_step, N.user = P;
  loops_nest_probe(L, &N);
  tg_value *inside = loops_nest_inside(L, &N, 0);
  const int rows = P->rows, each = whole && rows > TOGETHER ? TOGETHER : rows, groups = each ? (rows + each - 1) / each : 1;
  for (int pass = 0; pass < passes * groups; pass++) {
    P->row = pass / passes * each;
    P->rows = rows - P->row < each ? rows - P->row : each;
    P->nparts = 0;
    for (int p = S->parts - 1; p >= 0; p--) // odd parts take an instruction less and look for NaN codes meanwhile
      if (passes == 1 || p % passes != pass % passes) P->part[P->nparts++] = p;
    P->look = pass == 0;
    P->n = whole ? P->rows * P->nparts : P->rows * P->columns;
    P->acc[P->n] = seen;
    run_pass(L, P, &N, inside);
    seen = P->acc[P->n];
  }
  P->row = 0, P->rows = rows;
  loops_close(L, 1, &seen);
  return seen;
}

static tg_value *in_units(lower *L, const codes_job *S, tg_value *x) {
  return loops_bin(L, TG_OP_MUL, x, loops_const(L, TG_F32, ldexp(1, S->decoded - S->packed)));
}

// Adds a sum to c at a row and, from P's first column on, at as many columns as it has lanes.
static void add_to_c(lower *L, const pass *P, int row, int column, tg_value *x) {
  pos p = {.rank = 2, .lanes = loops_lanes(x)};
  p.at[1] = loops_var(P->column);
  for (int l = 0; l < p.lanes; l++) p.at[0].c[l] = row, p.at[1].c[l] += column + l;
  loops_write_buffer(L, P->S->J->c, &p, loops_bin(L, TG_OP_ADD, loops_read_buffer(L, P->S->J->c, &p, TG_F32), x), TG_F32);
}

static tg_value *nan_code(lower *L, tg_value *seen) { return loops_bin(L, TG_OP_EQ, seen, loops_const(L, TG_I8, 0x7f)); }

static tg_value *concatenate(lower *L, tg_value *a, tg_value *b, int n, const int64_t *mask) {
  int64_t *copy = TG_NEWN(&L->lane->arena, int64_t, n);
  for (int i = 0; i < n; i++) copy[i] = mask ? mask[i] : i;
  tg_value *in[] = {a, b};
  return loops_pure(L, TG_OP_SHUFFLE, 2, in, 1, (tg_attr[]){TG_AINTS("mask", copy, n)});
}

// A row's parts in the columns' order.
static tg_value *in_order(lower *L, const pass *P, int row) {
  const codes_job *S = P->S;
  tg_value *x[PARTS];
  for (int i = 0; i < S->parts; i++) x[i] = sum(L, P, row * S->parts + i);
  if (S->parts == 1) return x[0];
  if (S->parts == 2) return concatenate(L, x[0], x[1], S->chunk, NULL);
  int64_t mask[LOOPS_LANES];
  for (int c = 0; c < S->chunk; c++) mask[c] = c % PARTS * S->lanes + c / PARTS;
  return concatenate(L, concatenate(L, x[0], x[1], 2 * S->lanes, NULL), concatenate(L, x[2], x[3], 2 * S->lanes, NULL), S->chunk, mask);
}

// ---- columns

static void across(lower *L, codes_job *S, tg_value *column) {
  pass P = {.S = S, .column = column, .columns = 1, .rows = S->rows, .width = S->lanes};
  tg_value *nan = nan_code(L, trips(L, &P));
  for (int r = 0; r < S->rows; r++)
    add_to_c(L, &P, r, 0, loops_select(L, nan, loops_const(L, TG_F32, NAN), in_units(L, S, in_order(L, &P, r))));
}

static void each_column(lower *L, codes_job *S, nest *columns, tg_value *from, tg_value *to,
                        void (*body)(lower *L, codes_job *S, tg_value *column)) {
  tg_value *column = loops_open(L, from, to, 1, 0, NULL);
  columns->vars[0] = column;
  loops_nest_facts(L, columns, 0);
  body(L, S, column);
  loops_close(L, 0, NULL);
}

// Makes a column NaN if one of its codes is.
static void poison(lower *L, codes_job *S, tg_value *column) {
  pass P = {.S = S, .column = column, .columns = 1, .width = S->lanes};
  tg_value *seen = trips(L, &P);
  tg_value *most = loops_pure(L, TG_OP_VREDUCE, 1, &seen, 1, (tg_attr[]){TG_ASTR("kind", "max")});
  tg_op *found = loops_open_if(L, nan_code(L, most), 0, NULL);
  for (int r = 0; r < S->rows; r++) add_to_c(L, &P, r, 0, loops_const(L, TG_F32, NAN));
  loops_else(L, found, 0, NULL);
  loops_close_if(L, found, 0, NULL);
}

static void along(lower *L, codes_job *S, tg_value *column, int count, nest *columns) {
  pass P = {.S = S, .column = column, .columns = count, .rows = S->rows, .width = S->lanes};
  tg_value *seen = trips(L, &P);
  for (int i = 0; i < S->rows * count; i++) {
    tg_value *x = sum(L, &P, i);
    add_to_c(L, &P, i / count, i % count, in_units(L, S, loops_pure(L, TG_OP_VREDUCE, 1, &x, 1, (tg_attr[]){TG_ASTR("kind", "sum")})));
  }
  tg_value *most = loops_pure(L, TG_OP_VREDUCE, 1, &seen, 1, (tg_attr[]){TG_ASTR("kind", "max")});
  tg_op *found = loops_open_if(L, nan_code(L, most), 0, NULL);
  each_column(L, S, columns, column, loops_addc(L, column, count), poison);
  loops_else(L, found, 0, NULL);
  loops_close_if(L, found, 0, NULL);
}

// A column beyond the last whole group.
static void edge(lower *L, codes_job *S, tg_value *column) {
  pass P = {.S = S, .column = column, .columns = 1, .rows = S->rows, .width = S->along ? S->lanes : 1};
  tg_value *seen = trips(L, &P), *nan = NULL;
  if (S->along) nan = nan_code(L, loops_pure(L, TG_OP_VREDUCE, 1, &seen, 1, (tg_attr[]){TG_ASTR("kind", "max")}));
  for (int r = 0; r < S->rows; r++) {
    tg_value *x = sum(L, &P, r);
    if (S->along) x = loops_pure(L, TG_OP_VREDUCE, 1, &x, 1, (tg_attr[]){TG_ASTR("kind", "sum")});
    x = in_units(L, S, x);
    add_to_c(L, &P, r, 0, nan ? loops_select(L, nan, loops_const(L, TG_F32, NAN), x) : x);
  }
}

static void columns_of_group(lower *L, codes_job *S, nest *columns, tg_value *inside) {
  dot_job *J = S->J;
  tg_value *first = S->groups ? loops_mulc(L, S->group, S->group_columns) : loops_int(L, 0);
  tg_value *last = loops_min(L, loops_min(L, loops_addc(L, first, S->group_columns), J->cols), inside);
  bool even = loops_multiple(inside) % S->columns == 0;
  tg_value *whole = even ? last : loops_down(L, last, S->columns); // groups begin at multiples
  tg_value *column = loops_open(L, first, whole, S->columns, 0, NULL);
  int nfacts = L->nfacts;
  columns->vars[0] = column;
  loops_nest_facts(L, columns, 0);
  if (S->along) along(L, S, column, S->columns, columns);
  else across(L, S, column);
  L->nfacts = nfacts;
  loops_close(L, 0, NULL);
  if (!even) each_column(L, S, columns, loops_max(L, first, whole), last, edge);
}

static void shape(lower *L, codes_job *S) {
  int bits = L->machine && L->machine->vector_bits > 0 ? (int)L->machine->vector_bits : 128;
  S->strided = bits < 512; // with 512 bits the way through f16 is as short, and never meets what f32 calls subnormal
  S->chunk = bits >= 256 ? 32 : 16;
  S->parts = S->strided ? PARTS : 2;
  S->lanes = S->chunk / S->parts;
  S->decoded = S->strided ? 120 : 8;
  S->packed = S->strided ? 117 : 8; // 448 * 2^117 is still an f32
  // 16 registers hold 8 sums and what they are made from.
  S->columns = !S->along ? S->chunk : S->rows <= 2 ? 4 : S->rows <= 4 ? 2 : 1;
  S->passes = (S->rows < TOGETHER ? S->rows : TOGETHER) * S->parts > 8 ? 2 : 1;
}

bool loops_dot_codes(lower *L, dot_job *J, tg_value *lb, tg_value *init) {
  if (!J->fold || J->M > ROWS || J->pairs || J->dtype != TG_F32 || !J->exact) return false;
  if (J->a->type.dtype != TG_E4M3 || J->b->type.dtype != TG_E4M3) return false;
  if ((J->sa && J->sa->type.dim[1] != 1) || (J->sb && J->sb->type.dim[1] != 1)) return false;
  nest columns;
  tg_value *inside = loops_dot_columns_inside(L, J, &columns);
  codes_job S = {.J = J, .rows = J->M, .along = columns.probe.unit_bytes != 0};
  shape(L, &S);
  S.group_columns = J->sb ? J->N / J->sb->type.dim[0] : J->N;
  if (!S.strided && J->M > TOGETHER) return false; // not measured
  if (J->N % S.columns || S.group_columns % S.columns || J->K % S.chunk) return false;
  int64_t trips = STRIP / J->M / J->K;
  J->kc = (trips < 1 ? 1 : trips) * J->K;
  J->lda = J->kc + 16;
  J->c = loops_dot_matrix(L, TG_F32, J->M, J->ldc, "c");
  J->apack = loops_dot_matrix(L, TG_F32, J->M, J->lda, "a");
  S.sums = loops_dot_matrix(L, TG_F32, (int64_t)S.rows * (S.along ? S.columns : S.parts), S.lanes, "sums");
  loops_materialise(L, init, J->c);
  J->strip = loops_open(L, lb, J->end, J->kc, 0, NULL);
  J->strip_end = loops_min(L, loops_addc(L, J->strip, J->kc), J->end);
  pack(L, &S);
  S.groups = S.group_columns < J->N;
  S.group = S.groups ? loops_open(L, loops_int(L, 0), loops_ceilc(L, J->cols, S.group_columns), 1, 0, NULL) : loops_int(L, 0);
  columns_of_group(L, &S, &columns, inside);
  if (S.groups) loops_close(L, 0, NULL);
  loops_close(L, 0, NULL);
  return true;
}
