// cp.async.bulk and cp.async.bulk.tensor (ISA 9.7.9.25): copies that the asynchronous proxy makes. Into shared memory they complete on an
// mbarrier, and land when somebody sees its phase; out of it they are waited for by groups, and hold what they read until then.
#include "targets/sim/block.h"
#include "targets/sim/decode.h"

enum { LOAD, STORE, TO_PEER }; // sim_instr.select; packed: a tensor; negated: multicast; mode: the sim_atom of a reduction, + 1

// ---- boxes

typedef struct box_row {
  char *memory;         // of its first element that lies inside of the tensor
  uint32_t skip, bytes; // what lies outside before it; inside
} box_row;

static uint32_t extent(const sim_tensor *t, int d) { return d ? (t->box[d] + t->step[d] - 1) / t->step[d] : t->box[0]; }
static uint32_t row_bytes(const sim_tensor *t) { return t->box[0] * ptx_types[t->type].bytes; }

static uint32_t row_count(const sim_tensor *t) {
  uint32_t n = 1;
  for (int d = 1; d < t->rank; d++) n *= extent(t, d);
  return n;
}

// Rows follow each other in shared memory, the second dimension fastest. One outside of the tensor has 0 bytes.
static box_row row_of(const sim_tile *tile, uint32_t index) {
  const sim_tensor *t = &tile->map;
  const int64_t bytes = ptx_types[t->type].bytes, x = tile->at[0];
  uint64_t offset = 0;
  for (int d = 1; d < t->rank; d++) {
    const int64_t at = tile->at[d] + (int64_t)(index % extent(t, d)) * t->step[d];
    if (at < 0 || (uint64_t)at >= t->dims[d]) return (box_row){0};
    offset += (uint64_t)at * t->strides[d];
    index /= extent(t, d);
  }
  const int64_t first = x < 0 ? 0 : x, end = x + (int64_t)t->box[0],
                last = (uint64_t)(end < 0 ? 0 : end) > t->dims[0] ? (int64_t)t->dims[0] : end;
  if (first >= last) return (box_row){0};
  return (box_row){t->base + offset + first * bytes, (uint32_t)((first - x) * bytes), (uint32_t)((last - first) * bytes)};
}

// The 16 bytes at an address change places with others of their 128 (CUDA programming guide, tensor map swizzle).
static uint32_t swizzled(uint32_t address, uint32_t swizzle) {
  return swizzle ? address ^ (address >> 7 & (swizzle / 16 - 1)) << 4 : address;
}

static void fill_outside(const sim_tensor *t, char *row) {
  static const uint64_t nans[] = {[2] = 0x7fff, [4] = 0x7fffffff, [8] = 0x7fffffffffffffff};
  const uint32_t bytes = ptx_types[t->type].bytes;
  memset(row, 0, row_bytes(t));
  for (uint32_t i = 0; t->nan_fill && i < t->box[0]; i++) memcpy(row + i * bytes, &nans[bytes], bytes);
}

enum { MOST_ROW = 256 * 8 };

static void tile_in(const sim_tile *tile, char *shared, uint32_t to) {
  char row[MOST_ROW];
  const uint32_t bytes = row_bytes(&tile->map), rows = row_count(&tile->map);
  for (uint32_t r = 0; r < rows; r++) {
    const box_row inside = row_of(tile, r);
    if (inside.bytes < bytes) fill_outside(&tile->map, row);
    if (inside.bytes) memcpy(row + inside.skip, inside.memory, inside.bytes);
    for (uint32_t c = 0; c < bytes; c += 16) memcpy(shared + swizzled(to + r * bytes + c, tile->map.swizzle), row + c, 16);
  }
}

// ---- what is under way

