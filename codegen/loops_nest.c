// Loop nests over the elements of a tile. A nest is tried out first in regions that belong to nobody (the probe), which finds what every
// access asks of the loop variables; each loop is then split into the indices where all accesses are inside, which need no checks, and the
// rest.
#include "codegen/loops.h"

int loops_width(lower *L, int64_t len) {
  int64_t w = L->machine && L->machine->vector_bits > 0 ? (int64_t)L->machine->vector_bits / 16 : 8;
  if (w > LOOPS_LANES) w = LOOPS_LANES;
  if (w < 4) w = 4;
  while (w > len) w /= 2;
  return (int)w;
}

void loops_nest_init(lower *L, nest *N, int rank, const int32_t *len) {
  (void)L;
  memset(N, 0, sizeof *N);
  N->rank = rank;
  for (int a = 0; a < rank; a++) N->len[a] = len[a];
  for (int a = 0; a < rank; a++)
    if (len[a] != 1) N->order[N->nloops++] = a;
  N->lanes = N->nloops ? loops_width(L, len[N->order[N->nloops - 1]]) : 1;
  N->start = loops_origin(rank);
}

void loops_nest_probe(lower *L, nest *N) {
  struct probe *outer = L->probe;
  int nfacts = L->nfacts;
  N->probe = (struct probe){.nvars = N->nloops, .outer = outer};
  pos p = N->start;
  if (N->nloops == 0) return;
  for (int k = 0; k < N->nloops; k++) {
    tg_region *r = TG_NEW(L->arena, tg_region);
    tg_value *v = TG_NEW(L->arena, tg_value);
    *v = (tg_value){.type = tg_scalar_type(TG_I64), .region = r, .id = L->lane->next_id++};
    r->launch = L->to;
    N->probe.vars[k] = v;
    p.at[N->order[k]] = loops_var(v);
    loops_push(L, r, NULL);
  }
  N->probe.level = L->top;
  L->probe = &N->probe;
  N->body(L, N, &p);
  L->probe = outer;
  for (int k = 0; k < N->nloops; k++) loops_pop(L);
  L->nfacts = nfacts;
}

static unsigned loops_of(nest *N, const constraint *c) {
  unsigned m = 0;
  for (int i = 0; i < c->at.n; i++)
    for (int k = 0; k < N->nloops; k++)
      if (c->at.t[i].v == N->probe.vars[k]) m |= 1u << k;
  return m;
}

// A term that is neither a loop variable nor from outside the nest cannot be turned into a limit.
static bool opaque(lower *L, nest *N, const constraint *c) {
  for (int i = 0; i < c->at.n; i++)
    for (int k = 0; k < N->nloops; k++)
      if (c->at.t[i].v->region == N->probe.vars[k]->region && c->at.t[i].v != N->probe.vars[k]) return true;
  return !loops_alive(L, c->count) || (c->low && !loops_alive(L, c->low));
}

static int innermost(unsigned mask) { return mask ? 31 - __builtin_clz(mask) : -1; }

// Loop that has to see to the constraint; -1: none can, the access checks for itself.
static int loop_for(lower *L, nest *N, const constraint *c) {
  if (opaque(L, N, c)) return -1;
  int k = innermost(loops_of(N, c));
  return k >= 0 ? k : innermost(c->deps);
}

tg_value *loops_nest_inside(lower *L, nest *N, int k) {
  int axis = N->order[k];
  tg_value *limit = N->need[axis] ? N->need[axis] : loops_int(L, N->len[axis]);
  for (int i = 0; i < N->probe.n; i++) {
    constraint *c = &N->probe.list[i];
    if (c->elsewhere || loop_for(L, N, c) != k) continue;
    // coef * floor(v / div) + rest < count
    tg_value *rest = loops_int(L, c->at.c[0]);
    int64_t coef = 0, div = 1;
    for (int t = 0; t < c->at.n; t++) {
      const term *x = &c->at.t[t];
      if (x->v == N->probe.vars[k]) {
        coef = x->coef, div = x->div;
        continue;
      }
      tg_value *v = x->v;
      for (int j = 0; j < k; j++)
        if (v == N->probe.vars[j]) v = N->vars[j];
      rest = loops_add(L, rest, loops_mulc(L, loops_divc(L, v, x->div), x->coef));
    }
    tg_value *room = loops_sub(L, c->count, rest);
    if (coef > 0) {
      tg_value *l = loops_mulc(L, loops_divc(L, loops_addc(L, room, coef - 1), coef), div);
      if (!loops_nonneg(L, l) && l != N->need[axis]) l = loops_max(L, l, loops_int(L, 0));
      limit = loops_min(L, limit, l);
    } else {
      tg_value *some = loops_bin(L, TG_OP_GT, room, loops_int(L, 0));
      limit = loops_select(L, some, limit, loops_int(L, 0));
    }
    if (c->low) limit = loops_select(L, c->low, limit, loops_int(L, 0));
  }
  return limit;
}

// What the constraint says of the probe's variables, said of those of the loops that are open.
static lane_index in_open_loops(const nest *N, const constraint *c) {
  lane_index at = loops_zero();
  for (int i = 0; i < c->at.n; i++) {
    term t = c->at.t[i];
    for (int j = 0; j < N->nloops; j++)
      if (t.v == N->probe.vars[j]) t.v = N->vars[j];
    int64_t known;
    if (!tg_const_as_int(t.v, &known)) at.t[at.n++] = t;
  }
  return at;
}

