// What is known of memory: who wrote it and who read it since, so that accesses without an order between them are found (the epochs of
// FastTrack: Flanagan and Freund, PLDI 2009; between warps by their clocks, between lanes of a warp by its warp-wide barriers).
#include <stdlib.h>

#include "targets/sim/block.h"

static void agent_name(const sim_warp *w, uint32_t agent, sim_stamp s, char *room, size_t size) {
  const sim_cluster *c = w->block->cluster;
  if (agent >= c->nwarps) {
    snprintf(room, size, "a bulk copy");
    return;
  }
  const sim_block *b = &c->blocks[agent / (uint32_t)w->block->nwarps];
  const uint32_t warp = agent % (uint32_t)b->nwarps, x = b->launch->block[0], y = b->launch->block[1];
  const uint32_t t = warp * LANES + (s.lane < LANES ? s.lane : 0);
  int n = s.lane < LANES ? snprintf(room, size, "thread (%u,%u,%u)", t % x, t / x % y, t / x / y) : snprintf(room, size, "warp %u", warp);
  if (b != w->block && n > 0 && (size_t)n < size)
    snprintf(room + n, size - (size_t)n, " of block (%u,%u,%u)", b->id[0], b->id[1], b->id[2]);
}

static bool ordered(const sim_warp *w, int lane, uint32_t other, sim_stamp s) {
  if (other == GRAIN_NOBODY) return true;
  if (other == w->agent) return s.lane == (uint32_t)lane || s.sync != (w->sync & 0xffffff);
  return s.clock <= w->clocks.seen[other];
}

static sim_stamp stamp_of(const sim_warp *w, int lane) {
  return (sim_stamp){.clock = w->clocks.seen[w->agent], .sync = w->sync & 0xffffff, .lane = (uint32_t)lane & 0xff};
}

static uint32_t line_of(const sim_block *b, uint32_t pc) { return b->code->instrs[pc].line; }

static void report_race(sim_warp *w, int lane, uint64_t offset, const char *what, uint32_t other, sim_stamp s, const char *did,
                        uint32_t pc) {
  char who[96];
  agent_name(w, other, s, who, sizeof who);
  sim_report(w, lane, SIM_FAULT_RACE, "%s shared memory at %llu, which %s %s at line %u with no barrier between", what,
             (unsigned long long)offset, who, did, line_of(w->block, pc));
}

static bool is_read(sim_access a) { return a == SIM_READ || a == SIM_STRONG_READ || a == SIM_ASYNC_READ; }
static bool is_write(sim_access a) { return a == SIM_WRITE || a == SIM_STRONG_WRITE || a == SIM_ASYNC_WRITE; } // alone: no atomic
static bool is_async(sim_access a) { return a == SIM_ASYNC_READ || a == SIM_ASYNC_WRITE; }
static bool is_strong(sim_access a) { return a == SIM_STRONG_READ || a == SIM_STRONG_WRITE || a == SIM_ATOMIC; }

// ---- readers of a grain

static void free_readers(sim_block *b, sim_grain *s) {
  if (s->reader == GRAIN_SEVERAL) {
    b->readers[s->read.clock].clock = b->free_readers;
    b->free_readers = s->read.clock + 1;
  }
  s->reader = GRAIN_NOBODY;
}

static bool make_readers(sim_block *b, sim_grain *s) {
  uint32_t at = b->free_readers;
  const uint32_t n = b->cluster->nwarps;
  if (at) {
    at--;
    b->free_readers = b->readers[at].clock;
  } else {
    at = b->nreaders;
    if (at + n > b->room_readers) {
      const uint32_t room = b->room_readers ? 2 * b->room_readers : 4096 + n;
      if (!sim_grow(b, &b->readers, room * sizeof *b->readers)) return false;
      b->room_readers = room;
    }
    b->nreaders += n;
  }
  memset(b->readers + at, 0, sizeof *b->readers * n);
  b->readers[at + s->reader] = s->read;
  s->read.clock = at;
  s->reader = GRAIN_SEVERAL;
  return true;
}

