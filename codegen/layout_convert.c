// Conversions within warps, and the choice among all kinds. See layout_convert.h.
//
// A place of `to` finds its element at x(place) in `from`, x linear. A shuffle hands each lane one value of one other lane, which chooses
// it; so the register has to be a function of the lane that gives. Let k be the number of a wanted register, L a lane, and for them
//
//     lane that has it = A k + B L,    its register = C k + D L.
//
// If lane L takes its wanted register k + G L in round k, the lane that gives is A k + (A G + B) L. Where A G + B is invertible the
// register that it gives is a function P of its own number: each lane first puts P's choice in place (selects), one shuffle a round moves
// it, each lane last sorts what it got by G (selects). Elements that several places hold (the kernel of `from`) leave x open; lanes are
// chosen among them that need not move. Narrow elements whose lanes agree share a word.
#include "codegen/layout_convert.h"

#include <assert.h>

typedef struct lanes_plan {
  const tg_layout *from, *to;
  int regs, lanes, warps, wanted;          // bits of registers, lanes, warps; of registers of `to`
  uint32_t a[TG_MAP_BITS], c[TG_MAP_BITS]; // by bit of a wanted register: lane and register that it flips
  uint32_t b[TG_MAP_BITS], d[TG_MAP_BITS]; // by bit of the lane, then of the warp: likewise
  int nfree;
  uint32_t free[TG_MAP_BITS]; // places that hold what place 0 of the same warp does
  uint32_t g[TG_MAP_BITS];    // by bit of the lane: which wanted register it takes instead
  uint32_t p[TG_MAP_BITS];    // by bit of the lane, then of the warp: which register it gives instead
} lanes_plan;

static uint32_t bits(uint32_t x, int from, int n) { return n ? x >> from & ((1u << n) - 1) : 0; }
static uint32_t lane_of(const lanes_plan *z, uint32_t place) { return bits(place, z->regs, z->lanes); }
static uint32_t register_of(const lanes_plan *z, uint32_t place) { return bits(place, 0, z->regs); }

static uint32_t sum(const uint32_t *vec, uint32_t which) {
  uint32_t x = 0;
  for (int i = 0; which; i++, which >>= 1)
    if (which & 1) x ^= vec[i];
  return x;
}

static bool solve(const tg_map *f, uint32_t want, uint32_t *x) {
  tg_map one = tg_map_zero(1, f->nout), y;
  one.col[0] = want;
  if (!tg_map_solve(f, &one, &y)) return false;
  *x = y.col[0];
  return true;
}

// ---- where each element comes from, warps apart

static bool keep_to_warps(lanes_plan *z, tg_map *x) {
  uint32_t basis[TG_MAP_BITS], combination[TG_MAP_BITS];
  tg_map warps = tg_map_zero(tg_map_kernel(&z->from->map, basis), z->warps);
  for (int i = 0; i < warps.nin; i++) warps.col[i] = bits(basis[i], z->regs + z->lanes, z->warps);
  for (int i = 0; i < x->nin; i++) {
    int warp = i - z->wanted - z->lanes;
    uint32_t which, off = bits(x->col[i], z->regs + z->lanes, z->warps) ^ (warp >= 0 ? 1u << warp : 0);
    if (!off) continue;
    if (!solve(&warps, off, &which)) return false;
    x->col[i] ^= sum(basis, which);
  }
  z->nfree = tg_map_kernel(&warps, combination);
  for (int i = 0; i < z->nfree; i++) z->free[i] = sum(basis, combination[i]);
  return true;
}

// Of places that hold the same, the one in the same lane.
static void keep_to_lanes(const lanes_plan *z, tg_map *x) {
  tg_map lanes = tg_map_zero(z->nfree, z->lanes);
  for (int i = 0; i < z->nfree; i++) lanes.col[i] = lane_of(z, z->free[i]);
  for (int i = 0; i < x->nin; i++) {
    int lane = i - z->wanted;
    uint32_t which, off = lane_of(z, x->col[i]) ^ (lane >= 0 && lane < z->lanes ? 1u << lane : 0);
    if (off && solve(&lanes, off, &which)) x->col[i] ^= sum(z->free, which);
  }
}

