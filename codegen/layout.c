// Linear maps over GF(2) and the layouts built on them. See layout.h.
#include "codegen/layout.h"

#include <assert.h>

// ---- linear maps -----------------------------------------------------------------------------------------------------

tg_map tg_map_zero(int nin, int nout) {
  assert(nin >= 0 && nin <= TG_MAP_BITS && nout >= 0 && nout <= TG_MAP_BITS);
  tg_map f = {.nin = nin, .nout = nout};
  return f;
}

tg_map tg_map_identity(int bits) {
  tg_map f = tg_map_zero(bits, bits);
  for (int i = 0; i < bits; i++) f.col[i] = 1u << i;
  return f;
}

uint32_t tg_map_apply(const tg_map *f, uint32_t x) {
  uint32_t y = 0;
  for (int i = 0; i < f->nin; i++)
    if (x >> i & 1) y ^= f->col[i];
  return y;
}

bool tg_map_equal(const tg_map *f, const tg_map *g) {
  return f->nin == g->nin && f->nout == g->nout && !memcmp(f->col, g->col, sizeof f->col[0] * (size_t)f->nin);
}

tg_map tg_map_compose(const tg_map *f, const tg_map *g) {
  assert(g->nout == f->nin);
  tg_map h = tg_map_zero(g->nin, f->nout);
  for (int i = 0; i < g->nin; i++) h.col[i] = tg_map_apply(f, g->col[i]);
  return h;
}

tg_map tg_map_product(const tg_map *f, const tg_map *g) {
  tg_map h = tg_map_zero(f->nin + g->nin, f->nout + g->nout);
  for (int i = 0; i < f->nin; i++) h.col[i] = f->col[i];
  for (int i = 0; i < g->nin; i++) h.col[f->nin + i] = f->nout < TG_MAP_BITS ? g->col[i] << f->nout : 0;
  return h;
}

bool tg_map_divide(const tg_map *f, const tg_map *g, tg_map *q) {
  if (g->nin > f->nin || g->nout > f->nout) return false;
  tg_map rest = tg_map_zero(f->nin - g->nin, f->nout - g->nout);
  uint32_t low = g->nout < TG_MAP_BITS ? (1u << g->nout) - 1 : ~0u;
  for (int i = 0; i < g->nin; i++)
    if (f->col[i] != g->col[i]) return false;
  for (int i = 0; i < rest.nin; i++) {
    uint32_t image = f->col[g->nin + i];
    if (image & low) return false;
    rest.col[i] = rest.nout ? image >> g->nout : 0;
  }
  *q = rest;
  return true;
}

// The images of a map's inputs, reduced so that each kept vector has a highest bit that no other kept one has; `from` says which inputs sum
// to it.
typedef struct tg_echelon {
  int n;
  uint32_t image[TG_MAP_BITS], from[TG_MAP_BITS];
} tg_echelon;

static int top_bit(uint32_t x) { return 31 - __builtin_clz(x); }

// What is left of `image` after subtracting kept vectors; adds to *from the inputs that they stand for.
static uint32_t reduce_by(const tg_echelon *e, uint32_t image, uint32_t *from) {
  for (int i = 0; i < e->n; i++)
    if (image >> top_bit(e->image[i]) & 1) {
      image ^= e->image[i];
      *from ^= e->from[i];
    }
  return image;
}

// Adds `image`, reached by the inputs `from`, already reduced and not 0.
static void keep(tg_echelon *e, uint32_t image, uint32_t from) {
  int top = top_bit(image);
  for (int i = 0; i < e->n; i++)
    if (e->image[i] >> top & 1) {
      e->image[i] ^= image;
      e->from[i] ^= from;
    }
  e->image[e->n] = image;
  e->from[e->n++] = from;
}

static tg_echelon echelon_of(const tg_map *f) {
  tg_echelon e = {0};
  for (int i = 0; i < f->nin; i++) {
    uint32_t from = 1u << i, left = reduce_by(&e, f->col[i], &from);
    if (left) keep(&e, left, from);
  }
  return e;
}

int tg_map_rank(const tg_map *f) { return echelon_of(f).n; }

