// mbarrier objects (ISA 9.7.13.15). Their counts are kept beside the memory, whose 8 bytes hold nothing of use, so that every other access
// to them is found. A copy's bytes count as complete when it is made; its data lands when somebody sees the phase they belong to.
#include "targets/sim/block.h"
#include "targets/sim/decode.h"

enum { MOST_COUNT = (1 << 20) - 1 }; // of arrivals and of transactions (ISA, contents of the mbarrier object)

// ---- objects

static void set_grains(sim_block *b, uint64_t offset, bool live) {
  for (uint64_t g = offset >> b->grain_shift; g <= (offset + 7) >> b->grain_shift; g++) {
    sim_grain *s = &b->grains[g];
    s->flags = (uint8_t)(live ? GRAIN_MBARRIER | GRAIN_VALUE : s->flags & ~(GRAIN_MBARRIER | GRAIN_VALUE));
  }
}

static sim_mbarrier *make(sim_block *b, uint64_t offset) {
  uint32_t *at = &b->mbarrier_at[offset / 8];
  if (*at) return &b->mbarriers[*at - 1];
  const size_t n = b->cluster->room_agents;
  if (b->nmbarriers == b->room_mbarriers) {
    const int room = b->room_mbarriers ? 2 * b->room_mbarriers : 16;
    if (!sim_grow(b, &b->mbarriers, (size_t)room * sizeof *b->mbarriers)) return NULL;
    memset(b->mbarriers + b->room_mbarriers, 0, (size_t)(room - b->room_mbarriers) * sizeof *b->mbarriers);
    b->room_mbarriers = room;
  }
  sim_mbarrier *m = &b->mbarriers[b->nmbarriers];
  if (!m->arriving.seen) {
    if (!sim_grow(b, &m->arriving.seen, 4 * n * sizeof(uint32_t))) return NULL;
    m->arriving.proxied = m->arriving.seen + n;
    m->released = (sim_clocks){m->arriving.seen + 2 * n, m->arriving.seen + 3 * n};
  }
  *m = (sim_mbarrier){
      .offset = (uint32_t)offset, .arriving = m->arriving, .released = m->released, .room = m->room, .landings = m->landings};
  // With more mbarriers than agents the last ones share one: an order may then be seen that is none.
  sim_cluster *c = b->cluster;
  m->agent = c->nagents < c->room_agents ? c->nagents++ : c->room_agents - 1;
  *at = (uint32_t)++b->nmbarriers;
  return m;
}

sim_mbarrier *sim_mbarrier_find(sim_warp *w, int lane, sim_block *b, uint64_t offset) {
  const uint32_t at = b->mbarrier_at[offset / 8];
  sim_mbarrier *m = at ? &b->mbarriers[at - 1] : NULL;
  if (!m || !m->live) {
    sim_report(w, lane, SIM_FAULT_MBARRIER, "no mbarrier was initialised at shared memory %llu", (unsigned long long)offset);
    return NULL;
  }
  const bool mine = m->owner == w->agent && (m->init.lane == (uint32_t)lane || m->init.sync != (w->sync & 0xffffff));
  if (!mine && (m->owner == w->agent || m->init.clock > w->clocks.seen[m->owner]))
    sim_report(w, lane, SIM_FAULT_RACE, "it uses the mbarrier at shared memory %llu, which line %u initialised with no barrier between",
               (unsigned long long)offset, b->code->instrs[m->init_pc].line);
  return m;
}

bool sim_mbarrier_known_to_copies(const sim_warp *w, const sim_mbarrier *m) {
  return m->fenced || m->init.clock <= w->clocks.proxied[m->owner];
}

void sim_mbarrier_describe(const sim_block *b, uint32_t index, char *room, size_t size) {
  const sim_mbarrier *m = &b->mbarriers[index];
  snprintf(room, size, "the mbarrier at shared memory %u (initialised at line %u): %u of %u arrivals are missing, and %lld bytes",
           m->offset, b->code->instrs[m->init_pc].line, m->pending, m->expected, (long long)m->tx);
}

