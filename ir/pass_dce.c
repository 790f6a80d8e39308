// Dead code: ops whose results nobody uses and that write nothing; carried values of `for` that nobody reads.
//
// Use counts are kept in value->note while the pass runs. Regions are swept backwards, so that a chain dies in one sweep.
#include "ir/ir.h"

static intptr_t uses(const tg_value *v) { return (intptr_t)v->note; }
static void add_use(tg_value *v, intptr_t n) { v->note = (void *)((intptr_t)v->note + n); }

static void clear_region(tg_region *region);
static void clear_op(tg_op *op) {
  for (int i = 0; i < op->nout; i++) op->out[i]->note = NULL;
  for (int i = 0; i < op->nregions; i++) clear_region(op->regions[i]);
}
static void clear_region(tg_region *region) {
  for (int i = 0; i < region->nargs; i++) region->args[i]->note = NULL;
  for (tg_op *op = region->first; op; op = op->next) clear_op(op);
}

static void count_op(tg_op *op, void *user) {
  (void)user;
  for (int i = 0; i < op->nin; i++) add_use(op->in[i], 1);
}

static void drop_op_uses(tg_op *op, void *user) {
  (void)user;
  for (int i = 0; i < op->nin; i++) add_use(op->in[i], -1);
}

static void look_for_writes(tg_op *op, void *user) {
  unsigned traits = tg_op_rows()[op->code].traits;
  if (traits & TG_WRITES) *(bool *)user = true;
  // `while` may not end: removing it would change what the kernel does.
  if (op->code == TG_OP_WHILE) *(bool *)user = true;
}

static bool removable(const tg_op *op) {
  unsigned traits = tg_op_rows()[op->code].traits;
  if (traits & (TG_WRITES | TG_TERMINATOR)) return false;
  if (!op->nregions) return (traits & (TG_PURE | TG_READS)) != 0;
  bool writes = op->code == TG_OP_WHILE;
  for (int i = 0; i < op->nregions; i++) tg_walk(op->regions[i], look_for_writes, &writes);
  return !writes;
}

static bool unused(const tg_op *op) {
  for (int i = 0; i < op->nout; i++)
    if (uses(op->out[i])) return false;
  return true;
}

// Drops carried value i of a for: its result and its region argument are unused.
static void drop_carried(tg_op *loop, int i) {
  tg_region *body = loop->regions[0];
  tg_op *yield = body->last;
  add_use(loop->in[2 + i], -1);
  add_use(yield->in[i], -1);
  for (int k = 2 + i; k + 1 < loop->nin; k++) loop->in[k] = loop->in[k + 1];
  for (int k = i; k + 1 < yield->nin; k++) yield->in[k] = yield->in[k + 1];
  for (int k = i; k + 1 < loop->nout; k++) (loop->out[k] = loop->out[k + 1])->index = (uint32_t)k;
  for (int k = i + 1; k + 1 < body->nargs; k++) (body->args[k] = body->args[k + 1])->index = (uint32_t)k;
  loop->nin--, yield->nin--, loop->nout--, body->nargs--;
}

static void sweep(tg_region *region);
static void sweep_op(tg_op *op) {
  if (op->code == TG_OP_FOR)
    for (int i = op->nout; i-- > 0;)
      if (!uses(op->out[i]) && !uses(op->regions[0]->args[i + 1])) drop_carried(op, i);
  if (unused(op) && removable(op)) {
    drop_op_uses(op, NULL);
    for (int i = 0; i < op->nregions; i++) tg_walk(op->regions[i], drop_op_uses, NULL);
    tg_remove_op(op);
    return;
  }
  for (int i = 0; i < op->nregions; i++) sweep(op->regions[i]);
}

static void sweep(tg_region *region) {
  for (tg_op *op = region->last, *prev; op; op = prev) {
    prev = op->prev;
    sweep_op(op);
  }
}

static int count_ops(tg_region *region) {
  int n = 0;
  for (tg_op *op = region->first; op; op = op->next) {
    n += 1 + op->nin;
    for (int i = 0; i < op->nregions; i++) n += count_ops(op->regions[i]);
  }
  return n;
}

void tg_pass_dce(tg_kernel *kernel) {
  for (int l = 0; l < kernel->nlaunches; l++) {
    tg_region *body = kernel->launches[l]->body;
    clear_region(body);
    tg_walk(body, count_op, NULL);
    // A value that lives only through a loop's yield dies in the sweep after the one that dropped the carried value.
    for (int before = -1, now = count_ops(body); now != before; now = count_ops(body)) {
      before = now;
      sweep(body);
    }
    clear_region(body);
  }
}
