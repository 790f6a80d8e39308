// Blocks of a cluster in turn, each with its warps; the barrier of the cluster; what is said when nobody can go on.
#include "targets/sim/block.h"
#include "targets/sim/decode.h"

// ---- barrier.cluster (ISA 9.7.13.4): all threads of the cluster that live arrive, then wait

static void complete(sim_cluster *c) {
  const sim_clocks clocks = c->released;
  c->released = c->clocks, c->clocks = clocks;
  sim_clocks_clear(c, &c->clocks);
  c->arrived = 0;
  c->generation++;
  c->events++;
}

void sim_cluster_check(sim_cluster *c) {
  uint32_t alive = 0;
  for (int i = 0; i < c->nblocks; i++) alive += sim_block_alive(&c->blocks[i]);
  if (c->arrived && c->arrived >= alive) complete(c);
}

static void arrive(sim_warp *w, const sim_instr *in, uint32_t active) {
  sim_cluster *c = w->block->cluster;
  if (w->cluster_arrived & active) {
    sim_report(w, __builtin_ctz(w->cluster_arrived & active), SIM_FAULT_BARRIER,
               "it arrives at the barrier of the cluster a second time with no barrier.cluster.wait between");
    return;
  }
  if (in->release) sim_release(w, &c->clocks);
  else sim_release_fenced(w, &c->clocks);
  w->cluster_arrived |= active;
  w->cluster_generation = c->generation;
  c->arrived += (uint32_t)__builtin_popcount(active);
  c->events++;
  sim_cluster_check(c);
}

bool sim_cluster_wait(sim_warp *w, const sim_instr *in, sim_group *g, uint32_t active) {
  const sim_cluster *c = w->block->cluster;
  if (active & ~w->cluster_arrived) {
    sim_report(w, __builtin_ctz(active & ~w->cluster_arrived), SIM_FAULT_BARRIER,
               "it waits at the barrier of the cluster, where it has not arrived");
    return true;
  }
  if (c->generation == w->cluster_generation) {
    g->state = GROUP_CLUSTER, g->generation = c->generation;
    return false;
  }
  w->cluster_arrived &= ~active;
  w->sync++;
  if (in->acquire) sim_acquire(w, &c->released);
  return true;
}

// barrier.cluster.arrive[.release|.relaxed][.aligned]; barrier.cluster.wait[.acquire][.aligned]
void sim_decode_cluster_barrier(sim_decoder *d) {
  const bool arrives = sim_take(d, "arrive");
  if (!arrives && !sim_take(d, "wait")) sim_bad(d, "only arrive and wait are known");
  sim_take(d, "release"), sim_take(d, "acquire"), sim_take(d, "aligned");
  const bool relaxed = sim_take(d, "relaxed");
  sim_operands(d, 0, 0);
  d->out->release = d->out->acquire = !relaxed;
  if (arrives) sim_set_op(d, arrive, SIM_OP);
  else d->out->flow = SIM_CLUSTER_WAIT;
}

// ---- mapa, getctarank

static void map_address(sim_warp *w, const sim_instr *in, uint32_t active) {
  for (int i = 1; i < in->nargs; i++) sim_want(w, in, &in->args[i], active, "an operand");
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    const uint64_t address = sim_get(w, &in->args[1], l) + (uint64_t)in->offset, rank = sim_get(w, &in->args[2], l);
    if (rank >= (uint64_t)w->block->cluster->nblocks)
      sim_report(w, l, SIM_FAULT_OUT_OF_BOUNDS, "rank %llu of a cluster of %d blocks", (unsigned long long)rank,
                 w->block->cluster->nblocks);
    const uint64_t own = address & ~((uint64_t)0xffff << SIM_RANK_SHIFT);
    sim_put(w, &in->args[0], l, own | ((rank & 0xff) + 1) << SIM_RANK_SHIFT);
  }
  sim_set_valid(w, &in->args[0], active, UINT32_MAX);
}

static void rank_of(sim_warp *w, const sim_instr *in, uint32_t active) {
  sim_want(w, in, &in->args[1], active, "the address");
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    const uint32_t rank = (uint32_t)((sim_get(w, &in->args[1], l) + (uint64_t)in->offset) >> SIM_RANK_SHIFT & 0xff);
    sim_put(w, &in->args[0], l, rank ? rank - 1 : w->block->rank);
  }
  sim_set_valid(w, &in->args[0], active, UINT32_MAX);
}

// mapa[.shared::cluster].type d, a, rank; getctarank[.shared::cluster].type d, a
void sim_decode_mapa(sim_decoder *d) {
  const bool maps = !strcmp(d->in->mnemonic, "mapa");
  sim_take(d, "shared::cluster");
  const int bytes = ptx_types[sim_take_type(d)].bytes;
  if (bytes != 4 && bytes != 8) sim_bad(d, "an address has 32 or 64 bits");
  sim_operands(d, maps ? 3 : 2, maps ? 3 : 2);
  sim_add_result(d, sim_operand(d, 0), maps ? bytes : 4);
  sim_add_source(d, sim_operand(d, 1), bytes);
  if (maps) sim_add_source(d, sim_operand(d, 2), 4);
  sim_set_op(d, maps ? map_address : rank_of, SIM_OP);
}

