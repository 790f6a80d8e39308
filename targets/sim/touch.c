// What is known of memory: who wrote it and who read it since, so that accesses without an order between them are found (the epochs of
// FastTrack: Flanagan and Freund, PLDI 2009; between warps by their clocks, between lanes of a warp by its warp-wide barriers).
#include "targets/sim/block.h"

static void thread_name(const sim_warp *w, int lane, char *room, size_t size) {
  const uint32_t t = (uint32_t)(w->index * LANES + lane), x = w->block->launch->block[0], y = w->block->launch->block[1];
  if (lane < 0) snprintf(room, size, "warp %d", w->index);
  else snprintf(room, size, "thread (%u,%u,%u)", t % x, t / x % y, t / x / y);
}

static bool ordered(const sim_warp *w, int lane, int other, sim_stamp s) {
  if (other == GRAIN_NOBODY) return true;
  if (other == w->index) return s.lane == (uint32_t)lane || s.sync != (w->sync & 0xffffff);
  return s.clock <= w->clocks[other];
}

static sim_stamp stamp_of(const sim_warp *w, int lane) {
  return (sim_stamp){.clock = w->clocks[w->index], .sync = w->sync & 0xffffff, .lane = (uint32_t)lane & 0xff};
}

static uint32_t line_of(const sim_block *b, uint32_t pc) { return b->code->instrs[pc].line; }

static void report_race(sim_warp *w, int lane, uint64_t offset, const char *what, int other, sim_stamp s, const char *did, uint32_t pc) {
  char who[64];
  const sim_warp *o = &w->block->warps[other];
  thread_name(o, s.lane < LANES ? (int)s.lane : -1, who, sizeof who);
  sim_report(w, lane, SIM_FAULT_RACE, "%s shared memory at %llu, which %s %s at line %u with no barrier between", what,
             (unsigned long long)offset, who, did, line_of(w->block, pc));
}

// ---- readers of a grain

static void free_readers(sim_block *b, sim_grain *s) {
  if (s->reader == GRAIN_SEVERAL) {
    b->readers[s->readers].clock = b->free_readers;
    b->free_readers = s->readers + 1;
  }
  s->reader = GRAIN_NOBODY;
}

static bool make_readers(sim_block *b, sim_grain *s) {
  uint32_t at = b->free_readers;
  if (at) {
    at--;
    b->free_readers = b->readers[at].clock;
  } else {
    at = b->nreaders;
    if (at + (uint32_t)b->nwarps > b->room_readers) {
      const uint32_t room = b->room_readers ? 2 * b->room_readers : 4096;
      if (!sim_grow(b, &b->readers, room * sizeof *b->readers)) return false;
      b->room_readers = room;
    }
    b->nreaders += (uint32_t)b->nwarps;
  }
  memset(b->readers + at, 0, sizeof *b->readers * (size_t)b->nwarps);
  b->readers[at + s->reader] = s->read;
  s->readers = at;
  s->reader = GRAIN_SEVERAL;
  return true;
}

static sim_stamp joined(sim_stamp old, sim_stamp now) {
  if (old.clock == now.clock && old.sync == now.sync && old.lane != now.lane) now.lane = LANES; // several lanes
  return now;
}

static void note_read(sim_warp *w, int lane, sim_grain *s) {
  sim_block *b = w->block;
  const sim_stamp now = stamp_of(w, lane);
  s->read_pc = (uint32_t)w->pc;
  if (s->reader == GRAIN_NOBODY || (s->reader != GRAIN_SEVERAL && s->reader != w->index && ordered(w, lane, s->reader, s->read))) {
    s->reader = (uint8_t)w->index;
    s->read = now;
  } else if (s->reader == w->index) {
    s->read = joined(s->read, now);
  } else if (s->reader == GRAIN_SEVERAL || make_readers(b, s)) {
    sim_stamp *mine = &b->readers[s->readers + (uint32_t)w->index];
    *mine = joined(*mine, now);
  }
}

