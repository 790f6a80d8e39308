// The interpreter: what tile IR means, op by op, with no cleverness. Blocks run one after the other in their linear order.
#include "ir/interp.h"

#include <math.h>

enum { MOST_TURNS = 1 << 24 }; // of one while loop: far beyond any use, and what keeps an endless one from hanging

// ---- place and report

static const char *place_of(tg_interp_run *run, const tg_op *op) {
  tg_text text = {.arena = &run->arena};
  if (op->loc.file) tg_text_add(&text, "%s:%d: ", op->loc.file, op->loc.line);
  tg_text_add(&text, "in kernel '%s', launch %d, block (", run->kernel->name, run->launch->index);
  for (int i = 0; i < run->launch->naxes; i++) tg_text_add(&text, "%s%lld", i ? ", " : "", (long long)run->pid[i]);
  tg_text_add(&text, "): %s: ", tg_op_rows()[op->code].info.name);
  return text.data;
}

void tg_interp_fail(tg_interp_run *run, const tg_op *op, const char *format, ...) {
  char sentence[2048];
  va_list args;
  va_start(args, format);
  vsnprintf(sentence, sizeof sentence, format, args);
  va_end(args);
  tg_throw(run->ctx, TG_FAILED, "%s%s", place_of(run, op), sentence);
}

void tg_interp_note(tg_interp_run *run, const tg_op *op, const char *format, ...) {
  char sentence[2048];
  va_list args;
  va_start(args, format);
  vsnprintf(sentence, sizeof sentence, format, args);
  va_end(args);
  tg_log(run->ctx, TG_LOG_DEBUG, "%s%s", place_of(run, op), sentence);
}

// ---- values

void *tg_interp_buffer(tg_interp_run *run, const tg_value *v) {
  tg_interp_slot *s = tg_interp_slot_of(run, v);
  if (!s->data) s->data = tg_arena_alloc(&run->arena, (size_t)(tg_type_elements(v->type) * tg_interp_width(v->type.dtype)));
  return s->data;
}

void *tg_interp_scratch_of(tg_interp_run *run, int which, size_t bytes) {
  tg_interp_scratch *s = &run->scratch[which];
  if (s->size < bytes) {
    s->data = tg_realloc(run->ctx, s->data, bytes);
    s->size = bytes;
  }
  return s->data;
}

int64_t tg_interp_int(tg_interp_run *run, const tg_value *v) {
  const uint8_t *data = tg_interp_slot_of(run, v)->data;
  int64_t wide;
  int32_t narrow;
  switch (v->type.dtype) {
  case TG_I64: memcpy(&wide, data, sizeof wide); return wide;
  case TG_I32: memcpy(&narrow, data, sizeof narrow); return narrow;
  case TG_I8: return *(const int8_t *)data;
  default: return *data != 0;
  }
}

static void set_int(tg_interp_run *run, const tg_value *v, int64_t x) { memcpy(tg_interp_buffer(run, v), &x, sizeof x); }

static void copy_value(tg_interp_run *run, const tg_value *from, const tg_value *to) {
  const tg_interp_slot *s = tg_interp_slot_of(run, from);
  if (to->type.kind == TG_TILE) {
    memcpy(tg_interp_buffer(run, to), s->data, (size_t)(tg_type_elements(to->type) * tg_interp_width(to->type.dtype)));
    return;
  }
  uint8_t *mine = tg_interp_slot_of(run, to)->data;
  *tg_interp_slot_of(run, to) = *s;
  tg_interp_slot_of(run, to)->data = mine;
}

