// Conversions through shared memory: where elements lie there so that both sides use wide accesses and meet in no bank.
//
// Places are chosen by linear algebra over GF(2), after "Linear Layouts: Robust Code Generation of Efficient Tensor Computation" (section
// on optimal swizzling): the elements of an access are directions that registers of both sides have, or of one side where that pays; what
// is left is split into a part H that repeats a bank and the rest, and no direction of H may be one in which lanes that come at once
// differ. For two accesses there always is such an H: where a_i completes what they share to the one's lanes and b_i to the other's, the
// sums a_i + b_i, and what neither moves in.
#include "codegen/layout_convert.h"

#include <assert.h>

// log2 of the bytes in all banks side by side; of the widest store and load; lane bits. Stores of 16 bytes are as many wavefronts and want
// four registers in a row where matrix instructions hold pairs: with them mla_decode spilled 2300 bytes for 1436 (sm_80, CUDA 13.0).
enum { ROW_BITS = 7, STORE_BITS = 3, LOAD_BITS = 4, LANES = 5 };

// ---- subspaces

typedef struct span {
  int n;
  uint32_t vec[TG_MAP_BITS];  // a basis, in the order in which it came
  uint32_t form[TG_MAP_BITS]; // the same space, each with a highest bit that no other has
} span;

static int top_bit(uint32_t x) { return 31 - __builtin_clz(x); }

static uint32_t reduce_by(const span *s, uint32_t x) {
  for (int i = 0; i < s->n; i++)
    if (x >> top_bit(s->form[i]) & 1) x ^= s->form[i];
  return x;
}

static bool add(span *s, uint32_t x) { // false: was there already
  uint32_t left = reduce_by(s, x);
  if (!left) return false;
  for (int i = 0; i < s->n; i++)
    if (s->form[i] >> top_bit(left) & 1) s->form[i] ^= left;
  s->form[s->n] = left;
  s->vec[s->n++] = x;
  return true;
}

static void add_span(span *s, const span *t) {
  for (int i = 0; i < t->n; i++) add(s, t->vec[i]);
}

static span images(const tg_layout *l, tg_holder first, tg_holder last, int most) {
  span s = {0};
  for (int h = (int)first; h <= (int)last; h++)
    for (int b = 0; b < l->in[h] && b < most; b++) add(&s, tg_layout_image(l, (tg_holder)h, b));
  return s;
}

static span intersect(const span *s, const span *t) {
  tg_map both = tg_map_zero(s->n + t->n, TG_MAP_BITS);
  memcpy(both.col, s->vec, sizeof s->vec[0] * (size_t)s->n);
  memcpy(both.col + s->n, t->vec, sizeof t->vec[0] * (size_t)t->n);
  uint32_t basis[TG_MAP_BITS];
  span out = {0};
  for (int i = 0, n = tg_map_kernel(&both, basis); i < n; i++) {
    uint32_t x = 0;
    for (int k = 0; k < s->n; k++)
      if (basis[i] >> k & 1) x ^= s->vec[k];
    add(&out, x);
  }
  return out;
}

// ---- what accesses cost in places that are given

int tg_shared_waves(const uint32_t lane[5], uint32_t active, int bytes) {
  int together = bytes > 4 ? LANES - top_bit((uint32_t)bytes / 4) : LANES, groups = 1;
  span words = {0}, banks = {0};
  for (int b = 0; b < LANES; b++) {
    if (!(active >> b & 1)) continue;
    if (b >= together) groups *= 2;
    else if (lane[b] / 4) add(&words, lane[b] / 4);
  }
  for (int i = 0; i < words.n; i++)
    if (words.vec[i] % 32) add(&banks, words.vec[i] % 32);
  return groups << (words.n - banks.n);
}

typedef struct side {
  const tg_layout *l;
  span registers, threads;
  uint32_t owners; // lane bits that are not masked off
  int vector;      // most elements of an access, log2
} side;

static side make_side(const tg_layout *l, int size, int widest) {
  side s = {.l = l,
            .registers = images(l, TG_REGISTER, TG_REGISTER, TG_MAP_BITS),
            .threads = images(l, TG_LANE, TG_WARP, TG_MAP_BITS),
            .owners = (1u << LANES) - 1,
            .vector = widest - top_bit((uint32_t)size)};
  return s;
}

// Of replicas one is stored.
static void store_once(side *s) {
  uint32_t basis[TG_MAP_BITS];
  for (int i = 0, n = tg_map_kernel(&s->l->map, basis); i < n; i++) {
    int pivot = top_bit(basis[i]) - s->l->in[TG_REGISTER];
    if (pivot >= 0 && pivot < LANES) s->owners &= ~(1u << pivot);
  }
}

