// tcgen05 (ISA 9.7.16): products that one thread issues, from shared memory to tensor memory, and what goes with them. A product is made
// when it is issued; until somebody has seen the phase of an mbarrier that a commit after it arrives at, it counts as under way.
#include "targets/sim/decode.h"
#include "targets/sim/operand.h"
#include "targets/sim/tensor_memory.h"

enum { MOST_M = TMEM_LANES, MOST_N = 256, MOST_K = 32, QUARTER = 32 };
enum { KIND_F16, KIND_TF32, KIND_F8 };

// ---- columns

static bool one_value(sim_warp *w, const sim_instr *in, const sim_arg *a, uint32_t active, uint32_t *out) {
  sim_want(w, in, a, active, "an operand");
  *out = (uint32_t)sim_get(w, a, __builtin_ctz(active));
  for (uint32_t rest = active; rest; rest &= rest - 1)
    if ((uint32_t)sim_get(w, a, __builtin_ctz(rest)) != *out) {
      sim_report(w, __builtin_ctz(rest), SIM_FAULT_TENSOR_MEMORY, "the lanes of the warp give different values");
      return false;
    }
  return true;
}

static bool good_columns(sim_warp *w, uint32_t n) {
  if (n >= TMEM_UNIT && n <= TMEM_COLUMNS && !(n & (n - 1))) return true;
  sim_report(w, 0, SIM_FAULT_TENSOR_MEMORY, "%u columns; they are a power of two, 32 to 512", n);
  return false;
}

static void alloc(sim_warp *w, const sim_instr *in, uint32_t active) {
  sim_tmem *t = sim_tmem_of(w);
  uint32_t columns, first;
  sim_place place;
  if (!t || !one_value(w, in, &in->args[1], active, &columns) || !good_columns(w, columns)) return;
  if (!sim_tmem_take(w, t, columns, &first)) {
    const uint32_t taken = sim_tmem_taken(t);
    const bool room = TMEM_COLUMNS - taken >= columns;
    sim_report(w, 0, SIM_FAULT_TENSOR_MEMORY, "%u columns of tensor memory are asked for, %u of 512 are taken%s", columns, taken,
               room ? ", and the block has relinquished its permit or no such run is free" : "");
    w->block->cluster->stopped = true; // it would wait for ever
    return;
  }
  sim_want(w, in, &in->args[0], active, "the address");
  if (!sim_resolve(w, 0, (ptx_space)in->space, sim_address(w, in, &in->args[0], 0), 4, true, &place)) return;
  sim_touch_place(w, 0, &place, 4, SIM_WRITE, true, false);
  memcpy(place.memory, &first, sizeof first);
}

static void dealloc(sim_warp *w, const sim_instr *in, uint32_t active) {
  sim_tmem *t = sim_tmem_of(w);
  uint32_t address, columns;
  if (!t || !one_value(w, in, &in->args[0], active, &address) || !one_value(w, in, &in->args[1], active, &columns)) return;
  if (good_columns(w, columns) && !sim_tmem_give_back(w, t, address, columns))
    sim_report(w, 0, SIM_FAULT_TENSOR_MEMORY, "%u columns at 0x%08x are not what one tcgen05.alloc gave", columns, address);
}

static void relinquish(sim_warp *w, const sim_instr *in, uint32_t active) {
  sim_tmem *t = sim_tmem_of(w);
  (void)in, (void)active;
  if (t && !sim_tmem_relinquish(t))
    sim_report(w, 0, SIM_FAULT_TENSOR_MEMORY, "the block has relinquished its permit to allocate tensor memory before");
}

// ---- order

static void fence_before(sim_warp *w, const sim_instr *in, uint32_t active) {
  sim_tmem *t = sim_tmem_of(w);
  (void)in, (void)active;
  if (t) sim_tmem_fence_before(w, t);
}

static void fence_after(sim_warp *w, const sim_instr *in, uint32_t active) {
  sim_tmem *t = sim_tmem_of(w);
  (void)in, (void)active;
  if (t) sim_tmem_fence_after(w, t);
}