sim_reading *sim_reading_add(sim_warp *w, sim_readings *r, uint32_t group, uint32_t lanes, int nparts) {
  if (r->n == r->room) {
    const int room = r->room ? 2 * r->room : 16;
    if (!sim_grow(w->block, &r->at, (size_t)room * sizeof *r->at)) return NULL;
    memset(r->at + r->room, 0, (size_t)(room - r->room) * sizeof *r->at);
    r->room = room;
  }
  struct sim_reading_group *g = &r->at[r->n];
  if (nparts > g->room) {
    if (!sim_grow(w->block, &g->parts, (size_t)nparts * sizeof *g->parts)) return NULL;
    g->room = nparts;
  }
  g->group = group, g->lanes = lanes, g->pc = w->pc, g->nparts = nparts;
  r->n++;
  return g->parts;
}

void sim_readings_retire(sim_warp *w, sim_readings *r, uint32_t lanes, const uint32_t *before) {
  int kept = 0;
  for (int i = 0; i < r->n; i++) {
    struct sim_reading_group g = r->at[i];
    const int lane = __builtin_ctz(g.lanes);
    if (!(g.lanes & lanes) || g.group >= before[lane]) {
      r->at[i] = r->at[kept], r->at[kept++] = g; // its neighbours' memory is kept for later
      continue;
    }
    for (int k = 0; k < g.nparts; k++)
      sim_shared_let_go(w, g.lanes & (g.lanes - 1) ? LANES : lane, g.parts[k].block, g.parts[k].at, g.parts[k].bytes, g.pc);
  }
  r->n = kept;
}

void sim_readings_end(sim_warp *w) {
  sim_readings *const all[] = {&w->stores, &w->products};
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < all[i]->n; k++)
      sim_report(w, __builtin_ctz(all[i]->at[k].lanes), SIM_FAULT_UNWAITED,
                 "the thread ends while the operation of line %u still reads shared memory", w->block->code->instrs[all[i]->at[k].pc].line);
  if (w->products.n || w->stores.n) w->products.n = w->stores.n = 0;
}

void sim_land(sim_warp *w, const sim_mbarrier *m, const sim_landing *l) {
  sim_block *b = l->block;
  if (l->is_commit) {
    sim_tmem_land(b, l->warp, l->products);
    return;
  }
  if (l->is_tile) {
    tile_in(&l->tile, b->shared, l->to);
  } else if (l->reduce) {
    uint64_t v = 0;
    memcpy(&v, l->value, l->bytes);
    sim_exchange(l->reduce, b->shared + l->to, v, 0);
  } else if (l->is_value) {
    memcpy(b->shared + l->to, l->value, l->bytes);
  } else {
    memset(b->shared + l->to, 0, l->bytes);
    if (l->take) memcpy(b->shared + l->to, l->from, l->take);
  }
  if (l->source) sim_shared_let_go(w, LANES, l->source, (uint64_t)(l->from - l->source->shared), l->bytes, l->pc);
  for (uint64_t g = l->to >> b->grain_shift; g <= (l->to + l->bytes - 1u) >> b->grain_shift; g++) {
    sim_grain *s = &b->grains[g];
    s->flags = GRAIN_VALUE | (l->generic ? 0 : GRAIN_ASYNC);
    s->writer = (uint16_t)m->agent;
    s->write = (sim_stamp){.clock = (uint32_t)l->phase + 1, .lane = LANES};
    s->write_pc = (uint32_t)l->pc;
  }
}

// ---- operands of a lane

static uint64_t far_address(const sim_warp *w, const sim_arg *a, int l) {
  const uint64_t address = sim_get(w, a, l) + sim_get(w, a + 1, l);
  return a->bytes == 4 ? (uint32_t)address : address;
}

