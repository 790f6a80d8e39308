// Loads, stores and atomics of every state space.
#include <stdlib.h>

#include "targets/sim/block.h"
#include "targets/sim/decode.h"
#include "targets/sim/number.h"

// ---- addresses

static const char *const space_names[PTX_NSPACES] = {"generic", "global", "const", "shared", "local", "param", "shared"};

static const sim_buffer *search(const sim_launch *launch, uint64_t address, const sim_buffer **before) {
  int low = 0, high = launch->nbuffers; // the last buffer that begins at the address or before it
  while (low < high) {
    const int middle = (low + high) / 2;
    if ((uint64_t)(uintptr_t)launch->buffers[middle].base <= address) low = middle + 1;
    else high = middle;
  }
  *before = low ? &launch->buffers[low - 1] : NULL;
  return *before && address - (uint64_t)(uintptr_t)(*before)->base < (*before)->bytes ? *before : NULL;
}

bool sim_resolve_global(sim_warp *w, int lane, uint64_t address, uint32_t bytes, bool write, sim_place *place) {
  const sim_launch *launch = w->block->launch;
  int *last = &w->block->worker->last_buffer[w->pc];
  const sim_buffer *b = *last >= 0 ? &launch->buffers[*last] : NULL, *before = NULL;
  if (!b || address - (uint64_t)(uintptr_t)b->base >= b->bytes) b = search(launch, address, &before);
  const uint64_t offset = b ? address - (uint64_t)(uintptr_t)b->base : 0;
  if (!b || b->bytes - offset < bytes) {
    if (!b) b = before;
    const char *what = write ? "writes" : "reads";
    if (b)
      sim_report(w, lane, SIM_FAULT_OUT_OF_BOUNDS, "it %s %u bytes at byte %llu of %s, which has %llu", what, bytes,
                 (unsigned long long)(address - (uint64_t)(uintptr_t)b->base), b->name, (unsigned long long)b->bytes);
    else
      sim_report(w, lane, SIM_FAULT_OUT_OF_BOUNDS, "it %s %u bytes at address 0x%llx, before every array", what, bytes,
                 (unsigned long long)address);
    return false;
  }
  if (write && b->read_only) {
    sim_report(w, lane, SIM_FAULT_READ_ONLY, "it writes to %s, which is constant", b->name);
    return false;
  }
  *last = (int)(b - launch->buffers);
  *place = (sim_place){b->base + offset, PTX_GLOBAL, offset, b, NULL};
  return true;
}

// The block whose shared memory an address means; NULL: there is none such, which was reported.
static sim_block *shared_block(sim_warp *w, int lane, bool own, uint64_t *address) {
  sim_block *b = w->block;
  const uint64_t rank = *address >> SIM_RANK_SHIFT;
  if (!rank || rank == b->rank + 1) {
    *address &= (1u << SIM_RANK_SHIFT) - 1;
    return b;
  }
  if (own || rank > (uint64_t)b->cluster->nblocks) {
    sim_report(w, lane, SIM_FAULT_OUT_OF_BOUNDS,
               rank > (uint64_t)b->cluster->nblocks ? "address 0x%llx is in no block of its cluster"
                                                    : "address 0x%llx is in another block's shared memory, which needs "
                                                      ".shared::cluster",
               (unsigned long long)*address);
    return NULL;
  }
  sim_block *other = &b->cluster->blocks[rank - 1];
  *address &= (1u << SIM_RANK_SHIFT) - 1;
  if (sim_block_alive(other)) return other;
  sim_report(w, lane, SIM_FAULT_OUT_OF_BOUNDS, "it touches the shared memory of block (%u,%u,%u), which has ended", other->id[0],
             other->id[1], other->id[2]);
  return NULL;
}

