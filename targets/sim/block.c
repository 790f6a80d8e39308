// Warps: the group of lanes with the lowest place in the code first, so that groups meet again where their ways join; what a block and its
// warps start with.
#include <stdlib.h>

#include "targets/sim/block.h"

enum { TURN = 8192 }; // instructions of a warp before the next one's turn

bool sim_grow(sim_block *block, void *memory, size_t bytes) {
  void *old, *p;
  memcpy(&old, memory, sizeof old);
  p = realloc(old, bytes);
  if (!p) {
    block->worker->no_memory = block->cluster->stopped = true;
    return false;
  }
  memcpy(memory, &p, sizeof p);
  return true;
}

void sim_want(sim_warp *w, const sim_instr *in, const sim_arg *a, uint32_t active, const char *use) {
  const uint32_t missing = active & ~sim_valid(w, a);
  if (missing) sim_report(w, __builtin_ctz(missing), SIM_FAULT_UNINITIALISED, "%s of '%s' has no value", use, in->source->mnemonic);
}

// ---- groups

static void drop_group(sim_warp *w, int g) { w->groups[g] = w->groups[--w->ngroups]; }

// Groups at one place that do not wait for a barrier become one.
static void merge_groups(sim_warp *w) {
  for (int i = 0; i < w->ngroups; i++)
    for (int k = w->ngroups - 1; k > i; k--) {
      sim_group *a = &w->groups[i], *b = &w->groups[k];
      if (a->pc != b->pc || a->state == GROUP_BARRIER || b->state == GROUP_BARRIER) continue;
      a->mask |= b->mask;
      a->state = GROUP_RUNS;
      drop_group(w, k);
    }
}

static bool can_run(const sim_warp *w, const sim_group *g) {
  switch ((sim_state)g->state) {
  case GROUP_RUNS: return true;
  case GROUP_BARRIER: return w->block->barriers[g->barrier].generation != g->generation;
  case GROUP_PHASE: return g->expired || w->block->mbarriers[g->generation].phase != g->phase || !w->block->mbarriers[g->generation].live;
  case GROUP_CLUSTER: return w->block->cluster->generation != g->generation;
  case GROUP_REGISTERS: return w->block->free_registers >= (int)g->generation;
  default: return false;
  }
}

bool sim_warp_ready(const sim_warp *w) {
  for (int i = 0; i < w->ngroups; i++)
    if (can_run(w, &w->groups[i])) return true;
  return false;
}

// The lowest place first; now and then the highest, lest lanes that spin starve those they wait for.
static int pick_group(const sim_warp *w, bool highest) {
  int best = -1;
  for (int i = 0; i < w->ngroups; i++)
    if (can_run(w, &w->groups[i]) && (best < 0 || (w->groups[i].pc < w->groups[best].pc) != highest)) best = i;
  return best;
}

static void split(sim_warp *w, sim_group *g, uint32_t lanes, int pc) {
  g->mask &= ~lanes;
  w->groups[w->ngroups++] = (sim_group){.mask = lanes, .pc = pc};
}

static void leave(sim_warp *w, sim_group *g, uint32_t lanes) {
  w->alive &= ~lanes;
  g->mask &= ~lanes;
  g->pc++;
  if (!g->mask) drop_group(w, (int)(g - w->groups));
  w->block->cluster->events++;
  if (!w->alive) {
    sim_readings_end(w);
    sim_products_end(w);
  }
  sim_barrier_check(w->block);
  sim_cluster_check(w->block->cluster);
}

// ---- instructions

static uint32_t guarded(sim_warp *w, const sim_instr *in, uint32_t mask) {
  if (in->guard < 0) return mask;
  const uint32_t missing = mask & ~w->valid[in->guard_valid];
  if (missing) {
    sim_report(w, __builtin_ctz(missing), SIM_FAULT_UNINITIALISED, "the predicate of '%s' has no value", in->source->mnemonic);
    w->valid[in->guard_valid] |= missing;
  }
  const uint32_t p = w->preds[in->guard];
  return mask & (in->guard_negated ? ~p : p);
}