static bool read_map(sim_warp *w, int l, const sim_arg *a, const sim_arg *coords, int rank, sim_tile *tile) {
  const uint64_t address = far_address(w, a, l);
  sim_place place, rest;
  if (!sim_resolve(w, l, PTX_GENERIC, address, 64, false, &place) || !sim_resolve(w, l, PTX_GENERIC, address + 64, 64, false, &rest))
    return false;
  if (place.space == PTX_GLOBAL) sim_touch_place(w, l, &place, SIM_MAP_BYTES, SIM_READ, true, true);
  if (place.space == PTX_SHARED || !sim_tensor_decode(place.memory, &tile->map)) {
    sim_report(w, l, SIM_FAULT_TENSOR, "no tensor map of the launch's, nor a whole one of the code's, lies at address 0x%llx",
               (unsigned long long)address);
    return false;
  }
  if (tile->map.rank != rank) {
    sim_report(w, l, SIM_FAULT_TENSOR, "%d coordinates for a tensor map of %d dimensions", rank, tile->map.rank);
    return false;
  }
  for (int i = 0; i < rank; i++) tile->at[i] = (int32_t)sim_get(w, &coords[i], l);
  return true;
}

// The range of shared memory, inside of it and aligned; swizzled bytes stay in their 128.
static bool shared_range(sim_warp *w, int l, uint64_t address, ptx_space space, uint32_t bytes, bool tile, sim_place *place) {
  const uint32_t unit = tile ? 128 : 16;
  if (address % unit) {
    sim_report(w, l, SIM_FAULT_MISALIGNED, "its address 0x%llx in shared memory is no multiple of %u", (unsigned long long)address, unit);
    return false;
  }
  if (!sim_resolve(w, l, space, address, 16, true, place)) return false;
  const uint64_t have = place->block ? place->block->shared_bytes : 0, want = tile ? (bytes + 127) / 128 * 128 : bytes;
  if (!place->block || have - place->offset < want) {
    sim_report(w, l, SIM_FAULT_OUT_OF_BOUNDS, "it copies %u bytes at byte %llu of the shared memory, which has %llu", bytes,
               (unsigned long long)place->offset, (unsigned long long)have);
    return false;
  }
  return true;
}

// Every row that lies inside of the tensor has to lie inside of an array too.
static bool touch_rows(sim_warp *w, int l, const sim_tile *tile, sim_access access) {
  const uint32_t rows = row_count(&tile->map);
  for (uint32_t r = 0; r < rows; r++) {
    const box_row in = row_of(tile, r);
    sim_place place;
    if (!in.bytes) continue;
    if (!sim_resolve_global(w, l, (uint64_t)(uintptr_t)in.memory, in.bytes, access != SIM_READ, &place)) return false;
    sim_global_touch(w, l, place.buffer, place.offset, in.bytes, access, true);
  }
  return true;
}

static bool linear_range(sim_warp *w, int l, uint64_t address, uint32_t bytes, sim_access access, sim_place *place) {
  if (address % 16) {
    sim_report(w, l, SIM_FAULT_MISALIGNED, "its address 0x%llx in global memory is no multiple of 16", (unsigned long long)address);
    return false;
  }
  if (!sim_resolve_global(w, l, address, bytes, access != SIM_READ, place)) return false;
  sim_global_touch(w, l, place->buffer, place->offset, bytes, access, true);
  return true;
}

static bool good_size(sim_warp *w, int l, uint64_t bytes) {
  if (bytes && bytes % 16 == 0 && bytes < 1u << 20) return true;
  if (bytes) sim_report(w, l, SIM_FAULT_MISALIGNED, "%llu bytes: a bulk copy takes a multiple of 16 below 2^20", (unsigned long long)bytes);
  return false;
}

// ---- into shared memory

// Reductions under way to one place do not disturb each other; what lies there stays, and nobody else may touch it.
static void begin_reduction(sim_warp *w, int l, sim_block *b, uint64_t to, uint32_t bytes) {
  const int reduced = GRAIN_PENDING | GRAIN_ATOMIC;
  const uint64_t first = to >> b->grain_shift, last = (to + bytes - 1) >> b->grain_shift;
  bool others = true;
  for (uint64_t g = first; g <= last; g++) others &= (b->grains[g].flags & reduced) == reduced;
  if (!others) sim_shared_touch(w, l, b, to, bytes, SIM_ATOMIC, true, false);
  for (uint64_t g = first; g <= last; g++) b->grains[g].flags |= (uint8_t)reduced;
}