bool sim_resolve(sim_warp *w, int lane, ptx_space space, uint64_t address, uint32_t bytes, bool write, sim_place *place) {
  sim_block *b = w->block;
  if (space == PTX_GENERIC) {
    space = (ptx_space)(address >> 56);
    if (space == PTX_GENERIC) space = PTX_GLOBAL;
    else address &= ((uint64_t)1 << 56) - 1;
    if (space == PTX_SHARED) space = PTX_CLUSTER;
  }
  if (address % bytes) {
    sim_report(w, lane, SIM_FAULT_MISALIGNED, "address 0x%llx is no multiple of the %u bytes that it touches", (unsigned long long)address,
               bytes);
    return false;
  }
  char *base;
  uint64_t have;
  switch (space) {
  case PTX_GLOBAL:
  case PTX_CONST: return sim_resolve_global(w, lane, address, bytes, write, place);
  case PTX_SHARED:
  case PTX_CLUSTER:
    b = shared_block(w, lane, space == PTX_SHARED, &address);
    if (!b) return false;
    base = b->shared, have = b->shared_bytes, space = PTX_SHARED;
    break;
  case PTX_LOCAL:
    have = b->code->local_bytes;
    base = b->local + have * (uint64_t)(w->index * LANES + lane);
    break;
  case PTX_PARAM: base = (char *)(uintptr_t)b->launch->params, have = b->code->entry->param_bytes; break;
  default:
    sim_report(w, lane, SIM_FAULT_OUT_OF_BOUNDS, "address 0x%llx belongs to no state space", (unsigned long long)address);
    return false;
  }
  if (address > have || have - address < bytes) {
    sim_report(w, lane, SIM_FAULT_OUT_OF_BOUNDS, "it %s %u bytes at byte %lld of the %s memory, which has %llu", write ? "writes" : "reads",
               bytes, (long long)address, space_names[space], (unsigned long long)have);
    return false;
  }
  if (write && space == PTX_PARAM) {
    sim_report(w, lane, SIM_FAULT_READ_ONLY, "it writes to a parameter");
    return false;
  }
  *place = (sim_place){base + address, space, address, NULL, b};
  return true;
}

void sim_touch_place(sim_warp *w, int lane, const sim_place *place, uint32_t bytes, sim_access access, bool has_value, bool same) {
  if (place->space == PTX_SHARED) sim_shared_touch(w, lane, place->block, place->offset, bytes, access, has_value, same);
  if (place->space == PTX_GLOBAL) sim_global_touch(w, lane, place->buffer, place->offset, bytes, access, has_value);
}

uint64_t sim_address(const sim_warp *w, const sim_instr *in, const sim_arg *a, int lane) {
  const uint64_t address = sim_get(w, a, lane) + (uint64_t)in->offset;
  return a->bytes == 4 ? (uint32_t)address : address;
}

// ---- modifiers

// Takes what says how strong an access is and where it is cached; fills in `weak`, `acquire` and `release`. Cache policies have an operand,
// which is looked at by nobody.
static void take_memory(sim_decoder *d, bool *policy) {
  static const char *const strong[] = {"volatile", "relaxed", "mmio", "acquire", "release", "acq_rel", "sc"};
  static const char *const plain[] = {"weak", "ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc", "cta", "cluster", "gpu", "sys", "unified"};
  d->out->weak = true;
  for (int k; (k = sim_take_one(d, strong, 7)) >= 0;) {
    d->out->weak = false;
    d->out->acquire |= k == 3 || k >= 5, d->out->release |= k >= 4;
  }
  while (sim_take_one(d, plain, 14) >= 0) {
  }
  *policy = sim_take(d, "L2::cache_hint");
  while (sim_take_prefix(d, "L1::", NULL) || sim_take_prefix(d, "L2::", NULL)) {
  }
}

static int take_vector(sim_decoder *d) {
  static const char *const names[] = {"v2", "v4", "v8"};
  const int k = sim_take_one(d, names, 3);
  return k < 0 ? 1 : 2 << k;
}

static void class_of_space(sim_decoder *d, ptx_space space) {
  d->out->space = (uint8_t)space;
  if (space == PTX_GLOBAL) d->out->cls = SIM_CLASS_GLOBAL;
  if (space == PTX_SHARED || space == PTX_CLUSTER) d->out->cls = SIM_CLASS_SHARED;
}

static void memory_form(sim_decoder *d, int *type, bool *policy) {
  sim_instr *out = d->out;
  take_memory(d, policy);
  class_of_space(d, sim_take_space(d));
  out->items = (uint8_t)take_vector(d);
  *type = sim_take_type(d);
  out->type = (uint8_t)*type;
  out->bytes = ptx_types[*type].bytes;
  out->memory = true;
  if (!out->bytes || out->bytes * out->items > 32) sim_bad(d, "no such access");
}