bool tg_map_solve(const tg_map *f, const tg_map *g, tg_map *x) {
  assert(f->nout == g->nout);
  tg_echelon e = echelon_of(f);
  tg_map out = tg_map_zero(g->nin, f->nin);
  for (int i = 0; i < g->nin; i++) {
    uint32_t from = 0;
    if (reduce_by(&e, g->col[i], &from)) return false;
    out.col[i] = from;
  }
  *x = out;
  return true;
}

bool tg_map_right_inverse(const tg_map *f, tg_map *r) {
  tg_map id = tg_map_identity(f->nout);
  return tg_map_solve(f, &id, r);
}

bool tg_map_left_inverse(const tg_map *f, tg_map *l) {
  tg_echelon e = echelon_of(f);
  if (e.n < f->nin) return false;
  // Every kept vector goes to the inputs it stands for; unit vectors that complete the basis go to 0. As each kept vector's highest bit is
  // its own, l(unit of that bit) = from, with the kept vector's other bits sent to 0, is such a map.
  tg_map out = tg_map_zero(f->nout, f->nin);
  for (int i = 0; i < e.n; i++) out.col[top_bit(e.image[i])] = e.from[i];
  *l = out;
  return true;
}

int tg_map_kernel(const tg_map *f, uint32_t basis[TG_MAP_BITS]) {
  tg_echelon e = {0};
  int n = 0;
  for (int i = 0; i < f->nin; i++) { // each dependent input yields a vector whose highest bit is that input, in no other vector
    uint32_t from = 1u << i, left = reduce_by(&e, f->col[i], &from);
    if (left) keep(&e, left, from);
    else basis[n++] = from;
  }
  return n;
}

typedef struct swizzling {
  int bits, unit, banks, n;
  const tg_map *accesses;
  tg_map *map;
} swizzling;

// Units that differ lie in banks that differ.
static bool is_free(const swizzling *z, const tg_map *access) {
  tg_map units = *access, banks = *access;
  for (int i = 0; i < access->nin; i++) {
    units.col[i] = access->col[i] >> z->unit;
    banks.col[i] = tg_map_apply(z->map, access->col[i]) >> z->unit & ((1u << z->banks) - 1);
  }
  return tg_map_rank(&units) == tg_map_rank(&banks);
}

static int highest_bit(const tg_map *access) {
  uint32_t all = 0;
  for (int i = 0; i < access->nin; i++) all |= access->col[i];
  return all ? 31 - __builtin_clz(all) : -1;
}

// Tries what coordinate bit `bit` flips among the bank bits, nothing first; an access is looked at when its last bit is placed.
static bool place_bits(swizzling *z, int bit) {
  int first = z->unit + z->banks;
  if (bit >= z->bits) return true;
  for (uint32_t flip = 0; flip < (bit < first ? 1u : 1u << z->banks); flip++) {
    z->map->col[bit] = 1u << bit | flip << z->unit;
    bool good = true;
    for (int i = 0; i < z->n && good; i++) good = highest_bit(&z->accesses[i]) != bit || is_free(z, &z->accesses[i]);
    if (good && place_bits(z, bit + 1)) return true;
  }
  return false;
}

bool tg_map_swizzle(int bits, int unit, int banks, int n, const tg_map *accesses, tg_map *out) {
  *out = tg_map_identity(bits);
  return place_bits(&(swizzling){bits, unit, banks, n, accesses, out}, 0);
}

const char *tg_map_text(tg_arena *arena, const tg_map *f) {
  tg_text t = {.arena = arena};
  tg_text_add(&t, "[");
  for (int i = 0; i < f->nin; i++) tg_text_add(&t, i ? " %x" : "%x", f->col[i]);
  tg_text_add(&t, "]");
  return t.data;
}

// ---- layouts ---------------------------------------------------------------------------------------------------------

tg_layout tg_layout_empty(int rank, const int32_t *shape) {
  tg_layout l = {.rank = rank};
  int bits = 0;
  for (int i = 0; i < rank; i++) {
    int32_t odd = shape[i];
    for (; odd > 0 && odd % 2 == 0; odd /= 2) l.out[i]++;
    l.odd[i] = odd;
    bits += l.out[i];
  }
  l.map = tg_map_zero(0, bits);
  return l;
}

static int holder_start(const tg_layout *l, tg_holder holder) {
  int at = 0;
  for (int h = 0; h < (int)holder; h++) at += l->in[h];
  return at;
}

