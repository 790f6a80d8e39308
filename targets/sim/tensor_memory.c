// Tensor memory: who has which columns, and the order of accesses (ISA 9.7.16.6). Its own clocks: what another warp did is before an access
// when that warp fenced it (before_thread_sync, or a commit, which does so) and told, and this one fenced (after_thread_sync) once it knew.
#include "targets/sim/tensor_memory.h"

#include <stdlib.h>

enum { NOBODY = 0xffff, UNITS = TMEM_COLUMNS / TMEM_UNIT };
static const uint32_t open = UINT32_MAX; // a stamp: not told to anybody yet

typedef struct cell { // of one column and TMEM_GROUP lanes
  uint32_t stamp, pc, product;
  uint16_t writer; // warp of the block
  bool value;
} cell;

typedef struct access_open {
  sim_tmem_area area;
  sim_tmem_access access;
  bool done;
} access_open;

typedef struct loads_open { // registers that have values from the wait on, in the lanes where something was written
  const sim_instr *in;
  uint32_t valid[TMEM_MOST_LOADED];
} loads_open;

typedef struct warp_state {
  int nopen, room_open, nloads, room_loads;
  access_open *open;
  loads_open *loads;
  uint32_t products, landed; // how many it has issued; up to which they are known to be done
  sim_readings operands;     // that products still read
} warp_state;

struct sim_tmem {
  uint32_t words[TMEM_LANES][TMEM_COLUMNS];
  cell cells[TMEM_GROUPS][TMEM_COLUMNS];
  int nwarps;
  uint32_t *readers;     // stamps [group][column][warp], 0: none
  uint32_t *after;       // [warp][warp]: what of others' a warp knows as of its last fence::after_thread_sync
  warp_state *warps;     // of the block
  uint16_t taken[UNITS]; // first unit of the allocation, + 1
  int taken_pc[UNITS];
  bool relinquished;
};

// ---- its life

static void reset(sim_tmem *t) {
  for (int i = 0; i < t->nwarps; i++) {
    warp_state *s = &t->warps[i];
    s->nopen = s->nloads = s->operands.n = 0;
    s->products = s->landed = 0;
  }
  memset(t->after, 0, sizeof *t->after * (size_t)(t->nwarps * t->nwarps));
  memset(t->taken, 0, sizeof t->taken);
  t->relinquished = false;
}

void sim_tmem_start(sim_block *b) {
  if (b->tmem) reset(b->tmem);
}

void sim_tmem_free(sim_block *b) {
  sim_tmem *t = b->tmem;
  if (!t) return;
  for (int i = 0; i < t->nwarps; i++) {
    warp_state *s = &t->warps[i];
    for (int k = 0; k < s->operands.room; k++) free(s->operands.at[k].parts);
    free(s->operands.at);
    free(s->open);
    free(s->loads);
  }
  free(t->readers);
  free(t->after);
  free(t->warps);
  free(t);
}

sim_tmem *sim_tmem_of(sim_warp *w) {
  sim_block *b = w->block;
  if (b->tmem) return b->tmem;
  const size_t n = (size_t)b->nwarps;
  sim_tmem *t = calloc(1, sizeof *t);
  if (t) {
    t->nwarps = b->nwarps;
    t->readers = calloc(n * TMEM_GROUPS * TMEM_COLUMNS, sizeof *t->readers);
    t->after = calloc(n * n, sizeof *t->after);
    t->warps = calloc(n, sizeof *t->warps);
  }
  if (!t || !t->readers || !t->after || !t->warps) {
    if (t) {
      free(t->readers);
      free(t->after);
      free(t->warps);
      free(t);
    }
    b->worker->no_memory = b->cluster->stopped = true;
    return NULL;
  }
  b->tmem = t;
  return t;
}

uint32_t *sim_tmem_row(sim_tmem *t, uint32_t lane) { return t->words[lane]; }

