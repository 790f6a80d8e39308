// The layout algebra against its laws, over all small maps, and the fragments against the formulas of the PTX ISA written out by hand.
#include "codegen/layout.h"
#include "test.h"

static tg_map nth_map(int nin, int nout, uint32_t code) {
  tg_map f = tg_map_zero(nin, nout);
  for (int i = 0; i < nin; i++, code >>= nout) f.col[i] = code & ((1u << nout) - 1);
  return f;
}
#define EACH_MAP(f, nin, nout)                                                                                                             \
  for (uint32_t f##_i = 0; f##_i < 1u << ((nin) * (nout)); f##_i++)                                                                        \
    for (tg_map f = nth_map(nin, nout, f##_i), *f##_once = &f; f##_once; f##_once = NULL)

// f as a table of values, computed without the library: the meaning that everything is held against.
static uint32_t value(const tg_map *f, uint32_t x) {
  uint32_t y = 0;
  for (int i = 0; x; i++, x >>= 1) y ^= (x & 1) * f->col[i];
  return y;
}

static int image_size(const tg_map *f) {
  int n = 0;
  for (uint32_t y = 0; y < 1u << f->nout; y++)
    for (uint32_t x = 0; x < 1u << f->nin; x++)
      if (value(f, x) == y) {
        n++;
        break;
      }
  return n;
}

static void test_single(int nin, int nout) {
  EACH_MAP(f, nin, nout) {
    int image = image_size(&f), rank = tg_map_rank(&f);
    CHECK(image == 1 << rank);
    for (uint32_t x = 0; x < 1u << nin; x++) CHECK(tg_map_apply(&f, x) == value(&f, x));
    tg_map r, l, q;
    bool onto = image == 1 << nout, one_to_one = image == 1 << nin;
    CHECK(tg_map_right_inverse(&f, &r) == onto);
    if (onto)
      for (uint32_t y = 0; y < 1u << nout; y++) CHECK(value(&f, tg_map_apply(&r, y)) == y);
    CHECK(tg_map_left_inverse(&f, &l) == one_to_one);
    if (one_to_one)
      for (uint32_t x = 0; x < 1u << nin; x++) CHECK(tg_map_apply(&l, value(&f, x)) == x);
    // The kernel: as many vectors as rank-nullity says, each sent to 0; inputs without pivot bits reach every element exactly once.
    uint32_t basis[TG_MAP_BITS], pivots = 0;
    int n = tg_map_kernel(&f, basis);
    CHECK(n == nin - rank);
    for (int i = 0; i < n; i++) {
      CHECK(basis[i] && value(&f, basis[i]) == 0);
      pivots |= 1u << (31 - __builtin_clz(basis[i]));
    }
    CHECK(__builtin_popcount(pivots) == n);
    uint32_t seen = 0;
    for (uint32_t x = 0; x < 1u << nin; x++)
      if (!(x & pivots)) {
        CHECK(!(seen >> value(&f, x) & 1));
        seen |= 1u << value(&f, x);
      }
    CHECK(__builtin_popcount(seen) == image);
    tg_map unit = tg_map_identity(0);
    CHECK(tg_map_divide(&f, &unit, &q) && tg_map_equal(&q, &f));
    tg_map right = tg_map_identity(nin), left = tg_map_identity(nout);
    tg_map a = tg_map_compose(&f, &right), b = tg_map_compose(&left, &f);
    CHECK(tg_map_equal(&a, &f) && tg_map_equal(&b, &f));
  }
}

static void test_pairs(void) {
  EACH_MAP(f, 2, 3) EACH_MAP(g, 3, 2) {
    tg_map h = tg_map_compose(&f, &g);
    for (uint32_t x = 0; x < 8; x++) CHECK(tg_map_apply(&h, x) == value(&f, value(&g, x)));
  }
  for (int n = 0; n <= 2; n++)
    for (int m = 0; m <= 2; m++) EACH_MAP(f, n, m) EACH_MAP(g, 2, 2) {
        tg_map p = tg_map_product(&f, &g), q;
        for (uint32_t x = 0; x < 1u << (n + 2); x++)
          CHECK(tg_map_apply(&p, x) == (value(&f, x & ((1u << n) - 1)) | value(&g, x >> n) << m));
        CHECK(tg_map_divide(&p, &f, &q) && tg_map_equal(&q, &g));
      }
  // divide says yes exactly when some product gives f back.
  EACH_MAP(f, 3, 3) EACH_MAP(g, 2, 1) {
    tg_map q;
    bool found = false;
    EACH_MAP(w, 1, 2) {
      tg_map p = tg_map_product(&g, &w);
      found |= tg_map_equal(&p, &f);
    }
    CHECK(tg_map_divide(&f, &g, &q) == found);
    if (found) {
      tg_map p = tg_map_product(&g, &q);
      CHECK(tg_map_equal(&p, &f));
    }
  }
  // solve says yes exactly when g's image lies in f's.
  EACH_MAP(f, 3, 3) EACH_MAP(g, 2, 3) {
    bool inside = true;
    for (uint32_t y = 0; y < 4; y++) {
      bool hit = false;
      for (uint32_t x = 0; x < 8; x++) hit |= value(&f, x) == value(&g, y);
      inside &= hit;
    }
    tg_map x;
    CHECK(tg_map_solve(&f, &g, &x) == inside);
    if (inside)
      for (uint32_t y = 0; y < 4; y++) CHECK(value(&f, tg_map_apply(&x, y)) == value(&g, y));
  }
}

static void test_triples(void) {
  EACH_MAP(f, 2, 2) EACH_MAP(g, 2, 2) EACH_MAP(h, 2, 2) {
    tg_map fg = tg_map_compose(&f, &g), gh = tg_map_compose(&g, &h), a = tg_map_compose(&fg, &h), b = tg_map_compose(&f, &gh);
    CHECK(tg_map_equal(&a, &b));
    tg_map pfg = tg_map_product(&f, &g), pgh = tg_map_product(&g, &h), c = tg_map_product(&pfg, &h), d = tg_map_product(&f, &pgh);
    CHECK(tg_map_equal(&c, &d));
    // (f x g) . (h x h) = (f . h) x (g . h)
    tg_map hh = tg_map_product(&h, &h), left = tg_map_compose(&pfg, &hh), fh = tg_map_compose(&f, &h), right = tg_map_product(&fh, &gh);
    CHECK(tg_map_equal(&left, &right));
  }
}

// ---- layouts

static void coords_of(const tg_layout *l, uint32_t reg, uint32_t lane, uint32_t c[TG_MAX_RANK]) {
  tg_layout_coords(l, (tg_place){.at = {reg, lane, 0}}, c);
}

// PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type": groupID = %laneid >> 2, threadID_in_group = %laneid % 4.
static void test_fragments(void) {
  tg_layout a = tg_layout_mma_a(), b = tg_layout_mma_b(), c = tg_layout_mma_c();
  for (int lane = 0; lane < 32; lane++) {
    uint32_t x[TG_MAX_RANK];
    int group = lane >> 2, thread = lane % 4;
    for (int i = 0; i < 8; i++) { // row = groupID for ai where 0 <= i < 2 || 4 <= i < 6, groupID + 8 otherwise; col + 8 where i >= 4
      coords_of(&a, (uint32_t)i, (uint32_t)lane, x);
      int row = (i < 2 || (i >= 4 && i < 6)) ? group : group + 8, col = i < 4 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8;
      CHECKF((int)x[0] == row && (int)x[1] == col, "A lane %d a%d: %u %u", lane, i, x[0], x[1]);
    }
    for (int i = 0; i < 4; i++) {
      coords_of(&b, (uint32_t)i, (uint32_t)lane, x); // row = (threadID_in_group * 2) + (i & 0x1), + 8 where i >= 2; col = groupID
      CHECKF((int)x[0] == thread * 2 + (i & 1) + (i >= 2 ? 8 : 0) && (int)x[1] == group, "B lane %d b%d: %u %u", lane, i, x[0], x[1]);
      coords_of(&c, (uint32_t)i, (uint32_t)lane, x); // row = groupID for i < 2, groupID + 8 else; col = (threadID_in_group * 2) + (i & 0x1)
      CHECKF((int)x[0] == (i < 2 ? group : group + 8) && (int)x[1] == thread * 2 + (i & 1), "C lane %d c%d: %u %u", lane, i, x[0], x[1]);
    }
  }
  // The table at lanes 0, 5 and 31, copied from the figures of that section as (row, column).
  static const struct {
    int lane, a[8][2], b[4][2], c[4][2];
  } figure[] = {
      {0,
       {{0, 0}, {0, 1}, {8, 0}, {8, 1}, {0, 8}, {0, 9}, {8, 8}, {8, 9}},
       {{0, 0}, {1, 0}, {8, 0}, {9, 0}},
       {{0, 0}, {0, 1}, {8, 0}, {8, 1}}},
      {5,
       {{1, 2}, {1, 3}, {9, 2}, {9, 3}, {1, 10}, {1, 11}, {9, 10}, {9, 11}},
       {{2, 1}, {3, 1}, {10, 1}, {11, 1}},
       {{1, 2}, {1, 3}, {9, 2}, {9, 3}}},
      {31,
       {{7, 6}, {7, 7}, {15, 6}, {15, 7}, {7, 14}, {7, 15}, {15, 14}, {15, 15}},
       {{6, 7}, {7, 7}, {14, 7}, {15, 7}},
       {{7, 6}, {7, 7}, {15, 6}, {15, 7}}},
  };
  for (int k = 0; k < 3; k++) {
    uint32_t x[TG_MAX_RANK], lane = (uint32_t)figure[k].lane;
    for (int i = 0; i < 8; i++) {
      coords_of(&a, (uint32_t)i, lane, x);
      CHECK((int)x[0] == figure[k].a[i][0] && (int)x[1] == figure[k].a[i][1]);
    }
    for (int i = 0; i < 4; i++) {
      coords_of(&b, (uint32_t)i, lane, x);
      CHECK((int)x[0] == figure[k].b[i][0] && (int)x[1] == figure[k].b[i][1]);
      coords_of(&c, (uint32_t)i, lane, x);
      CHECK((int)x[0] == figure[k].c[i][0] && (int)x[1] == figure[k].c[i][1]);
    }
  }
}

// PTX ISA, ldmatrix: "each thread's fragment for an 8x8 b16 matrix": lane l holds elements 2(l%4), 2(l%4)+1 of row l/4 of matrix j in
// register j; with .trans row and column change places. Lanes 8j .. 8j+7 give the addresses of the rows of matrix j.
static void test_ldmatrix(void) {
  for (int count = 1; count <= 4; count *= 2) {
    tg_layout plain = tg_layout_ldmatrix(count, false), trans = tg_layout_ldmatrix(count, true), rows = tg_layout_ldmatrix_rows(count);
    for (int lane = 0; lane < 32; lane++) {
      uint32_t x[TG_MAX_RANK];
      for (int i = 0; i < 2 * count; i++) {
        int matrix = i / 2, far = lane / 4, near = lane % 4 * 2 + i % 2;
        coords_of(&plain, (uint32_t)i, (uint32_t)lane, x);
        CHECK((int)x[0] == matrix && (int)x[1] == far && (int)x[2] == near);
        coords_of(&trans, (uint32_t)i, (uint32_t)lane, x);
        CHECK((int)x[0] == matrix && (int)x[1] == near && (int)x[2] == far);
      }
      coords_of(&rows, 0, (uint32_t)lane, x);
      CHECK((int)x[0] == lane / 8 % count && (int)x[1] == lane % 8);
    }
  }
}

// Every element of the tile is held; places that hold the same one differ by the kernel alone.
static void check_covers(const tg_layout *l) {
  int n = 1 << l->map.nout, places = 1 << l->map.nin;
  int *count = calloc((size_t)n, sizeof *count);
  for (int i = 0; i < places; i++) count[tg_map_apply(&l->map, (uint32_t)i)]++;
  for (int i = 0; i < n; i++) CHECK(count[i] == places / n);
  free(count);
}

static void test_blocked(void) {
  static const int32_t shapes[][2] = {{1, 1}, {1, 1024}, {16, 64}, {64, 2}, {3, 576}, {192, 160}, {128, 1}, {1, 7}};
  for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
    for (int vector = 1; vector <= 8; vector *= 2)
      for (int warps = 0; warps <= 2; warps++) {
        tg_layout l = tg_layout_blocked(2, shapes[s], vector, 5, warps);
        check_covers(&l);
        CHECK(l.in[TG_LANE] == 5 && l.in[TG_WARP] == warps);
        CHECK(l.odd[0] << l.out[0] == shapes[s][0] && l.odd[1] << l.out[1] == shapes[s][1]);
        uint32_t x[TG_MAX_RANK]; // neighbouring registers are neighbouring elements
        for (uint32_t r = 0; (int)r < vector && r < 1u << l.out[1]; r++) {
          coords_of(&l, r, 0, x);
          CHECK(x[0] == 0 && x[1] == r);
        }
      }
  tg_arena arena;
  tg_context *ctx;
  CHECK(tg_context_new(NULL, &ctx) == TG_OK);
  tg_arena_init(&arena, ctx);
  tg_layout l = tg_layout_blocked(2, (const int32_t[]){6, 64}, 4, 5, 0);
  CHECK_STR(tg_layout_text(&arena, &l), "[6x64] register(1:1, 1:2) lane(1:4, 1:8, 1:16, 1:32, 0:1)");
  l = tg_layout_blocked(1, (const int32_t[]){4}, 1, 3, 1);
  CHECK_STR(tg_layout_text(&arena, &l), "[4] lane(0:1, 0:2, -) warp(-)");
  tg_map f = nth_map(2, 3, 021);
  CHECK_STR(tg_map_text(&arena, &f), "[1 2]");
  tg_arena_free(&arena);
  tg_context_free(ctx);
}

static void test_product(void) {
  tg_layout c = tg_layout_mma_c(), up = tg_layout_empty(2, (const int32_t[]){2, 12}), q;
  tg_layout_add(&up, TG_REGISTER, 1, 0);
  tg_layout_add(&up, TG_WARP, 0, 0);
  tg_layout_add(&up, TG_REGISTER, 1, 1);
  tg_layout whole = tg_layout_product(&c, &up);
  CHECK(whole.odd[1] == 3 && whole.out[0] == 5 && whole.out[1] == 5);
  check_covers(&whole);
  for (uint32_t reg = 0; reg < 16; reg++)
    for (uint32_t lane = 0; lane < 32; lane++)
      for (uint32_t warp = 0; warp < 2; warp++) {
        uint32_t x[TG_MAX_RANK], y[TG_MAX_RANK], z[TG_MAX_RANK];
        tg_layout_coords(&whole, (tg_place){.at = {reg, lane, warp}}, x);
        tg_layout_coords(&c, (tg_place){.at = {reg & 3, lane, 0}}, y);
        tg_layout_coords(&up, (tg_place){.at = {reg >> 2, 0, warp}}, z);
        CHECK(x[0] == y[0] + 16 * z[0] && x[1] == y[1] + 8 * z[1]);
      }
  CHECK(tg_layout_divide(&whole, &c, &q) && tg_layout_equal(&q, &up));
  tg_layout a = tg_layout_mma_a(), b = tg_layout_mma_b(); // accumulators of two neighbours in n are an A fragment
  CHECK(tg_layout_divide(&whole, &a, &q) && q.out[0] == 1 && q.out[1] == 1 && q.odd[1] == 3);
  CHECK(!tg_layout_divide(&whole, &b, &q));
}

// Where a wanted element comes from, checked element by element.
static void check_conversion(const tg_layout *from, const tg_layout *to) {
  tg_map x;
  CHECK(tg_layout_conversion(from, to, &x));
  for (uint32_t place = 0; place < 1u << to->map.nin; place++)
    CHECK(tg_map_apply(&from->map, tg_map_apply(&x, place)) == tg_map_apply(&to->map, place));
}

static void test_conversion(void) {
  const int32_t shape[] = {16, 8};
  tg_layout c = tg_layout_mma_c(), rows = tg_layout_blocked(2, shape, 4, 5, 0), all = tg_layout_blocked(2, shape, 1, 5, 0);
  check_conversion(&c, &rows);
  check_conversion(&rows, &c);
  check_conversion(&all, &c);
  tg_map x;
  CHECK(tg_layout_conversion(&c, &c, &x));
  tg_map id = tg_map_identity(7);
  CHECK(tg_map_equal(&x, &id));
  tg_layout sum = tg_layout_collapse(&c, 1); // a row's value, replicated over the four lanes of its group
  CHECK(sum.out[1] == 0 && sum.out[0] == 4);
  CHECK(tg_layout_image(&sum, TG_LANE, 0) == 0 && tg_layout_image(&sum, TG_LANE, 2) == 1 && tg_layout_image(&sum, TG_REGISTER, 1) == 8);
  tg_layout plain = tg_layout_blocked(2, (const int32_t[]){16, 1}, 1, 5, 0);
  check_conversion(&sum, &plain);
  check_conversion(&plain, &sum);
  tg_layout other = tg_layout_blocked(2, (const int32_t[]){8, 16}, 1, 5, 0);
  CHECK(!tg_layout_conversion(&c, &other, &x));
  tg_layout part = tg_layout_empty(2, shape); // holds only column 0
  for (int b = 0; b < 4; b++) tg_layout_add(&part, TG_LANE, 0, b);
  CHECK(!tg_layout_conversion(&part, &c, &x));
}

// Lanes that come at once: no two units that differ in one bank. By counting, not by ranks.
static bool is_free(const tg_map *places, const tg_map *access, int unit, int banks) {
  for (uint32_t x = 0; x < 1u << access->nin; x++)
    for (uint32_t y = 0; y < x; y++) {
      uint32_t ux = value(access, x) >> unit, uy = value(access, y) >> unit, mask = (1u << banks) - 1;
      uint32_t bx = value(places, value(access, x)) >> unit & mask, by = value(places, value(access, y)) >> unit & mask;
      if (ux != uy && bx == by) return false;
    }
  return true;
}

static tg_map three(int bits, int a, int b, int c) {
  const int at[] = {a, b, c};
  tg_map f = tg_map_zero(3, bits);
  for (int i = 0; i < 3; i++) f.col[i] = at[i] < bits ? 1u << at[i] : 0;
  return f;
}

static void check_swizzle(int bits, int unit, int n, const tg_map *accesses, bool must) {
  tg_map places;
  bool found = tg_map_swizzle(bits, unit, 3, n, accesses, &places);
  CHECK(found || !must);
  if (!found) return;
  CHECK(places.nin == bits && places.nout == bits && tg_map_rank(&places) == bits);
  for (int b = 0; b < unit && b < bits; b++) CHECK(places.col[b] == 1u << b);
  for (int i = 0; i < n; i++) CHECK(is_free(&places, &accesses[i], unit, 3));
}

// All tiles of up to 32 rows by 32 units, of elements of 1 to 8 bytes in units of 16: whoever writes along a row and whoever reads down a
// column, one of them or both; and all other ways to move three coordinate bits.
static void test_swizzle(void) {
  for (int unit = 1; unit <= 4; unit++)
    for (int columns = unit; columns <= unit + 5; columns++)
      for (int rows = 0; rows <= 5; rows++) {
        int bits = rows + columns;
        tg_map both[] = {three(bits, columns, columns + 1, columns + 2), three(bits, unit, unit + 1, unit + 2)};
        check_swizzle(bits, unit, 1, both, true);
        check_swizzle(bits, unit, 2, both, true);
      }
  enum { BITS = 9, UNIT = 2 };
  for (int code = 0; code < 1 << 18; code += 7) { // images of 6 bits each at the units' level
    tg_map any = tg_map_zero(3, BITS), pair[2];
    for (int i = 0; i < 3; i++) any.col[i] = (uint32_t)(code >> 6 * i & 63) << UNIT;
    check_swizzle(BITS, UNIT, 1, &any, true);
    pair[0] = any, pair[1] = three(BITS, UNIT, UNIT + 1, UNIT + 2);
    if (code % 3 == 0) check_swizzle(BITS, UNIT, 2, pair, false);
  }
}

int main(void) {
  for (int nin = 0; nin <= 4; nin++)
    for (int nout = 0; nout <= 3; nout++) test_single(nin, nout);
  test_single(3, 4);
  test_pairs();
  test_triples();
  test_fragments();
  test_ldmatrix();
  test_blocked();
  test_product();
  test_conversion();
  test_swizzle();
  return test_done();
}
