// Launches with pipes: their barriers, the warp group that asks the copy unit for what the others multiply, and what is left of blocks that
// stick out: masks on what is stored.
#include "codegen/simt_control.h"
#include "codegen/simt_pipe.h"

enum { GROUP = 128 }; // threads of a warp group

static void make_barriers(simt *s, tg_builder *init) {
  simt_slots *slots = s->slots;
  const int64_t top = s->shared_top;
  s->shared_top = slots->at;
  const int nbarriers = 2 * slots->n + 1;
  slots->base = simt_shared(s, slots->n * slots->bytes + nbarriers * 8 + (slots->buffers ? SIMT_TCGEN05_BYTES : 0));
  s->shared_top = top;
  tg_builder *b = &s->prologue;
  slots->full = tg_build2(b, TG_OP_PTRADD, slots->base, simt_int(s, TG_I32, slots->n * slots->bytes));
  slots->empty = tg_build2(b, TG_OP_PTRADD, slots->full, simt_int(s, TG_I32, 8 * slots->n));
  // A slot of a cluster's blocks is free when the warps of all have read it: one lane of each tells one block.
  tg_value *block = tg_build2(b, TG_OP_AND, s->lane_id, simt_int(s, TG_I32, s->cluster - 1));
  slots->released = s->cluster > 1 ? tg_build2(b, TG_OP_MAPA, slots->empty, block) : slots->empty;
  slots->releases = tg_build2(b, TG_OP_LT, s->lane_id, simt_int(s, TG_I32, s->cluster));
  for (int i = 0; i < nbarriers; i++) {
    tg_value *bar = tg_build2(init, TG_OP_PTRADD, slots->full, simt_int(s, TG_I32, 8 * i));
    tg_build(init, TG_OP_MBAR_INIT, 1, &bar, 1, &TG_AINT("count", i < slots->n || slots->buffers ? 1 : s->warps * s->cluster));
  }
  if (slots->buffers) simt_tcgen05_barriers(s, init, tg_build2(b, TG_OP_PTRADD, slots->full, simt_int(s, TG_I32, 8 * nbarriers)));
}

static void make_maps(simt *s, simt_pipe *pipe, tg_builder *init) {
  for (int i = 0; i < 2; i++) {
    const int before = s->out->nargs;
    pipe->box[i].argument = simt_map_argument(s, &pipe->box[i]);
    if (s->out->nargs > before) tg_build(init, TG_OP_PREFETCH_MAP, 1, &pipe->box[i].argument, 0, NULL); // others have it already
  }
}

// Opens both sides of a branch: code goes to the first, what the caller puts into `otherwise` to the second.
static tg_op *open_branch(simt *s, tg_value *cond, tg_builder *otherwise) {
  tg_op *branch = tg_build_typed(&s->b, TG_OP_IF, 1, &cond, 0, NULL, 0, NULL);
  tg_builder outer = s->b;
  *otherwise = outer;
  s->b.region = tg_add_region(&outer, branch, 0, 0, NULL), otherwise->region = tg_add_region(&outer, branch, 1, 0, NULL);
  s->b.before = otherwise->before = NULL;
  return branch;
}

void simt_turn(simt *s, simt_pipe *pipe, simt_trip_fn *trip) {
  tg_op *op = pipe->loop;
  const tg_region *body = op->regions[0];
  simt_carried c = simt_carried_of(s, op, body->args + 1);
  simt_flat *f = simt_flatten_all(s, op, &c, op->in + 2);
  tg_op *loop = tg_build_for(&s->b, simt_scalar(s, op->in[0]), simt_scalar(s, op->in[1]), tg_attr_int(op, "step", 1), f->n, f->at);
  tg_builder outer = s->b;
  s->b.region = loop->regions[0];
  s->b.before = NULL;
  simt_note_of(s, body->args[0])->scalar = loop->regions[0]->args[0];
  simt_unflatten_all(s, &c, body->args + 1, loop->regions[0]->args + 1);
  simt_region(s, body);
  trip(s, pipe, loop->regions[0]->args[0]);
  f = simt_flatten_all(s, op, &c, body->last->in);
  tg_build_yield(&s->b, f->n, f->at);
  s->b = outer;
  simt_unflatten_all(s, &c, op->out, loop->out);
}

// A slot that is free, what it will get, the copies.
static void bring(simt *s, simt_pipe *pipe, tg_value *index) {
  const simt_slots *slots = s->slots;
  tg_value *in[] = {simt_barrier_at(s, slots->empty, slots->slot), slots->parity};
  (void)index;
  tg_build(&s->b, TG_OP_MBAR_WAIT, 2, in, 0, NULL);
  simt_copy_boxes(s, pipe, slots->slot, simt_barrier_at(s, slots->full, slots->slot));
  simt_next_slot(s);
}

void simt_produce(simt *s, simt_pipe *pipe) { simt_turn(s, pipe, bring); }

static void set_registers(simt *s, int n, int more) {
  tg_attr attrs[] = {TG_AINT("n", n), TG_AINT("more", more)};
  tg_build(&s->b, TG_OP_SET_REGISTERS, 0, NULL, 2, attrs);
}