static sim_stamp joined(sim_stamp old, sim_stamp now) {
  if (old.clock == now.clock && old.sync == now.sync && old.lane != now.lane) now.lane = LANES; // several lanes
  return now;
}

static void note_read(sim_warp *w, int lane, sim_block *b, sim_grain *s, int pc) {
  const sim_stamp now = stamp_of(w, lane);
  s->read_pc = (uint32_t)pc;
  if (s->reader == GRAIN_NOBODY || (s->reader != GRAIN_SEVERAL && s->reader != w->agent && ordered(w, lane, s->reader, s->read))) {
    s->reader = (uint16_t)w->agent;
    s->read = now;
  } else if (s->reader == w->agent) {
    s->read = joined(s->read, now);
  } else if (s->reader == GRAIN_SEVERAL || make_readers(b, s)) {
    sim_stamp *mine = &b->readers[s->read.clock + w->agent];
    *mine = joined(*mine, now);
  }
}

static void check_readers(sim_warp *w, int lane, const sim_block *b, const sim_grain *s, uint64_t offset) {
  if (s->reader == GRAIN_NOBODY) return;
  if (s->reader != GRAIN_SEVERAL) {
    if (!ordered(w, lane, s->reader, s->read)) report_race(w, lane, offset, "it writes", s->reader, s->read, "read", s->read_pc);
    return;
  }
  for (uint32_t i = 0; i < b->cluster->nwarps; i++) {
    const sim_stamp r = b->readers[s->read.clock + i];
    if (!r.clock || ordered(w, lane, i, r)) continue;
    report_race(w, lane, offset, "it writes", i, r, "read", s->read_pc);
    return;
  }
}

// ---- shared memory

// What ordinary stores wrote the asynchronous proxy sees after a fence between the two (ISA 8.5, proxies; fence.proxy.async).
static void check_proxy(sim_warp *w, int lane, const sim_grain *s, uint64_t at, bool reads) {
  if (s->flags & GRAIN_ASYNC || s->writer == GRAIN_NOBODY || s->write.clock <= w->clocks.proxied[s->writer]) return;
  char who[96];
  agent_name(w, s->writer, s->write, who, sizeof who);
  sim_report(w, lane, SIM_FAULT_PROXY, "it %s shared memory at %llu, which %s wrote at line %u with no fence.proxy.async between",
             reads ? "reads" : "writes", (unsigned long long)at, who, line_of(w->block, s->write_pc));
}

static void check_state(sim_warp *w, int lane, sim_grain *s, uint64_t at, sim_access access) {
  const char *does = is_read(access) ? "reads" : "writes";
  if (s->flags & GRAIN_PENDING)
    sim_report(w, lane, SIM_FAULT_UNWAITED, "shared memory at %llu is the destination of the copy of line %u, which nobody waited for",
               (unsigned long long)at, line_of(w->block, s->write_pc));
  if (s->flags & GRAIN_MBARRIER)
    sim_report(w, lane, SIM_FAULT_MBARRIER, "it %s shared memory at %llu, where an mbarrier lives that line %u initialised", does,
               (unsigned long long)at, line_of(w->block, s->write_pc));
  if (s->in_use && !is_read(access))
    sim_report(w, lane, SIM_FAULT_OVERWRITTEN, "it writes shared memory at %llu, which the operation of line %u still reads",
               (unsigned long long)at, line_of(w->block, s->read_pc));
}