void tg_layout_add_image(tg_layout *l, tg_holder holder, uint32_t image) {
  int at = holder_start(l, holder) + l->in[holder];
  assert(l->map.nin < TG_MAP_BITS);
  memmove(&l->map.col[at + 1], &l->map.col[at], sizeof l->map.col[0] * (size_t)(l->map.nin - at));
  l->map.col[at] = image;
  l->map.nin++;
  l->in[holder]++;
}

void tg_layout_add(tg_layout *l, tg_holder holder, int axis, int bit) {
  assert(axis < l->rank && (axis < 0 || bit < l->out[axis]));
  tg_layout_add_image(l, holder, axis < 0 ? 0 : 1u << (tg_layout_axis_shift(l, axis) + bit));
}

int tg_layout_repetitions(const tg_layout *l) {
  int n = 1;
  for (int i = 0; i < l->rank; i++) n *= l->odd[i];
  return n;
}

int tg_layout_registers(const tg_layout *l) { return tg_layout_repetitions(l) << l->in[TG_REGISTER]; }

int tg_layout_axis_shift(const tg_layout *l, int axis) {
  int shift = 0;
  for (int i = l->rank - 1; i > axis; i--) shift += l->out[i];
  return shift;
}

uint32_t tg_layout_axis_part(const tg_layout *l, uint32_t packed, int axis) {
  return l->out[axis] ? packed >> tg_layout_axis_shift(l, axis) & ((1u << l->out[axis]) - 1) : 0;
}

uint32_t tg_layout_image(const tg_layout *l, tg_holder holder, int bit) { return l->map.col[holder_start(l, holder) + bit]; }

void tg_layout_coords(const tg_layout *l, tg_place place, uint32_t coords[TG_MAX_RANK]) {
  uint32_t packed = 0;
  for (int h = 0; h < TG_NHOLDERS; h++)
    for (int b = 0; b < l->in[h]; b++)
      if (place.at[h] >> b & 1) packed ^= tg_layout_image(l, (tg_holder)h, b);
  for (int i = 0; i < l->rank; i++) coords[i] = tg_layout_axis_part(l, packed, i);
}

static bool same_tile(const tg_layout *a, const tg_layout *b) {
  if (a->rank != b->rank) return false;
  for (int i = 0; i < a->rank; i++)
    if (a->out[i] != b->out[i] || a->odd[i] != b->odd[i]) return false;
  return true;
}

bool tg_layout_equal(const tg_layout *a, const tg_layout *b) {
  return same_tile(a, b) && !memcmp(a->in, b->in, sizeof a->in) && tg_map_equal(&a->map, &b->map);
}

// Packed coordinates of `l` in the packing of `whole`, each axis moved up by `above` bits.
static uint32_t repack(const tg_layout *l, uint32_t packed, const tg_layout *whole, const int *above) {
  uint32_t out = 0;
  for (int i = 0; i < l->rank; i++)
    if (l->out[i]) out |= tg_layout_axis_part(l, packed, i) << (tg_layout_axis_shift(whole, i) + (above ? above[i] : 0));
  return out;
}

tg_layout tg_layout_product(const tg_layout *a, const tg_layout *b) {
  assert(a->rank == b->rank);
  int32_t shape[TG_MAX_RANK] = {0};
  for (int i = 0; i < a->rank; i++) {
    assert(a->odd[i] == 1 || b->odd[i] == 1);
    shape[i] = (a->odd[i] * b->odd[i]) << (a->out[i] + b->out[i]);
  }
  tg_layout l = tg_layout_empty(a->rank, shape);
  for (int h = 0; h < TG_NHOLDERS; h++) {
    for (int k = 0; k < a->in[h]; k++) tg_layout_add_image(&l, (tg_holder)h, repack(a, tg_layout_image(a, (tg_holder)h, k), &l, NULL));
    for (int k = 0; k < b->in[h]; k++) tg_layout_add_image(&l, (tg_holder)h, repack(b, tg_layout_image(b, (tg_holder)h, k), &l, a->out));
  }
  return l;
}

