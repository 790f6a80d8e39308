// A launch: clusters of blocks dealt to threads of the host, findings gathered, instructions counted.
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>

#include "targets/sim/block.h"
#include "targets/sim/lanes.h"

struct sim_run {
  tg_context *ctx;
  sim_launch launch; // its buffers sorted
  const sim_launch *asked;
  sim_result *result;
  pthread_mutex_t lock;
  int nworkers;
  sim_worker *workers;
  uint64_t blocks, clusters;
  _Atomic uint64_t next;
};

// ---- findings

const char *const sim_fault_names[SIM_NFAULTS] = {
#define FAULT(id, name, doc) name,
#include "targets/sim/faults.def"
#undef FAULT
};

static void describe(sim_warp *w, int lane, sim_fault fault, const char *what, sim_finding *out) {
  const sim_block *b = w->block;
  const uint32_t t = (uint32_t)(w->index * LANES + (lane < 0 || lane >= LANES ? 0 : lane)), x = b->launch->block[0],
                 y = b->launch->block[1];
  snprintf(out->text, sizeof out->text, "line %u: %s: thread (%u,%u,%u) of block (%u,%u,%u): %s", (unsigned)b->code->instrs[w->pc].line,
           sim_fault_names[fault], t % x, t / x % y, t / x / y, b->id[0], b->id[1], b->id[2], what);
}

void sim_report(sim_warp *w, int lane, sim_fault fault, const char *format, ...) {
  struct sim_run *run = w->block->worker->run;
  sim_result *r = run->result;
  pthread_mutex_lock(&run->lock);
  int i = 0;
  while (i < r->nfindings && (r->findings[i].fault != fault || r->findings[i].pc != w->pc)) i++;
  if (i < r->nfindings) {
    r->findings[i].count++;
  } else if (i == SIM_MAX_FINDINGS) {
    r->more = true;
  } else {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->findings[i] = (sim_finding){.fault = fault, .pc = w->pc, .count = 1};
    describe(w, lane, fault, text, &r->findings[i]);
    r->nfindings++;
  }
  pthread_mutex_unlock(&run->lock);
}

const char *sim_findings_text(tg_arena *arena, const sim_code *code, const sim_result *result, int most) {
  tg_text text = {.arena = arena};
  tg_text_add(&text, "%d %s in %s%s", result->nfindings, result->nfindings == 1 ? "fault" : "faults", code->entry->name,
              result->more ? ", and more" : "");
  for (int i = 0; i < result->nfindings && i < most; i++) {
    const sim_finding *f = &result->findings[i];
    tg_text_add(&text, "\n  %s", f->text);
    if (f->count > 1) tg_text_add(&text, " (and %llu times more)", (unsigned long long)f->count - 1);
  }
  if (result->nfindings > most) tg_text_add(&text, "\n  … %d more", result->nfindings - most);
  return text.data;
}

// ---- workers

static void *take_memory(tg_context *ctx, size_t bytes) {
  void *p = NULL;
  if (posix_memalign(&p, 64, bytes ? bytes : 64)) tg_throw(ctx, TG_NO_MEMORY, "no memory for %zu bytes of a simulated block", bytes);
  return p;
}

static sim_clocks take_clocks(tg_context *ctx, const sim_cluster *c) {
  uint32_t *both = take_memory(ctx, 2 * sizeof *both * c->room_agents);
  return (sim_clocks){both, both + c->room_agents};
}

static void make_warp(const struct sim_run *run, const sim_cluster *c, sim_warp *w) {
  const sim_code *code = run->launch.code;
  w->regs = take_memory(run->ctx, code->reg_bytes);
  w->preds = take_memory(run->ctx, code->npreds * sizeof(uint32_t));
  w->valid = take_memory(run->ctx, code->nvalid * sizeof(uint32_t));
  w->clocks = take_clocks(run->ctx, c);
  w->offered = take_clocks(run->ctx, c);
  if (!code->products) return;
  w->held = take_memory(run->ctx, code->nvalid * sizeof(uint32_t));
  w->wrote = take_memory(run->ctx, code->nvalid * sizeof(uint32_t));
}

