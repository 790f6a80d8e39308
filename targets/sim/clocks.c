// Vector clocks by which warps know what others did before (FastTrack: Flanagan and Freund, PLDI 2009), and the places in shared memory
// through which strong accesses with fences hand them on (ISA 8.7 to 8.9).
#include "targets/sim/block.h"

static void join(uint32_t *into, const uint32_t *from, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) into[i] = from[i] > into[i] ? from[i] : into[i];
}

void sim_clocks_clear(const sim_cluster *cluster, const sim_clocks *clocks) {
  memset(clocks->seen, 0, sizeof *clocks->seen * cluster->room_agents);
  memset(clocks->proxied, 0, sizeof *clocks->proxied * cluster->room_agents);
}

void sim_acquire(sim_warp *w, const sim_clocks *clocks) {
  join(w->clocks.seen, clocks->seen, w->block->cluster->nagents);
  join(w->clocks.proxied, clocks->proxied, w->block->cluster->nagents);
}

static void give(const sim_warp *w, const sim_clocks *clocks) {
  join(clocks->seen, w->clocks.seen, w->block->cluster->nagents);
  join(clocks->proxied, w->clocks.proxied, w->block->cluster->nagents);
}

void sim_release(sim_warp *w, const sim_clocks *clocks) {
  give(w, clocks);
  w->clocks.seen[w->agent]++;
}

void sim_release_fenced(sim_warp *w, const sim_clocks *clocks) {
  if (!w->fenced) return;
  const uint32_t own = w->clocks.seen[w->agent];
  w->clocks.seen[w->agent] = w->fenced;
  give(w, clocks);
  w->clocks.seen[w->agent] = own;
}

// ---- places that strong accesses synchronise by

static sim_sync *find(sim_block *b, uint64_t offset) {
  for (int i = 0; i < b->nsyncs; i++)
    if (b->syncs[i].offset == offset) return &b->syncs[i];
  return NULL;
}

static sim_sync *make(sim_block *b, uint64_t offset) {
  const size_t n = b->cluster->room_agents;
  if (!b->syncs) {
    if (!sim_grow(b, &b->syncs, SIM_SYNCS * sizeof *b->syncs)) return NULL;
    memset(b->syncs, 0, SIM_SYNCS * sizeof *b->syncs);
  }
  sim_sync *s = &b->syncs[b->nsyncs < SIM_SYNCS ? b->nsyncs : b->next_sync++ % SIM_SYNCS];
  if (!s->clocks.seen) {
    if (!sim_grow(b, &s->clocks.seen, 2 * n * sizeof(uint32_t))) return NULL;
    s->clocks.proxied = s->clocks.seen + n;
  }
  b->nsyncs += b->nsyncs < SIM_SYNCS;
  sim_clocks_clear(b->cluster, &s->clocks);
  s->offset = offset;
  return s;
}

void sim_strong_read(sim_warp *w, const sim_instr *in, sim_block *b, uint64_t offset) {
  const sim_sync *s = find(b, offset);
  if (!s) return;
  if (in->acquire) sim_acquire(w, &s->clocks);
  join(w->offered.seen, s->clocks.seen, b->cluster->nagents); // taken at the next fence
  join(w->offered.proxied, s->clocks.proxied, b->cluster->nagents);
}

void sim_strong_write(sim_warp *w, const sim_instr *in, sim_block *b, uint64_t offset) {
  if (!in->release && !w->fenced) return;
  sim_sync *s = find(b, offset);
  if (!s) s = make(b, offset);
  if (!s) return;
  if (in->release) sim_release(w, &s->clocks);
  else sim_release_fenced(w, &s->clocks);
}

void sim_fence(sim_warp *w) {
  sim_acquire(w, &w->offered);
  w->fenced = w->clocks.seen[w->agent]++;
}

void sim_fence_proxy(sim_warp *w) {
  join(w->clocks.proxied, w->clocks.seen, w->block->cluster->nagents);
  w->clocks.seen[w->agent]++;
}