static void begin_writing(sim_warp *w, int l, sim_block *b, uint64_t to, const sim_landing *what) {
  sim_shared_touch(w, l, b, to, what->bytes, what->generic ? SIM_WRITE : SIM_ASYNC_WRITE, false, false);
  for (uint64_t g = to >> b->grain_shift; g <= (to + what->bytes - 1) >> b->grain_shift; g++)
    b->grains[g].flags = GRAIN_PENDING | (what->generic ? 0 : GRAIN_ASYNC);
  memset(b->shared + to, 0xff, what->bytes);
}

// Into one block: marks the destination, and completes its bytes on the mbarrier at the same place as the one that is named.
static void begin(sim_warp *w, int l, sim_block *b, uint64_t to, uint64_t bar, const sim_landing *what) {
  sim_mbarrier *m = sim_mbarrier_find(w, l, b, bar);
  if (!m) return;
  if (b != w->block && !what->generic && !sim_mbarrier_known_to_copies(w, m))
    sim_report(w, l, SIM_FAULT_PROXY,
               "its bytes complete on the mbarrier at shared memory %u of block %u of the cluster, which line %u initialised with no "
               "fence.mbarrier_init and no "
               "fence.proxy.async after it",
               m->offset, b->rank, b->code->instrs[m->init_pc].line);
  if (what->reduce) begin_reduction(w, l, b, to, what->bytes);
  else begin_writing(w, l, b, to, what);
  sim_landing *landing = sim_mbarrier_landing(w, m);
  if (!landing) return;
  const uint64_t phase = landing->phase;
  *landing = *what;
  landing->phase = phase, landing->block = b, landing->to = (uint32_t)to;
  sim_mbarrier_expect(w, l, m, -(int64_t)what->bytes);
}

static bool source_of(sim_warp *w, const sim_instr *in, int l, sim_landing *what) {
  sim_place place;
  what->pc = w->pc;
  if (in->packed) {
    what->is_tile = true;
    if (!read_map(w, l, &in->args[2], &in->args[4], in->items, &what->tile) || !touch_rows(w, l, &what->tile, SIM_READ)) return false;
    what->bytes = row_count(&what->tile.map) * row_bytes(&what->tile.map);
    return true;
  }
  const uint64_t bytes = sim_get(w, &in->args[4], l), address = far_address(w, &in->args[2], l);
  if (!good_size(w, l, bytes)) return false;
  what->bytes = what->take = (uint32_t)bytes;
  if (in->select == LOAD) {
    if (!linear_range(w, l, address, what->bytes, SIM_READ, &place)) return false;
  } else {
    if (!shared_range(w, l, address, PTX_SHARED, what->bytes, false, &place)) return false;
    sim_shared_touch(w, l, place.block, place.offset, what->bytes, SIM_ASYNC_READ, true, true);
    sim_shared_hold(place.block, place.offset, what->bytes);
    what->source = place.block;
  }
  what->from = place.memory;
  return true;
}

static void load_one(sim_warp *w, const sim_instr *in, int l) {
  const sim_arg *bar = in->packed ? &in->args[4 + in->items] : &in->args[5];
  const sim_cluster *c = w->block->cluster;
  sim_landing what = {0};
  sim_place to, at;
  if (!source_of(w, in, l, &what)) return;
  if (!shared_range(w, l, far_address(w, in->args, l), PTX_CLUSTER, what.bytes, in->packed, &to)) return;
  if (!sim_resolve(w, l, PTX_CLUSTER, far_address(w, bar, l), 8, true, &at)) return;
  if (at.block != to.block) {
    sim_report(w, l, SIM_FAULT_MBARRIER, "its mbarrier is in another block's shared memory than its destination");
    return;
  }
  if (!in->negated) {
    begin(w, l, to.block, to.offset, at.offset, &what);
    return;
  }
  const uint64_t mask = sim_get(w, bar + 2, l) & 0xffff;
  if (!mask || mask >> c->nblocks)
    sim_report(w, l, SIM_FAULT_OUT_OF_BOUNDS, "mask 0x%llx of a cluster of %d blocks", (unsigned long long)mask, c->nblocks);
  for (int i = 0; i < c->nblocks; i++)
    if (mask >> i & 1) begin(w, l, &c->blocks[i], to.offset, at.offset, &what);
}