static void add_fact(lower *L, const nest *N, const constraint *c, bool exact) {
  if (L->nfacts == L->facts_capacity) {
    int capacity = L->facts_capacity ? L->facts_capacity * 2 : 32;
    fact *list = TG_NEWN(L->arena, fact, capacity);
    if (L->nfacts) memcpy(list, L->facts, sizeof *list * (size_t)L->nfacts);
    L->facts = list, L->facts_capacity = capacity;
  }
  L->facts[L->nfacts++] = (fact){.op = c->op, .axis = c->axis, .level = L->top, .exact = exact, .at = in_open_loops(N, c)};
}

void loops_nest_facts(lower *L, nest *N, int k) {
  for (int i = 0; i < N->probe.n; i++) {
    const constraint *c = &N->probe.list[i];
    int last = -1;
    bool all = !c->elsewhere, exact = false;
    for (int j = 0; j < N->probe.n; j++) { // every access of this op and axis must be seen to
      const constraint *d = &N->probe.list[j];
      if (d->op != c->op || d->axis != c->axis) continue;
      exact = exact || d->elsewhere;
      if (d->elsewhere) continue;
      int at = loop_for(L, N, d);
      if (at < 0) all = false;
      if (at > last) last = at;
    }
    if (all && last == k) add_fact(L, N, c, exact);
  }
}

static void run(lower *L, nest *N, int k, pos *p, bool checked);

// One loop over [from, to) in steps; a loop that can only run once is none.
static void loop(lower *L, nest *N, int k, pos *p, tg_value *from, tg_value *to, int lanes, int unroll, bool checked) {
  int axis = N->order[k];
  int64_t a, b;
  bool known = tg_const_as_int(from, &a) && tg_const_as_int(to, &b);
  if (from == to || (known && a >= b)) return;
  bool once = known && b - a <= lanes * unroll;
  tg_value *v = once ? from : loops_open(L, from, to, lanes * unroll, 0, NULL);
  lane_index saved = p->at[axis];
  p->at[axis] = loops_var(v);
  N->vars[k] = v;
  p->lanes = N->fixed_lanes ? N->fixed_lanes : lanes;
  if (lanes > 1)
    for (int l = 0; l < lanes; l++) p->at[axis].c[l] += l;
  int nfacts = L->nfacts;
  if (!checked) loops_nest_facts(L, N, k);
  struct block block = {.var = v, .rows = unroll}, *outer = L->block;
  if (unroll > 1) L->block = &block;
  for (; block.row < unroll; block.row++) {
    run(L, N, k + 1, p, checked);
    for (int l = 0; l < LOOPS_LANES; l++) p->at[axis].c[l] += lanes;
  }
  L->block = outer;
  L->nfacts = nfacts;
  p->lanes = N->fixed_lanes ? N->fixed_lanes : 1;
  p->at[axis] = saved;
  if (!once) loops_close(L, 0, NULL);
}

// The loop over whole vectors, twice where it may be streamed.
static void vectors(lower *L, nest *N, int k, pos *p, tg_value *from, tg_value *to) {
  int64_t a, b;
  if (from == to || (tg_const_as_int(from, &a) && tg_const_as_int(to, &b) && a >= b)) return;
  tg_value *streams = N->streams ? N->streams(L, N, p) : NULL;
  if (!streams) {
    loop(L, N, k, p, from, to, N->lanes, 1, false);
    return;
  }
  tg_op *branch = loops_open_if(L, streams, 0, NULL);
  L->stream = N->stream;
  loop(L, N, k, p, from, to, N->lanes, 1, false);
  L->stream = 0;
  loops_else(L, branch, 0, NULL);
  loop(L, N, k, p, from, to, N->lanes, 1, false);
  loops_close_if(L, branch, 0, NULL);
}

static void run(lower *L, nest *N, int k, pos *p, bool checked) {
  if (k == N->nloops) {
    N->depth = k;
    N->body(L, N, p);
    return;
  }
  int axis = N->order[k];
  bool last = k == N->nloops - 1;
  tg_value *wanted = N->need[axis] ? N->need[axis] : loops_int(L, N->len[axis]), *zero = loops_int(L, 0);
  if (checked) {
    loop(L, N, k, p, zero, wanted, 1, 1, true);
    return;
  }
  tg_value *inside = loops_nest_inside(L, N, k), *done = zero;
  for (int part = 0; part < 3; part++) { // several vectors at a time, one, single elements
    int lanes = last && part < 2 ? N->lanes : 1, unroll = last && part < 1 && N->unroll > 1 ? N->unroll : 1;
    if ((part < 1 && unroll == 1) || (part == 1 && lanes == 1)) continue;
    tg_value *to = loops_down(L, inside, lanes * unroll);
    if (lanes > 1 && unroll == 1) vectors(L, N, k, p, done, to);
    else loop(L, N, k, p, done, to, lanes, unroll, false);
    done = to;
    if (last && N->blocks) {
      N->done = done;
      return;
    }
  }
  loop(L, N, k, p, inside, wanted, 1, 1, true);
}

void loops_nest_run(lower *L, nest *N) {
  loops_nest_probe(L, N);
  pos p = N->start;
  run(L, N, 0, &p, false);
}
