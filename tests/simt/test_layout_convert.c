// Conversion plans carried out element by element, by nothing but what layout_convert.h says of them: every place of the wanted layout must
// end up with its element. Over all pairs of small layouts, and over random ones of whole warps; costs against counting.
#include <stdlib.h>

#include "codegen/layout_convert.h"
#include "test.h"

enum { MOST_VALUES = 4096, MOST_THREADS = 256 };
static tg_arena arena;

static uint32_t random_bits(uint64_t *seed) { // xorshift64*
  *seed ^= *seed >> 12, *seed ^= *seed << 25, *seed ^= *seed >> 27;
  return (uint32_t)(*seed * 2685821657736338717u >> 32);
}

static uint32_t image(const tg_map *f, uint32_t x) { // without the library
  uint32_t y = 0;
  for (int i = 0; x; i++, x >>= 1) y ^= (x & 1) * f->col[i];
  return y;
}

static int parity(uint32_t x) { return __builtin_popcount(x) & 1; }

// Element that a register of a thread holds, in the 2^n part.
static uint32_t element(const tg_layout *l, uint32_t reg, uint32_t thread) { return image(&l->map, reg | thread << l->in[TG_REGISTER]); }

// ---- carrying out

typedef struct word {
  int n;
  uint32_t part[4];
} word;
static word values[MOST_THREADS][MOST_VALUES];

static word carry_out(const tg_conversion *c, const tg_step *s, uint32_t thread) {
  uint32_t lanes = (1u << c->from.in[TG_LANE]) - 1, lane = thread & lanes, warp = thread >> c->from.in[TG_LANE];
  word w = {.n = 1};
  switch (s->kind) {
  case TG_STEP_WORD:
    CHECK(s->n * c->element_bits <= 32);
    w.n = s->n;
    for (int i = 0; i < s->n; i++) {
      CHECK(values[thread][s->in[i]].n == 1);
      w.part[i] = values[thread][s->in[i]].part[0];
    }
    return w;
  case TG_STEP_SELECT: return values[thread][s->in[parity(lane & s->lanes) ^ parity(warp & s->warps)]];
  case TG_STEP_SHUFFLE: {
    uint32_t other = image(&c->other, thread) ^ s->lane;
    CHECK(other <= lanes && (c->moves || image(&c->other, thread) == lane));
    return values[warp << c->from.in[TG_LANE] | other][s->in[0]];
  }
  case TG_STEP_PART:
    CHECK(s->part < values[thread][s->in[0]].n);
    w.part[0] = values[thread][s->in[0]].part[s->part];
    return w;
  }
  return w;
}

static void check_lanes(const tg_conversion *c) {
  const tg_layout *from = &c->from, *to = &c->to;
  int threads = 1 << (from->in[TG_LANE] + from->in[TG_WARP]), have = 1 << from->in[TG_REGISTER];
  bool good = have + c->nsteps <= MOST_VALUES && threads <= MOST_THREADS;
  CHECK(good);
  if (!good) return;
  for (int t = 0; t < threads; t++)
    for (int r = 0; r < have; r++) values[t][r] = (word){1, {element(from, (uint32_t)r, (uint32_t)t)}};
  for (int i = 0; i < c->nsteps; i++)
    for (int t = 0; t < threads; t++) values[t][have + i] = carry_out(c, &c->step[i], (uint32_t)t);
  int wrong = 0;
  for (int t = 0; t < threads; t++)
    for (int r = 0; r < 1 << to->in[TG_REGISTER]; r++) {
      const word *w = &values[t][c->result[r]];
      wrong += w->n != 1 || w->part[0] != element(to, (uint32_t)r, (uint32_t)t);
    }
  CHECKF(wrong == 0, "%d elements wrong", wrong);
  CHECK((c->kind == TG_CONVERT_WARP) == (c->nsteps > 0));
  if (c->kind == TG_CONVERT_NONE)
    for (int r = 0; r < have; r++) CHECK(c->result[r] == r);
}

static bool owns(const tg_layout *l, uint32_t place) {
  uint32_t basis[TG_MAP_BITS];
  for (int i = 0, n = tg_map_kernel(&l->map, basis); i < n; i++)
    if (place >> (31 - __builtin_clz(basis[i])) & 1) return false;
  return true;
}