static void make_block(const struct sim_run *run, sim_worker *worker, uint32_t rank) {
  const sim_code *code = run->launch.code;
  const sim_launch *launch = &run->launch;
  sim_block *b = &worker->cluster.blocks[rank];
  b->worker = worker, b->cluster = &worker->cluster, b->rank = rank, b->launch = launch, b->code = code;
  b->nthreads = (int)(launch->block[0] * launch->block[1] * launch->block[2]);
  b->nwarps = (b->nthreads + LANES - 1) / LANES;
  b->shared_bytes = code->shared_bytes + launch->dynamic_shared;
  b->grain_shift = code->shared_shift;
  b->shared = take_memory(run->ctx, b->shared_bytes);
  b->grains = take_memory(run->ctx, ((b->shared_bytes >> b->grain_shift) + 1) * sizeof *b->grains);
  b->mbarrier_at = take_memory(run->ctx, (b->shared_bytes / 8 + 1) * sizeof *b->mbarrier_at);
  memset(b->mbarrier_at, 0, (b->shared_bytes / 8 + 1) * sizeof *b->mbarrier_at);
  b->local = take_memory(run->ctx, code->local_bytes * (size_t)b->nthreads);
  b->warps = take_memory(run->ctx, sizeof *b->warps * (size_t)b->nwarps);
  memset(b->warps, 0, sizeof *b->warps * (size_t)b->nwarps);
  for (int i = 0; i < b->nwarps; i++) make_warp(run, &worker->cluster, &b->warps[i]);
  for (int i = 0; i < MAX_BARRIERS; i++) {
    b->barriers[i].clocks = take_clocks(run->ctx, &worker->cluster);
    b->barriers[i].released = take_clocks(run->ctx, &worker->cluster);
  }
}

enum { MBARRIER_AGENTS = 128 }; // of a cluster; with more the rest share one

static void make_worker(struct sim_run *run, sim_worker *worker) {
  const sim_code *code = run->launch.code;
  const sim_launch *launch = &run->launch;
  sim_cluster *c = &worker->cluster;
  worker->ctx = run->ctx, worker->run = run, worker->lanes = sim_lanes_here();
  c->worker = worker;
  const uint32_t n = launch->cluster[0] * launch->cluster[1] * launch->cluster[2];
  const uint32_t warps = (launch->block[0] * launch->block[1] * launch->block[2] + LANES - 1) / LANES;
  c->nwarps = n * warps, c->room_agents = c->nwarps + MBARRIER_AGENTS;
  c->clocks = take_clocks(run->ctx, c), c->released = take_clocks(run->ctx, c);
  c->blocks = take_memory(run->ctx, sizeof *c->blocks * n);
  memset(c->blocks, 0, sizeof *c->blocks * n);
  for (c->nblocks = 0; (uint32_t)c->nblocks < n;) make_block(run, worker, (uint32_t)c->nblocks++);
  worker->issued = take_memory(run->ctx, sizeof *worker->issued * (size_t)code->ninstrs);
  memset(worker->issued, 0, sizeof *worker->issued * (size_t)code->ninstrs);
  worker->last_buffer = take_memory(run->ctx, sizeof *worker->last_buffer * (size_t)code->ninstrs);
  for (int i = 0; i < code->ninstrs; i++) worker->last_buffer[i] = -1;
}

static void free_readings(sim_readings *r) {
  for (int i = 0; i < r->room; i++) free(r->at[i].parts);
  free(r->at);
}

static void free_warp(sim_warp *w) {
  void *const all[] = {w->regs, w->preds, w->valid, w->copies, w->clocks.seen, w->offered.seen, w->held, w->wrote};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
  free_readings(&w->stores);
  free_readings(&w->products);
}

