// Branches, exits, barriers and fences.
#include "targets/sim/block.h"
#include "targets/sim/decode.h"

// ---- branches

void sim_decode_branch(sim_decoder *d) {
  const bool table = sim_take(d, "idx");
  sim_take(d, "uni");
  if (table != !strcmp(d->in->mnemonic, "brx")) sim_bad(d, "the simulator does not know this branch");
  sim_operands(d, table ? 2 : 1, table ? 2 : 1);
  const ptx_operand *to = sim_operand(d, table ? 1 : 0);
  if (to->kind != PTX_LABEL || to->negated != table) sim_bad(d, table ? "a table of labels is wanted" : "a label is wanted");
  if (table) sim_add_source(d, sim_operand(d, 0), 4);
  d->out->target = (int)to->value;
  d->out->flow = table ? SIM_TABLE_BRANCH : SIM_BRANCH;
}

void sim_decode_exit(sim_decoder *d) {
  sim_take(d, "uni");
  sim_operands(d, 0, 0);
  d->out->flow = SIM_EXIT;
}

static void trap(sim_warp *w, const sim_instr *in, uint32_t active) {
  (void)in;
  sim_report(w, __builtin_ctz(active), SIM_FAULT_TRAP, "a trap was executed");
  w->block->cluster->stopped = true;
}

void sim_decode_trap(sim_decoder *d) {
  sim_operands(d, 0, 0);
  sim_set_op(d, trap, SIM_OP);
}

static void nothing(sim_warp *w, const sim_instr *in, uint32_t active) { (void)w, (void)in, (void)active; }

// What only asks for speed: prefetches, hints, a nap.
void sim_decode_nothing(sim_decoder *d) {
  d->taken = UINT32_MAX;
  sim_set_op(d, nothing, SIM_OP);
}

// griddepcontrol.wait, .launch_dependents: launches come one after another, each seeing all of the one before.
void sim_decode_grid(sim_decoder *d) {
  if (sim_take(d, "wait") == sim_take(d, "launch_dependents")) sim_bad(d, "no such control of dependent grids");
  sim_operands(d, 0, 0);
  sim_set_op(d, nothing, SIM_OP);
}

// ---- fences

static void fence(sim_warp *w, const sim_instr *in, uint32_t active) {
  (void)in, (void)active;
  sim_fence(w);
  w->block->fences = true;
  w->block->ordered |= w->block->atomics;
}

// Of the mbarriers that these lanes initialised; to others it is a fence like any (ISA 9.7.13.4).
static void fence_init(sim_warp *w, const sim_instr *in, uint32_t active) {
  fence(w, in, active);
  for (int i = 0; i < w->block->nmbarriers; i++) {
    sim_mbarrier *m = &w->block->mbarriers[i];
    m->fenced |= m->live && m->owner == w->agent && (active >> m->init.lane & 1);
  }
}

static void fence_proxy(sim_warp *w, const sim_instr *in, uint32_t active) {
  (void)in, (void)active;
  sim_fence_proxy(w);
}

// fence[.sem].scope, fence.mbarrier_init.release.cluster, membar.level; fence.proxy.async[.space]; other proxies are not watched.
void sim_decode_fence(sim_decoder *d) {
  static const char *const words[] = {"sc",
                                      "acq_rel",
                                      "acquire",
                                      "release",
                                      "cta",
                                      "cluster",
                                      "gpu",
                                      "sys",
                                      "gl",
                                      "sync_restrict::shared::cta",
                                      "sync_restrict::shared::cluster"};
  static const char *const proxies[] = {"alias", "tensormap::generic"};
  static const char *const spaces[] = {"global", "shared::cta", "shared::cluster"};
  if (sim_take(d, "proxy")) {
    if (sim_take(d, "async")) {
      sim_take_one(d, spaces, 3);
      sim_set_op(d, fence_proxy, SIM_OP);
      return;
    }
    if (sim_take(d, "async::generic")) {
      sim_take(d, "acquire"), sim_take(d, "release"), sim_take(d, "cluster"), sim_take_prefix(d, "sync_restrict::", NULL);
      sim_set_op(d, fence_proxy, SIM_OP);
      return;
    }
    if (sim_take_one(d, proxies, 2) < 0) sim_bad(d, "no such proxy is known");
  }
  const bool init = sim_take(d, "mbarrier_init");
  while (sim_take_one(d, words, 11) >= 0) {
  }
  if (d->in->noperands) sim_operands(d, 2, 2); // of a tensor map: its address and 128
  sim_set_op(d, init ? fence_init : fence, SIM_OP);
}