// ---- loads

// A result wider than what is loaded gets zeros above it, or the sign of a signed type (ISA 9.4.1).
static void put_loaded(sim_warp *w, const sim_instr *in, const sim_arg *to, int lane, const char *from) {
  uint64_t v[2] = {0, 0};
  memcpy(v, from, in->bytes);
  if (ptx_types[in->type].cls == 's' && to->bytes > in->bytes) {
    const int up = 64 - 8 * in->bytes;
    v[0] = (uint64_t)((int64_t)(v[0] << up) >> up);
  }
  memcpy(w->regs + to->at + (size_t)lane * to->bytes, v, to->bytes);
}

static void load(sim_warp *w, const sim_instr *in, uint32_t active) {
  const sim_arg *address = &in->args[in->nouts];
  const uint32_t bytes = (uint32_t)in->bytes * in->items;
  uint64_t offsets[LANES];
  uint32_t in_shared = 0, good = 0;
  sim_want(w, in, address, active, "the address");
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    sim_place place;
    if (!sim_resolve(w, l, (ptx_space)in->space, sim_address(w, in, address, l), bytes, false, &place)) continue;
    good |= 1u << l;
    if (!in->weak && place.space == PTX_SHARED) sim_strong_read(w, in, place.block, place.offset);
    sim_touch_place(w, l, &place, bytes, in->weak ? SIM_READ : SIM_STRONG_READ, true, true);
    if (place.space == PTX_SHARED) in_shared |= 1u << l, offsets[l] = place.offset;
    for (int k = 0; k < in->items; k++) put_loaded(w, in, &in->args[k], l, place.memory + (size_t)k * in->bytes);
  }
  for (int k = 0; k < in->items; k++) sim_set_valid(w, &in->args[k], active, good);
  if (in_shared) sim_count_banks(w, offsets, in_shared, bytes);
}

void sim_decode_load(sim_decoder *d) {
  int type;
  bool policy;
  memory_form(d, &type, &policy);
  sim_operands(d, policy ? 3 : 2, policy ? 3 : 2);
  sim_add_vector(d, sim_operand(d, 0), d->out->items, -1, true);
  for (int k = 0; k < d->nargs; k++)
    if (d->args[k].bytes < d->out->bytes) sim_bad(d, "a result is narrower than what is loaded");
  sim_add_address(d, sim_operand(d, 1));
  sim_set_op(d, load, SIM_OP);
}

// ---- stores

static void store(sim_warp *w, const sim_instr *in, uint32_t active) {
  const sim_arg *address = &in->args[0];
  const uint32_t bytes = (uint32_t)in->bytes * in->items;
  uint64_t offsets[LANES];
  uint32_t in_shared = 0, valid = UINT32_MAX;
  sim_want(w, in, address, active, "the address");
  for (int k = 1; k <= in->items; k++) valid &= sim_valid(w, &in->args[k]);
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    char values[32];
    sim_place place;
    if (!sim_resolve(w, l, (ptx_space)in->space, sim_address(w, in, address, l), bytes, true, &place)) continue;
    for (int k = 0; k < in->items; k++)
      memcpy(values + (size_t)k * in->bytes, w->regs + in->args[k + 1].at + (size_t)l * in->args[k + 1].bytes, in->bytes);
    const bool has_value = valid >> l & 1;
    if (!has_value && place.space == PTX_GLOBAL)
      sim_report(w, l, SIM_FAULT_UNINITIALISED, "what it stores to %s has no value", place.buffer->name);
    const bool same = place.space == PTX_SHARED && !memcmp(place.memory, values, bytes);
    sim_touch_place(w, l, &place, bytes, in->weak ? SIM_WRITE : SIM_STRONG_WRITE, has_value, same);
    if (!in->weak && place.space == PTX_SHARED) sim_strong_write(w, in, place.block, place.offset);
    if (place.space == PTX_SHARED) in_shared |= 1u << l, offsets[l] = place.offset;
    memcpy(place.memory, values, bytes);
  }
  if (in_shared) sim_count_banks(w, offsets, in_shared, bytes);
}