static void free_block(sim_block *b) {
  for (int i = 0; b->warps && i < b->nwarps; i++) free_warp(&b->warps[i]);
  for (int i = 0; i < MAX_BARRIERS; i++) {
    free(b->barriers[i].clocks.seen);
    free(b->barriers[i].released.seen);
  }
  for (int i = 0; i < b->room_mbarriers; i++) {
    // The two sets change places, and lie in one piece of memory, which begins with the lower.
    sim_mbarrier *m = &b->mbarriers[i];
    free(m->arriving.seen < m->released.seen ? m->arriving.seen : m->released.seen);
    free(m->landings);
  }
  for (int i = 0; b->syncs && i < SIM_SYNCS; i++) free(b->syncs[i].clocks.seen);
  sim_tmem_free(b);
  void *const all[] = {b->shared, b->grains, b->mbarrier_at, b->local, b->warps, b->mbarriers, b->syncs, b->readers, b->unseen};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void free_worker(sim_worker *worker) {
  sim_cluster *c = &worker->cluster;
  for (int i = 0; c->blocks && i < c->nblocks; i++) free_block(&c->blocks[i]);
  free(c->blocks);
  free(c->clocks.seen);
  free(c->released.seen);
  free(worker->issued);
  free(worker->last_buffer);
}

// Blocks of cluster i, ranks along x first.
static void place_cluster(const struct sim_run *run, sim_cluster *c, uint64_t i) {
  const uint32_t *grid = run->launch.grid, *size = run->launch.cluster;
  const uint32_t across = grid[0] / size[0], along = grid[1] / size[1];
  c->id[0] = (uint32_t)(i % across), c->id[1] = (uint32_t)(i / across % along), c->id[2] = (uint32_t)(i / across / along);
  for (int k = 0; k < c->nblocks; k++) {
    sim_block *b = &c->blocks[k];
    const uint32_t r = (uint32_t)k;
    b->id[0] = c->id[0] * size[0] + r % size[0], b->id[1] = c->id[1] * size[1] + r / size[0] % size[1];
    b->id[2] = c->id[2] * size[2] + r / size[0] / size[1];
    // Blocks of a cluster can wait for each other; in what is known of global memory they count as one.
    const uint32_t *first = c->blocks->id;
    const uint64_t linear = ((uint64_t)first[2] * grid[1] + first[1]) * grid[0] + first[0];
    b->number = (uint32_t)(linear % 0x7ffffffe) + 1;
  }
}

static void work(struct sim_run *run, sim_worker *worker) {
  for (uint64_t i; (i = atomic_fetch_add(&run->next, 1)) < run->clusters && !worker->no_memory;) {
    place_cluster(run, &worker->cluster, i);
    sim_cluster_run(&worker->cluster);
  }
}

// ---- launches

static int by_address(const void *a, const void *b) {
  const sim_buffer *x = a, *y = b;
  return (x->base > y->base) - (x->base < y->base);
}

// Pages of what is known of an array; they are made when somebody touches it.
static uint64_t touch_pages(const sim_launch *l, const sim_buffer *b) { return (b->bytes >> l->code->global_shift) / SIM_TOUCH_PAGE + 1; }

static void free_touches(const sim_launch *l, sim_buffer *b) {
  for (uint64_t i = 0; b->touches && i < touch_pages(l, b); i++) free(atomic_load(&b->touches[i]));
  free(b->touches);
}

static void sort_buffers(struct sim_run *run) {
  sim_launch *l = &run->launch;
  const sim_launch *asked = run->asked;
  l->buffers = take_memory(run->ctx, sizeof *l->buffers * (size_t)asked->nbuffers);
  l->nbuffers = 0;
  for (int i = 0; i < asked->nbuffers; i++)
    if (asked->buffers[i].bytes) l->buffers[l->nbuffers++] = asked->buffers[i];
  for (int i = 0; i < l->nbuffers; i++) l->buffers[i].touches = NULL;
  qsort(l->buffers, (size_t)l->nbuffers, sizeof *l->buffers, by_address);
  for (int i = 0; i < l->nbuffers && run->blocks > 1; i++) {
    sim_buffer *b = &l->buffers[i];
    if (b->read_only) continue;
    b->touches = calloc(touch_pages(l, b), sizeof *b->touches);
    if (!b->touches) tg_throw(run->ctx, TG_NO_MEMORY, "no memory to watch %llu bytes of %s", (unsigned long long)b->bytes, b->name);
  }
}

static void check_launch(struct sim_run *run) {
  const sim_launch *l = &run->launch;
  const ptx_entry *e = l->code->entry;
  const uint64_t threads = (uint64_t)l->block[0] * l->block[1] * l->block[2], shared = l->code->shared_bytes + l->dynamic_shared;
  if (!threads || l->block[0] > 1024 || l->block[1] > 1024 || l->block[2] > 64 || threads > 1024)
    tg_throw(run->ctx, TG_INVALID, "a block of %u x %u x %u threads: it has 1 to 1024, at most 64 of them along z", l->block[0],
             l->block[1], l->block[2]);
  if (l->grid[0] > INT32_MAX || l->grid[1] > 65535 || l->grid[2] > 65535)
    tg_throw(run->ctx, TG_INVALID, "a grid of %u x %u x %u blocks; at most 2^31 - 1 x 65535 x 65535 can be launched", l->grid[0],
             l->grid[1], l->grid[2]);
  if (e->maxntid[0] && threads > (uint64_t)e->maxntid[0] * e->maxntid[1] * e->maxntid[2])
    tg_throw(run->ctx, TG_INVALID, "a block of %llu threads, but '%s' says .maxntid %d, %d, %d", (unsigned long long)threads, e->name,
             e->maxntid[0], e->maxntid[1], e->maxntid[2]);
  for (int i = 0; i < 3 && e->reqntid[0]; i++)
    if (l->block[i] != (uint32_t)e->reqntid[i])
      tg_throw(run->ctx, TG_INVALID, "a block of %u x %u x %u threads, but '%s' says .reqntid %d, %d, %d", l->block[0], l->block[1],
               l->block[2], e->name, e->reqntid[0], e->reqntid[1], e->reqntid[2]);
  for (int i = 0; i < 3; i++) {
    if (e->cluster[0] && (uint32_t)e->cluster[i] != l->cluster[i])
      tg_throw(run->ctx, TG_INVALID, "clusters of %u x %u x %u blocks, but '%s' says .reqnctapercluster %d, %d, %d", l->cluster[0],
               l->cluster[1], l->cluster[2], e->name, e->cluster[0], e->cluster[1], e->cluster[2]);
    if (l->grid[i] % l->cluster[i])
      tg_throw(run->ctx, TG_INVALID, "a grid of %u x %u x %u blocks is no multiple of its clusters of %u x %u x %u", l->grid[0], l->grid[1],
               l->grid[2], l->cluster[0], l->cluster[1], l->cluster[2]);
  }
  if ((uint64_t)l->cluster[0] * l->cluster[1] * l->cluster[2] > MAX_CLUSTER)
    tg_throw(run->ctx, TG_INVALID, "a cluster of %u x %u x %u blocks; it has at most %d", l->cluster[0], l->cluster[1], l->cluster[2],
             MAX_CLUSTER);
  if (shared > l->max_shared)
    tg_throw(run->ctx, TG_INVALID, "'%s' wants %llu bytes of shared memory in a block; there are %llu", e->name, (unsigned long long)shared,
             (unsigned long long)l->max_shared);
}

static void set_cluster(sim_launch *l) {
  const ptx_entry *e = l->code->entry;
  if (l->cluster[0]) return;
  for (int i = 0; i < 3; i++) l->cluster[i] = e->cluster[0] ? (uint32_t)e->cluster[i] : 1;
}

static void run_body(void *arg) {
  struct sim_run *run = arg;
  const sim_launch *l = &run->launch;
  run->blocks = (uint64_t)l->grid[0] * l->grid[1] * l->grid[2];
  set_cluster(&run->launch);
  check_launch(run);
  run->clusters = run->blocks / (l->cluster[0] * l->cluster[1] * l->cluster[2]);
  if (!run->blocks) return;
  sort_buffers(run);
  int threads = l->threads > 0 ? l->threads : omp_get_max_threads();
  if ((uint64_t)threads > run->clusters) threads = (int)run->clusters;
  run->workers = take_memory(run->ctx, sizeof *run->workers * (size_t)threads);
  memset(run->workers, 0, sizeof *run->workers * (size_t)threads);
  for (int i = 0; i < threads; i++) {
    run->nworkers = i + 1; // what it has got before memory ran out is freed too
    make_worker(run, &run->workers[i]);
  }
  if (threads > 1) {
#pragma omp parallel num_threads(threads)
    work(run, &run->workers[omp_get_thread_num()]);
  } else {
    work(run, run->workers);
  }
  for (int i = 0; i < threads; i++) {
    const sim_worker *worker = &run->workers[i];
    if (worker->no_memory) tg_throw(run->ctx, TG_NO_MEMORY, "out of memory while a block was simulated");
    for (int k = 0; k < l->code->ninstrs; k++) run->result->counts.instrs[l->code->instrs[k].cls] += worker->issued[k];
    run->result->counts.shared_accesses += worker->counts.shared_accesses;
    run->result->counts.shared_wavefronts += worker->counts.shared_wavefronts;
    run->result->counts.shared_ideal += worker->counts.shared_ideal;
  }
}

void sim_run(tg_context *ctx, const sim_launch *launch, sim_result *result) {
  struct sim_run run = {.ctx = ctx, .launch = *launch, .asked = launch, .result = result};
  run.launch.buffers = NULL, run.launch.nbuffers = 0;
  memset(result, 0, sizeof *result);
  pthread_mutex_init(&run.lock, NULL);
  const tg_status status = tg_protect(ctx, run_body, &run);
  for (int i = 0; i < run.nworkers; i++) free_worker(&run.workers[i]);
  free(run.workers);
  for (int i = 0; i < run.launch.nbuffers; i++) free_touches(&run.launch, &run.launch.buffers[i]);
  free(run.launch.buffers);
  pthread_mutex_destroy(&run.lock);
  if (status != TG_OK) tg_rethrow(ctx);
}