// Registers of the groups that compute, in the steps of 8 that setmaxnreg has: what the producer leaves of the block's. 0: those that they
// begin with.
static int registers_of_consumers(const simt *s) {
  enum { PRODUCER = 40, STEP = 8, MOST = 240 };
  const int groups = s->warps / 4, all = (int)s->machine->registers_sm / GROUP;
  if (groups < 2 || all == 0 || s->slots->buffers) return 0; // simt_tcgen05.c, most_registers
  const int first = all / (groups + 1) / STEP * STEP, most = simt_most_registers(s->machine, MOST) / STEP * STEP;
  const int each = (first * (groups + 1) - PRODUCER) / groups / STEP * STEP;
  return most <= first ? 0 : each > most ? most : each;
}

static void compute_block(simt *s) {
  if (s->persistent) simt_begin_block(s);
  simt_region(s, s->launch->body);
}

// One thread of a warp goes the way of all through the launch.
static void follow(simt *s, tg_value *chosen, int warp) {
  tg_builder rest = s->b, none;
  open_branch(s, simt_and(&s->b, tg_build2(&s->b, TG_OP_EQ, s->warp_id, simt_int(s, TG_I32, warp)), chosen), &none);
  s->producing = true;
  s->slots->slot = simt_int(s, TG_I32, 0);
  s->slots->parity = simt_int(s, TG_I32, s->issuing ? 0 : 1); // all slots are free
  s->slots->buffer = simt_int(s, TG_I32, 0), s->slots->phase = simt_int(s, TG_I32, 1);
  simt_each_block(s, compute_block);
  s->producing = false;
  s->block_full = NULL;
  tg_build_yield(&s->b, 0, NULL);
  tg_build_yield(&none, 0, NULL);
  s->b = rest;
}

void simt_specialise(simt *s) {
  enum { PRODUCER = 40 };
  tg_value *tid = tg_build0(&s->prologue, TG_OP_TID, 1, &TG_AINT("axis", 0));
  const int threads = s->warps << s->lane_bits, registers = registers_of_consumers(s);
  tg_builder otherwise;
  if (!s->persistent) simt_begin_block(s);
  tg_builder outer = s->b;
  const bool memory = s->slots->buffers > 0;
  open_branch(s, tg_build2(&s->b, TG_OP_EQ, tid, simt_int(s, TG_I32, 0)), &otherwise);
  make_barriers(s, &s->b);
  for (simt_pipe *p = s->pipes; p; p = p->next) make_maps(s, p, &s->b);
  tg_build(&s->b, TG_OP_FENCE_ASYNC, 0, NULL, 1, &TG_AINT("init", 1));
  tg_build_yield(&s->b, 0, NULL);
  tg_build_yield(&otherwise, 0, NULL);
  s->b = outer;
  if (memory) simt_tcgen05_allocate(s);
  if (s->cluster > 1) tg_build(&s->b, TG_OP_CLUSTER_BARRIER, 0, NULL, 0, NULL); // before others write to this block
  else simt_barrier(s);
  if (memory) simt_tcgen05_open(s);
  tg_value *consumes = tg_build2(&s->b, TG_OP_LT, s->warp_id, simt_int(s, TG_I32, s->warps));
  open_branch(s, consumes, &otherwise);
  if (registers) set_registers(s, registers, 1);
  s->consumers = threads;
  s->split = false;
  s->nfull = 0;
  s->slots->slot = s->slots->parity = s->slots->buffer = s->slots->phase = simt_int(s, TG_I32, 0);
  simt_each_block(s, compute_block);
  if (memory) simt_tcgen05_close(s);
  s->consumers = 0;
  tg_build_yield(&s->b, 0, NULL);
  s->b = otherwise;
  if (registers) set_registers(s, PRODUCER, 0);
  tg_value *chosen = tg_build0(&s->b, TG_OP_ELECT, 0, NULL);
  follow(s, chosen, s->warps);
  s->issuing = memory;
  if (memory) follow(s, chosen, s->warps + 1);
  s->issuing = false;
  tg_build_yield(&s->b, 0, NULL);
  s->b = outer;
  if (s->cluster > 1) tg_build(&s->b, TG_OP_CLUSTER_BARRIER, 0, NULL, 0, NULL); // while others arrive at barriers of this block
}

// Without masks where the block does not stick out.
void simt_split_store(simt *s, tg_op *op) {
  tg_builder outer = s->b, otherwise;
  tg_value *full = s->block_full;
  s->block_full = NULL;
  open_branch(s, full, &otherwise);
  simt_touches before = simt_order_save(s);
  s->nfull = s->nblock_ranges;
  memcpy(s->full, s->block_range, sizeof *s->full * (size_t)s->nblock_ranges);
  simt_op(s, op);
  tg_build_yield(&s->b, 0, NULL);
  s->nfull = 0;
  s->b = otherwise;
  simt_order_restore(s, before);
  simt_op(s, op);
  tg_build_yield(&s->b, 0, NULL);
  s->b = outer;
  s->block_full = full;
}