static void want_all(sim_warp *w, const sim_instr *in, uint32_t active) {
  for (int i = 0; i < in->nargs; i++) sim_want(w, in, &in->args[i], active, "an operand");
}

static void load(sim_warp *w, const sim_instr *in, uint32_t active) {
  want_all(w, in, active);
  for (uint32_t rest = active; rest; rest &= rest - 1) load_one(w, in, __builtin_ctz(rest));
}

// ---- st.async (ISA 9.7.9.13), red.async (9.7.13.7): values that arrive in a block of the cluster, and complete their bytes on its
// mbarrier

static void store_value(sim_warp *w, const sim_instr *in, uint32_t active) {
  const sim_arg *bar = &in->args[2 + in->items];
  uint32_t valid = UINT32_MAX;
  sim_want(w, in, in->args, active, "the address");
  sim_want(w, in, bar, active, "the mbarrier's address");
  for (int k = 0; k < in->items; k++) valid &= sim_valid(w, &in->args[2 + k]);
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    const bool reduces = in->cls == SIM_CLASS_ATOMIC;
    sim_landing what = {
        .is_value = true, .generic = true, .reduce = reduces ? in : NULL, .bytes = (uint32_t)in->bytes * in->items, .pc = w->pc};
    sim_place to, at;
    if (!sim_resolve(w, l, PTX_CLUSTER, far_address(w, in->args, l), what.bytes, true, &to)) continue;
    if (!sim_resolve(w, l, PTX_CLUSTER, far_address(w, bar, l), 8, true, &at)) continue;
    if (at.block != to.block) {
      sim_report(w, l, SIM_FAULT_MBARRIER, "its mbarrier is in another block's shared memory than its destination");
      continue;
    }
    if (!(valid >> l & 1)) sim_report(w, l, SIM_FAULT_UNINITIALISED, "what it %s has no value", reduces ? "reduces" : "stores");
    for (int k = 0; k < in->items; k++) {
      const uint64_t v = sim_get(w, &in->args[2 + k], l);
      memcpy(what.value + (size_t)k * in->bytes, &v, in->bytes);
    }
    begin(w, l, to.block, to.offset, at.offset, &what);
  }
}

// st.async[.weak][.shared::cluster].mbarrier::complete_tx::bytes[.v2|.v4].type [a], b, [mbar]
void sim_decode_store_value(sim_decoder *d) {
  static const char *const vectors[] = {"v2", "v4"};
  sim_instr *out = d->out;
  sim_take(d, "weak"), sim_take(d, "shared::cluster");
  if (!sim_take(d, "mbarrier::complete_tx::bytes")) sim_bad(d, "its completion mechanism is not known");
  const int k = sim_take_one(d, vectors, 2), type = sim_take_type(d);
  out->items = (uint8_t)(k < 0 ? 1 : 2 << k), out->bytes = ptx_types[type].bytes;
  if ((out->bytes != 4 && out->bytes != 8) || out->bytes * out->items > 16) sim_bad(d, "no such store");
  sim_operands(d, 3, 3);
  sim_add_far_address(d, sim_operand(d, 0));
  sim_add_vector(d, sim_operand(d, 1), out->items, out->bytes, false);
  sim_add_far_address(d, sim_operand(d, 2));
  out->memory = true, out->space = PTX_CLUSTER, out->cls = SIM_CLASS_SHARED;
  sim_set_op(d, store_value, SIM_OP);
}