// How many neighbours an access can have, and which registers they are in.
static int access_bits(const side *s, const tg_map *at, uint32_t reg[4]) {
  tg_map back, registers = tg_map_zero(s->l->in[TG_REGISTER], s->l->map.nout);
  bool invertible = tg_map_right_inverse(at, &back);
  assert(invertible);
  (void)invertible;
  for (int b = 0; b < registers.nin; b++) registers.col[b] = tg_layout_image(s->l, TG_REGISTER, b);
  for (int n = 0;; n++) {
    tg_map one = tg_map_zero(1, at->nout), x;
    if (n == s->vector || n == at->nout) return n;
    for (int i = 0; i < s->threads.n; i++)
      if (tg_map_apply(at, s->threads.vec[i]) >> n & 1) return n;
    one.col[0] = back.col[n];
    if (!tg_map_solve(&registers, &one, &x)) return n;
    reg[n] = x.col[0];
  }
}

static int waves(const side *s, const tg_map *at, int bits, int size) {
  uint32_t lane[LANES] = {0};
  for (int b = 0; b < LANES && b < s->l->in[TG_LANE]; b++) lane[b] = tg_map_apply(at, tg_layout_image(s->l, TG_LANE, b)) * (uint32_t)size;
  return tg_shared_waves(lane, s->owners, size << bits);
}

// Neighbours in memory that are no neighbours among the registers have to be brought side by side, or apart again, word by word.
static int moves(const uint32_t reg[4], int bits, int size) {
  int run = 0;
  while (run < bits && reg[run] == 1u << run) run++;
  int words = (size << run) / 4;
  return run == bits ? 0 : (words ? words : 1) << (bits - run);
}

static void evaluate(tg_conversion *c, const side *store, const side *load, const tg_map *at, int size) {
  c->at = *at;
  c->store_bits = access_bits(store, at, c->store_reg);
  c->load_bits = access_bits(load, at, c->load_reg);
  tg_conversion_cost *k = &c->cost;
  // An element that several registers hold is stored once.
  k->stores = tg_layout_repetitions(&c->from) << (store->registers.n - c->store_bits);
  k->loads = tg_layout_registers(&c->to) >> c->load_bits;
  k->store_waves = k->stores * waves(store, at, c->store_bits, size);
  k->load_waves = k->loads * waves(load, at, c->load_bits, size);
  k->moves = k->stores * moves(c->store_reg, c->store_bits, size) + k->loads * moves(c->load_reg, c->load_bits, size);
  k->barriers = 2;
  k->bytes = ((int64_t)tg_layout_repetitions(&c->to) << c->to.map.nout) * size;
  // CUDA C++ Programming Guide, throughput of instructions for compute capability 8.x: 64 lanes a clock move, 16 threads a clock pass a
  // barrier; shared memory gives 128 bytes a clock. At a barrier the whole block waits, so that the latency of the last store and of the
  // first load counts, 19 and 23 clocks on an A100 (Abdelkhalik et al., "Demystifying the Nvidia Ampere Architecture through
  // Microbenchmarking", 2022).
  enum { MOVE = 1, BARRIER = 2 * 2, LATENCY = 2 * (19 + 23) };
  k->price = 2 * (k->store_waves + k->load_waves) + MOVE * k->moves + BARRIER * k->barriers + LATENCY;
}

// ---- choosing places

// Directions of `from` that are new to `seen`, which takes them in: at most `most`.
static span take(span *seen, const span *from, int most) {
  span out = {0};
  for (int i = 0; i < from->n && out.n < most; i++)
    if (add(seen, from->vec[i])) add(&out, from->vec[i]);
  return out;
}

static void complete(span *s, int bits) {
  for (int b = 0; b < bits; b++) add(s, 1u << b);
}

// x without its part in `v`, where the basis `whole` begins with v's.
static uint32_t project(const span *v, const span *whole, uint32_t x) {
  tg_map basis = tg_map_zero(whole->n, TG_MAP_BITS), one = tg_map_zero(1, TG_MAP_BITS), at;
  memcpy(basis.col, whole->vec, sizeof whole->vec[0] * (size_t)whole->n);
  one.col[0] = x;
  if (!tg_map_solve(&basis, &one, &at)) return x;
  for (int i = 0; i < v->n; i++)
    if (at.col[0] >> i & 1) x ^= v->vec[i];
  return x;
}