static void wait(sim_warp *w, const sim_instr *in, uint32_t active) {
  sim_tmem *t = sim_tmem_of(w);
  (void)active;
  if (t) sim_tmem_wait(w, t, in->select ? TMEM_WRITE : TMEM_READ);
}

// The arrival is the thread's own, so what it did before counts as told too.
static void commit(sim_warp *w, const sim_instr *in, uint32_t active) {
  sim_tmem *t = sim_tmem_of(w);
  sim_want(w, in, &in->args[0], active, "the address");
  for (uint32_t rest = active; t && rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    sim_place place;
    if (!sim_resolve(w, l, (ptx_space)in->space, sim_address(w, in, &in->args[0], l), 8, true, &place)) continue;
    if (place.space != PTX_SHARED) {
      sim_report(w, l, SIM_FAULT_MBARRIER, "an mbarrier lies in shared memory");
      continue;
    }
    sim_mbarrier *m = sim_mbarrier_find(w, l, place.block, place.offset);
    if (!m) continue;
    sim_landing *landing = sim_mbarrier_landing(w, m);
    if (!landing) return;
    landing->block = w->block;
    landing->products = sim_tmem_commit(w, t);
    landing->is_commit = true, landing->warp = w->index;
    sim_release(w, &m->arriving);
    sim_mbarrier_arrive(w, l, m, 1, true);
  }
}

// ---- loads and stores: lane l of warp i of a warpgroup has lane 32 i + l (ISA 9.7.16.2.3, 9.7.16.8: .32x32b)

static bool area_of(sim_warp *w, const sim_instr *in, const sim_arg *a, uint32_t columns, sim_tmem_area *out) {
  const uint32_t quarter = (uint32_t)w->index % 4;
  uint32_t address;
  if (!one_value(w, in, a, UINT32_MAX, &address)) return false;
  address += (uint32_t)in->offset;
  if (address >> 16 != quarter * QUARTER) {
    sim_report(w, 0, SIM_FAULT_TENSOR_MEMORY, "it touches lanes from %u on of tensor memory; warp %d may touch lanes %u to %u",
               address >> 16, w->index, quarter * QUARTER, quarter * QUARTER + QUARTER - 1);
    return false;
  }
  *out = (sim_tmem_area){address & 0xffff, columns, 2 * quarter, 1, 2};
  return true;
}

static void load(sim_warp *w, const sim_instr *in, uint32_t active) {
  sim_tmem *t = sim_tmem_of(w);
  sim_tmem_area a;
  (void)active;
  for (int i = 0; i < in->nouts; i++) sim_set_valid(w, &in->args[i], UINT32_MAX, 0);
  if (!t || !area_of(w, in, &in->args[in->nouts], in->nouts, &a) || !sim_tmem_touch(w, 0, t, a, TMEM_READ)) return;
  for (int l = 0; l < LANES; l++) {
    const uint32_t *row = sim_tmem_row(t, a.group * TMEM_GROUP + (uint32_t)l);
    for (uint32_t i = 0; i < a.columns; i++) sim_put(w, &in->args[i], l, row[a.column + i]);
  }
  sim_tmem_loads(w, t, in, a);
}

static void store(sim_warp *w, const sim_instr *in, uint32_t active) {
  sim_tmem *t = sim_tmem_of(w);
  sim_tmem_area a;
  for (int i = 1; i < in->nargs; i++) sim_want(w, in, &in->args[i], active, "a value");
  if (!t || !area_of(w, in, &in->args[0], (uint32_t)in->nargs - 1, &a) || !sim_tmem_touch(w, 0, t, a, TMEM_WRITE)) return;
  for (int l = 0; l < LANES; l++) {
    uint32_t *row = sim_tmem_row(t, a.group * TMEM_GROUP + (uint32_t)l);
    for (uint32_t i = 0; i < a.columns; i++) row[a.column + i] = (uint32_t)sim_get(w, &in->args[1 + i], l);
  }
}

// ---- products

