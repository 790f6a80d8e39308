// What a kernel must do at least, read off its tile IR: a launch's work is that of one block times the grid, a loop's that of its body
// times its trips. Extents that a tile does not divide count for the part that is real: ceildiv(K, 128) trips over 128 columns are K
// columns of work, so ceildiv is evaluated as a plain quotient.
#include <math.h>

#include "autotune/autotune.h"
#include "targets/run.h"

typedef struct count {
  const tg_kernel *tile;
  tg_lookup_fn lookup;
  void *user;
  double dots, others;
} count;

static double expression(const count *c, const tg_expr *e) {
  int64_t value;
  double a, b;
  switch (e->op) {
  case TG_EXPR_CONST: return (double)e->value;
  case TG_EXPR_SYM: return c->lookup(c->user, e->name, &value) ? (double)value : NAN;
  default: a = expression(c, e->a), b = expression(c, e->b);
  }
  switch (e->op) {
  case TG_EXPR_ADD: return a + b;
  case TG_EXPR_SUB: return a - b;
  case TG_EXPR_MUL: return a * b;
  case TG_EXPR_CEILDIV: return b != 0 ? a / b : NAN;
  case TG_EXPR_FLOORDIV: return b != 0 ? floor(a / b) : NAN;
  case TG_EXPR_MIN: return fmin(a, b);
  case TG_EXPR_MAX: return fmax(a, b);
  default: return NAN;
  }
}

// fmin and fmax would take the number where the other side depends on data.
static double known(double a, double b, double picked) { return isnan(a) || isnan(b) ? NAN : picked; }

// The greatest index that the tensor may hold, where inputs.c fills it with that and those next to it; else NAN.
static double greatest_index(const count *c, const tg_value *view) {
  while (view->def && view->def->code == TG_OP_VIEW) view = view->def->in[0];
  const tg_param *param = view->def && view->def->code == TG_OP_PARAM ? tg_find_param(c->tile, tg_attr_str(view->def, "name", "")) : NULL;
  if (!param || !(param->flags & TG_PARAM_INDEX)) return NAN;
  double n = 1, limit = expression(c, param->below);
  for (int i = 0; i < param->rank; i++) n *= expression(c, param->dims[i]);
  return n <= floor(limit / TG_MANY_INDICES) ? limit - 1 : NAN;
}

// Value of an integer at the first block; NAN when it depends on data or on a loop.
static double value_of(const count *c, const tg_value *v) {
  const tg_op *op = v->def;
  if (!op) return NAN;
  const tg_attr *e = tg_find_attr(op, "e");
  double a, b;
  int64_t constant;
  if (tg_is_const(v)) return tg_const_as_int(v, &constant) ? (double)constant : NAN;
  switch (op->code) {
  case TG_OP_EXPR: return e ? expression(c, e->e) : NAN;
  case TG_OP_PID: return 0;
  case TG_OP_LOAD: return greatest_index(c, op->in[0]);
  case TG_OP_ADD: return value_of(c, op->in[0]) + value_of(c, op->in[1]);
  case TG_OP_SUB: return value_of(c, op->in[0]) - value_of(c, op->in[1]);
  case TG_OP_MUL: return value_of(c, op->in[0]) * value_of(c, op->in[1]);
  case TG_OP_DIV: return value_of(c, op->in[0]) / value_of(c, op->in[1]);
  case TG_OP_MIN: a = value_of(c, op->in[0]), b = value_of(c, op->in[1]); return known(a, b, fmin(a, b));
  case TG_OP_MAX: a = value_of(c, op->in[0]), b = value_of(c, op->in[1]); return known(a, b, fmax(a, b));
  case TG_OP_CAST:
  case TG_OP_ASSUME: return value_of(c, op->in[0]);
  case TG_OP_FIRST: return op->in[0]->def && op->in[0]->def->code == TG_OP_RANGE ? value_of(c, op->in[0]->def->in[0]) : NAN;
  case TG_OP_LAST: return op->in[0]->def && op->in[0]->def->code == TG_OP_RANGE ? value_of(c, op->in[0]->def->in[1]) : NAN;
  default: return NAN;
  }
}

static double elements(const tg_value *v) { return (double)tg_type_elements(v->type); }