// ---- barriers

enum { BAR_SYNC, BAR_ARRIVE, BAR_POPC, BAR_AND, BAR_OR };

uint32_t sim_block_alive(const sim_block *b) {
  uint32_t n = 0;
  for (int i = 0; i < b->nwarps; i++) n += (uint32_t)__builtin_popcount(b->warps[i].alive);
  return n;
}

static void complete(const sim_block *b, sim_barrier *bar) {
  const sim_clocks clocks = bar->released;
  bar->released = bar->clocks, bar->clocks = clocks;
  sim_clocks_clear(b->cluster, &bar->clocks);
  b->cluster->events++;
  bar->red_count = bar->count, bar->red_all = bar->all, bar->red_any = bar->any;
  bar->arrived = bar->expected = bar->count = bar->any = 0;
  bar->generation++;
}

static bool someone_waits(const sim_block *b, int barrier) {
  for (int i = 0; i < b->nwarps; i++)
    for (int g = 0; g < b->warps[i].ngroups; g++)
      if (b->warps[i].groups[g].state == GROUP_BARRIER && b->warps[i].groups[g].barrier == barrier) return true;
  return false;
}

void sim_barrier_check(sim_block *b) {
  for (int i = 0; i < MAX_BARRIERS; i++) {
    sim_barrier *bar = &b->barriers[i];
    if (bar->arrived && !bar->expected && bar->arrived >= sim_block_alive(b) && someone_waits(b, i)) complete(b, bar);
  }
}

void sim_barrier_arrive(sim_warp *w, const sim_instr *in, sim_group *g, uint32_t active) {
  if (!active) {
    g->pc++;
    return;
  }
  // Aligned: all lanes that live execute it together (ISA, bar).
  if (in->packed && (w->alive & ~active)) {
    g->state = GROUP_MEETS;
    if (active != g->mask) {
      sim_report(w, __builtin_ctz(g->mask & ~active), SIM_FAULT_BARRIER, "the predicate keeps a lane from an aligned barrier");
      g->state = GROUP_RUNS, g->pc++;
    }
    return;
  }
  const int lane = __builtin_ctz(active);
  for (int i = in->nouts; i < in->nargs; i++) sim_want(w, in, &in->args[i], active, "an operand");
  const uint64_t id = sim_get(w, &in->args[in->nouts], lane);
  const bool counted = in->bytes;
  const uint64_t expected = counted ? sim_get(w, &in->args[in->nouts + 1], lane) : 0;
  if (id >= MAX_BARRIERS || (counted && (!expected || expected % LANES || expected > 1024))) {
    sim_report(w, lane, SIM_FAULT_BARRIER, "barrier %llu of %llu threads: there are 16 barriers, and the number is a multiple of 32",
               (unsigned long long)id, (unsigned long long)expected);
    g->pc++;
    return;
  }
  sim_barrier *bar = &w->block->barriers[id];
  if (!bar->arrived) bar->all = UINT32_MAX;
  sim_release(w, &bar->clocks);
  w->sync++;
  bar->arrived += counted && in->packed ? LANES : (uint32_t)__builtin_popcount(active);
  bar->expected = (uint32_t)expected;
  if (in->select >= BAR_POPC) {
    const sim_arg *p = &in->args[in->nargs - 1];
    const uint32_t votes = sim_pred(w, p) & active;
    bar->count += (uint32_t)__builtin_popcount(votes);
    bar->any |= votes != 0, bar->all &= votes == active ? UINT32_MAX : 0;
  }
  if (in->select == BAR_ARRIVE) {
    g->pc++;
  } else {
    if (active != g->mask) { // lanes that the predicate keeps from a barrier that is not aligned go on
      w->groups[w->ngroups++] = (sim_group){.mask = g->mask & ~active, .pc = g->pc + 1};
      g->mask = active;
    }
    g->state = GROUP_BARRIER, g->barrier = (uint8_t)id, g->generation = bar->generation;
  }
  if (bar->expected ? bar->arrived >= bar->expected : bar->arrived >= sim_block_alive(w->block)) complete(w->block, bar);
}