// from[i] to to[i], all at once: a yield may name the region's own arguments in another order. Buffers of tiles change hands where `from`
// is the yield's own result and nothing else could see it.
static void copy_values(tg_interp_run *run, int n, tg_value *const *from, tg_value *const *to) {
  if (n == 1) {
    if (from[0] != to[0]) copy_value(run, from[0], to[0]);
    return;
  }
  size_t bytes = 0;
  for (int i = 0; i < n; i++)
    if (from[i]->type.kind == TG_TILE) bytes += (size_t)(tg_type_elements(from[i]->type) * tg_interp_width(from[i]->type.dtype));
  uint8_t *staged = tg_interp_scratch_of(run, 0, bytes + 1), *at = staged;
  for (int i = 0; i < n; i++) {
    const size_t size = (size_t)(tg_type_elements(from[i]->type) * tg_interp_width(from[i]->type.dtype));
    memcpy(at, tg_interp_slot_of(run, from[i])->data, size);
    at += size;
  }
  at = staged;
  for (int i = 0; i < n; i++) {
    const size_t size = (size_t)(tg_type_elements(to[i]->type) * tg_interp_width(to[i]->type.dtype));
    memcpy(tg_interp_buffer(run, to[i]), at, size);
    at += size;
  }
}

// ---- ranges, scalars, promises

static void range(tg_interp_run *run, const tg_op *op) {
  tg_interp_slot *s = tg_interp_slot_of(run, op->out[0]);
  s->start = tg_interp_int(run, op->in[0]);
  s->end = tg_interp_int(run, op->in[1]);
  const int64_t align = tg_attr_int(op, "align", 1);
  if (align > 1 && s->start % align)
    tg_interp_fail(run, op, "the range starts at %lld, which is no multiple of %lld as promised", (long long)s->start, (long long)align);
}

static void launch_expression(tg_interp_run *run, const tg_op *op) {
  const tg_attr *e = tg_find_attr(op, "e");
  const char *missing = NULL;
  int64_t v;
  if (!tg_e_eval(e->e, run->lookup, run->lookup_user, &v, &missing)) {
    if (missing) tg_interp_fail(run, op, "'%s' has no value", missing);
    tg_interp_fail(run, op, "the expression overflows or divides by 0");
  }
  set_int(run, op->out[0], v);
}

static void scalar_parameter(tg_interp_run *run, const tg_op *op) {
  const char *name = tg_attr_str(op, "name", "");
  const int dtype = op->out[0]->type.dtype;
  double v;
  if (!run->scalar || !run->scalar(run->scalar_user, name, &v)) tg_interp_fail(run, op, "no number was given for the scalar '%s'", name);
  const uint64_t code = tg_encode(dtype, v, TG_ROUND_SAT);
  memcpy(tg_interp_buffer(run, op->out[0]), &code, (size_t)tg_interp_width(dtype));
}

static void assume(tg_interp_run *run, const tg_op *op) {
  const tg_type t = op->in[0]->type;
  const int64_t n = tg_type_elements(t), divisible = tg_attr_int(op, "divisible", 1);
  const int64_t least = tg_attr_int(op, "min", INT64_MIN), most = tg_attr_int(op, "max", INT64_MAX);
  const void *x = tg_interp_slot_of(run, op->in[0])->data;
  const int64_t *v = tg_interp_ints(run, t.dtype, x, n, 0);
  for (int64_t i = 0; i < n; i++) {
    if (v[i] % divisible) tg_interp_fail(run, op, "a broken promise: %lld is no multiple of %lld", (long long)v[i], (long long)divisible);
    if (v[i] < least || v[i] > most)
      tg_interp_fail(run, op, "a broken promise: %lld is not within %lld … %lld", (long long)v[i], (long long)least, (long long)most);
  }
  memcpy(tg_interp_buffer(run, op->out[0]), x, (size_t)(n * tg_interp_width(t.dtype)));
}

static void assertion(tg_interp_run *run, const tg_op *op) {
  const int64_t n = tg_type_elements(op->in[0]->type);
  const uint8_t *v = tg_interp_slot_of(run, op->in[0])->data;
  for (int64_t i = 0; i < n; i++)
    if (!v[i])
      tg_interp_fail(run, op, "\"%s\" does not hold (element %lld of %lld)", tg_attr_str(op, "text", ""), (long long)i, (long long)n);
}