static void count_op(count *c, const tg_op *op, double times) {
  const tg_op_row *row = &tg_op_rows()[op->code];
  if (op->code == TG_OP_DOT || op->code == TG_OP_DOT_SCALED) {
    c->dots += times * 2 * elements(op->in[0]) * op->in[1]->type.dim[1];
  } else if (op->code == TG_OP_REDUCE || op->code == TG_OP_SCAN) {
    c->others += times * elements(op->in[0]);
  } else if ((row->traits & TG_ELEMENTWISE) && op->nout == 1 && op->out[0]->type.rank > 0 && tg_dtype_is_float(op->out[0]->type.dtype)) {
    if (op->code != TG_OP_CAST && op->code != TG_OP_BITCAST && op->code != TG_OP_SELECT && !tg_is_const(op->out[0]))
      c->others += times * elements(op->out[0]) * (op->code == TG_OP_FMA ? 2 : 1);
  }
}

static void count_region(count *c, const tg_region *region, double times) {
  for (const tg_op *op = region->first; op; op = op->next) {
    count_op(c, op, times);
    double inner = times;
    if (op->code == TG_OP_FOR) {
      const double trips = (value_of(c, op->in[1]) - value_of(c, op->in[0])) / (double)tg_attr_int(op, "step", 1);
      inner *= trips < 0 ? 0 : trips;
    }
    if (op->code == TG_OP_WHILE) inner = NAN;
    for (int r = 0; r < op->nregions; r++) count_region(c, op->regions[r], inner);
  }
}

static double tensor_bytes(const tg_param *param, tg_lookup_fn lookup, void *user) {
  int64_t total = 1, extent;
  const char *missing;
  for (int i = 0; i < param->rank; i++) {
    if (!tg_e_eval(param->dims[i], lookup, user, &extent, &missing)) return NAN;
    total *= extent;
  }
  return (double)tg_dtype_bytes(param->dtype, total);
}

tg_work tg_work_of(const tg_kernel *tile, tg_lookup_fn lookup, void *user) {
  count c = {.tile = tile, .lookup = lookup, .user = user};
  tg_work work = {0};
  bool any = false;
  for (int l = 0; l < tile->nlaunches; l++) {
    double blocks = 1;
    for (int i = 0; i < tile->launches[l]->naxes; i++) blocks *= expression(&c, tile->launches[l]->grid[i]);
    any |= blocks != 0;
    if (blocks != 0) count_region(&c, tile->launches[l]->body, blocks);
  }
  work.flops = rint(c.dots != 0 ? c.dots : c.others);
  for (int i = 0; i < tile->nparams && any; i++) { // without blocks nothing is read
    const tg_param *param = &tile->params[i];
    if (param->kind == TG_SCALAR_PARAM || param->kind == TG_WORKSPACE) continue;
    work.bytes += tensor_bytes(param, lookup, user) * (param->kind == TG_INOUT ? 2 : 1);
  }
  return work;
}

// ---- of a prepared launch

struct launch_work {
  tg_launchable *launchable;
  tg_source *source;
  tg_context *ctx;
  tg_arena arena;
  tg_work work;
};

static void launch_work_body(void *arg) {
  struct launch_work *call = arg;
  const tg_record *record = tg_launchable_record(call->launchable);
  tg_split split;
  tg_split_settings(call->ctx, call->source, &record->config, &call->arena, &split);
  tg_kernel *tile;
  tg_check_status(call->ctx, tg_source_trace(call->source, &split.kernel, &record->statics, &tile));
  call->work = tg_work_of(tile, tg_dims_lookup, (void *)(uintptr_t)tg_launchable_dims(call->launchable));
  tg_kernel_free(tile);
}

tg_status tg_launchable_work(tg_launchable *launchable, tg_source *source, double *flops, double *bytes) {
  struct launch_work call = {.launchable = launchable, .source = source, .ctx = tg_launchable_context(launchable), .work = {NAN, NAN}};
  tg_arena_init(&call.arena, call.ctx);
  tg_status status = tg_protect(call.ctx, launch_work_body, &call);
  tg_arena_free(&call.arena);
  *flops = call.work.flops;
  *bytes = call.work.bytes;
  return status;
}