static void check_readers(sim_warp *w, int lane, const sim_grain *s, uint64_t offset) {
  if (s->reader == GRAIN_NOBODY) return;
  if (s->reader != GRAIN_SEVERAL) {
    if (!ordered(w, lane, s->reader, s->read)) report_race(w, lane, offset, "it writes", s->reader, s->read, "read", s->read_pc);
    return;
  }
  for (int i = 0; i < w->block->nwarps; i++) {
    const sim_stamp r = w->block->readers[s->readers + (uint32_t)i];
    if (!r.clock || ordered(w, lane, i, r)) continue;
    report_race(w, lane, offset, "it writes", i, r, "read", s->read_pc);
    return;
  }
}

// ---- shared memory

void sim_shared_touch(sim_warp *w, int lane, uint64_t offset, uint32_t bytes, sim_access access, bool has_value, bool same) {
  sim_block *b = w->block;
  const uint64_t last = (offset + bytes - 1) >> b->grain_shift;
  for (uint64_t g = offset >> b->grain_shift; g <= last; g++) {
    sim_grain *s = &b->grains[g];
    const uint64_t at = g << b->grain_shift;
    if (s->flags & GRAIN_PENDING)
      sim_report(w, lane, SIM_FAULT_UNWAITED, "shared memory at %llu is the destination of the copy of line %u, which nobody waited for",
                 (unsigned long long)at, line_of(b, s->write_pc));
    const bool both_atomic = access == SIM_ATOMIC_ACCESS && s->flags & GRAIN_ATOMIC;
    // Lanes of one instruction that store the same value do not disagree.
    const bool agrees = same && s->writer == w->index && s->write_pc == (uint32_t)w->pc;
    if (!both_atomic && !agrees && !ordered(w, lane, s->writer, s->write))
      report_race(w, lane, at, access == SIM_READ ? "it reads" : "it writes", s->writer, s->write, "wrote", s->write_pc);
    if (access != SIM_WRITE && !(s->flags & (GRAIN_VALUE | GRAIN_PENDING))) {
      sim_report(w, lane, SIM_FAULT_UNINITIALISED, "it reads shared memory at %llu, where nothing was written", (unsigned long long)at);
      s->flags |= GRAIN_VALUE;
    }
    if (access == SIM_READ) {
      note_read(w, lane, s);
      continue;
    }
    check_readers(w, lane, s, at);
    free_readers(b, s);
    s->writer = (uint8_t)w->index;
    s->write = stamp_of(w, lane);
    s->write_pc = (uint32_t)w->pc;
    s->flags = (uint8_t)((has_value ? GRAIN_VALUE : 0) | (access == SIM_ATOMIC_ACCESS ? GRAIN_ATOMIC : 0));
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

// Blocks have no order: what one writes no other may touch, unless both accesses are atomic. A block that made an atomic access and then a
// fence has seen what others published before (the last block of a reduction), so it is not held to this any more.
void sim_global_touch(sim_warp *w, int lane, const sim_buffer *buffer, uint64_t offset, uint32_t bytes, sim_access access, bool has_value) {
  const uint32_t mine = w->block->number | (access == SIM_ATOMIC_ACCESS ? TOUCH_ATOMIC : 0);
  if (buffer->written) {
    for (uint64_t i = offset; i < offset + bytes; i++) {
      _Atomic uint8_t *cell = (_Atomic uint8_t *)&buffer->written[i / 8];
      const uint8_t bit = (uint8_t)(1u << i % 8), old = atomic_load_explicit(cell, memory_order_relaxed);
      if (access == SIM_WRITE && has_value && !(old & bit)) atomic_fetch_or_explicit(cell, bit, memory_order_relaxed);
      if (access != SIM_WRITE && !(old & bit)) {
        sim_report(w, lane, SIM_FAULT_UNINITIALISED, "it reads byte %llu of %s, which nothing wrote", (unsigned long long)i, buffer->name);
        break;
      }
    }
  }
  if (!buffer->touches || w->block->ordered) return;
  const uint32_t shift = w->block->code->global_shift;
  for (uint64_t g = offset >> shift; g <= (offset + bytes - 1) >> shift; g++) {
    sim_touch *t = &buffer->touches[g];
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
