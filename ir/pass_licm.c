// Loop-invariant motion: pure ops whose operands come from outside a for or while move in front of it; at tile level also loads, where
// nothing in the loop writes (a tile load is safe with any index; a lane load is not, and the loop may have no trip). A promise stays: it
// is made only where the loop has a trip.
#include "ir/ir.h"

static bool inside(const tg_region *region, const tg_op *loop) {
  for (; region; region = region->owner ? region->owner->parent : NULL)
    if (region->owner == loop) return true;
  return false;
}

static bool invariant(const tg_op *op, const tg_op *loop) {
  for (int i = 0; i < op->nin; i++)
    if (inside(op->in[i]->region, loop)) return false;
  return true;
}

static void look_for_writes(tg_op *op, void *user) {
  if (tg_op_rows()[op->code].traits & TG_WRITES) *(bool *)user = true;
}

static bool movable(const tg_op *op, bool loads) {
  unsigned traits = tg_op_rows()[op->code].traits;
  if (op->nregions || op->code == TG_OP_SCRATCH || op->code == TG_OP_ASSUME || op->code == TG_OP_VIEW) return false;
  return (traits & TG_PURE) || (loads && (traits & TG_READS) && !(traits & TG_WRITES));
}

static void hoist_from(tg_op *loop, tg_region *region, bool loads) {
  for (tg_op *op = region->first, *next; op; op = next) {
    next = op->next;
    if (movable(op, loads) && invariant(op, loop)) tg_move_before(op, loop);
  }
}

static void visit(tg_region *region, bool tile) {
  for (tg_op *op = region->first; op; op = op->next) {
    for (int i = 0; i < op->nregions; i++) visit(op->regions[i], tile);
    if (op->code != TG_OP_FOR && op->code != TG_OP_WHILE) continue;
    bool writes = false;
    for (int i = 0; i < op->nregions; i++) tg_walk(op->regions[i], look_for_writes, &writes);
    for (int i = 0; i < op->nregions; i++) hoist_from(op, op->regions[i], tile && !writes);
  }
}

void tg_pass_licm(tg_kernel *kernel) {
  for (int l = 0; l < kernel->nlaunches; l++) visit(kernel->launches[l]->body, kernel->level == TG_LEVEL_TILE);
}