void sim_tmem_end(sim_block *b) {
  sim_tmem *t = b->tmem;
  sim_warp *w = b->warps;
  for (int i = 0; t && i < UNITS; i++) {
    if (t->taken[i] != i + 1) continue;
    w->pc = t->taken_pc[i];
    sim_report(w, 0, SIM_FAULT_TENSOR_MEMORY, "the block ends and has not given back the columns from %d on of tensor memory",
               i * TMEM_UNIT);
  }
  for (int i = 0; t && i < t->nwarps; i++)
    for (int k = 0; k < t->warps[i].operands.n; k++) {
      b->warps[i].pc = t->warps[i].operands.at[k].pc;
      sim_report(&b->warps[i], 0, SIM_FAULT_UNWAITED, "the block ends and nobody waited for this product");
    }
}

// ---- order

static uint32_t *readers_of(sim_tmem *t, uint32_t group, uint32_t column) {
  return &t->readers[((size_t)group * TMEM_COLUMNS + column) * (size_t)t->nwarps];
}

static uint32_t own_clock(const sim_warp *w) { return w->clocks.seen[w->agent]; }

static bool is_before(const sim_warp *w, const sim_tmem *t, int other, uint32_t stamp) {
  return other == w->index || (stamp != open && stamp <= t->after[w->index * t->nwarps + other]);
}

static uint32_t line_of(const sim_warp *w, uint32_t pc) { return w->block->code->instrs[pc].line; }
static bool is_under_way(const sim_tmem *t, const cell *c) { return c->product && c->product > t->warps[c->writer].landed; }

// False: it was reported.
static bool check_writer(sim_warp *w, int lane, const sim_tmem *t, const cell *c, uint32_t column, const char *does) {
  if (c->writer == NOBODY) return true;
  if (is_under_way(t, c)) {
    sim_report(w, lane, SIM_FAULT_PRODUCT, "it %s column %u of tensor memory, into which the tcgen05.mma of line %u still sums", does,
               column, line_of(w, c->pc));
    return false;
  }
  if (is_before(w, t, c->writer, c->stamp)) return true;
  sim_report(w, lane, SIM_FAULT_RACE,
             "it %s column %u of tensor memory, which warp %d wrote at line %u with no barrier and tcgen05.fence between", does, column,
             c->writer, line_of(w, c->pc));
  return false;
}

static bool check_readers(sim_warp *w, int lane, sim_tmem *t, uint32_t group, uint32_t column, const char *does) {
  const uint32_t *readers = readers_of(t, group, column);
  for (int i = 0; i < t->nwarps; i++) {
    if (!readers[i] || is_before(w, t, i, readers[i])) continue;
    sim_report(w, lane, SIM_FAULT_RACE, "it %s column %u of tensor memory, which warp %d reads with no barrier and tcgen05.fence between",
               does, column, i);
    return false;
  }
  return true;
}

static void remember(sim_warp *w, sim_tmem *t, sim_tmem_area area, sim_tmem_access access) {
  warp_state *s = &t->warps[w->index];
  if (s->nopen == s->room_open) {
    const int room = s->room_open ? 2 * s->room_open : 16;
    if (!sim_grow(w->block, &s->open, (size_t)room * sizeof *s->open)) return;
    s->room_open = room;
  }
  s->open[s->nopen++] = (access_open){area, access, access == TMEM_PRODUCT};
}

static bool is_taken(const sim_tmem *t, sim_tmem_area a) {
  if (a.column + a.columns > TMEM_COLUMNS || !a.columns) return false;
  for (uint32_t u = a.column / TMEM_UNIT; u <= (a.column + a.columns - 1) / TMEM_UNIT; u++)
    if (!t->taken[u]) return false;
  return true;
}

static void touch_cell(sim_warp *w, sim_tmem *t, uint32_t group, uint32_t column, sim_tmem_access access) {
  uint32_t *readers = readers_of(t, group, column);
  if (access == TMEM_READ) {
    readers[w->index] = open;
    return;
  }
  memset(readers, 0, sizeof *readers * (size_t)t->nwarps);
  t->cells[group][column] = (cell){.stamp = open,
                                   .pc = (uint32_t)w->pc,
                                   .product = access == TMEM_PRODUCT ? t->warps[w->index].products + 1 : 0,
                                   .writer = (uint16_t)w->index,
                                   .value = true};
}