// ---- which lane gives, and which register

typedef struct givers { // lanes that give, by bits of the lane that takes: independent ones, with the registers that they have to give
  tg_map lanes;
  uint32_t reg[TG_MAP_BITS];
} givers;

static void accept(givers *v, uint32_t lane, uint32_t reg) {
  v->reg[v->lanes.nin] = reg;
  v->lanes.col[v->lanes.nin++] = lane;
}

static bool is_new(const givers *v, uint32_t lane) {
  uint32_t which;
  return !solve(&v->lanes, lane, &which);
}

static void try_giver(const givers *v, int bit, uint32_t lane, uint32_t reg, uint32_t g, uint32_t best[3], bool *found) {
  bool own = lane == 1u << bit;
  if (!is_new(v, lane) || (*found && (!own || best[0] == 1u << bit))) return;
  best[0] = lane, best[1] = reg, best[2] = g;
  *found = true;
}

// Two lanes would take different registers of one lane: another lane that has the same, or other rounds for one of the two.
static bool find_giver(lanes_plan *z, givers *v, int bit) {
  uint32_t best[3] = {0}, which;
  bool found = false;
  if (solve(&v->lanes, z->b[bit], &which) && sum(v->reg, which) == z->d[bit]) return true; // both take the same
  for (int i = 0; i < z->nfree; i++)
    try_giver(v, bit, z->b[bit] ^ lane_of(z, z->free[i]), z->d[bit] ^ register_of(z, z->free[i]), 0, best, &found);
  for (int i = 0; i < z->wanted && !found; i++) try_giver(v, bit, z->b[bit] ^ z->a[i], z->d[bit] ^ z->c[i], 1u << i, best, &found);
  if (!found) return false;
  accept(v, best[0], best[1]);
  z->b[bit] = best[0];
  z->d[bit] = best[1];
  z->g[bit] = best[2];
  return true;
}

// From here on b and d are those of lane L's wanted register k + G L.
static bool choose_givers(lanes_plan *z) {
  givers v = {.lanes = tg_map_zero(0, z->lanes)};
  for (int pass = 0; pass < 3; pass++) // lanes that give to themselves, then others, then those that have to be found
    for (int i = 0; i < z->lanes; i++) {
      bool own = z->b[i] == 1u << i;
      if (own != (pass == 0)) continue;
      if (pass < 2) {
        if (is_new(&v, z->b[i])) accept(&v, z->b[i], z->d[i]);
        continue;
      }
      if (!find_giver(z, &v, i)) return false;
    }
  tg_map back;
  bool invertible = tg_map_left_inverse(&v.lanes, &back);
  assert(invertible);
  if (!invertible) return false;
  for (int i = 0; i < z->lanes; i++) z->p[i] = sum(v.reg, back.col[i]);
  for (int i = z->lanes; i < z->lanes + z->warps; i++) z->p[i] = z->d[i] ^ sum(z->p, z->b[i]);
  return true;
}

static bool plan_lanes(lanes_plan *z, const tg_layout *from, const tg_layout *to) {
  tg_map x;
  *z = (lanes_plan){.from = from,
                    .to = to,
                    .regs = from->in[TG_REGISTER],
                    .lanes = from->in[TG_LANE],
                    .warps = from->in[TG_WARP],
                    .wanted = to->in[TG_REGISTER]};
  if (to->in[TG_LANE] != z->lanes || to->in[TG_WARP] != z->warps || !tg_layout_conversion(from, to, &x) || !keep_to_warps(z, &x))
    return false;
  keep_to_lanes(z, &x);
  for (int i = 0; i < x.nin; i++) {
    bool reg = i < z->wanted;
    (reg ? z->a : z->b)[reg ? i : i - z->wanted] = lane_of(z, x.col[i]);
    (reg ? z->c : z->d)[reg ? i : i - z->wanted] = register_of(z, x.col[i]);
  }
  return choose_givers(z);
}