static uint32_t half_valid(const sim_warp *w, const sim_arg *a, int half) {
  return a->halves ? w->valid[a->valid + (uint32_t)half] : UINT32_MAX;
}

// Masks of the results' 16-bit parts, one after the other, before anything is overwritten.
static void valid_parts(const sim_warp *w, const sim_instr *in, uint32_t *out) {
  const sim_arg *a = &in->args[in->nouts];
  const uint32_t p = in->parts == SIM_CHOSEN ? sim_pred(w, &a[2]) : 0;
  int n = 0;
  for (int k = 0; in->parts == SIM_MOVED && k < in->nargs - in->nouts; k++)
    for (int h = 0; h < a[k].bytes / 2; h++) out[n++] = half_valid(w, &a[k], h);
  for (int h = 0; in->parts != SIM_MOVED && h < in->args[0].halves; h++) {
    if (in->parts == SIM_CHOSEN) out[h] = sim_valid(w, &a[2]) & ((p & half_valid(w, &a[0], h)) | (~p & half_valid(w, &a[1], h)));
    if (in->parts == SIM_PAIRED) out[h] = sim_valid(w, &a[1 - h]);
    if (in->parts != SIM_HALVES) continue;
    out[h] = UINT32_MAX;
    for (int k = 0; k < in->nargs - 1; k++) out[h] &= half_valid(w, &a[k], h);
  }
}

static void run_lane(sim_warp *w, const sim_instr *in, uint32_t active) {
  uint32_t valid = UINT32_MAX, parts[32];
  if (in->parts != SIM_WHOLE) valid_parts(w, in, parts);
  else
    for (int i = in->nouts; i < in->nargs; i++) valid &= sim_valid(w, &in->args[i]);
  in->run.lane(w->regs, w->preds, in, active);
  const uint32_t *part = parts;
  for (int i = 0; i < in->nouts; i++) {
    const sim_arg *a = &in->args[i];
    if (in->parts == SIM_WHOLE) sim_set_valid(w, a, active, valid);
    else
      for (int h = 0; h < a->halves; h++, part++)
        w->valid[a->valid + (uint32_t)h] = (w->valid[a->valid + (uint32_t)h] & ~active) | (*part & active);
  }
}

// Branches by table split the group by target; an index beyond the table ends the lane.
static void table_branch(sim_warp *w, const sim_instr *in, sim_group *g, uint32_t active) {
  const ptx_table *t = &w->block->code->entry->tables[in->target];
  const sim_arg *index = &in->args[0];
  const int next = g->pc + 1;
  sim_want(w, in, index, active, "the index");
  uint32_t rest = active;
  const uint32_t stays = g->mask & ~active;
  while (rest) {
    const uint64_t k = sim_get(w, index, __builtin_ctz(rest));
    uint32_t same = 0;
    for (int l = 0; l < LANES; l++) same |= (uint32_t)((rest >> l & 1) && sim_get(w, index, l) == k) << l;
    rest &= ~same;
    if (k >= (uint64_t)t->n) {
      sim_report(w, __builtin_ctz(same), SIM_FAULT_OUT_OF_BOUNDS, "index %llu of a table of %d", (unsigned long long)k, t->n);
      w->alive &= ~same, g->mask &= ~same;
    } else if (rest || stays) {
      split(w, g, same, t->targets[k]);
    } else {
      g->pc = t->targets[k];
      return;
    }
  }
  g->pc = next;
  if (!g->mask) drop_group(w, (int)(g - w->groups));
}