static void try_complete(sim_warp *w, sim_mbarrier *m) {
  if (m->pending || m->tx) return;
  sim_cluster *c = w->block->cluster;
  const sim_clocks old = m->released;
  m->released = m->arriving, m->arriving = old;
  sim_clocks_clear(c, &m->arriving);
  m->pending = m->expected;
  m->phase++;
  m->released.seen[m->agent] = (uint32_t)m->phase;
  c->events++;
}

void sim_mbarrier_arrive(sim_warp *w, int lane, sim_mbarrier *m, uint32_t count, bool may_complete) {
  if (count > m->pending || !count)
    sim_report(w, lane, SIM_FAULT_MBARRIER, "it arrives %u times at the mbarrier at shared memory %u, which waits for %u of %u arrivals",
               count, m->offset, m->pending, m->expected);
  else if (!may_complete && count == m->pending)
    sim_report(w, lane, SIM_FAULT_MBARRIER, "its arrival without completion is the last that the mbarrier at shared memory %u waits for",
               m->offset);
  m->pending -= count < m->pending ? count : m->pending;
  w->block->cluster->events++;
  try_complete(w, m);
}

void sim_mbarrier_expect(sim_warp *w, int lane, sim_mbarrier *m, int64_t bytes) {
  m->tx += bytes;
  w->block->cluster->events++;
  if (m->tx > MOST_COUNT || m->tx < -MOST_COUNT) {
    sim_report(w, lane, SIM_FAULT_MBARRIER, "the mbarrier at shared memory %u expects %lld bytes; it counts up to 1048575", m->offset,
               (long long)m->tx);
    m->tx = m->tx > 0 ? MOST_COUNT : -MOST_COUNT;
  }
  if (bytes < 0) try_complete(w, m);
}

// ---- what lands

sim_landing *sim_mbarrier_landing(sim_warp *w, sim_mbarrier *m) {
  if (m->nlandings == m->room) {
    const int room = m->room ? 2 * m->room : 8;
    if (!sim_grow(w->block, &m->landings, (size_t)room * sizeof *m->landings)) return NULL;
    m->room = room;
  }
  sim_landing *l = &m->landings[m->nlandings++];
  *l = (sim_landing){.phase = m->phase, .pc = w->pc};
  return l;
}

static void land_all(sim_warp *w, sim_mbarrier *m) {
  if (m->landed == m->phase) return;
  int kept = 0;
  for (int i = 0; i < m->nlandings; i++)
    if (m->landings[i].phase < m->phase) sim_land(w, m, &m->landings[i]);
    else m->landings[kept++] = m->landings[i];
  m->nlandings = kept;
  m->landed = m->phase;
}

// ---- operations

static sim_mbarrier *operand(sim_warp *w, const sim_instr *in, const sim_arg *a, int l, sim_place *place) {
  if (!sim_resolve(w, l, (ptx_space)in->space, sim_address(w, in, a, l), 8, true, place)) return NULL;
  if (place->space != PTX_SHARED) {
    sim_report(w, l, SIM_FAULT_MBARRIER, "an mbarrier lies in shared memory");
    return NULL;
  }
  return sim_mbarrier_find(w, l, place->block, place->offset);
}

static void want_all(sim_warp *w, const sim_instr *in, uint32_t active) {
  for (int i = in->nouts; i < in->nargs; i++) sim_want(w, in, &in->args[i], active, "an operand");
}

static void init(sim_warp *w, const sim_instr *in, uint32_t active) {
  want_all(w, in, active);
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    const uint64_t count = sim_get(w, &in->args[1], l);
    sim_place place;
    if (!sim_resolve(w, l, (ptx_space)in->space, sim_address(w, in, &in->args[0], l), 8, true, &place)) continue;
    if (place.space != PTX_SHARED || place.block != w->block || !count || count > MOST_COUNT) {
      sim_report(w, l, SIM_FAULT_MBARRIER, "an mbarrier of %llu arrivals: it lies in the block's shared memory and counts 1 to 1048575",
                 (unsigned long long)count);
      continue;
    }
    sim_mbarrier *m = make(w->block, place.offset);
    if (!m) return;
    if (m->live) {
      sim_report(w, l, SIM_FAULT_MBARRIER, "the mbarrier at shared memory %u is initialised again with no mbarrier.inval between",
                 m->offset);
      set_grains(w->block, place.offset, false);
    }
    sim_shared_touch(w, l, w->block, place.offset, 8, SIM_WRITE, true, false);
    set_grains(w->block, place.offset, true);
    memset(place.memory, 0xff, 8);
    sim_clocks_clear(w->block->cluster, &m->arriving);
    sim_clocks_clear(w->block->cluster, &m->released);
    m->live = true, m->fenced = false, m->expected = m->pending = (uint32_t)count, m->tx = 0, m->nlandings = 0;
    m->phase = m->landed = m->phase + (m->phase & 1); // begins even; what it was before does not come back
    m->owner = w->agent, m->init_pc = (uint32_t)w->pc;
    m->init = (sim_stamp){w->clocks.seen[w->agent], w->sync & 0xffffff, (uint32_t)l & 0xff};
  }
}