// ---- steps

typedef struct flips { // a linear function of lane and warp, as masks whose parity says whether to flip some bits
  int n;
  uint32_t lanes[TG_MAP_BITS], warps[TG_MAP_BITS], flip[TG_MAP_BITS];
} flips;

static flips factor(const uint32_t *col, int lanes, int warps) {
  flips f = {0};
  tg_map basis = tg_map_zero(0, TG_MAP_BITS);
  for (int t = 0; t < lanes + warps; t++) {
    uint32_t which;
    if (!solve(&basis, col[t], &which)) {
      which = 1u << f.n;
      basis.col[basis.nin++] = f.flip[f.n++] = col[t];
    }
    for (int i = 0; i < f.n; i++)
      if (which >> i & 1) *(t < lanes ? &f.lanes[i] : &f.warps[i]) |= 1u << (t < lanes ? t : t - lanes);
  }
  return f;
}

typedef struct making {
  lanes_plan z;
  tg_conversion *c;
  flips before, after;
  bool any;          // lanes take from others in some round
  int npacked;       // a word holds 2^npacked elements,
  uint32_t round[2]; // those of rounds so far apart,
  uint32_t reg[2];   // which are registers so far apart
  tg_map parts;      // register to the number of its element in a word, above `skip` bits
  int skip;
  int nsame;
  uint32_t same[TG_MAP_BITS];       // wanted registers that differ by these are equal
  int *word, *given, *got, *sorted; // values made, by register or round, stage by stage; -1 = none yet
} making;

// Directions of rounds in which all lanes take from the same lanes, and that no select flips.
static void choose_words(making *m) {
  lanes_plan *z = &m->z;
  int most = m->c->element_bits == 16 ? 1 : m->c->element_bits < 16 ? 2 : 0;
  tg_map lanes = tg_map_zero(z->wanted, z->lanes), all = tg_map_zero(0, z->regs);
  uint32_t basis[TG_MAP_BITS], which;
  memcpy(lanes.col, z->a, sizeof lanes.col);
  for (int i = 0; i < m->before.n; i++) all.col[all.nin++] = m->before.flip[i];
  for (int i = 0; i < m->after.n; i++)
    if (!solve(&all, sum(z->c, m->after.flip[i]), &which)) all.col[all.nin++] = sum(z->c, m->after.flip[i]);
  m->skip = all.nin;
  for (int i = 0, n = m->any ? tg_map_kernel(&lanes, basis) : 0; i < n && m->npacked < most; i++) {
    uint32_t reg = sum(z->c, basis[i]);
    if (solve(&all, reg, &which)) continue;
    m->round[m->npacked] = basis[i];
    m->reg[m->npacked++] = all.col[all.nin++] = reg;
  }
  if (m->npacked) tg_map_left_inverse(&all, &m->parts);
}

static int part_of(const making *m, uint32_t reg) { return m->npacked ? (int)(tg_map_apply(&m->parts, reg) >> m->skip) : 0; }

static int step(making *m, tg_step s) {
  m->c->step[m->c->nsteps] = s;
  return (1 << m->z.regs) + m->c->nsteps++;
}

// Selects work on words: where these hold several elements, and for i1, of which machines have few and select none.
static bool in_words(const making *m) { return m->npacked || m->c->element_bits == 1; }

static int word(making *m, uint32_t reg) {
  int *made = &m->word[reg];
  if (*made >= 0 || !in_words(m)) return *made >= 0 ? *made : (int)reg;
  tg_step s = {.kind = TG_STEP_WORD, .n = 1 << m->npacked};
  for (int i = 0; i < s.n; i++) s.in[i] = (int)(reg ^ sum(m->reg, (uint32_t)i));
  return *made = step(m, s);
}