// Wavefronts of one access: groups of lanes that ask for 128 bytes, each as many as its busiest bank has words.
static int count_waves(const int64_t *byte, const bool *active, int lanes, int bytes) {
  int together = bytes > 4 ? 128 / bytes : 32, all = 0;
  for (int first = 0; first < lanes; first += together) {
    int64_t seen[32][64];
    int n[32] = {0}, most = 0;
    for (int l = first; l < lanes && l < first + together; l++)
      for (int64_t w = byte[l] / 4; active[l] && w * 4 < byte[l] + bytes; w++) {
        int bank = (int)(w % 32), i = 0;
        while (i < n[bank] && seen[bank][i] != w) i++;
        if (i == n[bank]) seen[bank][n[bank]++] = w;
        if (n[bank] > most) most = n[bank];
      }
    all += most;
  }
  return all;
}

typedef struct access {
  int instructions, waves;
} access;

// Every access of a warp that does any: its elements' numbers, by the registers that begin one.
static access run_accesses(const tg_conversion *c, const tg_layout *l, int nbits, const uint32_t *reg, bool store, uint32_t *memory) {
  int lanes = 1 << l->in[TG_LANE], size = c->element_bits < 8 ? 1 : c->element_bits / 8, wide = 1 << nbits;
  access most = {0};
  for (uint32_t warp = 0; warp < 1u << l->in[TG_WARP]; warp++) {
    access a = {0};
    for (uint32_t r = 0; r < 1u << l->in[TG_REGISTER]; r++) {
      if (image(&c->at, element(l, r, 0)) % (uint32_t)wide || (store && !owns(l, r))) continue;
      int64_t byte[32];
      bool active[32], any = false;
      for (uint32_t lane = 0; lane < (uint32_t)lanes; lane++) {
        uint32_t thread = warp << l->in[TG_LANE] | lane, first = image(&c->at, element(l, r, thread));
        active[lane] = !store || owns(l, r | thread << l->in[TG_REGISTER]);
        any |= active[lane];
        byte[lane] = (int64_t)first * size;
        CHECK(first % (uint32_t)wide == 0);
        for (uint32_t e = 0; active[lane] && e < (uint32_t)wide; e++) {
          uint32_t mine = r;
          for (int i = 0; i < nbits; i++)
            if (e >> i & 1) mine ^= reg[i];
          uint32_t x = element(l, mine, thread);
          CHECK(image(&c->at, x) == first + e);
          if (store) memory[first + e] = x;
          else CHECK(memory[first + e] == x);
        }
      }
      if (!any) continue;
      a.instructions++;
      if (lanes == 32) a.waves += count_waves(byte, active, lanes, wide * size);
    }
    if (a.instructions > most.instructions) most = a;
  }
  return most;
}

static void check_memory(const tg_conversion *c) {
  int n = 1 << c->at.nin, size = c->element_bits < 8 ? 1 : c->element_bits / 8;
  uint32_t *memory = malloc(sizeof *memory * (size_t)n), seen = 0;
  for (int i = 0; i < n; i++) memory[i] = ~0u;
  CHECK(tg_map_rank(&c->at) == c->at.nin && size << c->store_bits <= 16 && size << c->load_bits <= 16);
  access store = run_accesses(c, &c->from, c->store_bits, c->store_reg, true, memory);
  for (int i = 0; i < n; i++) seen += memory[i] == ~0u;
  CHECK(seen == 0);
  access load = run_accesses(c, &c->to, c->load_bits, c->load_reg, false, memory);
  int repetitions = tg_layout_repetitions(&c->to);
  CHECK(c->cost.stores == store.instructions * repetitions && c->cost.loads == load.instructions * repetitions);
  CHECK(c->cost.bytes == (int64_t)n * size * repetitions);
  if (c->from.in[TG_LANE] == 5)
    CHECKF(c->cost.store_waves == store.waves * repetitions && c->cost.load_waves == load.waves * repetitions, "%d %d, counted %d %d",
           c->cost.store_waves, c->cost.load_waves, store.waves, load.waves);
  free(memory);
}

typedef struct seen {
  int64_t plans, by_lanes, by_memory, refused;
} seen;

