// Whether a launch's tiles have room in the registers of a machine's threads: what can be told of a config before anything is lowered. The
// tuner leaves out what has none; the lowering refuses it.
#include "codegen/simt_pipe.h"

int simt_most_warp_bits(const tg_machine *machine) {
  enum { LANE_BITS = 5, MOST = 3 };
  int bits = MOST;
  while (bits && machine->max_threads > 0 && 1 << (LANE_BITS + bits) > machine->max_threads) bits--;
  return bits;
}

static const char *more_warps(const simt *s) { return s->warp_bits < simt_most_warp_bits(s->machine) ? ", or more warps with warps=" : ""; }

static int most_registers(const simt *s) {
  enum { SPARE = 40 }; // for addresses, masks, counters
  const int all = s->machine->max_registers > 0 ? (int)s->machine->max_registers : 255;
  return all > SPARE ? all - SPARE : 0;
}

typedef struct search {
  simt *s;
  bool found;
} search;

static void find_pipe(tg_op *op, void *user) {
  search *x = user;
  simt_wgmma w;
  if (op->code == TG_OP_DOT) x->found |= simt_pipe_fits(x->s, op, &w);
}

// What a loop carries is in registers from its first trip to its last; but sums of pipes, which see to their own.
static void check_carried(simt *s, const tg_op *loop) {
  int64_t bits = 0;
  search pipe = {.s = s};
  for (int r = 0; r < loop->nregions; r++) tg_walk(loop->regions[r], find_pipe, &pipe);
  if (pipe.found) return;
  for (int i = 0; i < loop->nout; i++) {
    const tg_type *t = &loop->out[i]->type;
    if (t->kind == TG_TILE && t->rank) bits += tg_type_elements(*t) * tg_dtypes[t->dtype].bits;
  }
  const int64_t each = bits / 32 >> (s->lane_bits + s->warp_bits);
  if (each > most_registers(s))
    simt_fail(s, loop,
              "the tiles that this loop carries take %lld registers of each thread and %d can be had with %d warps; choose smaller tiles%s",
              (long long)each, most_registers(s), s->warps, more_warps(s));
}

static void check_op(tg_op *op, void *user) {
  enum { MOST_HELD = 1024 }; // elements of a tile that a thread has
  simt *s = user;
  for (int i = 0; i < op->nout; i++) {
    const tg_type *t = &op->out[i]->type;
    int64_t n = t->kind == TG_TILE && t->rank ? tg_type_elements(*t) >> (s->lane_bits + s->warp_bits) : 0;
    if (n > MOST_HELD)
      simt_fail(s, op, "a tile of %lld elements is too large for %d threads; choose smaller tiles%s", (long long)tg_type_elements(*t),
                s->warps << s->lane_bits, more_warps(s));
  }
  if (op->code == TG_OP_FOR || op->code == TG_OP_WHILE) check_carried(s, op);
  const int most = most_registers(s);
  simt_wgmma w;
  if (op->code != TG_OP_DOT || simt_pipe_fits(s, op, &w)) return;
  const int need = simt_dot_registers(s->machine, op, s->warp_bits);
  if (need > most)
    simt_fail(s, op, "this dot needs about %d registers of each thread and %d can be had with %d warps; choose smaller tiles%s", need, most,
              s->warps, more_warps(s));
}

void simt_check_room(simt *s, const tg_launch *launch) { tg_walk(launch->body, check_op, s); }