void sim_shared_touch(sim_warp *w, int lane, sim_block *b, uint64_t offset, uint32_t bytes, sim_access access, bool has_value, bool same) {
  const uint64_t last = (offset + bytes - 1) >> b->grain_shift;
  if (!is_read(access)) b->cluster->events++;
  for (uint64_t g = offset >> b->grain_shift; g <= last; g++) {
    sim_grain *s = &b->grains[g];
    const uint64_t at = g << b->grain_shift;
    if (s->flags & (GRAIN_PENDING | GRAIN_MBARRIER) || s->in_use) check_state(w, lane, s, at, access);
    const bool both_atomic = is_strong(access) && s->flags & GRAIN_ATOMIC;
    // Threads that store the same value by one instruction do not disagree.
    const bool agrees = same && access == SIM_WRITE && s->write_pc == (uint32_t)w->pc && s->flags & GRAIN_VALUE;
    if (!both_atomic && !agrees && !ordered(w, lane, s->writer, s->write))
      report_race(w, lane, at, is_read(access) ? "it reads" : "it writes", s->writer, s->write, "wrote", s->write_pc);
    else if (is_async(access)) check_proxy(w, lane, s, at, is_read(access));
    if (!is_write(access) && !(s->flags & (GRAIN_VALUE | GRAIN_PENDING | GRAIN_MBARRIER))) {
      sim_report(w, lane, SIM_FAULT_UNINITIALISED, "it reads shared memory at %llu, where nothing was written", (unsigned long long)at);
      s->flags |= GRAIN_VALUE;
    }
    if (access == SIM_READ || access == SIM_ASYNC_READ) {
      note_read(w, lane, b, s, w->pc);
      continue;
    }
    check_readers(w, lane, b, s, at);
    free_readers(b, s);
    s->writer = (uint16_t)w->agent;
    s->write = stamp_of(w, lane);
    s->write_pc = (uint32_t)w->pc;
    s->flags =
        (uint8_t)((has_value ? GRAIN_VALUE : 0) | (is_strong(access) ? GRAIN_ATOMIC : 0) | (access == SIM_ASYNC_WRITE ? GRAIN_ASYNC : 0));
  }
}

void sim_shared_hold(sim_block *b, uint64_t offset, uint32_t bytes) {
  for (uint64_t g = offset >> b->grain_shift; g <= (offset + bytes - 1) >> b->grain_shift; g++)
    b->grains[g].in_use += b->grains[g].in_use < UINT16_MAX;
}

void sim_shared_unhold(sim_block *b, uint64_t offset, uint32_t bytes) {
  for (uint64_t g = offset >> b->grain_shift; g <= (offset + bytes - 1) >> b->grain_shift; g++)
    b->grains[g].in_use -= b->grains[g].in_use > 0;
}

// The reading counts as of now: what comes after a release that was made before it is not ordered behind it.
void sim_shared_let_go(sim_warp *w, int lane, sim_block *b, uint64_t offset, uint32_t bytes, int pc) {
  for (uint64_t g = offset >> b->grain_shift; g <= (offset + bytes - 1) >> b->grain_shift; g++) {
    b->grains[g].in_use -= b->grains[g].in_use > 0;
    note_read(w, lane, b, &b->grains[g], pc);
  }
}

// ---- global memory

enum { TOUCH_SEVERAL = 0x7fffffff };
#define TOUCH_ATOMIC 0x80000000u

static bool clash(uint32_t other, uint32_t mine) {
  const uint32_t who = other & ~TOUCH_ATOMIC;
  return who && who != (mine & ~TOUCH_ATOMIC) && !(other & mine & TOUCH_ATOMIC);
}

static void note_reader(sim_touch *t, uint32_t mine) {
  uint32_t old = atomic_load_explicit(&t->reader, memory_order_relaxed);
  if (old == mine || old == TOUCH_SEVERAL) return;
  // Atomic readings by several blocks stay atomic; anything else by several is plain.
  const uint32_t now = !old ? mine : old & mine & TOUCH_ATOMIC ? TOUCH_ATOMIC | TOUCH_SEVERAL : TOUCH_SEVERAL;
  atomic_store(&t->reader, now);
}

static sim_touch *touch_of(const sim_warp *w, const sim_buffer *buffer, uint64_t piece) {
  _Atomic(sim_touch *) *at = &buffer->touches[piece / SIM_TOUCH_PAGE];
  sim_touch *page = atomic_load_explicit(at, memory_order_acquire);
  if (!page) {
    sim_touch *made = calloc(SIM_TOUCH_PAGE, sizeof *made);
    if (!made) {
      w->block->worker->no_memory = w->block->cluster->stopped = true;
      return NULL;
    }
    if (atomic_compare_exchange_strong(at, &page, made)) page = made;
    else free(made); // another thread was first
  }
  return &page[piece % SIM_TOUCH_PAGE];
}