// One value of 2^bits numbered ones in each of the first `depth` stages of selects.
static int choose(making *m, const flips *f, int depth, uint32_t number, int bits_, int *made, int (*first)(making *, uint32_t)) {
  if (depth == 0) return first(m, number);
  int i = depth - 1, *mine = &made[i << bits_ | (int)number];
  if (*mine >= 0) return *mine;
  int clear = choose(m, f, i, number, bits_, made, first), set = choose(m, f, i, number ^ f->flip[i], bits_, made, first);
  if (clear == set) return *mine = clear;
  return *mine = step(m, (tg_step){.kind = TG_STEP_SELECT, .in = {clear, set}, .lanes = f->lanes[i], .warps = f->warps[i]});
}

// What a round brings.
static int take(making *m, uint32_t k) {
  for (int i = 0; i < m->nsame; i++)
    if (k >> (31 - __builtin_clz(m->same[i])) & 1) k ^= m->same[i];
  int *made = &m->got[k];
  if (*made >= 0) return *made;
  uint32_t lane = sum(m->z.a, k), reg = sum(m->z.c, k) ^ sum(m->z.p, lane);
  int value = choose(m, &m->before, m->before.n, reg, m->z.regs, m->given, word);
  if (lane || m->c->moves) {
    bool alone = m->c->element_bits < 32 && !in_words(m);
    if (alone) value = step(m, (tg_step){.kind = TG_STEP_WORD, .in = {value}, .n = 1});
    value = step(m, (tg_step){.kind = TG_STEP_SHUFFLE, .in = {value}, .lane = lane});
    if (alone) value = step(m, (tg_step){.kind = TG_STEP_PART, .in = {value}});
  }
  return *made = value;
}

static int wanted(making *m, uint32_t k) {
  int part = part_of(m, sum(m->z.c, k));
  if (!m->c->moves && !m->before.n && !m->after.n && !sum(m->z.a, k)) return (int)sum(m->z.c, k);
  int value = choose(m, &m->after, m->after.n, k ^ sum(m->round, (uint32_t)part), m->z.wanted, m->sorted, take);
  return in_words(m) ? step(m, (tg_step){.kind = TG_STEP_PART, .in = {value}, .part = part}) : value;
}

static int *none_yet(tg_arena *arena, size_t n) {
  int *made = TG_NEWN(arena, int, n + 1);
  for (size_t i = 0; i < n; i++) made[i] = -1;
  return made;
}

static void make_steps(making *m, tg_arena *arena) {
  lanes_plan *z = &m->z;
  tg_conversion *c = m->c;
  c->other = tg_map_zero(z->lanes + z->warps, z->lanes);
  for (int i = 0; i < z->lanes + z->warps; i++) {
    c->other.col[i] = z->b[i];
    c->moves |= z->b[i] != (i < z->lanes ? 1u << i : 0);
  }
  m->before = factor(z->p, z->lanes, z->warps);
  m->after = factor(z->g, z->lanes, 0);
  m->any = c->moves;
  for (int i = 0; i < z->wanted; i++) m->any |= z->a[i] != 0;
  choose_words(m);
  tg_map rounds = tg_map_zero(z->wanted, z->regs + z->lanes);
  for (int i = 0; i < z->wanted; i++) rounds.col[i] = z->c[i] | z->a[i] << z->regs;
  m->nsame = tg_map_kernel(&rounds, m->same);
  size_t have = (size_t)1 << z->regs, want = (size_t)1 << z->wanted;
  m->word = none_yet(arena, have);
  m->given = none_yet(arena, have * (size_t)m->before.n);
  m->got = none_yet(arena, want);
  m->sorted = none_yet(arena, want * (size_t)m->after.n);
  c->step = TG_NEWN(arena, tg_step, have * (size_t)(m->before.n + 1) + want * (size_t)(m->after.n + 4));
  c->result = TG_NEWN(arena, int, want);
  for (uint32_t k = 0; k < want; k++) c->result[k] = wanted(m, k);
}