// ---- blocks in turn

static void say_wait(sim_warp *w, const sim_group *group) {
  const sim_block *b = w->block;
  const int lane = __builtin_ctz(group->mask);
  char what[200];
  w->pc = group->pc;
  switch ((sim_state)group->state) {
  case GROUP_MEETS:
    sim_report(w, lane, SIM_FAULT_BARRIER, "lanes 0x%08x wait at '%s' for lanes 0x%08x of their warp, which never come", group->mask,
               b->code->instrs[group->pc].source->mnemonic, w->alive & ~group->mask);
    return;
  case GROUP_BARRIER:
    sim_report(w, lane, SIM_FAULT_BARRIER, "barrier %d waits for %u threads and %u have come", group->barrier,
               b->barriers[group->barrier].expected, b->barriers[group->barrier].arrived);
    return;
  case GROUP_CLUSTER:
    sim_report(w, lane, SIM_FAULT_BARRIER, "the barrier of the cluster waits for all its threads and %u have come", b->cluster->arrived);
    return;
  case GROUP_REGISTERS:
    sim_report(w, lane, SIM_FAULT_BARRIER,
               "setmaxnreg.inc waits for %u registers more of each thread; the block has %d for a warp to spare", group->generation,
               b->free_registers);
    return;
  case GROUP_PHASE:
    sim_mbarrier_describe(b, group->generation, what, sizeof what);
    sim_report(w, lane, SIM_FAULT_BARRIER, "it waits for phase %llu of %s", (unsigned long long)group->phase, what);
    return;
  default: sim_report(w, lane, SIM_FAULT_BARRIER, "it tests an mbarrier again and again, and nobody is left who could arrive at it");
  }
}

static void report_deadlock(sim_cluster *c) {
  for (int i = 0; i < c->nblocks; i++)
    for (int k = 0; k < c->blocks[i].nwarps; k++) {
      sim_warp *w = &c->blocks[i].warps[k];
      for (int g = 0; g < w->ngroups; g++) say_wait(w, &w->groups[g]);
    }
  c->stopped = true;
}

// Waits for mbarriers end after a while (ISA, mbarrier.try_wait); false: nobody waits so.
static bool expire(sim_cluster *c) {
  bool any = false;
  for (int i = 0; i < c->nblocks; i++)
    for (int k = 0; k < c->blocks[i].nwarps; k++) {
      sim_warp *w = &c->blocks[i].warps[k];
      for (int g = 0; g < w->ngroups; g++)
        if (w->groups[g].state == GROUP_PHASE) any = w->groups[g].expired = true;
    }
  return any;
}

// One turn of every warp that can go on: how many went, and whether one did more than to test an mbarrier in vain.
static int turn_of_all(sim_cluster *c, bool *going, bool *worked) {
  int ran = 0;
  for (int i = 0; i < c->nblocks; i++)
    for (int k = 0; k < c->blocks[i].nwarps && !c->stopped; k++) {
      sim_warp *w = &c->blocks[i].warps[k];
      *going |= w->ngroups > 0;
      if (!sim_warp_ready(w)) continue;
      sim_warp_run(w);
      *worked |= !w->spun && w->ngroups && sim_warp_ready(w);
      ran++;
    }
  return ran;
}

// Copies into a block that is gone.
static void check_end(sim_block *b) {
  for (int i = 0; i < b->nmbarriers; i++) {
    const sim_mbarrier *m = &b->mbarriers[i];
    for (int k = 0; k < m->nlandings; k++) {
      if (m->landings[k].is_commit) continue; // products are looked at by themselves
      b->warps[0].pc = m->landings[k].pc;
      sim_report(b->warps, 0, SIM_FAULT_UNWAITED, "the block ends and nobody waited for this copy into its shared memory at %u",
                 m->landings[k].to);
    }
  }
  sim_tmem_end(b);
}

void sim_cluster_run(sim_cluster *c) {
  enum { PATIENCE = 1000, WAITS = 2 }; // turns of vain tests, and waits that ended for no reason, before it is called a deadlock
  c->nagents = c->nwarps;
  c->arrived = c->generation = 0;
  c->events = 0;
  c->stopped = false;
  sim_clocks_clear(c, &c->clocks);
  sim_clocks_clear(c, &c->released);
  for (int i = 0; i < c->nblocks; i++) sim_block_start(&c->blocks[i]);
  int idle = 0;
  for (bool going = true; going && !c->stopped;) {
    const uint64_t events = c->events;
    bool worked = false;
    going = false;
    const int ran = turn_of_all(c, &going, &worked);
    idle = worked || c->events != events ? 0 : idle + (ran ? 1 : PATIENCE / WAITS);
    if (!going || c->stopped || (ran && idle <= PATIENCE)) continue;
    if (idle > PATIENCE || !expire(c)) report_deadlock(c);
  }
  for (int i = 0; i < c->nblocks && !c->stopped; i++) check_end(&c->blocks[i]);
}