static void slots_of(tg_interp_run *run, const tg_value *v, uint64_t *slots) {
  const tg_interp_slot *s = tg_interp_slot_of(run, v);
  if (v->type.kind == TG_RANGE) slots[0] = (uint64_t)s->start, slots[1] = (uint64_t)s->end;
  if (v->type.kind != TG_TILE) return;
  const int n = tg_printed_slots(v->type), dtype = v->type.dtype;
  const size_t width = (size_t)tg_interp_width(dtype);
  for (int i = 0; i < n; i++) {
    uint64_t code = 0;
    memcpy(&code, s->data + (size_t)i * width, width);
    const double x = tg_decode(dtype, code);
    if (tg_dtype_is_float(dtype)) memcpy(&slots[i], &x, sizeof x);
    else slots[i] = dtype == TG_I64 ? code : (uint64_t)(int64_t)x;
  }
}

static void print(tg_interp_run *run, const tg_op *op) {
  char text[2048];
  size_t used = (size_t)snprintf(text, sizeof text, "%s", tg_attr_str(op, "text", ""));
  if (used >= sizeof text) used = sizeof text - 1;
  for (int i = 0; i < op->nin; i++) {
    uint64_t slots[TG_PRINTED] = {0};
    slots_of(run, op->in[i], slots);
    used = tg_print_value(text, used, sizeof text, op->in[i]->type, slots);
  }
  if (run->options && run->options->print) run->options->print(run->options->user, text);
  else tg_log(run->ctx, TG_LOG_INFO, "%s", text);
}

// ---- births of NaN

static bool has_nan(tg_interp_run *run, const tg_value *v) {
  const int dtype = v->type.dtype;
  if (v->type.kind != TG_TILE || !tg_dtype_is_float(dtype)) return false;
  const int64_t n = tg_type_elements(v->type);
  const void *data = tg_interp_slot_of(run, v)->data;
  bool found = false;
  if (dtype == TG_F64) {
    for (int64_t i = 0; i < n; i++) found |= isnan(((const double *)data)[i]);
  } else {
    const float *x = tg_interp_floats(run, dtype, data, n, 0);
    for (int64_t i = 0; i < n; i++) found |= isnan(x[i]);
  }
  return found;
}

// Tells of the first op of the run that makes a NaN out of none.
static void watch_nan(tg_interp_run *run, const tg_op *op) {
  if (run->told_nan || op->nout == 0 || op->nin == 0 || !run->ctx->config.log || !has_nan(run, op->out[0])) return;
  for (int i = 0; i < op->nin; i++)
    if (has_nan(run, op->in[i])) return;
  run->told_nan = true;
  tg_interp_note(run, op, "makes a NaN of operands that have none");
}

// ---- control

static void execute(tg_interp_run *run, const tg_region *region);

static tg_op *yield_of(const tg_region *region) { return region->last; }

static void run_for(tg_interp_run *run, const tg_op *op) {
  const tg_region *body = op->regions[0];
  const int carried = op->nin - 2;
  const int64_t ub = tg_interp_int(run, op->in[1]), step = tg_attr_int(op, "step", 1);
  copy_values(run, carried, op->in + 2, body->args + 1);
  for (int64_t i = tg_interp_int(run, op->in[0]); i < ub; i += step) {
    set_int(run, body->args[0], i);
    execute(run, body);
    copy_values(run, carried, yield_of(body)->in, body->args + 1);
    if (i > INT64_MAX - step) break;
  }
  copy_values(run, carried, body->args + 1, op->out);
}

static void run_while(tg_interp_run *run, const tg_op *op) {
  const tg_region *test = op->regions[0], *body = op->regions[1];
  copy_values(run, op->nin, op->in, test->args);
  for (int64_t turns = 0;; turns++) {
    if (turns == MOST_TURNS) tg_interp_fail(run, op, "the loop has run %d times without end", MOST_TURNS);
    execute(run, test);
    if (!tg_interp_int(run, yield_of(test)->in[0])) break;
    copy_values(run, op->nin, test->args, body->args);
    execute(run, body);
    copy_values(run, op->nin, yield_of(body)->in, test->args);
  }
  copy_values(run, op->nin, test->args, op->out);
}

