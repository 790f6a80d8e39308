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

static const tg_param *param_of(const tg_kernel *kernel, const tg_op *load) {
  const tg_value *v = load->in[0];
  while (v->def && v->def->code == TG_OP_VIEW) v = v->def->in[0];
  return v->def && v->def->code == TG_OP_PARAM ? tg_find_param(kernel, tg_attr_str(v->def, "name", "")) : NULL;
}

static bool is_same_load(const tg_op *a, const tg_op *b) {
  bool same = a->code == b->code && a->nin == b->nin && a->nattrs == 0 && b->nattrs == 0;
  for (int i = 0; same && i < a->nin; i++) same = a->in[i] == b->in[i];
  return same && tg_type_equal(a->out[0]->type, b->out[0]->type);
}

// Loads of inputs, which nobody writes, that stand before several loops: a tile that two folds read is brought to shared memory once.
static void merge_loads(tg_kernel *kernel, const tg_region *body) {
  for (tg_op *op = body->first; op; op = op->next) {
    const tg_param *p = simt_is_load(op) ? param_of(kernel, op) : NULL;
    if (!p || p->kind != TG_INPUT) continue;
    for (tg_op *first = body->first; first != op; first = first->next) {
      if (!simt_is_load(first) || !is_same_load(first, op)) continue;
      tg_replace_all(kernel, op->out[0], first->out[0]);
      break;
    }
  }
}

static void prepare(void *arg) {
  preparing *p = arg;
  simt_expand_scaled(p->machine, p->kernel, p->keeps, p->user);
  for (int i = 0; i < p->kernel->nlaunches; i++) tg_walk(p->kernel->launches[i]->body, drop_unit_reduction, p);
  tg_run_passes(p->kernel, "cse");
  for (int i = 0; i < p->kernel->nlaunches; i++) merge_loads(p->kernel, p->kernel->launches[i]->body);
  tg_run_passes(p->kernel, "cse,dce"); // what is made of one load twice
}

tg_kernel *simt_prepare(const tg_machine *machine, const tg_kernel *tile, simt_keeps_fn *keeps, void *user) {
  preparing p = {machine, tg_kernel_clone(tile), keeps, user};
  if (tg_protect(tile->ctx, prepare, &p) == TG_OK) return p.kernel;
  tg_kernel_free(p.kernel);
  tg_rethrow(tile->ctx);
}