// Blocks have no order: what one writes no other may touch, unless both accesses are atomic. A block that made an atomic access and then a
// fence has seen what others published before (the last block of a reduction), so it is not held to this any more.
void sim_global_touch(sim_warp *w, int lane, const sim_buffer *buffer, uint64_t offset, uint32_t bytes, sim_access access, bool has_value) {
  const uint32_t mine = w->block->number | (is_strong(access) ? TOUCH_ATOMIC : 0);
  if (!is_read(access)) w->block->cluster->events++;
  if (w->block->nunseen && access != SIM_ATOMIC && access != SIM_ASYNC_WRITE) sim_unseen_check(w, lane, buffer, offset, bytes);
  if (buffer->written) {
    for (uint64_t i = offset; i < offset + bytes; i++) {
      _Atomic uint8_t *cell = (_Atomic uint8_t *)&buffer->written[i / 8];
      const uint8_t bit = (uint8_t)(1u << i % 8), old = atomic_load_explicit(cell, memory_order_relaxed);
      if (is_write(access) && has_value && !(old & bit)) atomic_fetch_or_explicit(cell, bit, memory_order_relaxed);
      if (!is_write(access) && !(old & bit)) {
        sim_report(w, lane, SIM_FAULT_UNINITIALISED, "it reads byte %llu of %s, which nothing wrote", (unsigned long long)i, buffer->name);
        break;
      }
    }
  }
  if (!buffer->touches || w->block->ordered) return;
  const uint32_t shift = w->block->code->global_shift;
  for (uint64_t g = offset >> shift; g <= (offset + bytes - 1) >> shift; g++) {
    sim_touch *t = touch_of(w, buffer, g);
    if (!t) return;
    if (access == SIM_READ) {
      note_reader(t, mine);
    } else {
      const uint32_t old = atomic_exchange(&t->writer, mine);
      if (clash(old, mine))
        sim_report(w, lane, SIM_FAULT_BLOCK_RACE, "it writes byte %llu of %s, which block %u wrote", (unsigned long long)(g << shift),
                   buffer->name, (old & ~TOUCH_ATOMIC) - 1);
      const uint32_t reader = atomic_load(&t->reader);
      if (clash(reader, mine))
        sim_report(w, lane, SIM_FAULT_BLOCK_RACE, "it writes byte %llu of %s, which another block reads", (unsigned long long)(g << shift),
                   buffer->name);
      continue;
    }
    const uint32_t writer = atomic_load(&t->writer);
    if (clash(writer, mine))
      sim_report(w, lane, SIM_FAULT_BLOCK_RACE, "it reads byte %llu of %s, which block %u writes", (unsigned long long)(g << shift),
                 buffer->name, (writer & ~TOUCH_ATOMIC) - 1);
  }
}

// ---- bank conflicts

// 32 banks of 4 bytes. Lanes go in groups that together ask for 128 bytes; a group takes as many wavefronts as the busiest bank has
// different words to give (CUDA programming guide, shared memory).
void sim_count_banks(sim_warp *w, const uint64_t *offsets, uint32_t active, uint32_t bytes) {
  const int lanes = bytes <= 4 ? LANES : bytes == 8 ? 16 : 8, words = bytes <= 4 ? 1 : (int)bytes / 4;
  sim_counts *c = &w->block->worker->counts;
  c->shared_accesses++;
  for (int first = 0; first < LANES; first += lanes) {
    uint32_t seen[LANES][LANES];
    int n[LANES] = {0}, most = 0, asked = 0;
    for (int l = first; l < first + lanes; l++) {
      if (!(active >> l & 1)) continue;
      asked = 1;
      for (int k = 0; k < words; k++) {
        const uint32_t word = (uint32_t)(offsets[l] / 4) + (uint32_t)k;
        const uint32_t bank = word % LANES;
        int i = 0;
        while (i < n[bank] && seen[bank][i] != word) i++;
        if (i < n[bank]) continue;
        seen[bank][n[bank]++] = word;
        if (n[bank] > most) most = n[bank];
      }
    }
    c->shared_wavefronts += (uint64_t)most;
    c->shared_ideal += (uint64_t)asked;
  }
}