// ---- costs

// CUDA C++ Programming Guide, throughput of instructions for compute capability 8.0, lanes a clock of a multiprocessor: 64 select or
// permute bytes, 32 shuffle.
static void add_costs(tg_conversion *c) {
  enum { SELECT = 1, MOVE = 1, SHUFFLE = 2 };
  tg_conversion_cost *k = &c->cost;
  int halves = c->element_bits == 64 ? 2 : 1;
  for (int i = 0; i < c->nsteps; i++) {
    const tg_step *s = &c->step[i];
    switch (s->kind) {
    case TG_STEP_WORD: k->moves += c->element_bits == 1 ? s->n : s->n - 1; break;
    case TG_STEP_PART: k->moves += 1; break;
    case TG_STEP_SELECT: k->selects += halves; break;
    case TG_STEP_SHUFFLE: k->shuffles += halves; break;
    }
  }
  int repetitions = tg_layout_repetitions(&c->to);
  k->selects *= repetitions, k->moves *= repetitions, k->shuffles *= repetitions;
  k->price = SELECT * k->selects + MOVE * k->moves + SHUFFLE * k->shuffles;
}

static tg_conversion_kind kind_of(const tg_conversion *c) {
  if (c->nsteps) return TG_CONVERT_WARP;
  int n = 1 << c->to.in[TG_REGISTER];
  for (int i = 0; i < n; i++)
    if (c->result[i] != i) return TG_CONVERT_REGISTERS;
  return c->from.in[TG_REGISTER] == c->to.in[TG_REGISTER] ? TG_CONVERT_NONE : TG_CONVERT_REGISTERS;
}

bool tg_conversion_by_lanes(tg_arena *arena, const tg_layout *from, const tg_layout *to, int element_bits, tg_conversion *out) {
  making m = {.c = out};
  *out = (tg_conversion){.element_bits = element_bits, .from = *from, .to = *to};
  if (!plan_lanes(&m.z, from, to)) return false;
  make_steps(&m, arena);
  out->kind = kind_of(out);
  add_costs(out);
  return true;
}

bool tg_conversion_plan(tg_arena *arena, const tg_layout *from, const tg_layout *to, int element_bits, int64_t shared_bytes,
                        tg_conversion *out) {
  tg_conversion memory;
  bool lanes = tg_conversion_by_lanes(arena, from, to, element_bits, out);
  if (lanes && out->kind < TG_CONVERT_WARP) return true;
  if (!tg_conversion_by_memory(from, to, element_bits, &memory)) return false;
  if (!lanes || (memory.cost.bytes <= shared_bytes && memory.cost.price < out->cost.price)) *out = memory;
  return true;
}

const char *tg_conversion_text(tg_arena *arena, const tg_conversion *c) {
  const tg_conversion_cost *k = &c->cost;
  switch (c->kind) {
  case TG_CONVERT_NONE: return "none";
  case TG_CONVERT_REGISTERS: return "registers renamed";
  case TG_CONVERT_WARP:
    return tg_arena_printf(arena, "in warps: %d shuffles, %d selects, %d moves; price %d", k->shuffles, k->selects, k->moves, k->price);
  case TG_CONVERT_SHARED:
    return tg_arena_printf(
        arena,
        "shared memory: %lld bytes, %d stores of %d in %d wavefronts, %d loads of %d in %d, %d moves, %d barriers; places %s; price %d",
        (long long)k->bytes, k->stores, 1 << c->store_bits, k->store_waves, k->loads, 1 << c->load_bits, k->load_waves, k->moves,
        k->barriers, tg_map_text(arena, &c->at), k->price);
  }
  return "";
}
