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

static void check_op(tg_op *op, void *user) {
  enum { MOST_HELD = 1024, SPARE = 40 }; // elements of a tile that a thread has; registers for addresses, masks, counters
  simt *s = user;
  for (int i = 0; i < op->nout; i++) {
    const tg_type *t = &op->out[i]->type;
    int64_t n = t->kind == TG_TILE && t->rank ? tg_type_elements(*t) >> (s->lane_bits + s->warp_bits) : 0;
    if (n > MOST_HELD)
      simt_fail(s, op, "a tile of %lld elements is too large for %d threads; choose smaller tiles%s", (long long)tg_type_elements(*t),
                s->warps << s->lane_bits, more_warps(s));
  }
  const int most = (s->machine->max_registers > 0 ? (int)s->machine->max_registers : 255) - SPARE;
  simt_wgmma w;
  if (op->code != TG_OP_DOT || simt_pipe_fits(s, op, &w)) return;
  const int need = simt_dot_registers(s->machine, op, s->warp_bits);
  if (need > most)
    simt_fail(s, op, "this dot needs about %d registers of each thread and %d can be had with %d warps; choose smaller tiles%s", need, most,
              s->warps, more_warps(s));
}

void simt_check_room(simt *s, const tg_launch *launch) { tg_walk(launch->body, check_op, s); }