void sim_decode_store(sim_decoder *d) {
  int type;
  bool policy;
  if (sim_take(d, "async")) {
    sim_decode_store_value(d);
    return;
  }
  memory_form(d, &type, &policy);
  sim_operands(d, policy ? 3 : 2, policy ? 3 : 2);
  sim_add_address(d, sim_operand(d, 0));
  const ptx_operand *values = sim_operand(d, 1);
  const bool vector = values->kind == PTX_VECTOR;
  if ((vector ? values->nitems : 1) != d->out->items) sim_bad(d, "%d values are wanted", d->out->items);
  for (int k = 0; k < d->out->items; k++) {
    const ptx_operand *o = vector ? &values->items[k] : values;
    sim_add_source(d, o, o->kind == PTX_REG ? -1 : d->out->bytes);
    if (d->args[d->nargs - 1].bytes < d->out->bytes) sim_bad(d, "a value is narrower than what is stored");
  }
  sim_set_op(d, store, SIM_OP);
}

// ---- atomics

typedef enum atom_op { ATOM_ADD, ATOM_MIN, ATOM_MAX, ATOM_INC, ATOM_DEC, ATOM_EXCH, ATOM_CAS, ATOM_AND, ATOM_OR, ATOM_XOR } atom_op;

static float flushed_add(float x, float y) {
  const float r = x + y;
  return r != r ? sim_f32(0x7fffffff) : r;
}

static uint64_t combine_float(const sim_instr *in, uint64_t old, uint64_t v) {
  switch (in->type) {
  case PTX_f32: return sim_f32_bits(flushed_add(sim_f32((uint32_t)old), sim_f32((uint32_t)v)));
  case PTX_f64: return sim_f64_bits(sim_f64(old) + sim_f64(v));
  default: break;
  }
  const bool is_f16 = in->type == PTX_f16 || in->type == PTX_f16x2;
  uint64_t result = 0;
  for (int k = 0; k < in->bytes / 2; k++) {
    const uint16_t a = (uint16_t)(old >> (16 * k)), b = (uint16_t)(v >> (16 * k));
    const float x = is_f16 ? sim_from_f16(a) : sim_from_bf16(a), y = is_f16 ? sim_from_f16(b) : sim_from_bf16(b);
    const float r = in->select == ATOM_ADD ? x + y : x != x ? y : y != y ? x : (in->select == ATOM_MIN) == (x < y) ? x : y;
    result |= (uint64_t)(is_f16 ? sim_to_f16(r) : sim_to_bf16(r)) << (16 * k);
  }
  return result;
}

static uint64_t combine(const sim_instr *in, uint64_t old, uint64_t v, uint64_t swap) {
  const char cls = ptx_types[in->type].cls;
  const int up = 64 - 8 * in->bytes;
  if (in->select == ATOM_EXCH) return v;
  if (in->select == ATOM_CAS) return old == v ? swap : old;
  if (cls == 'f') return combine_float(in, old, v);
  const bool less = cls == 's' ? (int64_t)(old << up) < (int64_t)(v << up) : old < v;
  switch ((atom_op)in->select) {
  case ATOM_ADD: return old + v;
  case ATOM_MIN: return less ? old : v;
  case ATOM_MAX: return less ? v : old;
  case ATOM_INC: return old >= v ? 0 : old + 1;
  case ATOM_DEC: return old == 0 || old > v ? v : old - 1;
  case ATOM_AND: return old & v;
  case ATOM_OR: return old | v;
  default: return old ^ v;
  }
}