void sim_barrier_left(sim_warp *w, const sim_instr *in, const sim_group *g) {
  const sim_barrier *bar = &w->block->barriers[g->barrier];
  sim_acquire(w, &bar->released);
  w->sync++;
  if (in->select < BAR_POPC) return;
  const sim_arg *to = &in->args[0];
  const uint32_t yes = in->select == BAR_AND ? bar->red_all : bar->red_any ? UINT32_MAX : 0;
  if (in->select == BAR_POPC) {
    for (int l = 0; l < LANES; l++)
      if (g->mask >> l & 1) sim_put(w, to, l, bar->red_count);
  } else {
    w->preds[to->at] = (w->preds[to->at] & ~g->mask) | (yes & g->mask);
  }
  sim_set_valid(w, to, g->mask, UINT32_MAX);
}

static void warp_barrier(sim_warp *w, const sim_instr *in, uint32_t active) {
  (void)in, (void)active;
  w->sync++;
}

// bar[.cta].sync a[, b]; bar.arrive a, b; bar.red.OP d, a[, b], [!]p; barrier.… the same without being aligned unless it says so;
// bar.warp.sync mask.
void sim_decode_barrier(sim_decoder *d) {
  static const char *const kinds[] = {"sync", "arrive", "red"};
  static const char *const ops[] = {"popc", "and", "or"};
  sim_instr *out = d->out;
  const int n = d->in->noperands;
  if (sim_take(d, "warp")) {
    if (!sim_take(d, "sync")) sim_bad(d, "only bar.warp.sync is known");
    sim_operands(d, 1, 1);
    sim_add_source(d, sim_operand(d, 0), 4);
    sim_set_op(d, warp_barrier, SIM_TOGETHER);
    out->target = 0;
    return;
  }
  if (sim_take(d, "cluster")) {
    sim_decode_cluster_barrier(d);
    return;
  }
  sim_take(d, "cta");
  out->packed = sim_take(d, "aligned") || !strcmp(d->in->mnemonic, "bar");
  const int kind = sim_take_one(d, kinds, 3), op = kind == 2 ? sim_take_one(d, ops, 3) : -1;
  if (kind < 0 || (kind == 2 && op < 0)) sim_bad(d, "only sync, arrive and red.popc, .and, .or are known");
  out->select = (uint8_t)(kind < 2 ? kind : BAR_POPC + op);
  int at = 0;
  if (kind == 2) {
    const int type = sim_take_type(d);
    sim_operands(d, 3, 4);
    sim_add_result(d, sim_operand(d, at++), op == 0 ? ptx_types[type].bytes : 0);
  } else {
    sim_operands(d, kind == 1 ? 2 : 1, 2);
  }
  sim_add_source(d, sim_operand(d, at++), 4);
  out->bytes = at < n - (kind == 2);
  if (out->bytes) sim_add_source(d, sim_operand(d, at++), 4);
  if (kind == 2) sim_add_source(d, sim_operand(d, at), 0);
  out->flow = SIM_BARRIER;
}