// red.async.relaxed.cluster[.shared::cluster].mbarrier::complete_tx::bytes.op.type [a], b, [mbar]
void sim_decode_reduce_value(sim_decoder *d) {
  sim_instr *out = d->out;
  sim_take(d, "shared::cluster");
  if (!sim_take(d, "relaxed") || !sim_take(d, "cluster") || !sim_take(d, "mbarrier::complete_tx::bytes"))
    sim_bad(d, "the simulator knows red.async.relaxed.cluster.mbarrier::complete_tx::bytes");
  // add min max inc dec exch cas and or xor, as sim_take_atom counts them
  static const char *const types[] = {"u32 s32 u64", "u32 s32", "u32 s32", "u32", "u32", "", "", "b32", "b32", "b32"};
  const int op = sim_take_atom(d), type = sim_take_type(d);
  if (op < 0 || !strstr(types[op], ptx_types[type].name)) sim_bad(d, "no such reduction");
  out->select = (uint8_t)op, out->type = (uint8_t)type, out->items = 1, out->bytes = ptx_types[type].bytes;
  sim_operands(d, 3, 3);
  sim_add_far_address(d, sim_operand(d, 0));
  sim_add_source(d, sim_operand(d, 1), out->bytes);
  sim_add_far_address(d, sim_operand(d, 2));
  out->memory = true, out->space = PTX_CLUSTER, out->cls = SIM_CLASS_ATOMIC;
  sim_set_op(d, store_value, SIM_OP);
}

// ---- what bulk copies write to global memory is to be seen after wait_group, by the thread that made them

static void note_unseen(sim_warp *w, int l, const char *memory, uint32_t bytes) {
  sim_block *b = w->block;
  if (b->nunseen == b->room_unseen) {
    const int room = b->room_unseen ? 2 * b->room_unseen : 64;
    if (!sim_grow(b, &b->unseen, (size_t)room * sizeof *b->unseen)) return;
    b->room_unseen = room;
  }
  b->unseen[b->nunseen++] = (sim_unseen){memory, memory + bytes, w->agent, (uint32_t)l, w->bulk_group[l], w->pc};
}

static void see(sim_warp *w, uint32_t lanes, const uint32_t *before) {
  sim_block *b = w->block;
  int kept = 0;
  for (int i = 0; i < b->nunseen; i++) {
    const sim_unseen *u = &b->unseen[i];
    if (u->agent != w->agent || !(lanes >> u->lane & 1) || u->group >= before[u->lane]) b->unseen[kept++] = *u;
  }
  b->nunseen = kept;
}

void sim_unseen_check(sim_warp *w, int lane, const sim_buffer *buffer, uint64_t offset, uint32_t bytes) {
  const char *from = (const char *)buffer->base + offset, *end = from + bytes;
  for (int i = 0; i < w->block->nunseen; i++) {
    const sim_unseen *u = &w->block->unseen[i];
    if (from >= u->end || u->from >= end) continue;
    sim_report(
        w, lane, SIM_FAULT_UNWAITED,
        "it touches byte %llu of %s, which the bulk copy of line %u writes, and no cp.async.bulk.wait_group without .read waited for it",
        (unsigned long long)offset, buffer->name, w->block->code->instrs[u->pc].line);
    return;
  }
}

// ---- out of shared memory

static void reduce(const sim_instr *in, int type, char *to, const char *from, uint32_t bytes) {
  sim_instr one = {.select = (uint8_t)(in->mode - 1), .type = (uint8_t)type, .bytes = ptx_types[type].bytes};
  for (uint32_t i = 0; i < bytes; i += one.bytes) {
    uint64_t v = 0;
    memcpy(&v, from + i, one.bytes);
    sim_exchange(&one, to + i, v, 0);
  }
}

static void tile_out(sim_warp *w, int l, const sim_instr *in, const sim_tile *tile, const char *shared, uint32_t from) {
  char row[MOST_ROW];
  const uint32_t bytes = row_bytes(&tile->map), rows = row_count(&tile->map);
  for (uint32_t r = 0; r < rows; r++) {
    const box_row inside = row_of(tile, r);
    if (!inside.bytes) continue;
    for (uint32_t c = 0; c < bytes; c += 16) memcpy(row + c, shared + swizzled(from + r * bytes + c, tile->map.swizzle), 16);
    if (in->mode) reduce(in, tile->map.type, inside.memory, row + inside.skip, inside.bytes);
    else memcpy(inside.memory, row + inside.skip, inside.bytes);
    note_unseen(w, l, inside.memory, inside.bytes);
  }
}