static void check_pair(const tg_layout *from, const tg_layout *to, int element_bits, seen *n) {
  tg_conversion lanes, memory, best;
  bool can = tg_conversion_by_lanes(&arena, from, to, element_bits, &lanes);
  bool by_memory = tg_conversion_by_memory(from, to, element_bits, &memory);
  CHECK(by_memory == tg_conversion_plan(&arena, from, to, element_bits, 1 << 20, &best));
  CHECK(by_memory || !can);
  if (can) check_lanes(&lanes);
  if (by_memory) check_memory(&memory);
  if (by_memory) {
    CHECK(best.kind == TG_CONVERT_SHARED ? best.cost.price == memory.cost.price : can && best.cost.price == lanes.cost.price);
    CHECK(best.cost.price <= memory.cost.price && (!can || best.cost.price <= lanes.cost.price));
    tg_conversion little; // what does not fit is not chosen where lanes will do
    CHECK(tg_conversion_plan(&arena, from, to, element_bits, 0, &little) && (little.kind == TG_CONVERT_SHARED) == !can);
  }
  n->plans++, n->by_lanes += can, n->by_memory += by_memory && !can, n->refused += !by_memory;
  tg_arena_free(&arena);
}

// ---- all pairs of small layouts

static tg_layout nth_layout(int bits, const int in[TG_NHOLDERS], uint32_t code) {
  tg_layout l = tg_layout_empty(1, (const int32_t[]){1 << bits});
  for (int h = 0; h < TG_NHOLDERS; h++)
    for (int b = 0; b < in[h]; b++, code >>= bits) tg_layout_add_image(&l, (tg_holder)h, code & ((1u << bits) - 1));
  return l;
}

static void test_all_small(void) {
  static const struct {
    int bits, from[TG_NHOLDERS], to[TG_NHOLDERS];
  } cases[] = {{1, {1, 1, 1}, {1, 1, 1}}, {2, {1, 1, 0}, {1, 1, 0}}, {2, {2, 1, 0}, {1, 1, 0}}, {2, {1, 2, 0}, {2, 2, 0}},
               {2, {0, 2, 1}, {1, 2, 1}}, {2, {1, 1, 1}, {1, 1, 1}}, {2, {2, 0, 1}, {1, 0, 1}}, {2, {0, 1, 2}, {2, 1, 2}},
               {3, {1, 2, 0}, {1, 2, 0}}, {3, {2, 1, 0}, {2, 1, 0}}};
  seen n = {0};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int bits = cases[i].bits, a = 0, b = 0;
    uint32_t step = bits < 3 ? 1 : 7; // of 262144 pairs every seventh
    for (int h = 0; h < TG_NHOLDERS; h++) a += cases[i].from[h] * bits, b += cases[i].to[h] * bits;
    for (uint32_t f = 0; f < 1u << a; f++)
      for (uint32_t t = f % step; t < 1u << b; t += step) {
        tg_layout from = nth_layout(bits, cases[i].from, f), to = nth_layout(bits, cases[i].to, t);
        if (tg_map_rank(&from.map) < bits) continue; // every element is held somewhere
        check_pair(&from, &to, f % 3 == 0 ? 32 : f % 3 == 1 ? 16 : 8, &n);
      }
  }
  CHECK(n.by_lanes > n.plans / 4 && n.by_memory > 0 && n.refused == 0);
}

// ---- whole warps

static uint32_t random_image(uint64_t *seed, int bits, int style) {
  uint32_t any = random_bits(seed) & ((1u << bits) - 1);
  return style == 0 ? any : 1u << any % (uint32_t)bits;
}

// Every bit of the tile once, in an order by chance; more inputs than bits repeat something or nothing.
static tg_layout random_layout(uint64_t *seed, int bits, const int in[TG_NHOLDERS]) {
  tg_layout l = tg_layout_empty(2, (const int32_t[]){(random_bits(seed) % 4 ? 1 : 3) << bits / 2, 1 << (bits - bits / 2)});
  l.odd[0] = 1;
  uint32_t order[TG_MAP_BITS], inputs = (uint32_t)(in[0] + in[1] + in[2]);
  int style = (int)(random_bits(seed) % 3);
  for (uint32_t i = 0; i < inputs; i++) order[i] = i < (uint32_t)bits ? 1u << i : style == 1 ? random_image(seed, bits, 1) : 0;
  for (uint32_t i = inputs; i-- > 1;) {
    uint32_t k = random_bits(seed) % (i + 1), x = order[i];
    order[i] = order[k], order[k] = x;
  }
  for (uint32_t i = 0; style == 0 && i < inputs; i++) order[i] ^= order[(i + 1) % inputs] & random_bits(seed);
  uint32_t next = 0;
  for (int h = 0; h < TG_NHOLDERS; h++)
    for (int b = 0; b < in[h]; b++) tg_layout_add_image(&l, (tg_holder)h, order[next++]);
  return l;
}