bool sim_tmem_has_values(sim_warp *w, int lane, const sim_tmem *t, sim_tmem_area a) {
  for (uint32_t g = a.group; is_taken(t, a) && g < a.group + a.groups * a.step; g += a.step)
    for (uint32_t c = a.column; c < a.column + a.columns; c++) {
      if (t->cells[g][c].value) continue;
      sim_report(w, lane, SIM_FAULT_UNINITIALISED, "it adds to column %u of tensor memory, where nothing was written", c);
      return false;
    }
  return true;
}

bool sim_tmem_touch(sim_warp *w, int lane, sim_tmem *t, sim_tmem_area a, sim_tmem_access access) {
  const char *does = access == TMEM_READ ? "reads" : "writes";
  if (!is_taken(t, a)) {
    sim_report(w, lane, SIM_FAULT_TENSOR_MEMORY, "it %s columns %u to %u of tensor memory, of which the block has not all", does, a.column,
               a.column + a.columns - 1);
    return false;
  }
  bool good = true;
  for (uint32_t g = a.group; g < a.group + a.groups * a.step; g += a.step)
    for (uint32_t c = a.column; c < a.column + a.columns; c++) {
      cell *k = &t->cells[g][c];
      // Products of one thread are made in its order (pipelined instructions).
      const bool pipelined = access == TMEM_PRODUCT && is_under_way(t, k) && k->writer == w->index;
      if (good && !pipelined) good = check_writer(w, lane, t, k, c, does);
      if (good && access != TMEM_READ) good = check_readers(w, lane, t, g, c, does);
      touch_cell(w, t, g, c, access);
    }
  remember(w, t, a, access);
  return true;
}

// What is done of a kind may be known to whom the warp tells something next.
static void close_accesses(sim_warp *w, sim_tmem *t, bool products) {
  warp_state *s = &t->warps[w->index];
  int kept = 0;
  for (int i = 0; i < s->nopen; i++) {
    const access_open o = s->open[i];
    if (!o.done || (o.access == TMEM_PRODUCT && !products)) {
      s->open[kept++] = o;
      continue;
    }
    for (uint32_t g = o.area.group; g < o.area.group + o.area.groups * o.area.step; g += o.area.step)
      for (uint32_t c = o.area.column; c < o.area.column + o.area.columns; c++) {
        cell *k = &t->cells[g][c];
        uint32_t *stamp = o.access == TMEM_READ ? &readers_of(t, g, c)[w->index] : k->writer == w->index ? &k->stamp : NULL;
        if (stamp && *stamp == open) *stamp = own_clock(w);
      }
  }
  s->nopen = kept;
}

void sim_tmem_loads(sim_warp *w, sim_tmem *t, const sim_instr *in, sim_tmem_area a) {
  warp_state *s = &t->warps[w->index];
  if (s->nloads == s->room_loads) {
    const int room = s->room_loads ? 2 * s->room_loads : 8;
    if (!sim_grow(w->block, &s->loads, (size_t)room * sizeof *s->loads)) return;
    s->room_loads = room;
  }
  loads_open *l = &s->loads[s->nloads++];
  l->in = in;
  for (uint32_t c = 0; c < a.columns; c++) {
    l->valid[c] = 0;
    for (uint32_t g = 0; g < a.groups; g++)
      if (t->cells[a.group + g][a.column + c].value) l->valid[c] |= ((1u << TMEM_GROUP) - 1) << g * TMEM_GROUP;
  }
}

void sim_tmem_wait(sim_warp *w, sim_tmem *t, sim_tmem_access access) {
  warp_state *s = &t->warps[w->index];
  for (int i = 0; i < s->nopen; i++) s->open[i].done |= s->open[i].access == access;
  if (access != TMEM_READ) return;
  for (int i = 0; i < s->nloads; i++)
    for (int k = 0; k < s->loads[i].in->nouts; k++) sim_set_valid(w, &s->loads[i].in->args[k], UINT32_MAX, s->loads[i].valid[k]);
  s->nloads = 0;
}