static bool can_reduce(sim_warp *w, int l, int type) {
  const char cls = ptx_types[type].cls;
  if (ptx_types[type].bytes >= 4 || cls == 'f') return true;
  sim_report(w, l, SIM_FAULT_TENSOR, "a tensor map of .%s cannot be reduced into", ptx_types[type].name);
  return false;
}

static void store_one(sim_warp *w, const sim_instr *in, int l) {
  sim_tile tile;
  sim_place place, to = {0};
  const sim_access access = in->mode ? SIM_ATOMIC : SIM_ASYNC_WRITE;
  uint64_t bytes;
  if (in->packed) {
    if (!read_map(w, l, in->args, &in->args[2], in->items, &tile) || (in->mode && !can_reduce(w, l, tile.map.type))) return;
    if (!touch_rows(w, l, &tile, access)) return;
    bytes = (uint64_t)row_count(&tile.map) * row_bytes(&tile.map);
  } else {
    bytes = sim_get(w, &in->args[4], l);
    if (!good_size(w, l, bytes) || !linear_range(w, l, far_address(w, in->args, l), (uint32_t)bytes, access, &to)) return;
  }
  const sim_arg *from = in->packed ? &in->args[2 + in->items] : &in->args[2];
  if (!shared_range(w, l, far_address(w, from, l), PTX_SHARED, (uint32_t)bytes, in->packed, &place)) return;
  sim_shared_touch(w, l, place.block, place.offset, (uint32_t)bytes, SIM_ASYNC_READ, true, true);
  sim_reading *part = sim_reading_add(w, &w->stores, w->bulk_group[l], 1u << l, 1);
  if (!part) return;
  *part = (sim_reading){place.block, (uint32_t)place.offset, (uint32_t)bytes};
  sim_shared_hold(place.block, place.offset, (uint32_t)bytes);
  if (in->packed) tile_out(w, l, in, &tile, place.block->shared, (uint32_t)place.offset);
  else if (in->mode) reduce(in, in->type, to.memory, place.memory, (uint32_t)bytes);
  else memcpy(to.memory, place.memory, bytes);
  if (!in->packed) note_unseen(w, l, to.memory, (uint32_t)bytes);
}

static void store(sim_warp *w, const sim_instr *in, uint32_t active) {
  want_all(w, in, active);
  for (uint32_t rest = active; rest; rest &= rest - 1) store_one(w, in, __builtin_ctz(rest));
}

static void commit(sim_warp *w, const sim_instr *in, uint32_t active) {
  (void)in;
  for (int l = 0; l < LANES; l++) w->bulk_group[l] += active >> l & 1;
}

static void wait_group(sim_warp *w, const sim_instr *in, uint32_t active) {
  uint32_t before[LANES];
  for (int l = 0; l < LANES; l++) before[l] = w->bulk_group[l] > (uint32_t)in->offset ? w->bulk_group[l] - (uint32_t)in->offset : 0;
  sim_readings_retire(w, &w->stores, active, before);
  if (!in->negated) see(w, active, before);
}

static void nothing(sim_warp *w, const sim_instr *in, uint32_t active) { (void)w, (void)in, (void)active; }

// ---- decoding

static void add_map(sim_decoder *d, const ptx_operand *o) {
  ptx_operand plain = *o;
  plain.nitems = 0, plain.items = NULL;
  if (o->kind != PTX_ADDRESS || o->nitems != d->out->items) sim_bad(d, "[map, {%d coordinates}] is wanted", d->out->items);
  sim_add_far_address(d, &plain);
  for (int i = 0; i < o->nitems; i++) sim_add_source(d, &o->items[i], 4);
}