static void test_warps(void) {
  static const int widths[] = {1, 8, 16, 32, 64};
  uint64_t seed = 20261201;
  seen n = {0};
  while (n.plans < 8000) {
    int bits = 3 + (int)(random_bits(&seed) % 7), warps = (int)(random_bits(&seed) % 3);
    int a[] = {(int)(random_bits(&seed) % 5), 5, warps}, b[] = {(int)(random_bits(&seed) % 5), 5, warps};
    if (a[0] + 5 + warps < bits || b[0] + 5 + warps < bits) continue;
    tg_layout from = random_layout(&seed, bits, a), to = random_layout(&seed, bits, b);
    if (tg_map_rank(&from.map) < bits) continue;
    check_pair(&from, &to, widths[random_bits(&seed) % 5], &n);
  }
  CHECK(n.by_lanes > n.plans / 10 && n.by_memory > 0 && n.refused == 0);
}

// ---- what plans must come to

static tg_layout from_text(int rank, const int32_t *shape, const char *reg, const char *lane, const char *warp) {
  const char *text[] = {reg, lane, warp}; // "1:0 0:3 -": axis:bit
  tg_layout l = tg_layout_empty(rank, shape);
  for (int h = 0; h < TG_NHOLDERS; h++)
    for (const char *p = text[h]; *p; p += strcspn(p, " "), p += *p == ' ') {
      int axis = -1, bit = 0;
      if (*p != '-') sscanf(p, "%d:%d", &axis, &bit);
      tg_layout_add(&l, (tg_holder)h, axis, bit);
    }
  return l;
}

static tg_conversion plan(const tg_layout *from, const tg_layout *to, int element_bits) {
  tg_conversion c = {0};
  CHECK(tg_conversion_plan(&arena, from, to, element_bits, 48 << 10, &c));
  return c;
}

static void test_known(void) {
  const int32_t square[] = {8, 8}, tile[] = {16, 16};
  // A row a register and a column a lane, turned: three bits of the register against three of the lane. Each lane keeps an eighth.
  tg_layout rows = from_text(2, square, "0:0 0:1 0:2", "1:0 1:1 1:2 - -", ""),
            columns = from_text(2, square, "1:0 1:1 1:2", "0:0 0:1 0:2 - -", "");
  tg_conversion c = plan(&rows, &columns, 32);
  CHECK(c.kind == TG_CONVERT_WARP && c.cost.shuffles == 7 && c.cost.selects == 48);
  CHECK(plan(&rows, &columns, 64).cost.shuffles == 14);
  // Accumulators of two neighbours in n are an A fragment: nothing at all.
  tg_layout acc = from_text(2, tile, "1:0 0:3 1:3", "1:1 1:2 0:0 0:1 0:2", ""), a = tg_layout_mma_a();
  CHECK(plan(&acc, &a, 16).kind == TG_CONVERT_NONE);
  tg_layout swapped = from_text(2, tile, "1:0 1:3 0:3", "1:1 1:2 0:0 0:1 0:2", "");
  c = plan(&acc, &swapped, 16);
  CHECK(c.kind == TG_CONVERT_REGISTERS && c.cost.price == 0);
  // Lanes change places: one shuffle a word, two elements of 16 bits or four of 8 in each.
  tg_layout moved = from_text(2, tile, "1:0 0:3 1:3", "0:0 0:1 0:2 1:1 1:2", "");
  CHECK(plan(&acc, &moved, 32).cost.shuffles == 8);
  CHECK(plan(&acc, &moved, 16).cost.shuffles == 4);
  CHECK(plan(&acc, &moved, 8).cost.shuffles == 2);
  // A row's value, held by the four lanes of its group in two registers, to a lane a row: one shuffle, one select before it.
  tg_layout sums = tg_layout_collapse(&acc, 1);
  sums = tg_layout_compact(&sums);
  tg_layout lane = from_text(2, (const int32_t[]){16, 1}, "", "0:0 0:1 0:2 0:3 -", "");
  c = plan(&sums, &lane, 32);
  CHECK(c.kind == TG_CONVERT_WARP && c.cost.shuffles == 1 && c.cost.selects == 1);
  // What all warps hold, to a part for each: selects alone.
  tg_layout all = from_text(1, (const int32_t[]){128}, "0:0 0:1", "0:2 0:3 0:4 0:5 0:6", "- -");
  tg_layout part = from_text(1, (const int32_t[]){128}, "", "0:2 0:3 0:4 0:5 0:6", "0:0 0:1");
  c = plan(&all, &part, 32);
  CHECK(c.kind == TG_CONVERT_WARP && c.cost.shuffles == 0 && c.cost.selects == 3);
  // Between warps: shared memory, rows of four elements in a lane on both sides. Stores have 8 bytes; loads of 16
  // could only be had with stores that meet in banks.
  const int32_t big[] = {64, 64};
  tg_layout by_rows = from_text(2, big, "1:0 1:1 0:0 0:1 0:5", "1:2 1:3 1:4 0:2 0:3", "0:4 1:5");
  tg_layout by_columns = from_text(2, big, "1:0 1:1 0:0 0:1 1:5", "0:2 0:3 0:4 1:2 1:3", "1:4 0:5");
  c = plan(&by_rows, &by_columns, 32);
  CHECK(c.kind == TG_CONVERT_SHARED && c.cost.bytes == 16384 && c.cost.stores == 16 && c.cost.loads == 16);
  CHECK(c.cost.store_waves == 32 && c.cost.load_waves == 32 && c.cost.moves == 0);
  tg_arena_free(&arena);
}

