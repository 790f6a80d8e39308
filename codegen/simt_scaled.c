// Products with scales as plain products: eight-bit operands that no instruction takes are widened to bf16, which holds them exactly, and
// what a block of k sums to is multiplied by its scales on the way into the accumulators.
#include "codegen/simt.h"

typedef struct found {
  int n;
  tg_op **at;
  tg_kernel *kernel;
} found;

static void find_scaled(tg_op *op, void *user) {
  found *f = user;
  if (op->code != TG_OP_DOT_SCALED) return;
  f->at = tg_arena_grow(&f->kernel->arena, f->at, (size_t)f->n, sizeof *f->at);
  f->at[f->n++] = op;
}

static tg_value *widen(tg_builder *b, tg_value *x) {
  const tg_dtype_row *row = &tg_dtypes[x->type.dtype];
  if (row->bits > 8 || row->cls != 'f') return x;
  return tg_cast_to(b, tg_cast_to(b, x, TG_F32, NULL), TG_BF16, NULL);
}

static tg_value *reshaped(tg_builder *b, int code, tg_value *x, const char *key, const int64_t *ints) {
  return tg_build(b, code, 1, &x, 1, &TG_AINTS(key, ints, 2))->out[0];
}

// Scales [n|n/x, 1] of one operand as a column over the n rows.
static tg_value *per_row(tg_builder *b, tg_value *scales, int64_t n) {
  int64_t factor = n / scales->type.dim[0];
  if (factor == 1) return scales;
  tg_attr attrs[] = {TG_AINT("axis", 0), TG_AINT("factor", factor)};
  return tg_build(b, TG_OP_SPREAD, 1, &scales, 2, attrs)->out[0];
}

// Operands stay as they are where an instruction takes them.
static tg_value *sum_of(tg_builder *b, const tg_machine *machine, const tg_op *op, bool keep) {
  tg_value *in[] = {op->in[0], op->in[1], tg_const_float(b, op->in[2]->type, 0)};
  tg_op *dot = tg_build(b, TG_OP_DOT, 3, in, 0, NULL);
  if (keep || simt_dot_row(machine, dot)) return dot->out[0];
  tg_remove_op(dot);
  in[0] = widen(b, op->in[0]), in[1] = widen(b, op->in[1]);
  return tg_build(b, TG_OP_DOT, 3, in, 0, NULL)->out[0];
}

static void expand(const tg_machine *machine, tg_kernel *kernel, tg_op *op, bool keep) {
  tg_builder b = {.kernel = kernel, .region = op->parent, .before = op, .loc = op->loc};
  tg_value *acc = op->in[2];
  int64_t shape[] = {acc->type.dim[0], acc->type.dim[1]};
  if (op->in[3]->type.dim[1] != 1 || op->in[4]->type.dim[1] != 1)
    tg_throw(kernel->ctx, TG_INVALID,
             "%s:%d: in kernel '%s': a dot with several scales along its tile of k is not supported by simt; make the tile as long as a "
             "scale's block",
             op->loc.file ? op->loc.file : "?", op->loc.line, kernel->name);
  tg_value *sum = sum_of(&b, machine, op, keep);
  tg_value *rows = per_row(&b, op->in[3], shape[0]), *columns = per_row(&b, op->in[4], shape[1]);
  columns = reshaped(&b, TG_OP_TRANSPOSE, columns, "perm", (const int64_t[]){1, 0});
  rows = reshaped(&b, TG_OP_BROADCAST, rows, "shape", shape);
  columns = reshaped(&b, TG_OP_BROADCAST, columns, "shape", shape);
  tg_value *scaled = tg_build3(&b, TG_OP_FMA, sum, tg_build2(&b, TG_OP_MUL, rows, columns), acc);
  tg_replace_all(kernel, op->out[0], scaled);
  tg_remove_op(op);
}

void simt_expand_scaled(const tg_machine *machine, tg_kernel *kernel, simt_keeps_fn *keeps, void *user) {
  found f = {.kernel = kernel};
  for (int i = 0; i < kernel->nlaunches; i++) tg_walk(kernel->launches[i]->body, find_scaled, &f);
  for (int i = 0; i < f.n; i++) expand(machine, kernel, f.at[i], keeps && keeps(kernel, f.at[i], user));
}
