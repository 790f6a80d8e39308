// Positions: what a lane's index on an axis is, as loop variables plus a constant of the lane.
#include "codegen/loops.h"

lane_index loops_zero(void) { return (lane_index){0}; }

lane_index loops_var(tg_value *v) {
  int64_t c;
  lane_index x = {0};
  if (tg_const_as_int(v, &c) && c == (int32_t)c) {
    for (int l = 0; l < LOOPS_LANES; l++) x.c[l] = (int32_t)c;
    return x;
  }
  x.n = 1;
  x.t[0] = (term){.v = v, .coef = 1, .div = 1};
  return x;
}

pos loops_origin(int rank) { return (pos){.rank = rank, .lanes = 1}; }

bool loops_uniform(const lane_index *x, int lanes) {
  for (int l = 1; l < lanes; l++)
    if (x->c[l] != x->c[0]) return false;
  return true;
}

bool loops_uniform_pos(const pos *p) {
  for (int a = 0; a < p->rank; a++)
    if (!loops_uniform(&p->at[a], p->lanes)) return false;
  return true;
}

bool loops_add_index(lane_index *x, const lane_index *y, int lanes, int64_t scale) {
  for (int i = 0; i < y->n; i++) {
    int k = 0;
    while (k < x->n && !(x->t[k].v == y->t[i].v && x->t[k].div == y->t[i].div)) k++;
    if (k == x->n) {
      if (x->n == LOOPS_TERMS) return false;
      x->t[x->n++] = (term){.v = y->t[i].v, .div = y->t[i].div};
    }
    x->t[k].coef += y->t[i].coef * scale;
    if (x->t[k].coef == 0) x->t[k] = x->t[--x->n];
  }
  for (int l = 0; l < lanes; l++) {
    int64_t c = x->c[l] + y->c[l] * scale;
    if (c != (int32_t)c) return false;
    x->c[l] = (int32_t)c;
  }
  return true;
}

static tg_value *term_value(lower *L, const term *t) { return loops_mulc(L, loops_divc(L, t->v, t->div), t->coef); }

tg_value *loops_index_base(lower *L, const lane_index *x) {
  // Outer terms first, so that their sum is made outside.
  tg_value *v[LOOPS_TERMS];
  int at[LOOPS_TERMS];
  for (int i = 0; i < x->n; i++) {
    tg_value *t = term_value(L, &x->t[i]);
    int k = loops_level_of(L, t), j = i;
    for (; j > 0 && at[j - 1] > k; j--) v[j] = v[j - 1], at[j] = at[j - 1];
    v[j] = t, at[j] = k;
  }
  tg_value *sum = loops_int(L, 0);
  for (int i = 0; i < x->n; i++) sum = loops_add(L, sum, v[i]);
  return sum;
}

tg_value *loops_index_value(lower *L, const lane_index *x, int lanes) {
  tg_value *base = loops_index_base(L, x);
  if (loops_uniform(x, lanes)) return loops_addc(L, base, x->c[0]);
  int step = x->c[1] - x->c[0];
  bool affine = true;
  for (int l = 2; l < lanes; l++) affine = affine && x->c[l] - x->c[l - 1] == step;
  if (affine) {
    tg_value *v = loops_pure(L, TG_OP_IOTA, 0, NULL, 1, (tg_attr[]){TG_ATYPE("type", tg_vector_type(TG_I64, lanes))});
    if (step != 1) v = loops_bin(L, TG_OP_MUL, v, loops_int(L, step));
    return loops_bin(L, TG_OP_ADD, v, loops_addc(L, base, x->c[0]));
  }
  tg_value *v = loops_splat(L, loops_addc(L, base, x->c[0]), lanes);
  for (int l = 1; l < lanes; l++) {
    tg_value *in[] = {v, loops_addc(L, base, x->c[l])};
    v = loops_pure(L, TG_OP_INSERT, 2, in, 1, (tg_attr[]){TG_AINT("i", l)});
  }
  return v;
}

