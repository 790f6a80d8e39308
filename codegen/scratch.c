// Where the scratch ops of a launch lie in a worker's scratch memory, and what those of a block take.
#include "codegen/codegen.h"

static void place(tg_op *op, void *user) {
  int64_t *used = user;
  if (op->code != TG_OP_SCRATCH || strcmp(tg_attr_str(op, "space", ""), "local")) return;
  int64_t align = tg_attr_int(op, "align", 1);
  *used = (*used + align - 1) / align * align;
  op->note = (void *)(intptr_t)*used;
  *used += tg_attr_int(op, "bytes", 0);
}

int64_t tg_scratch_layout(tg_launch *launch) {
  int64_t used = 0;
  tg_walk(launch->body, place, &used);
  return used;
}

static void add_shared(tg_op *op, void *user) {
  int64_t *used = user, align = tg_attr_int(op, "align", 1);
  if (op->code != TG_OP_SCRATCH || strcmp(tg_attr_str(op, "space", ""), "shared")) return;
  *used = (*used + align - 1) / align * align + tg_attr_int(op, "bytes", 0);
}

int64_t tg_shared_bytes(const tg_launch *launch) {
  int64_t used = 0;
  tg_walk(launch->body, add_shared, &used);
  return used;
}