static void decode_operands(sim_decoder *d, bool policy) {
  sim_instr *out = d->out;
  const bool stores = out->select == STORE;
  const int n = 2 + !out->packed + !stores + out->negated + policy;
  sim_operands(d, n, n);
  int at = 0;
  if (out->packed && stores) add_map(d, sim_operand(d, at++));
  else sim_add_far_address(d, sim_operand(d, at++));
  if (out->packed && !stores) add_map(d, sim_operand(d, at++));
  else sim_add_far_address(d, sim_operand(d, at++));
  if (!out->packed) sim_add_source(d, sim_operand(d, at++), 4);
  if (!stores) sim_add_far_address(d, sim_operand(d, at++));
  if (out->negated) sim_add_source(d, sim_operand(d, at), 2);
}

// The destination's and the source's space stand in this order.
static int take_kind(sim_decoder *d, bool *prefetch) {
  static const char *const names[] = {"global", "shared::cta", "shared::cluster"};
  int spaces[2] = {-1, -1}, n = 0;
  for (int i = 0; i < d->in->nmods && n < 2; i++)
    for (int k = 0; k < 3; k++)
      if (!strcmp(d->in->mods[i], names[k])) spaces[n++] = k, d->taken |= 1u << i;
  *prefetch = sim_take(d, "prefetch");
  if (*prefetch || (n == 2 && spaces[0] && !spaces[1])) return LOAD;
  if (n == 2 && !spaces[0] && spaces[1] == 1) return STORE;
  if (n == 2 && spaces[0] == 2 && spaces[1] == 1) return TO_PEER;
  sim_bad(d, "no such bulk copy is known");
}

static void decode_copy(sim_decoder *d, bool reduces) {
  static const char *const dims[] = {"1d", "2d", "3d", "4d", "5d"}, *const completions[] = {"bulk_group", "mbarrier::complete_tx::bytes"};
  static const char *const words[] = {"tile", "cta_group::1", "cta_group::2"};
  sim_instr *out = d->out;
  bool prefetch;
  out->packed = sim_take(d, "tensor");
  out->select = (uint8_t)take_kind(d, &prefetch);
  const int rank = out->packed ? sim_take_one(d, dims, 5) + 1 : 0;
  if (out->packed && !rank) sim_bad(d, "1d to 5d is missing");
  out->items = (uint8_t)rank;
  while (sim_take_one(d, words, 3) >= 0) {
  }
  if (prefetch) {
    d->taken = UINT32_MAX;
    sim_set_op(d, nothing, SIM_OP);
    return;
  }
  const int completion = sim_take_one(d, completions, 2);
  if ((completion == 0) != (out->select == STORE)) sim_bad(d, "its completion mechanism is not known");
  out->negated = sim_take(d, "multicast::cluster");
  const bool policy = sim_take(d, "L2::cache_hint");
  if (reduces) {
    out->mode = (uint8_t)(sim_take_atom(d) + 1);
    sim_take(d, "noftz");
    if (!out->packed) out->type = (uint8_t)sim_take_type(d);
    if (!out->mode || out->select != STORE) sim_bad(d, "the simulator does not know this reduction");
  }
  decode_operands(d, policy);
  out->bytes = 16, out->memory = true, out->space = PTX_SHARED;
  sim_set_op(d, out->select == STORE ? store : load, SIM_OP);
}

void sim_decode_bulk(sim_decoder *d, bool reduces) {
  if (sim_take(d, "commit_group")) {
    sim_operands(d, 0, 0);
    sim_set_op(d, commit, SIM_OP);
  } else if (sim_take(d, "wait_group")) {
    d->out->negated = sim_take(d, "read"); // of what is read alone
    sim_operands(d, 1, 1);
    const int64_t n = sim_immediate(d, sim_operand(d, 0));
    if (n < 0 || n > INT32_MAX) sim_bad(d, "a number of groups is wanted");
    d->out->offset = n;
    sim_set_op(d, wait_group, SIM_OP);
  } else {
    decode_copy(d, reduces);
  }
}