static void run_if(tg_interp_run *run, const tg_op *op) {
  const tg_region *side = op->regions[tg_interp_int(run, op->in[0]) ? 0 : 1];
  execute(run, side);
  copy_values(run, op->nout, yield_of(side)->in, op->out);
}

// Ops with a body of their own; returns false for those computed by class below.
static bool execute_special(tg_interp_run *run, const tg_op *op) {
  switch (op->code) {
  case TG_OP_FOR: run_for(run, op); return true;
  case TG_OP_WHILE: run_while(run, op); return true;
  case TG_OP_IF: run_if(run, op); return true;
  case TG_OP_YIELD: return true;
  case TG_OP_PID: set_int(run, op->out[0], run->pid[tg_attr_int(op, "axis", 0)]); return true;
  case TG_OP_EXPR: launch_expression(run, op); return true;
  case TG_OP_SCALAR: scalar_parameter(run, op); return true;
  case TG_OP_PARAM: tg_interp_param(run, op); return true;
  case TG_OP_VIEW: tg_interp_view(run, op); return true;
  case TG_OP_RANGE: range(run, op); return true;
  case TG_OP_FIRST: set_int(run, op->out[0], tg_interp_slot_of(run, op->in[0])->start); return true;
  case TG_OP_LAST: set_int(run, op->out[0], tg_interp_slot_of(run, op->in[0])->end); return true;
  case TG_OP_LOAD:
  case TG_OP_GATHER: tg_interp_load(run, op); return true;
  case TG_OP_STORE:
  case TG_OP_SCATTER: tg_interp_store(run, op); return true;
  case TG_OP_ATOMIC: tg_interp_atomic(run, op); return true;
  case TG_OP_ASSUME: assume(run, op); return true;
  case TG_OP_PRINT: print(run, op); return true;
  case TG_OP_ASSERT: assertion(run, op); return true;
  default: return false;
  }
}

static void execute_op(tg_interp_run *run, const tg_op *op) {
  if (execute_special(run, op)) return;
  switch (op->code) {
  case TG_OP_CAST:
  case TG_OP_BITCAST: tg_interp_cast(run, op); break;
  case TG_OP_CONST:
  case TG_OP_IOTA:
  case TG_OP_INDEX:
  case TG_OP_BROADCAST:
  case TG_OP_SPREAD:
  case TG_OP_RESHAPE:
  case TG_OP_TRANSPOSE:
  case TG_OP_JOIN:
  case TG_OP_SPLIT: tg_interp_shape(run, op); break;
  case TG_OP_REDUCE:
  case TG_OP_SCAN:
  case TG_OP_ARGMAX:
  case TG_OP_SORT: tg_interp_reduce(run, op); break;
  case TG_OP_DOT:
  case TG_OP_DOT_SCALED: tg_interp_dot(run, op); break;
  default:
    if (!(tg_op_rows()[op->code].traits & TG_ELEMENTWISE)) tg_interp_fail(run, op, "is not an op of tile IR");
    tg_interp_elementwise(run, op);
  }
  watch_nan(run, op);
}

static void execute(tg_interp_run *run, const tg_region *region) {
  for (const tg_op *op = region->first; op; op = op->next) execute_op(run, op);
}

// ---- launches

static void run_block(tg_interp_run *run, int64_t block) {
  run->block = block;
  int64_t rest = block;
  for (int i = 0; i < 4; i++) {
    run->pid[i] = i < run->launch->naxes ? rest % run->grid[i] : 0;
    if (i < run->launch->naxes) rest /= run->grid[i];
  }
  execute(run, run->launch->body);
}