// False: the lanes that have to be there are not, and the group waits for them.
static bool together(sim_warp *w, const sim_instr *in, sim_group *g, uint32_t active) {
  uint32_t need = w->alive;
  if (in->target >= 0) need &= (uint32_t)sim_get(w, &in->args[in->target], __builtin_ctz(active));
  if (!(need & ~active)) return true;
  if (need & g->mask & ~active) {
    sim_report(w, __builtin_ctz(need & g->mask & ~active), SIM_FAULT_BARRIER,
               "the predicate keeps a lane from '%s' that the others wait for", in->source->mnemonic);
    return true;
  }
  g->state = GROUP_MEETS;
  return false;
}

// Runs one group until it branches apart, waits, or comes to where another one is. Returns the instructions left of the turn.
static int run_group(sim_warp *w, int index, int turn) {
  sim_group *g = &w->groups[index];
  const sim_instr *const code = w->block->code->instrs;
  uint64_t *const issued = w->block->worker->issued;
  int stop = w->block->code->ninstrs; // the next place where somebody else is
  for (int i = 0; i < w->ngroups; i++)
    if (i != index && w->groups[i].pc > g->pc && w->groups[i].pc < stop) stop = w->groups[i].pc;
  const int from = g->pc;
  while (turn-- > 0 && !w->block->cluster->stopped) {
    const sim_instr *in = &code[g->pc];
    w->pc = g->pc;
    const uint32_t active = guarded(w, in, g->mask);
    issued[g->pc]++;
    if (w->products.n && active) sim_held_check(w, in);
    if (in->product && active) sim_wrote(w, in);
    switch (in->flow) {
    case SIM_LANE:
      if (active) run_lane(w, in, active);
      g->pc++;
      break;
    case SIM_OP:
      if (active) in->run.op(w, in, active);
      g->pc++;
      break;
    case SIM_TOGETHER:
      if (active && !together(w, in, g, active)) {
        issued[g->pc]--;
        return turn;
      }
      if (active) in->run.op(w, in, active);
      g->pc++;
      break;
    case SIM_BRANCH:
      if (active == g->mask) g->pc = in->target;
      else g->pc++;
      if (active && active != g->mask) {
        split(w, g, active, in->target);
        return turn;
      }
      break;
    case SIM_TABLE_BRANCH:
      if (active) table_branch(w, in, g, active);
      else g->pc++;
      return turn;
    case SIM_BARRIER:
      sim_barrier_arrive(w, in, g, active);
      if (g->state != GROUP_RUNS) return turn;
      break;
    case SIM_PHASE_WAIT:
      if (active && !sim_mbarrier_wait(w, in, g, active)) {
        issued[g->pc]--;
        return turn;
      }
      g->pc++;
      if (w->spun) return turn;
      break;
    case SIM_CLUSTER_WAIT:
      if (active && !sim_cluster_wait(w, in, g, active)) {
        issued[g->pc]--;
        return turn;
      }
      g->pc++;
      break;
    case SIM_REGISTERS:
      if (active && (!together(w, in, g, active) || !sim_registers_set(w, in, g))) {
        issued[g->pc]--;
        return turn;
      }
      g->pc++;
      break;
    default: // SIM_EXIT
      leave(w, g, active);
      return turn;
    }
    if (w->ngroups > 1 && (g->pc >= stop || g->pc <= from)) return turn;
  }
  return turn;
}

void sim_warp_run(sim_warp *w) {
  int turn = TURN;
  bool highest = w->ngroups > 1 && w->steps / TURN % 4 == 3;
  w->spun = false;
  while (turn > 0 && !w->spun && !w->block->cluster->stopped) {
    if (w->ngroups > 1) merge_groups(w);
    const int g = pick_group(w, highest);
    if (g < 0) break;
    sim_group *group = &w->groups[g];
    if (group->state == GROUP_BARRIER) {
      w->pc = group->pc;
      sim_barrier_left(w, &w->block->code->instrs[group->pc], group);
      group->state = GROUP_RUNS;
      group->pc++;
    }
    group->state = GROUP_RUNS;
    turn = run_group(w, g, turn);
    highest = false;
  }
  w->steps += (uint64_t)(TURN - (turn > 0 ? turn : 0));
  if (w->steps > w->block->launch->max_steps && w->ngroups && !w->block->cluster->stopped) {
    sim_report(w, -1, SIM_FAULT_STEPS, "a warp executed more than %llu instructions", (unsigned long long)w->block->launch->max_steps);
    w->block->cluster->stopped = true;
  }
}