typedef struct product {
  uint32_t m, n, k, column;
  int a, b; // types
  bool negated, keeps;
  uint32_t pieces[2 * (MOST_M + MOST_N)]; // A's, B's
  int na, nb;
} product;

static bool bad(sim_warp *w, int lane, const char *why, uint64_t bits) {
  sim_report(w, lane, SIM_FAULT_TENSOR, "%s (0x%016llx)", why, (unsigned long long)bits);
  return false;
}

// Types by number: -1, one that the simulator does not know.
static int type_of(int kind, uint32_t number) {
  static const int f16[] = {PTX_f16, PTX_bf16}, f8[] = {PTX_e4m3, PTX_e5m2};
  if (kind == KIND_TF32) return number == 2 ? PTX_tf32 : -1;
  return number > 1 ? -1 : kind == KIND_F16 ? f16[number] : f8[number];
}

// ISA 9.7.16.4.2, instruction descriptor; 9.7.16.2.1, shapes.
static bool read_instruction(sim_warp *w, int lane, int kind, uint32_t d, product *p) {
  p->a = type_of(kind, d >> 7 & 7), p->b = type_of(kind, d >> 10 & 7);
  p->n = (d >> 17 & 63) * 8, p->m = (d >> 24 & 31) * 16;
  p->negated = (d >> 13 & 1) != (d >> 14 & 1);
  if (d & (1u << 6 | 1u << 23 | 1u << 29 | 1u << 3)) return bad(w, lane, "reserved bits are set in the instruction descriptor", d);
  if (p->a < 0 || p->b < 0 || (d & 7) || (d >> 4 & 3) != 1 || d >> 30)
    return bad(w, lane, "an instruction descriptor for sums that are not f32, types or a form that the simulator does not know", d);
  if (d >> 15 & 3) return bad(w, lane, "an instruction descriptor with transposed operands, which the simulator does not know", d);
  const uint32_t step = p->m == 64 ? 8 : 16;
  if ((p->m != 64 && p->m != 128) || !p->n || p->n % step || p->n > MOST_N) return bad(w, lane, "no such shape is known", d);
  p->k = (uint32_t)SIM_ROW_BYTES / ptx_types[p->a].bytes;
  return true;
}

// ISA 9.7.16.4.1, shared memory descriptor.
static bool read_operand(sim_warp *w, int lane, uint64_t bits, uint32_t rows, uint32_t *pieces, int *n) {
  static const uint8_t swizzles[] = {0, 1, 128, 1, 64, 1, 32, 1}; // 1: not known
  const sim_matrix m = {.start = (uint32_t)(bits & 0x3fff) << 4,
                        .leading = (uint32_t)(bits >> 16 & 0x3fff) << 4,
                        .stride = (uint32_t)(bits >> 32 & 0x3fff) << 4,
                        .base = (uint32_t)(bits >> 49 & 7),
                        .swizzle = swizzles[bits >> 61]};
  if ((bits >> 46 & 7) != 1 || bits >> 53 & 0xff) return bad(w, lane, "no shared memory descriptor: its constant bits are others", bits);
  if (m.swizzle == 1 || m.base || bits >> 52 & 1) return bad(w, lane, "a descriptor that the simulator does not know", bits);
  *n = sim_matrix_pieces(&m, false, 0, rows, pieces);
  for (int i = 0; i < *n; i++)
    if (pieces[i] + 16 > w->block->shared_bytes) {
      sim_report(w, lane, SIM_FAULT_OUT_OF_BOUNDS, "descriptor 0x%016llx leads to byte %u of the shared memory, which has %llu",
                 (unsigned long long)bits, pieces[i], (unsigned long long)w->block->shared_bytes);
      return false;
    }
  return true;
}

// Rows in tensor memory: of 128 each in its lane; of 64, 16 in the first half of each quarter (ISA 9.7.16.10.5, layouts D and F).
static uint32_t lane_of(const product *p, uint32_t row) { return p->m == 128 ? row : row / 16 * QUARTER + row % 16; }