static void run_launch(tg_interp_run *run, const tg_launch *launch) {
  run->launch = launch;
  int64_t blocks = 1;
  for (int i = 0; i < launch->naxes; i++) {
    const char *missing = NULL;
    if (!tg_e_eval(launch->grid[i], run->lookup, run->lookup_user, &run->grid[i], &missing))
      tg_throw(run->ctx, TG_INVALID, "kernel '%s': the grid of launch %d needs %s", run->kernel->name, launch->index,
               missing ? missing : "smaller numbers");
    if (run->grid[i] <= 0) return; // without blocks a launch is skipped
    if (__builtin_mul_overflow(blocks, run->grid[i], &blocks) || blocks >= UINT32_MAX)
      tg_throw(run->ctx, TG_INVALID, "kernel '%s': launch %d has more than 2^32 blocks", run->kernel->name, launch->index);
  }
  tg_interp_forget_owners(run);
  const tg_interp_options *o = run->options;
  if (!o || o->nblocks == 0) {
    for (int64_t b = 0; b < blocks; b++) run_block(run, b);
    return;
  }
  for (int i = 0; i < o->nblocks; i++) {
    if (o->blocks[i] < 0 || o->blocks[i] >= blocks)
      tg_throw(run->ctx, TG_INVALID, "kernel '%s': launch %d has blocks 0 to %lld, not %lld", run->kernel->name, launch->index,
               (long long)blocks - 1, (long long)o->blocks[i]);
    run_block(run, o->blocks[i]);
  }
}

static void decode_small_floats(tg_interp_run *run) {
  for (int d = 0; d < TG_NDTYPES; d++)
    if (tg_dtypes[d].bits <= 8 && tg_dtype_is_float(d))
      for (int code = 0; code < 256; code++) run->small[d][code] = (float)tg_decode(d, (uint64_t)code & ((1u << tg_dtypes[d].bits) - 1));
}

typedef struct interpret_args {
  tg_interp_run run;
  int ntensors;
  const tg_tensor *tensors;
} interpret_args;

static void interpret_body(void *arg) {
  interpret_args *a = arg;
  tg_interp_run *run = &a->run;
  tg_kernel *kernel = run->kernel;
  const int only = run->options ? run->options->only_launch : -1;
  if (kernel->level != TG_LEVEL_TILE)
    tg_throw(run->ctx, TG_INVALID, "kernel '%s' is at lane level; the interpreter runs tile kernels", kernel->name);
  if (only >= kernel->nlaunches)
    tg_throw(run->ctx, TG_INVALID, "kernel '%s' has %d launches, not a launch %d", kernel->name, kernel->nlaunches, only);
  decode_small_floats(run);
  tg_interp_bind(run, a->ntensors, a->tensors);
  run->slots = TG_NEWN(&run->arena, tg_interp_slot, (size_t)kernel->next_id + 1);
  if (only <= 0) tg_interp_poison(run); // a later launch alone reads what earlier ones made
  for (int l = 0; l < kernel->nlaunches; l++)
    if (only < 0 || l == only) run_launch(run, kernel->launches[l]);
}

void tg_interpret(tg_kernel *kernel, int ntensors, const tg_tensor *tensors, tg_lookup_fn lookup, void *lookup_user,
                  bool (*scalar)(void *user, const char *name, double *value), void *scalar_user, const tg_interp_options *options) {
  interpret_args a = {.ntensors = ntensors, .tensors = tensors};
  a.run = (tg_interp_run){.ctx = kernel->ctx,
                          .kernel = kernel,
                          .options = options,
                          .lookup = lookup,
                          .lookup_user = lookup_user,
                          .scalar = scalar,
                          .scalar_user = scalar_user};
  tg_arena_init(&a.run.arena, kernel->ctx);
  const tg_status status = tg_protect(kernel->ctx, interpret_body, &a);
  for (size_t i = 0; i < sizeof a.run.scratch / sizeof *a.run.scratch; i++) tg_realloc(kernel->ctx, a.run.scratch[i].data, 0);
  tg_arena_free(&a.run.arena);
  if (status) tg_rethrow(kernel->ctx);
}