// ---- blocks

static void fill_specials(sim_warp *w) {
  const sim_block *b = w->block;
  const sim_launch *launch = b->launch;
  const uint32_t *at = b->code->special;
  const uint32_t dynamic = (uint32_t)launch->dynamic_shared;
  for (int l = 0; l < LANES; l++) {
    const uint32_t t = (uint32_t)(w->index * LANES + l), x = launch->block[0], y = launch->block[1];
    const struct {
      int id;
      uint64_t value;
    } values[] = {{PTX_SPECIAL_TID_X, t % x},
                  {PTX_SPECIAL_TID_Y, t / x % y},
                  {PTX_SPECIAL_TID_Z, t / x / y},
                  {PTX_SPECIAL_NTID_X, launch->block[0]},
                  {PTX_SPECIAL_NTID_Y, launch->block[1]},
                  {PTX_SPECIAL_NTID_Z, launch->block[2]},
                  {PTX_SPECIAL_CTAID_X, b->id[0]},
                  {PTX_SPECIAL_CTAID_Y, b->id[1]},
                  {PTX_SPECIAL_CTAID_Z, b->id[2]},
                  {PTX_SPECIAL_NCTAID_X, launch->grid[0]},
                  {PTX_SPECIAL_NCTAID_Y, launch->grid[1]},
                  {PTX_SPECIAL_NCTAID_Z, launch->grid[2]},
                  {PTX_SPECIAL_LANEID, (uint64_t)l},
                  {PTX_SPECIAL_WARPID, (uint64_t)w->index},
                  {PTX_SPECIAL_NWARPID, (uint64_t)b->nwarps},
                  {PTX_SPECIAL_LANEMASK_EQ, 1u << l},
                  {PTX_SPECIAL_LANEMASK_LT, (1u << l) - 1},
                  {PTX_SPECIAL_LANEMASK_LE, ((1u << l) - 1) | 1u << l},
                  {PTX_SPECIAL_LANEMASK_GE, ~((1u << l) - 1)},
                  {PTX_SPECIAL_LANEMASK_GT, ~(((1u << l) - 1) | 1u << l)},
                  {PTX_SPECIAL_NSMID, 1},
                  {PTX_SPECIAL_DYNAMIC_SMEM, dynamic},
                  {PTX_SPECIAL_TOTAL_SMEM, b->shared_bytes},
                  {PTX_SPECIAL_CLUSTERID_X, b->cluster->id[0]},
                  {PTX_SPECIAL_CLUSTERID_Y, b->cluster->id[1]},
                  {PTX_SPECIAL_CLUSTERID_Z, b->cluster->id[2]},
                  {PTX_SPECIAL_NCLUSTERID_X, launch->grid[0] / launch->cluster[0]},
                  {PTX_SPECIAL_NCLUSTERID_Y, launch->grid[1] / launch->cluster[1]},
                  {PTX_SPECIAL_NCLUSTERID_Z, launch->grid[2] / launch->cluster[2]},
                  {PTX_SPECIAL_CLUSTER_CTAID_X, b->id[0] % launch->cluster[0]},
                  {PTX_SPECIAL_CLUSTER_CTAID_Y, b->id[1] % launch->cluster[1]},
                  {PTX_SPECIAL_CLUSTER_CTAID_Z, b->id[2] % launch->cluster[2]},
                  {PTX_SPECIAL_CLUSTER_NCTAID_X, launch->cluster[0]},
                  {PTX_SPECIAL_CLUSTER_NCTAID_Y, launch->cluster[1]},
                  {PTX_SPECIAL_CLUSTER_NCTAID_Z, launch->cluster[2]},
                  {PTX_SPECIAL_CLUSTER_CTARANK, b->rank},
                  {PTX_SPECIAL_CLUSTER_NCTARANK, (uint64_t)b->cluster->nblocks}};
    static const uint8_t bytes[PTX_NSPECIALS] = {
#define SPECIAL(id, name, bytes) bytes,
#include "targets/sim/special.def"
#undef SPECIAL
    };
    for (int i = 0; i < PTX_NSPECIALS; i++)
      if (at[i]) memset(w->regs + at[i] + (size_t)l * bytes[i], 0, bytes[i]);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
      if (at[values[i].id]) memcpy(w->regs + at[values[i].id] + (size_t)l * bytes[values[i].id], &values[i].value, bytes[values[i].id]);
  }
}