// Blocks run at once on the host's threads, so it is atomic there too.
uint64_t sim_exchange(const sim_instr *in, char *memory, uint64_t v, uint64_t swap) {
#define EXCHANGE(T)                                                                                                                        \
  {                                                                                                                                        \
    T *cell = (T *)(void *)memory, old = __atomic_load_n(cell, __ATOMIC_SEQ_CST);                                                          \
    while (!__atomic_compare_exchange_n(cell, &old, (T)combine(in, old, v, swap), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {            \
    }                                                                                                                                      \
    return old;                                                                                                                            \
  }
  if (in->bytes == 2) EXCHANGE(uint16_t)
  if (in->bytes == 4) EXCHANGE(uint32_t)
  EXCHANGE(uint64_t)
}

static void atom(sim_warp *w, const sim_instr *in, uint32_t active) {
  const sim_arg *address = &in->args[in->nouts], *value = address + 1;
  const uint32_t bytes = (uint32_t)in->bytes * in->items;
  uint64_t offsets[LANES];
  uint32_t in_shared = 0;
  sim_want(w, in, address, active, "the address");
  for (int k = in->nouts + 1; k < in->nargs; k++) sim_want(w, in, &in->args[k], active, "an operand");
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    sim_place place;
    if (!sim_resolve(w, l, (ptx_space)in->space, sim_address(w, in, address, l), bytes, true, &place)) continue;
    if (place.space == PTX_SHARED) sim_strong_read(w, in, place.block, place.offset);
    sim_touch_place(w, l, &place, bytes, SIM_ATOMIC, true, false);
    if (place.space == PTX_SHARED) sim_strong_write(w, in, place.block, place.offset);
    if (place.space == PTX_SHARED) in_shared |= 1u << l, offsets[l] = place.offset;
    else w->block->atomics = true;
    for (int k = 0; k < in->items; k++) {
      const uint64_t swap = in->select == ATOM_CAS ? sim_get(w, value + in->items, l) : 0;
      const uint64_t old = sim_exchange(in, place.memory + (size_t)k * in->bytes, sim_get(w, value + k, l), swap);
      if (in->nouts) sim_put(w, &in->args[k], l, old);
    }
  }
  for (int k = 0; k < in->nouts; k++) sim_set_valid(w, &in->args[k], active, UINT32_MAX);
  if (in_shared) sim_count_banks(w, offsets, in_shared, bytes);
}

int sim_take_atom(sim_decoder *d) {
  static const char *const ops[] = {"add", "min", "max", "inc", "dec", "exch", "cas", "and", "or", "xor"};
  return sim_take_one(d, ops, 10);
}

// atom[.sem][.scope][.space].op.type d, [a], b[, c]; red the same without d.
void sim_decode_atom(sim_decoder *d) {
  sim_instr *out = d->out;
  const bool result = !strcmp(d->in->mnemonic, "atom");
  if (!result && sim_take(d, "async")) {
    sim_decode_reduce_value(d);
    return;
  }
  bool policy;
  take_memory(d, &policy);
  out->space = (uint8_t)sim_take_space(d);
  const int op = sim_take_atom(d);
  sim_take(d, "noftz");
  out->items = (uint8_t)take_vector(d);
  const int type = sim_take_type(d), bytes = ptx_types[type].bytes;
  const bool is_float = ptx_types[type].cls == 'f';
  out->select = (uint8_t)op, out->type = (uint8_t)type, out->bytes = (uint8_t)bytes, out->memory = true, out->weak = false;
  const bool wide = bytes == 4 || bytes == 8 || (bytes == 2 && (is_float || op == ATOM_CAS));
  if (op < 0 || !wide || (is_float && op > ATOM_MAX) || (is_float && op != ATOM_ADD && bytes == 8)) sim_bad(d, "no such operation");
  if (type == PTX_f32 && op != ATOM_ADD) sim_bad(d, "no such operation");
  const int operands = (result ? 1 : 0) + 2 + (op == ATOM_CAS) + policy;
  sim_operands(d, operands, operands);
  int at = 0;
  if (result) sim_add_vector(d, sim_operand(d, at++), out->items, bytes, true);
  sim_add_address(d, sim_operand(d, at++));
  sim_add_vector(d, sim_operand(d, at++), out->items, bytes, false);
  if (op == ATOM_CAS) sim_add_source(d, sim_operand(d, at), bytes);
  sim_set_op(d, atom, SIM_OP);
}

// createpolicy: a cache policy is a number that nobody looks at.
static void policy(sim_warp *w, const sim_instr *in, uint32_t active) {
  for (int l = 0; l < LANES; l++)
    if (active >> l & 1) sim_put(w, &in->args[0], l, 0);
  sim_set_valid(w, &in->args[0], active, UINT32_MAX);
}

void sim_decode_policy(sim_decoder *d) {
  d->taken = UINT32_MAX;
  sim_operands(d, 1, 4);
  sim_add_result(d, sim_operand(d, 0), 8);
  sim_set_op(d, policy, SIM_OP);
}
