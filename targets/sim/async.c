// cp.async (ISA 9.7.9.25): each thread's copies land in shared memory when it waits for them, not before.
#include "targets/sim/block.h"
#include "targets/sim/decode.h"

static void set_pending(sim_block *b, uint64_t offset, uint32_t bytes, bool pending) {
  for (uint64_t g = offset >> b->grain_shift; g <= (offset + bytes - 1) >> b->grain_shift; g++)
    b->grains[g].flags = pending ? GRAIN_PENDING : GRAIN_VALUE;
}

// The destination is written at once as far as races go, and holds nothing until it lands.
static void copy(sim_warp *w, const sim_instr *in, uint32_t active) {
  sim_block *b = w->block;
  const sim_arg *to = &in->args[0], *from = &in->args[1];
  if (w->ncopies == w->room_copies) {
    const int room = w->room_copies ? 2 * w->room_copies : 64;
    if (!sim_grow(b, &w->copies, (size_t)room * sizeof *w->copies)) return;
    w->room_copies = room;
  }
  sim_copy *c = &w->copies[w->ncopies];
  *c = (sim_copy){.bytes = in->bytes, .pc = w->pc};
  for (int i = 0; i < in->nargs; i++) sim_want(w, in, &in->args[i], active, "an operand");
  uint64_t offsets[LANES];
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    sim_place place, source;
    if (!sim_resolve(w, l, PTX_SHARED, sim_address(w, in, to, l), in->bytes, true, &place)) continue;
    uint64_t take = in->bytes;
    if (in->packed) take = in->negated ? sim_pred(w, &in->args[2]) >> l & 1 ? 0 : in->bytes : sim_get(w, &in->args[2], l);
    if (take > in->bytes) {
      sim_report(w, l, SIM_FAULT_OUT_OF_BOUNDS, "it copies %llu of %u bytes", (unsigned long long)take, in->bytes);
      continue;
    }
    const uint64_t address = sim_get(w, from, l) + (uint64_t)in->imm;
    if (address % in->bytes) {
      sim_report(w, l, SIM_FAULT_MISALIGNED, "its source 0x%llx is no multiple of %u bytes", (unsigned long long)address, in->bytes);
      continue;
    }
    c->from[l] = NULL;
    if (take) {
      // Bounds are those of the bytes that are read.
      if (!sim_resolve_global(w, l, address, (uint32_t)take, false, &source)) continue;
      sim_global_touch(w, l, source.buffer, source.offset, (uint32_t)take, SIM_READ, true);
      c->from[l] = source.memory;
    }
    sim_shared_touch(w, l, b, place.offset, in->bytes, SIM_WRITE, false, false);
    set_pending(b, place.offset, in->bytes, true);
    memset(place.memory, 0xff, in->bytes);
    c->lanes |= 1u << l, c->to[l] = (uint32_t)place.offset, c->take[l] = (uint8_t)take, c->group[l] = w->copy_group[l];
    offsets[l] = place.offset;
  }
  if (!c->lanes) return;
  sim_count_banks(w, offsets, c->lanes, in->bytes);
  w->ncopies++;
}

static void land(sim_warp *w, sim_copy *c, int l) {
  sim_block *b = w->block;
  char *to = b->shared + c->to[l];
  memset(to, 0, c->bytes);
  if (c->take[l]) memcpy(to, c->from[l], c->take[l]);
  // From here on it is the waiting thread's write.
  for (uint64_t g = c->to[l] >> b->grain_shift; g <= (c->to[l] + c->bytes - 1u) >> b->grain_shift; g++) {
    sim_grain *s = &b->grains[g];
    s->flags = GRAIN_VALUE;
    s->writer = (uint16_t)w->agent;
    s->write = (sim_stamp){.clock = w->clocks.seen[w->agent], .sync = w->sync & 0xffffff, .lane = (uint32_t)l & 0xff};
    s->write_pc = (uint32_t)c->pc;
  }
  c->lanes &= ~(1u << l);
}

void sim_copies_land(sim_warp *w, uint32_t lanes, uint32_t newest_left, bool uncommitted) {
  int kept = 0;
  for (int i = 0; i < w->ncopies; i++) {
    sim_copy *c = &w->copies[i];
    for (uint32_t rest = c->lanes & lanes; rest; rest &= rest - 1) {
      const int l = __builtin_ctz(rest);
      if (uncommitted || c->group[l] + newest_left < w->copy_group[l]) land(w, c, l);
    }
    if (c->lanes) w->copies[kept++] = *c;
  }
  w->ncopies = kept;
}

static void commit(sim_warp *w, const sim_instr *in, uint32_t active) {
  (void)in;
  for (int l = 0; l < LANES; l++) w->copy_group[l] += active >> l & 1;
}

static void wait_group(sim_warp *w, const sim_instr *in, uint32_t active) { sim_copies_land(w, active, (uint32_t)in->offset, false); }
static void wait_all(sim_warp *w, const sim_instr *in, uint32_t active) {
  (void)in;
  sim_copies_land(w, active, 0, true);
}