static void multiply(sim_warp *w, sim_tmem *t, const product *p) {
  static _Thread_local float a[MOST_M * MOST_K], b[MOST_K * MOST_N], d[16 * MOST_N];
  const int n = (int)p->n, k = (int)p->k;
  sim_matrix_read(w->block, p->a, p->pieces, p->na, p->m, false, a, k, 1);
  sim_matrix_read(w->block, p->b, p->pieces + p->na, p->nb, p->n, false, b, 1, n);
  for (uint32_t i = 0; p->negated && i < p->m * p->k; i++) a[i] = -a[i];
  for (uint32_t r = 0; r < p->m; r += 16) {
    if (p->keeps)
      for (uint32_t i = 0; i < 16; i++) memcpy(d + i * p->n, sim_tmem_row(t, lane_of(p, r + i)) + p->column, sizeof *d * p->n);
    else memset(d, 0, sizeof *d * 16 * p->n);
    w->block->worker->lanes->product(d, a + r * p->k, b, n, k);
    for (uint32_t i = 0; i < 16 * p->n; i++) {
      const float sum = d[i];
      uint32_t word = 0x7fffffff;
      if (sum == sum) memcpy(&word, &sum, sizeof word);
      sim_tmem_row(t, lane_of(p, r + i / p->n))[p->column + i % p->n] = word;
    }
  }
}

static void mma_of_lane(sim_warp *w, const sim_instr *in, sim_tmem *t, int lane) {
  product p;
  const uint32_t address = (uint32_t)(sim_get(w, &in->args[0], lane) + (uint64_t)in->offset);
  if (!read_instruction(w, lane, in->select, (uint32_t)sim_get(w, &in->args[3], lane), &p)) return;
  p.column = address & 0xffff;
  p.keeps = sim_pred(w, &in->args[4]) >> lane & 1;
  if (address >> 16) {
    sim_report(w, lane, SIM_FAULT_TENSOR_MEMORY, "its sums begin in lane %u of tensor memory; they begin in lane 0", address >> 16);
    return;
  }
  if (!read_operand(w, lane, sim_get(w, &in->args[1], lane), p.m, p.pieces, &p.na)) return;
  if (!read_operand(w, lane, sim_get(w, &in->args[2], lane), p.n, p.pieces + p.na, &p.nb)) return;
  const sim_tmem_area area = {p.column, p.n, 0, p.m == 128 ? 1 : 2, p.m == 128 ? TMEM_GROUPS : TMEM_GROUPS / 2};
  if (p.keeps && !sim_tmem_has_values(w, lane, t, area)) return;
  if (!sim_tmem_touch(w, lane, t, area, TMEM_PRODUCT)) return;
  for (int i = 0; i < p.na + p.nb; i++) sim_shared_touch(w, lane, w->block, p.pieces[i], 16, SIM_ASYNC_READ, true, true);
  sim_tmem_product(w, t, p.pieces, p.na + p.nb);
  multiply(w, t, &p);
}

static void mma(sim_warp *w, const sim_instr *in, uint32_t active) {
  sim_tmem *t = sim_tmem_of(w);
  for (int i = 0; i < in->nargs; i++) sim_want(w, in, &in->args[i], active, "an operand");
  if (active & (active - 1))
    sim_report(w, __builtin_ctz(active & (active - 1)), SIM_FAULT_TENSOR_MEMORY, "one thread issues it for all; several of the warp did");
  for (uint32_t rest = active; t && rest; rest &= rest - 1) mma_of_lane(w, in, t, __builtin_ctz(rest));
}

// ---- decoding

static void take_group(sim_decoder *d) {
  if (!sim_take(d, "cta_group::1")) sim_bad(d, "only .cta_group::1 is known");
}

static void together(sim_decoder *d, sim_op_fn *run) {
  if (!sim_take(d, "sync") || !sim_take(d, "aligned")) sim_bad(d, "it is .sync.aligned");
  sim_set_op(d, run, SIM_TOGETHER);
}

static void decode_alloc(sim_decoder *d) {
  take_group(d), sim_take(d, "b32");
  d->out->space = (uint8_t)sim_take_space(d);
  d->out->bytes = 4, d->out->items = 1, d->out->memory = true;
  sim_operands(d, 2, 2);
  sim_add_address(d, sim_operand(d, 0));
  sim_add_source(d, sim_operand(d, 1), 4);
  together(d, alloc);
}