// Directions that repeat a bank: `n` of `room`, none of them one that lanes of either access differ in, as long as there are such.
static span repeated(const span *room, const span *a, const span *b, int n) {
  span common = intersect(a, b), seen = common, h = {0};
  span only_a = take(&seen, a, TG_MAP_BITS), with_b = common;
  span only_b = take(&with_b, b, TG_MAP_BITS);
  add_span(&seen, b);
  span neither = take(&seen, room, TG_MAP_BITS);
  for (int i = 0; i < neither.n && h.n < n; i++) add(&h, neither.vec[i]);
  for (int i = 0; i < only_a.n && i < only_b.n && h.n < n; i++) add(&h, only_a.vec[i] ^ only_b.vec[i]);
  for (int i = only_b.n - 1; i >= 0 && h.n < n; i--) add(&h, only_b.vec[i]);
  for (int i = only_a.n - 1; i >= 0 && h.n < n; i--) add(&h, only_a.vec[i]);
  for (int i = common.n - 1; i >= 0 && h.n < n; i--) add(&h, common.vec[i]);
  return h;
}

static span low_lanes(const side *s, int bytes) {
  int together = bytes > 4 ? LANES - top_bit((uint32_t)bytes / 4) : LANES;
  return images(s->l, TG_LANE, TG_LANE, together);
}

// Places in which both sides have the elements `common` in one access, and `wide` those of `more` beside them.
static tg_map places(int bits, int size, const span *common, const side *wide, int more, const side *narrow) {
  span basis = *common;
  add_span(&basis, &wide->threads);
  add_span(&basis, &narrow->threads);
  complete(&basis, bits);
  span whole = basis, seen = *common;
  add_span(&seen, &wide->threads);
  span extra = take(&seen, &wide->registers, more), low = *common;
  for (int i = 0; i < extra.n; i++) add(&low, project(common, &whole, extra.vec[i]));
  // The rest, `room`, has what the wide side's threads move in; the narrow side's lanes get other elements of the wide one's accesses.
  span room = {0}, held = low, lanes = low_lanes(narrow, size << common->n);
  for (int i = 0; i < wide->threads.n; i++)
    if (add(&held, wide->threads.vec[i])) add(&room, wide->threads.vec[i]);
  for (int i = 0, next = common->n; i < lanes.n; i++)
    if (add(&held, lanes.vec[i])) add(&room, next < low.n ? lanes.vec[i] ^ low.vec[next++] : lanes.vec[i]);
  for (int i = common->n; i < whole.n; i++)
    if (add(&held, whole.vec[i])) add(&room, whole.vec[i]);
  int row = ROW_BITS - top_bit((uint32_t)size) - low.n; // bits beyond the access, up to the last bank
  span a = low_lanes(wide, size << low.n), b = intersect(&lanes, &room), h = {0};
  if (room.n > row) h = repeated(&room, &a, &b, room.n - row);
  span banks = h;
  span first = take(&banks, &room, TG_MAP_BITS);
  tg_map back = tg_map_zero(bits, bits), at;
  int n = 0;
  for (int i = 0; i < low.n; i++) back.col[n++] = low.vec[i];
  for (int i = 0; i < first.n; i++) back.col[n++] = first.vec[i];
  for (int i = 0; i < h.n; i++) back.col[n++] = h.vec[i];
  bool invertible = n == bits && tg_map_right_inverse(&back, &at);
  assert(invertible);
  return invertible ? at : tg_map_identity(bits);
}

static void consider(tg_conversion *best, const side *store, const side *load, const tg_map *at, int size) {
  tg_conversion c = *best;
  evaluate(&c, store, load, at, size);
  int issued = c.cost.stores + c.cost.loads, least = best->cost.stores + best->cost.loads;
  if (c.cost.price < best->cost.price || (c.cost.price == best->cost.price && issued < least)) *best = c;
}

bool tg_conversion_by_memory(const tg_layout *from, const tg_layout *to, int element_bits, tg_conversion *out) {
  tg_map source;
  if (!tg_layout_conversion(from, to, &source)) return false;
  *out = (tg_conversion){.kind = TG_CONVERT_SHARED, .element_bits = element_bits, .from = *from, .to = *to};
  int bits = from->map.nout, size = element_bits < 8 ? 1 : element_bits / 8;
  side store = make_side(from, size, STORE_BITS), load = make_side(to, size, LOAD_BITS);
  store_once(&store);
  tg_map at = tg_map_identity(bits);
  evaluate(out, &store, &load, &at, size); // row-major, unless something is better
  span shared = intersect(&store.registers, &load.registers), seen = store.threads;
  add_span(&seen, &load.threads);
  span common = take(&seen, &shared, store.vector);
  for (int more = 0; more <= store.vector - common.n; more++) {
    at = places(bits, size, &common, &store, more, &load);
    consider(out, &store, &load, &at, size);
  }
  for (int more = 1; more <= load.vector - common.n; more++) {
    at = places(bits, size, &common, &load, more, &store);
    consider(out, &store, &load, &at, size);
  }
  return true;
}
