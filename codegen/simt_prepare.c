// A kernel as the simt lowering reads it: a copy in which nothing is said twice.
#include "codegen/simt.h"

typedef struct preparing {
  const tg_machine *machine;
  tg_kernel *kernel;
  simt_keeps_fn *keeps;
  void *user;
} preparing;

// Of one element: itself. Kernels keep such a reduction where hosts should hold what they reduce.
static void drop_unit_reduction(tg_op *op, void *user) {
  preparing *p = user;
  if (op->code == TG_OP_REDUCE && op->in[0]->type.dim[tg_attr_int(op, "axis", 0)] == 1) tg_replace_all(p->kernel, op->out[0], op->in[0]);
}

static void prepare(void *arg) {
  preparing *p = arg;
  simt_expand_scaled(p->machine, p->kernel, p->keeps, p->user);
  for (int i = 0; i < p->kernel->nlaunches; i++) tg_walk(p->kernel->launches[i]->body, drop_unit_reduction, p);
  tg_run_passes(p->kernel, "cse,dce"); // loads of several loops meet once they stand before them
}

tg_kernel *simt_prepare(const tg_machine *machine, const tg_kernel *tile, simt_keeps_fn *keeps, void *user) {
  preparing p = {machine, tg_kernel_clone(tile), keeps, user};
  if (tg_protect(tile->ctx, prepare, &p) == TG_OK) return p.kernel;
  tg_kernel_free(p.kernel);
  tg_rethrow(tile->ctx);
}