static void decode_dealloc(sim_decoder *d) {
  take_group(d), sim_take(d, "b32");
  sim_operands(d, 2, 2);
  for (int i = 0; i < 2; i++) sim_add_source(d, sim_operand(d, i), 4);
  together(d, dealloc);
}

// [d], a, b, instruction descriptor, enable-input-d
static void decode_mma(sim_decoder *d) {
  static const char *const kinds[] = {"kind::f16", "kind::tf32", "kind::f8f6f4"};
  static const char *const hints[] = {"collector::a::discard", "collector::a::lastuse", "collector::a::fill", "collector::a::use"};
  const int kind = sim_take_one(d, kinds, 3);
  take_group(d);
  sim_take_one(d, hints, 4);
  if (kind < 0) sim_bad(d, "only the kinds f16, tf32 and f8f6f4 are known");
  if (d->in->noperands != 5 || sim_operand(d, 1)->kind == PTX_ADDRESS)
    sim_bad(d, "only products of two descriptors are known, without masks of lanes and scaled sums");
  d->out->select = (uint8_t)kind;
  sim_add_address(d, sim_operand(d, 0));
  sim_add_source(d, sim_operand(d, 1), 8);
  sim_add_source(d, sim_operand(d, 2), 8);
  sim_add_source(d, sim_operand(d, 3), 4);
  sim_add_source(d, sim_operand(d, 4), 0);
  d->out->bytes = 16, d->out->items = 1, d->out->memory = true, d->out->space = PTX_SHARED;
  sim_set_op(d, mma, SIM_OP);
}

static void decode_commit(sim_decoder *d) {
  take_group(d), sim_take(d, "b64");
  if (!sim_take(d, "mbarrier::arrive::one")) sim_bad(d, "it is .mbarrier::arrive::one");
  d->out->space = (uint8_t)sim_take_space(d);
  d->out->bytes = 8, d->out->items = 1, d->out->memory = true;
  sim_operands(d, 1, 1);
  sim_add_address(d, sim_operand(d, 0));
  sim_set_op(d, commit, SIM_OP);
}

static void decode_move(sim_decoder *d, bool loads) {
  static const char *const counts[] = {"x1", "x2", "x4", "x8", "x16", "x32", "x64", "x128"};
  const bool shape = sim_take(d, "32x32b");
  const int count = sim_take_one(d, counts, 8);
  sim_take(d, "b32");
  if (!shape || count < 0) sim_bad(d, "only .32x32b of .x1 to .x128 is known");
  sim_operands(d, 2, 2);
  if (loads) sim_add_vector(d, sim_operand(d, 0), 1 << count, 4, true);
  sim_add_address(d, sim_operand(d, loads));
  if (!loads) sim_add_vector(d, sim_operand(d, 1), 1 << count, 4, false);
  together(d, loads ? load : store);
}

void sim_decode_tcgen05(sim_decoder *d) {
  static const char *const names[] = {"alloc",
                                      "dealloc",
                                      "relinquish_alloc_permit",
                                      "mma",
                                      "commit",
                                      "ld",
                                      "st",
                                      "wait::ld",
                                      "wait::st",
                                      "fence::before_thread_sync",
                                      "fence::after_thread_sync"};
  const int what = sim_take_one(d, names, 11);
  switch (what) {
  case 0: decode_alloc(d); return;
  case 1: decode_dealloc(d); return;
  case 3: decode_mma(d); return;
  case 4: decode_commit(d); return;
  case 5:
  case 6: decode_move(d, what == 5); return;
  case -1: sim_bad(d, "the simulator does not know this operation");
  default: break;
  }
  sim_operands(d, 0, 0);
  if (what == 2) take_group(d);
  d->out->select = what == 8;
  if (what <= 8) together(d, what == 2 ? relinquish : wait);
  else sim_set_op(d, what == 9 ? fence_before : fence_after, SIM_OP);
}