// cp.async.mbarrier.arrive: the copies that a thread made so far complete on the mbarrier instead.
static void hand_over(sim_warp *w, int l, sim_mbarrier *m) {
  int kept = 0;
  for (int i = 0; i < w->ncopies; i++) {
    sim_copy *c = &w->copies[i];
    sim_landing *to = c->lanes >> l & 1 ? sim_mbarrier_landing(w, m) : NULL;
    if (to) {
      to->block = w->block, to->to = c->to[l], to->bytes = c->bytes, to->take = c->take[l], to->from = c->from[l], to->pc = c->pc;
      to->generic = true;
      c->lanes &= ~(1u << l);
    }
    if (c->lanes) w->copies[kept++] = *c;
  }
  w->ncopies = kept;
}

static void arrive(sim_warp *w, const sim_instr *in, uint32_t active) {
  sim_want(w, in, &in->args[0], active, "the address");
  for (uint32_t rest = active; rest; rest &= rest - 1) {
    const int l = __builtin_ctz(rest);
    sim_place place;
    if (!sim_resolve(w, l, (ptx_space)in->space, sim_address(w, in, &in->args[0], l), 8, true, &place) || place.space != PTX_SHARED)
      continue;
    sim_mbarrier *m = sim_mbarrier_find(w, l, place.block, place.offset);
    if (!m) continue;
    hand_over(w, l, m);
    m->pending += !in->negated; // without .noinc it makes the arrival that it takes
    sim_mbarrier_arrive(w, l, m, 1, true);
  }
}

// cp.async.mbarrier.arrive[.noinc][.shared].b64 [addr]
static void decode_arrive(sim_decoder *d) {
  sim_instr *out = d->out;
  if (!sim_take(d, "arrive")) sim_bad(d, "only cp.async.mbarrier.arrive is known");
  out->negated = sim_take(d, "noinc");
  out->space = (uint8_t)sim_take_space(d);
  sim_take(d, "b64");
  sim_operands(d, 1, 1);
  sim_add_address(d, sim_operand(d, 0));
  out->bytes = 8, out->items = 1, out->memory = true;
  sim_set_op(d, arrive, SIM_OP);
}

static void decode_async(sim_decoder *d) {
  sim_instr *out = d->out;
  const bool cg = sim_take(d, "cg"), ca = sim_take(d, "ca");
  const bool to = sim_take(d, "shared") || sim_take(d, "shared::cta"), from = sim_take(d, "global");
  const bool hint = sim_take(d, "L2::cache_hint");
  while (sim_take_prefix(d, "L2::", NULL)) {
  }
  if (cg == ca || !to || !from) sim_bad(d, "the simulator does not know this copy");
  const int n = d->in->noperands - hint;
  sim_operands(d, 3 + hint, 4 + hint);
  const int64_t bytes = sim_immediate(d, sim_operand(d, 2));
  if (bytes != 16 && (cg || (bytes != 4 && bytes != 8))) sim_bad(d, "%lld bytes cannot be copied at once", (long long)bytes);
  sim_add_address(d, sim_operand(d, 1)); // the source's offset moves over to imm
  out->imm = out->offset, out->offset = 0;
  sim_add_address(d, sim_operand(d, 0));
  const sim_arg source = d->args[0];
  d->args[0] = d->args[1], d->args[1] = source;
  if (source.bytes != 8) sim_bad(d, "a global address has 64 bits");
  out->packed = n == 4;
  if (out->packed) {
    const ptx_operand *o = sim_operand(d, 3);
    out->negated = o->kind == PTX_REG && d->regs[o->reg].bytes == 0; // a predicate: ignore the source
    sim_add_source(d, o, out->negated ? 0 : 4);
  }
  out->bytes = (uint8_t)bytes, out->items = 1, out->memory = true, out->space = PTX_SHARED;
  sim_set_op(d, copy, SIM_OP);
}

void sim_decode_copy(sim_decoder *d) {
  const bool reduces = sim_take(d, "reduce");
  if (!sim_take(d, "async")) sim_bad(d, "the simulator does not know this copy");
  if (sim_take(d, "bulk")) {
    sim_decode_bulk(d, reduces);
  } else if (reduces) {
    sim_bad(d, "the simulator does not know this copy");
  } else if (sim_take(d, "mbarrier")) {
    decode_arrive(d);
  } else if (sim_take(d, "commit_group")) {
    sim_operands(d, 0, 0);
    sim_set_op(d, commit, SIM_OP);
  } else if (sim_take(d, "wait_group")) {
    sim_operands(d, 1, 1);
    const int64_t n = sim_immediate(d, sim_operand(d, 0));
    if (n < 0 || n > INT32_MAX) sim_bad(d, "a number of groups is wanted");
    d->out->offset = n;
    sim_set_op(d, wait_group, SIM_OP);
  } else if (sim_take(d, "wait_all")) {
    sim_operands(d, 0, 0);
    sim_set_op(d, wait_all, SIM_OP);
  } else {
    decode_async(d);
  }
}