static void invalidate(sim_warp *w, const sim_instr *in, uint32_t active) {
  want_all(w, in, active);
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    sim_place place;
    sim_mbarrier *m = operand(w, in, &in->args[0], l, &place);
    if (!m) continue;
    if (m->nlandings && m->landed != m->phase) land_all(w, m);
    if (m->nlandings)
      sim_report(w, l, SIM_FAULT_UNWAITED, "the mbarrier at shared memory %u ends while the copy of line %u has it to complete", m->offset,
                 w->block->code->instrs[m->landings[0].pc].line);
    m->live = false;
    set_grains(place.block, place.offset, false);
  }
}

enum { ARRIVE, ARRIVE_EXPECT, ARRIVE_DROP, ARRIVE_DROP_EXPECT, EXPECT, COMPLETE };

// A state is the phase, and the arrivals that were pending before.
static uint64_t state_of(const sim_mbarrier *m) { return (m->phase + 1) << 20 | m->pending; }

static void arrive_one(sim_warp *w, const sim_instr *in, int l, sim_mbarrier *m) {
  const int what = in->select;
  const sim_arg *number = in->nargs - in->nouts > 1 ? &in->args[in->nouts + 1] : NULL;
  const uint32_t n = number ? (uint32_t)sim_get(w, number, l) : 1;
  const bool expects = what == ARRIVE_EXPECT || what == ARRIVE_DROP_EXPECT, drops = what == ARRIVE_DROP || what == ARRIVE_DROP_EXPECT;
  if (in->nouts) sim_put(w, &in->args[0], l, state_of(m));
  if (what == EXPECT || what == COMPLETE || expects) sim_mbarrier_expect(w, l, m, what == COMPLETE ? -(int64_t)n : (int64_t)n);
  if (what == EXPECT || what == COMPLETE) return;
  if (in->release) sim_release(w, &m->arriving);
  else sim_release_fenced(w, &m->arriving);
  const uint32_t count = expects ? 1 : n;
  if (drops) m->expected -= count < m->expected ? count : m->expected;
  sim_mbarrier_arrive(w, l, m, count, !in->negated);
}

static void arrive(sim_warp *w, const sim_instr *in, uint32_t active) {
  want_all(w, in, active);
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    sim_place place;
    sim_mbarrier *m = operand(w, in, &in->args[in->nouts], l, &place);
    if (m) arrive_one(w, in, l, m);
  }
  if (in->nouts) sim_set_valid(w, &in->args[0], active, UINT32_MAX);
}

static void pending_count(sim_warp *w, const sim_instr *in, uint32_t active) {
  want_all(w, in, active);
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    sim_put(w, &in->args[0], l, sim_get(w, &in->args[1], l) & MOST_COUNT);
  }
  sim_set_valid(w, &in->args[0], active, UINT32_MAX);
}

// ---- waits

static bool is_complete(sim_warp *w, const sim_instr *in, int l, const sim_mbarrier *m) {
  const uint64_t v = sim_get(w, &in->args[2], l);
  if (in->packed) return (m->phase & 1) != (v & 1); // by parity: 0 of the phases 0, 2, 4 …
  const uint64_t phase = (v >> 20) - 1;
  if (phase > m->phase || phase + 1 < m->phase)
    sim_report(w, l, SIM_FAULT_MBARRIER, "the state is not of the current phase of the mbarrier at shared memory %u, nor of the one before",
               m->offset);
  return m->phase > phase;
}