bool tg_layout_divide(const tg_layout *a, const tg_layout *b, tg_layout *q) {
  if (a->rank != b->rank) return false;
  int32_t shape[TG_MAX_RANK] = {0};
  for (int i = 0; i < a->rank; i++) {
    if (b->out[i] > a->out[i] || a->odd[i] % b->odd[i]) return false;
    shape[i] = (a->odd[i] / b->odd[i]) << (a->out[i] - b->out[i]);
  }
  tg_layout l = tg_layout_empty(a->rank, shape);
  for (int h = 0; h < TG_NHOLDERS; h++) {
    if (b->in[h] > a->in[h]) return false;
    for (int k = 0; k < a->in[h]; k++) {
      uint32_t image = tg_layout_image(a, (tg_holder)h, k), out = 0;
      if (k < b->in[h]) {
        if (image != repack(b, tg_layout_image(b, (tg_holder)h, k), a, NULL)) return false;
        continue;
      }
      for (int i = 0; i < a->rank; i++) {
        uint32_t part = tg_layout_axis_part(a, image, i);
        if (part & ((1u << b->out[i]) - 1)) return false;
        if (part) out |= part >> b->out[i] << tg_layout_axis_shift(&l, i);
      }
      tg_layout_add_image(&l, (tg_holder)h, out);
    }
  }
  *q = l;
  return true;
}

tg_layout tg_layout_rename(const tg_layout *layout, const tg_map *f, int rank, const int32_t *shape) {
  tg_layout l = tg_layout_empty(rank, shape);
  assert(f->nin == layout->map.nout && f->nout == l.map.nout);
  memcpy(l.in, layout->in, sizeof l.in);
  l.map = tg_map_compose(f, &layout->map);
  return l;
}

tg_layout tg_layout_collapse(const tg_layout *layout, int axis) {
  int32_t shape[TG_MAX_RANK] = {0};
  for (int i = 0; i < layout->rank; i++) shape[i] = i == axis ? 1 : layout->odd[i] << layout->out[i];
  tg_layout l = tg_layout_empty(layout->rank, shape);
  tg_map f = tg_map_zero(layout->map.nout, l.map.nout);
  for (int i = 0; i < layout->rank; i++)
    for (int b = 0; i != axis && b < layout->out[i]; b++)
      f.col[tg_layout_axis_shift(layout, i) + b] = 1u << (tg_layout_axis_shift(&l, i) + b);
  return tg_layout_rename(layout, &f, layout->rank, shape);
}

tg_layout tg_layout_compact(const tg_layout *layout) {
  tg_layout l = *layout;
  l.map = tg_map_zero(0, layout->map.nout);
  memset(l.in, 0, sizeof l.in);
  for (int h = 0; h < TG_NHOLDERS; h++)
    for (int b = 0; b < layout->in[h]; b++)
      if (h != TG_REGISTER || tg_layout_image(layout, TG_REGISTER, b))
        tg_layout_add_image(&l, (tg_holder)h, tg_layout_image(layout, (tg_holder)h, b));
  return l;
}

bool tg_layout_conversion(const tg_layout *from, const tg_layout *to, tg_map *out) {
  if (!same_tile(from, to)) return false;
  tg_map x;
  if (!tg_map_solve(&from->map, &to->map, &x)) return false;
  for (int h = 0; h < TG_NHOLDERS; h++)
    for (int b = 0; b < to->in[h] && b < from->in[h]; b++) {
      int at = holder_start(from, (tg_holder)h) + b;
      if (from->map.col[at] == tg_layout_image(to, (tg_holder)h, b)) x.col[holder_start(to, (tg_holder)h) + b] = 1u << at;
    }
  *out = x;
  return true;
}

const char *tg_layout_text(tg_arena *arena, const tg_layout *l) {
  static const char *const names[TG_NHOLDERS] = {"register", "lane", "warp"};
  tg_text t = {.arena = arena};
  tg_text_add(&t, "[");
  for (int i = 0; i < l->rank; i++) tg_text_add(&t, i ? "x%d" : "%d", l->odd[i] << l->out[i]);
  tg_text_add(&t, "]");
  for (int h = 0; h < TG_NHOLDERS; h++) {
    if (!l->in[h]) continue;
    tg_text_add(&t, " %s(", names[h]);
    for (int b = 0; b < l->in[h]; b++) {
      uint32_t image = tg_layout_image(l, (tg_holder)h, b);
      const char *plus = "";
      if (b) tg_text_add(&t, ", ");
      if (!image) tg_text_add(&t, "-");
      for (int i = 0; i < l->rank; i++)
        if (tg_layout_axis_part(l, image, i)) {
          tg_text_add(&t, "%s%d:%u", plus, i, tg_layout_axis_part(l, image, i));
          plus = "+";
        }
    }
    tg_text_add(&t, ")");
  }
  return t.data;
}