pos loops_lane(const pos *p, int lane) {
  pos q = *p;
  q.lanes = 1;
  for (int a = 0; a < p->rank; a++) q.at[a].c[0] = p->at[a].c[lane];
  return q;
}

static int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

static int64_t gcd(int64_t a, int64_t b) { return b ? gcd(b, a % b) : a < 0 ? -a : a; }

// x = f * quotient + remainder. Terms that are multiples of f go to the quotient. Of the others only g = their common divisor with f is
// known: when all lanes' constants lie in one block of g, the quotient is that of the terms' sum alone, else the lanes may cross a boundary
// of f that only run time knows.
bool loops_index_div(lower *L, const lane_index *x, int lanes, int64_t f, lane_index *quotient, lane_index *remainder) {
  lane_index q = {0}, rest = {0};
  int64_t g = f;
  for (int i = 0; i < x->n; i++) {
    const term *t = &x->t[i];
    int64_t m = t->div == 1 ? loops_multiple(t->v) : 1;
    if (t->coef % f == 0) {
      q.t[q.n] = *t;
      q.t[q.n++].coef = t->coef / f;
    } else if (t->div == 1 && t->coef > 0 && f % t->coef == 0 && m % (f / t->coef) == 0) {
      q.t[q.n++] = (term){.v = t->v, .coef = 1, .div = f / t->coef};
    } else {
      rest.t[rest.n++] = *t;
      g = gcd(g, m * t->coef);
    }
  }
  if (rest.n) {
    // A loop variable that never leaves one block of f adds nothing.
    int64_t max = 0, m;
    bool bounded = true;
    for (int i = 0; i < rest.n && bounded; i++) {
      bounded = rest.t[i].coef > 0 && loops_nonneg(L, rest.t[i].v) && loops_upper(rest.t[i].v, &m);
      if (bounded) max += m / rest.t[i].div * rest.t[i].coef;
    }
    if (bounded)
      for (int l = 0; l < lanes && bounded; l++)
        bounded = floor_div(x->c[l] + max, f) == floor_div(x->c[0], f) && floor_div(x->c[l], f) == floor_div(x->c[0], f);
    if (bounded) {
      int64_t k = floor_div(x->c[0], f);
      for (int l = 0; l < lanes; l++) q.c[l] = (int32_t)k, rest.c[l] = (int32_t)(x->c[l] - k * f);
      *quotient = q, *remainder = rest;
      return true;
    }
    int64_t block = floor_div(x->c[0], g);
    for (int l = 1; l < lanes; l++)
      if (floor_div(x->c[l], g) != block) return false;
    // Uniform: floor((sum + block*g) / f); a single variable keeps its name, so that loop limits can be found from it.
    tg_value *sum;
    if (rest.n == 1 && rest.t[0].coef == 1 && rest.t[0].div == 1 && block == 0) sum = rest.t[0].v;
    else sum = loops_addc(L, loops_index_base(L, &rest), block * g);
    if (q.n == LOOPS_TERMS) return false;
    q.t[q.n++] = (term){.v = sum, .coef = 1, .div = f};
    tg_value *r;
    if ((f & (f - 1)) == 0) r = loops_bin(L, TG_OP_AND, sum, loops_int(L, f - 1));
    else r = loops_bin(L, TG_OP_REM, sum, loops_int(L, f));
    lane_index rem = loops_var(r);
    for (int l = 0; l < lanes; l++) rem.c[l] += (int32_t)(x->c[l] - block * g);
    *quotient = q, *remainder = rem;
    return true;
  }
  for (int l = 0; l < lanes; l++) {
    int64_t k = floor_div(x->c[l], f);
    q.c[l] = (int32_t)k, rest.c[l] = (int32_t)(x->c[l] - k * f);
  }
  *quotient = q, *remainder = rest;
  return true;
}