bool sim_mbarrier_wait(sim_warp *w, const sim_instr *in, sim_group *g, uint32_t active) {
  uint32_t done = 0;
  sim_mbarrier *first = NULL;
  want_all(w, in, active);
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    sim_place place;
    sim_mbarrier *m = operand(w, in, &in->args[1], l, &place);
    if (m && place.block != w->block) {
      sim_report(w, l, SIM_FAULT_MBARRIER, "it waits for the mbarrier of another block");
      m = NULL;
    }
    if (m && !is_complete(w, in, l, m)) {
      if (!first) first = m;
      continue;
    }
    done |= 1u << l; // with nothing to wait for it goes on; that was reported
    if (!m) continue;
    land_all(w, m);
    if (in->acquire) sim_acquire(w, &m->released);
  }
  if (done) w->sync++;
  if (!done && !in->negated && !g->expired) { // try_wait: the thread may sleep
    g->state = GROUP_PHASE, g->generation = (uint32_t)(first - w->block->mbarriers), g->phase = first->phase;
    return false;
  }
  g->expired = false;
  w->spun = done != active;
  w->preds[in->args[0].at] = (w->preds[in->args[0].at] & ~active) | done;
  sim_set_valid(w, &in->args[0], active, UINT32_MAX);
  return true;
}

// ---- decoding

static void take_order(sim_decoder *d) {
  sim_take(d, "release"), sim_take(d, "acquire");
  const bool relaxed = sim_take(d, "relaxed");
  sim_take(d, "cta"), sim_take(d, "cluster");
  d->out->release = d->out->acquire = !relaxed;
}

static void decode_arrive(sim_decoder *d, bool drop) {
  sim_instr *out = d->out;
  const bool expects = sim_take(d, "expect_tx"), quiet = sim_take(d, "noComplete");
  out->select = (uint8_t)((drop ? ARRIVE_DROP : ARRIVE) + expects);
  out->negated = quiet;
  const int n = d->in->noperands, needed = expects || quiet ? 3 : 2;
  const bool result = n > 0 && sim_operand(d, 0)->kind != PTX_ADDRESS;
  sim_operands(d, needed - !result, 2 + result);
  if (result) sim_add_result(d, sim_operand(d, 0), 8);
  sim_add_address(d, sim_operand(d, result));
  if (n > result + 1) sim_add_source(d, sim_operand(d, result + 1), 4);
  sim_set_op(d, arrive, SIM_OP);
}

static void decode_wait(sim_decoder *d, bool test) {
  d->out->packed = sim_take(d, "parity");
  d->out->negated = test;
  sim_operands(d, 3, test ? 3 : 4);
  sim_add_result(d, sim_operand(d, 0), 0);
  sim_add_address(d, sim_operand(d, 1));
  sim_add_source(d, sim_operand(d, 2), d->out->packed ? 4 : 8);
  d->out->flow = SIM_PHASE_WAIT;
}

void sim_decode_mbarrier(sim_decoder *d) {
  static const char *const names[] = {"init",        "inval",     "arrive",   "arrive_drop",  "expect_tx",
                                      "complete_tx", "test_wait", "try_wait", "pending_count"};
  const int what = sim_take_one(d, names, 9);
  sim_instr *out = d->out;
  if (what < 0) sim_bad(d, "the simulator does not know this operation");
  take_order(d);
  out->space = (uint8_t)sim_take_space(d);
  out->bytes = 8, out->items = 1, out->memory = what != 8;
  if (what == 2 || what == 3) {
    decode_arrive(d, what == 3);
  } else if (what == 6 || what == 7) {
    decode_wait(d, what == 6);
  } else if (what == 8) {
    sim_operands(d, 2, 2);
    sim_add_result(d, sim_operand(d, 0), 4);
    sim_add_source(d, sim_operand(d, 1), 8);
    sim_set_op(d, pending_count, SIM_OP);
  } else {
    sim_operands(d, what == 1 ? 1 : 2, what == 1 ? 1 : 2);
    sim_add_address(d, sim_operand(d, 0));
    if (what != 1) sim_add_source(d, sim_operand(d, 1), 4);
    out->select = what == 4 ? EXPECT : COMPLETE;
    sim_set_op(d, what == 0 ? init : what == 1 ? invalidate : arrive, SIM_OP);
  }
  sim_take(d, "b64");
}