static void start_warp(sim_block *b, int index) {
  sim_warp *w = &b->warps[index];
  const sim_code *code = b->code;
  const int threads = b->nthreads - index * LANES;
  w->block = b, w->index = index, w->agent = b->rank * (uint32_t)b->nwarps + (uint32_t)index;
  w->present = w->alive = threads >= LANES ? UINT32_MAX : (1u << threads) - 1;
  w->ngroups = 1;
  w->groups[0] = (sim_group){.mask = w->alive};
  sim_clocks_clear(b->cluster, &w->clocks);
  sim_clocks_clear(b->cluster, &w->offered);
  w->clocks.seen[w->agent] = 1;
  w->sync = 1, w->fenced = 0, w->steps = 0, w->ncopies = 0;
  w->committed = w->retired = w->fences = w->issued = w->trail = w->cluster_arrived = 0;
  w->stores.n = w->products.n = 0;
  memset(w->copy_group, 0, sizeof w->copy_group);
  memset(w->bulk_group, 0, sizeof w->bulk_group);
  memset(w->regs, 0xff, code->constants_at);
  memcpy(w->regs + code->constants_at, code->constants, code->constants_bytes);
  memset(w->preds, 0, code->npreds * sizeof *w->preds);
  w->preds[1] = UINT32_MAX;
  memset(w->valid, 0, code->nvalid * sizeof *w->valid);
  if (code->products) {
    memset(w->held, 0, code->nvalid * sizeof *w->held);
    memset(w->wrote, 0, code->nvalid * sizeof *w->wrote);
  }
  fill_specials(w);
}

static void start_barriers(sim_block *b) {
  for (int i = 0; i < MAX_BARRIERS; i++) {
    sim_barrier *bar = &b->barriers[i];
    *bar = (sim_barrier){.clocks = bar->clocks, .released = bar->released};
    sim_clocks_clear(b->cluster, &bar->clocks);
    sim_clocks_clear(b->cluster, &bar->released);
  }
  for (int i = 0; i < b->nmbarriers; i++) b->mbarrier_at[b->mbarriers[i].offset / 8] = 0;
  b->nmbarriers = 0;
  b->nsyncs = b->next_sync = 0;
}

void sim_block_start(sim_block *b) {
  start_barriers(b);
  sim_tmem_start(b);
  if (b->shared_bytes) {
    memset(b->shared, 0xff, b->shared_bytes);
    const size_t grains = (b->shared_bytes >> b->grain_shift) + 1;
    for (size_t i = 0; i < grains; i++) b->grains[i] = (sim_grain){.writer = GRAIN_NOBODY, .reader = GRAIN_NOBODY};
  }
  if (b->code->local_bytes) memset(b->local, 0xff, b->code->local_bytes * (size_t)b->nthreads);
  b->nreaders = b->free_readers = b->nunseen = 0;
  b->atomics = b->fences = b->ordered = false;
  for (int i = 0; i < b->nwarps; i++) start_warp(b, i);
  sim_registers_start(b);
}
