// setmaxnreg (ISA 9.7.19.5): a block's warps hand registers to one another. A block begins with nothing to spare: each thread has as many
// as the entry says, or as the multiprocessor has for so many threads. Where the entry tells neither, setmaxnreg has no effect (ptxas says
// so).
#include "targets/sim/block.h"
#include "targets/sim/decode.h"

enum { OF_MULTIPROCESSOR = 65536, MOST = 256, STEP = 8 };

static int at_launch(const ptx_entry *e) {
  if (e->maxnreg) return e->maxnreg;
  const int *block = e->reqntid[0] ? e->reqntid : e->maxntid;
  if (!block[0] || !e->minnctapersm) return 0;
  const int64_t warps = ((int64_t)block[0] * block[1] * block[2] + LANES - 1) / LANES;
  const int64_t n = OF_MULTIPROCESSOR / (warps * LANES * e->minnctapersm) / STEP * STEP;
  return n < MOST ? (int)n : MOST;
}

void sim_registers_start(sim_block *b) {
  const int n = at_launch(b->code->entry);
  b->free_registers = n ? 0 : -1;
  for (int i = 0; i < b->nwarps; i++) b->warps[i].registers = n;
}

bool sim_registers_set(sim_warp *w, const sim_instr *in, sim_group *g) {
  sim_block *b = w->block;
  const bool more = in->select;
  const int n = in->items * STEP, wanted = n - w->registers;
  if (b->free_registers < 0) return true;
  if (more ? wanted < 0 : wanted > 0) {
    sim_report(w, -1, SIM_FAULT_REGISTERS, "setmaxnreg.%s to %d registers of a warp that has %d", more ? "inc" : "dec", n, w->registers);
    return true;
  }
  if (wanted > b->free_registers) {
    g->state = GROUP_REGISTERS, g->generation = (uint32_t)wanted;
    return false;
  }
  b->free_registers -= wanted, w->registers = n;
  b->cluster->events++;
  return true;
}

// setmaxnreg.inc|dec.sync.aligned.u32 n
void sim_decode_registers(sim_decoder *d) {
  const bool more = sim_take(d, "inc");
  if (more == sim_take(d, "dec") || !sim_take(d, "sync") || !sim_take(d, "aligned") || sim_take_type(d) != PTX_u32)
    sim_bad(d, "the simulator knows setmaxnreg.inc.sync.aligned.u32 and .dec");
  sim_operands(d, 1, 1);
  const int64_t n = sim_immediate(d, sim_operand(d, 0));
  if (n < 24 || n > MOST || n % STEP) sim_bad(d, "%lld registers: a multiple of 8 from 24 to 256 is wanted", (long long)n);
  d->out->select = more, d->out->items = (uint8_t)(n / STEP);
  d->out->flow = SIM_REGISTERS;
}