// ---- layouts that machines impose --------------------------------------------------------------------------------------

tg_layout tg_layout_blocked(int rank, const int32_t *shape, int vector, int lane_bits, int warp_bits) {
  tg_layout l = tg_layout_empty(rank, shape);
  int bits = l.map.nout, low = 0; // row-major bits of the tile, innermost first: vector, lanes, warps, the rest
  if (rank)
    while (low < l.out[rank - 1] && 2 << low <= vector) low++;
  int lanes = lane_bits < bits - low ? lane_bits : bits - low;
  int warps = warp_bits < bits - low - lanes ? warp_bits : bits - low - lanes;
  for (int i = 0; i < low; i++) tg_layout_add_image(&l, TG_REGISTER, 1u << i);
  for (int i = low + lanes + warps; i < bits; i++) tg_layout_add_image(&l, TG_REGISTER, 1u << i);
  for (int i = 0; i < lane_bits; i++) tg_layout_add_image(&l, TG_LANE, i < lanes ? 1u << (low + i) : 0);
  for (int i = 0; i < warp_bits; i++) tg_layout_add_image(&l, TG_WARP, i < warps ? 1u << (low + lanes + i) : 0);
  return l;
}

tg_layout tg_layout_mma_a(void) {
  tg_layout l = tg_layout_empty(2, (const int32_t[]){16, 16});
  tg_layout_add(&l, TG_REGISTER, 1, 0);                             // a0, a1 are neighbours in k
  tg_layout_add(&l, TG_REGISTER, 0, 3);                             // a2, a3: row + 8
  tg_layout_add(&l, TG_REGISTER, 1, 3);                             // a4..a7: column + 8
  for (int b = 0; b < 2; b++) tg_layout_add(&l, TG_LANE, 1, 1 + b); // threadID_in_group = lane % 4: column / 2
  for (int b = 0; b < 3; b++) tg_layout_add(&l, TG_LANE, 0, b);     // groupID = lane / 4: row
  return l;
}

tg_layout tg_layout_mma_b(void) {
  tg_layout l = tg_layout_empty(2, (const int32_t[]){16, 8});
  tg_layout_add(&l, TG_REGISTER, 0, 0); // b0, b1 are neighbours in k
  tg_layout_add(&l, TG_REGISTER, 0, 3); // b2, b3: k + 8
  for (int b = 0; b < 2; b++) tg_layout_add(&l, TG_LANE, 0, 1 + b);
  for (int b = 0; b < 3; b++) tg_layout_add(&l, TG_LANE, 1, b);
  return l;
}

tg_layout tg_layout_mma_c(void) {
  tg_layout l = tg_layout_empty(2, (const int32_t[]){16, 8});
  tg_layout_add(&l, TG_REGISTER, 1, 0); // c0, c1 are neighbours in n
  tg_layout_add(&l, TG_REGISTER, 0, 3); // c2, c3: row + 8
  for (int b = 0; b < 2; b++) tg_layout_add(&l, TG_LANE, 1, 1 + b);
  for (int b = 0; b < 3; b++) tg_layout_add(&l, TG_LANE, 0, b);
  return l;
}

tg_layout tg_layout_ldmatrix(int count, bool transposed) {
  tg_layout l = tg_layout_empty(3, (const int32_t[]){count, 8, 8});
  int row = transposed ? 2 : 1, column = transposed ? 1 : 2;
  tg_layout_add(&l, TG_REGISTER, column, 0);
  for (int b = 0; 1 << b < count; b++) tg_layout_add(&l, TG_REGISTER, 0, b);
  for (int b = 0; b < 2; b++) tg_layout_add(&l, TG_LANE, column, 1 + b);
  for (int b = 0; b < 3; b++) tg_layout_add(&l, TG_LANE, row, b);
  return l;
}

tg_layout tg_layout_ldmatrix_rows(int count) {
  tg_layout l = tg_layout_empty(2, (const int32_t[]){count, 8});
  for (int b = 0; b < 3; b++) tg_layout_add(&l, TG_LANE, 1, b);
  for (int b = 0; b < 2; b++) tg_layout_add(&l, TG_LANE, 1 << b < count ? 0 : -1, b);
  return l;
}