// The larger tile is never cheaper, nor the one with wider elements; one more input that both sides have alike costs nothing but its share.
static void test_monotone(void) {
  uint64_t seed = 7;
  for (int i = 0; i < 3000; i++) {
    int bits = 5 + (int)(random_bits(&seed) % 3), in[] = {2, 5, 0};
    tg_layout from = random_layout(&seed, bits, in), to = random_layout(&seed, bits, in);
    if (tg_map_rank(&from.map) < bits) continue;
    from.odd[0] = to.odd[0] = 1;
    tg_conversion one = plan(&from, &to, 32), narrow = plan(&from, &to, 16), wide = plan(&from, &to, 64);
    CHECK(narrow.cost.price <= one.cost.price + one.cost.moves + 2 * narrow.cost.moves && one.cost.price <= wide.cost.price);
    CHECK((one.cost.price == 0) == (one.kind < TG_CONVERT_WARP));
    tg_layout same = plan(&from, &from, 32).to;
    CHECK(plan(&from, &same, 32).cost.price == 0);
    tg_layout twice = tg_layout_empty(2, (const int32_t[]){2, 1});
    tg_layout_add(&twice, TG_REGISTER, 0, 0);
    tg_layout from2 = tg_layout_product(&from, &twice), to2 = tg_layout_product(&to, &twice);
    int price = plan(&from2, &to2, 32).cost.price;
    CHECKF(price >= one.cost.price && price <= 2 * one.cost.price, "%d for one, %d for two", one.cost.price, price);
    from.odd[0] = to.odd[0] = 3;
    CHECK(plan(&from, &to, 32).cost.price >= one.cost.price && plan(&from, &to, 32).cost.price <= 3 * one.cost.price);
    tg_arena_free(&arena);
  }
}

// Any pair of layouts that split a tile of 64 x 64 over warps without replicas gets its accesses without a conflict when they have one
// width.
static void test_conflicts(void) {
  uint64_t seed = 99;
  int free_ = 0, all = 0;
  for (int i = 0; i < 4000; i++) {
    int in[] = {5, 5, 2};
    tg_layout from = random_layout(&seed, 12, in), to = random_layout(&seed, 12, in);
    tg_conversion c;
    if (tg_map_rank(&from.map) < 12 || tg_map_rank(&to.map) < 12) continue;
    from.odd[0] = to.odd[0] = 1;
    CHECK(tg_conversion_by_memory(&from, &to, 32, &c));
    // 4096 elements of four bytes over four warps: 32 wavefronts each at best.
    CHECK(c.cost.store_waves >= 32 && c.cost.load_waves >= 32);
    all++, free_ += c.cost.store_waves == 32 && c.cost.load_waves == 32;
  }
  CHECKF(free_ == all && all > 1000, "%d of %d without a conflict", free_, all);
}

int main(void) {
  tg_context *ctx;
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  tg_arena_init(&arena, ctx);
  test_known();
  test_all_small();
  test_warps();
  test_monotone();
  test_conflicts();
  tg_arena_free(&arena);
  tg_context_free(ctx);
  return test_done();
}