void sim_tmem_fence_before(sim_warp *w, sim_tmem *t) { close_accesses(w, t, false); }

void sim_tmem_fence_after(sim_warp *w, sim_tmem *t) {
  const uint32_t first = w->block->rank * (uint32_t)t->nwarps;
  memcpy(&t->after[w->index * t->nwarps], &w->clocks.seen[first], sizeof *t->after * (size_t)t->nwarps);
}

// ---- products

void sim_tmem_product(sim_warp *w, sim_tmem *t, const uint32_t *pieces, int n) {
  warp_state *s = &t->warps[w->index];
  sim_reading *parts = sim_reading_add(w, &s->operands, ++s->products, 1, n);
  for (int i = 0; parts && i < n; i++) {
    parts[i] = (sim_reading){w->block, pieces[i], 16};
    sim_shared_hold(w->block, pieces[i], 16);
  }
}

uint32_t sim_tmem_commit(sim_warp *w, sim_tmem *t) {
  close_accesses(w, t, true);
  return t->warps[w->index].products;
}

// Somebody saw the phase of a commit: all products of the warp that it stands for are done.
void sim_tmem_land(sim_block *b, int warp, uint32_t number) {
  warp_state *s = &b->tmem->warps[warp];
  int kept = 0;
  if (number <= s->landed) return;
  s->landed = number;
  for (int i = 0; i < s->operands.n; i++) {
    struct sim_reading_group g = s->operands.at[i];
    if (g.group > number) {
      s->operands.at[i] = s->operands.at[kept], s->operands.at[kept++] = g;
      continue;
    }
    for (int k = 0; k < g.nparts; k++) sim_shared_unhold(b, g.parts[k].at, g.parts[k].bytes);
  }
  s->operands.n = kept;
}

// ---- columns

uint32_t sim_tmem_taken(const sim_tmem *t) {
  uint32_t n = 0;
  for (int i = 0; i < UNITS; i++) n += t->taken[i] ? TMEM_UNIT : 0;
  return n;
}

bool sim_tmem_relinquish(sim_tmem *t) {
  const bool first = !t->relinquished;
  t->relinquished = true;
  return first;
}

bool sim_tmem_take(sim_warp *w, sim_tmem *t, uint32_t columns, uint32_t *first) {
  const uint32_t n = columns / TMEM_UNIT;
  if (t->relinquished) return false;
  for (uint32_t u = 0; u + n <= UNITS; u++) {
    uint32_t free_units = 0;
    while (free_units < n && !t->taken[u + free_units]) free_units++;
    if (free_units < n) continue;
    for (uint32_t i = u; i < u + n; i++) t->taken[i] = (uint16_t)(u + 1), t->taken_pc[i] = w->pc;
    for (uint32_t g = 0; g < TMEM_GROUPS; g++)
      for (uint32_t c = u * TMEM_UNIT; c < (u + n) * TMEM_UNIT; c++) {
        t->cells[g][c] = (cell){.writer = NOBODY};
        memset(readers_of(t, g, c), 0, sizeof *t->readers * (size_t)t->nwarps);
      }
    *first = u * TMEM_UNIT;
    return true;
  }
  return false;
}

bool sim_tmem_give_back(sim_warp *w, sim_tmem *t, uint32_t first, uint32_t columns) {
  const uint32_t u = first / TMEM_UNIT;
  bool whole = first % TMEM_UNIT == 0 && first + columns <= TMEM_COLUMNS;
  for (uint32_t i = 0; whole && i < UNITS; i++) whole = (i >= u && i < u + columns / TMEM_UNIT) == (t->taken[i] == u + 1);
  if (!whole) return false;
  bool good = true;
  for (uint32_t g = 0; g < TMEM_GROUPS; g++)
    for (uint32_t c = first; good && c < first + columns; c++)
      good = check_writer(w, 0, t, &t->cells[g][c], c, "gives back") && check_readers(w, 0, t, g, c, "gives back");
  for (uint32_t i = u; i < u + columns / TMEM_UNIT; i++) t->taken[i] = 0;
  return true;
}
