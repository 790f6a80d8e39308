// The launch record: made from a lowered kernel, and evaluated at launch.
#include "targets/record.h"

#include <math.h>
#include <stdlib.h>

#include "codegen/codegen.h"

// ---- from a kernel

static tg_bindings settings_of(tg_arena *arena, const tg_kernel *kernel) {
  tg_binding *at = TG_NEWN(arena, tg_binding, kernel->nsettings + 1);
  for (int i = 0; i < kernel->nsettings; i++) {
    at[i] = (tg_binding){tg_arena_strdup(arena, kernel->settings[i].name), tg_arena_strdup(arena, kernel->settings[i].value)};
  }
  return (tg_bindings){kernel->nsettings, at};
}

static tg_bindings known_symbols(tg_arena *arena, const tg_kernel *kernel) {
  tg_binding *at = TG_NEWN(arena, tg_binding, kernel->nsymbols + 1);
  int n = 0;
  for (int i = 0; i < kernel->nsymbols; i++) {
    const tg_symbol *symbol = &kernel->symbols[i];
    if (symbol->value < 0) continue;
    at[n++] = (tg_binding){tg_arena_strdup(arena, symbol->name), tg_arena_printf(arena, "%lld", (long long)symbol->value)};
  }
  return (tg_bindings){n, at};
}

// Expressions move to the record's arena: it may outlive the kernel.
static const tg_expr *copy_expr(tg_arena *arena, const tg_expr *e) { return e ? tg_e_copy(arena, e) : NULL; }

static void make_params(tg_record *record, const tg_kernel *kernel) {
  tg_arena *arena = record->arena;
  record->nparams = kernel->nparams;
  record->params = TG_NEWN(arena, tg_record_param, kernel->nparams + 1);
  for (int i = 0; i < kernel->nparams; i++) {
    const tg_param *from = &kernel->params[i];
    tg_record_param *to = &record->params[i];
    *to = (tg_record_param){.name = tg_arena_strdup(arena, from->name),
                            .kind = from->kind,
                            .dtype = (uint8_t)from->dtype,
                            .rank = from->rank,
                            .flags = from->flags};
    for (int d = 0; d < from->rank; d++) to->dims[d] = copy_expr(arena, from->dims[d]);
    for (int d = 0; d < 3; d++) to->packed[d] = copy_expr(arena, from->packed[d]);
    to->below = copy_expr(arena, from->below);
  }
}

static void make_launch(tg_arena *arena, const tg_launch *from, tg_record_launch *to) {
  *to = (tg_record_launch){.entry = tg_arena_strdup(arena, from->entry ? from->entry : ""), .naxes = from->naxes, .nargs = from->nargs};
  to->registers = to->spilled_bytes = to->loop_instructions = to->loop_matrix = -1;
  const int64_t shared = tg_shared_bytes(from);
  *(shared > TG_STATIC_SHARED ? &to->shared_bytes : &to->static_shared_bytes) = shared;
  for (int i = 0; i < from->naxes; i++) to->grid[i] = copy_expr(arena, from->grid[i]);
  for (int i = 0; i < 3; i++) to->block[i] = from->block[i] ? from->block[i] : 1, to->cluster[i] = i ? 1 : from->cluster;
  to->args = TG_NEWN(arena, tg_record_arg, from->nargs + 1);
  for (int i = 0; i < from->nargs; i++) {
    const tg_arg *arg = &from->args[i];
    to->args[i] = (tg_record_arg){tg_arena_strdup(arena, arg->name), arg->kind, arg->dtype, copy_expr(arena, arg->value),
                                  arg->map ? tg_arg_map_copy(arena, arg->map) : NULL};
  }
}

tg_record *tg_record_make(tg_arena *arena, const tg_kernel *kernel, const char *target) {
  tg_record *record = TG_NEW(arena, tg_record);
  record->arena = arena;
  record->kernel = tg_arena_strdup(arena, kernel->name);
  record->target = tg_arena_strdup(arena, target);
  record->config = settings_of(arena, kernel);
  record->statics = known_symbols(arena, kernel);
  record->registers = record->spilled_bytes = -1;
  record->tool = "";
  record->nsymbols = kernel->nsymbols;
  record->symbols = TG_NEWN(arena, const char *, kernel->nsymbols + 1);
  for (int i = 0; i < kernel->nsymbols; i++) record->symbols[i] = tg_arena_strdup(arena, kernel->symbols[i].name);
  record->npreconditions = kernel->npreconditions;
  record->preconditions = TG_NEWN(arena, const char *, kernel->npreconditions + 1);
  for (int i = 0; i < kernel->npreconditions; i++) record->preconditions[i] = tg_arena_strdup(arena, kernel->preconditions[i]);
  make_params(record, kernel);
  record->nlaunches = kernel->nlaunches;
  record->launches = TG_NEWN(arena, tg_record_launch, kernel->nlaunches + 1);
  for (int i = 0; i < kernel->nlaunches; i++) make_launch(arena, kernel->launches[i], &record->launches[i]);
  return record;
}

struct views {
  tg_record *record;
  const tg_kernel *tile;
};

static void add_view(tg_op *op, void *user) {
  const struct views *all = user;
  tg_record *record = all->record;
  tg_reach reach;
  int64_t some, first, last, have;
  if (op->code != TG_OP_VIEW || !tg_view_reach(record->arena, all->tile, op, &reach)) return;
  if (tg_expr_is_const(reach.some, &some) && tg_expr_is_const(reach.first, &first) && tg_expr_is_const(reach.last, &last) &&
      tg_expr_is_const(reach.have, &have) && (some <= 0 || (first >= 0 && last < have)))
    return;
  record->views = tg_arena_grow(record->arena, record->views, (size_t)record->nviews, sizeof *record->views);
  const char *at = tg_loc_text(record->arena, op->loc); // "kernel.lua:7: " or nothing
  const char *what = tg_arena_printf(record->arena, "%sthe view of '%s'", at, tg_view_param(all->tile, op)->name);
  record->views[record->nviews++] = (tg_record_view){what, copy_expr(record->arena, reach.some), copy_expr(record->arena, reach.first),
                                                     copy_expr(record->arena, reach.last), copy_expr(record->arena, reach.have)};
}

void tg_record_add_views(tg_record *record, const tg_kernel *tile) {
  for (int i = 0; i < tile->nlaunches; i++) tg_walk(tile->launches[i]->body, add_view, &(struct views){record, tile});
}

// ---- evaluation

const tg_record_param *tg_record_param_find(const tg_record *record, const char *name) {
  for (int i = 0; i < record->nparams; i++) {
    if (strcmp(record->params[i].name, name) == 0) return &record->params[i];
  }
  return NULL;
}

int64_t tg_record_eval(tg_context *ctx, const tg_expr *e, const tg_dims *dims, const char *what) {
  int64_t value = 0;
  const char *missing = NULL;
  if (tg_e_eval(e, tg_dims_lookup, (void *)(uintptr_t)dims, &value, &missing)) return value;
  const char *text = tg_e_text(&ctx->arena, e);
  if (missing) tg_throw(ctx, TG_INVALID, "%s: %s needs %s, which is open: give it, as in --shape %s=128", what, text, missing, missing);
  tg_throw(ctx, TG_INVALID, "%s: %s exceeds 64 bits or divides by 0 for these dims", what, text);
}

size_t tg_record_bytes(tg_context *ctx, const tg_record_param *param, const tg_dims *dims, int64_t dim[TG_MAX_RANK]) {
  int64_t elements = 1;
  for (int i = 0; i < param->rank; i++) {
    dim[i] = tg_record_eval(ctx, param->dims[i], dims, param->name);
    if (dim[i] < 0) {
      tg_throw(ctx, TG_INVALID, "axis %d of %s = %s is %lld for these dims: extents are 0 or more", i, param->name,
               tg_e_text(&ctx->arena, param->dims[i]), (long long)dim[i]);
    }
    if (__builtin_mul_overflow(elements, dim[i], &elements)) elements = INT64_MAX; // a later extent of 0 still makes it empty
  }
  if (elements > INT64_MAX / 8) {
    tg_throw(ctx, TG_INVALID, "%s would have more elements than a 64-bit address reaches (%s…)", param->name,
             tg_e_text(&ctx->arena, param->dims[0]));
  }
  return tg_dtype_bytes(param->dtype, elements);
}

int64_t tg_record_grid(tg_context *ctx, const tg_record_launch *launch, const tg_dims *dims, int64_t grid[4]) {
  int64_t blocks = 1;
  bool empty = false;
  for (int i = 0; i < 4; i++) {
    grid[i] = i < launch->naxes ? tg_record_eval(ctx, launch->grid[i], dims, "a grid axis") : 1;
    if (grid[i] < 0)
      tg_throw(ctx, TG_INVALID, "grid axis %d = %s is %lld for these dims", i, tg_e_text(&ctx->arena, launch->grid[i]), (long long)grid[i]);
    empty |= grid[i] == 0;
  }
  if (empty) return 0;
  if (launch->block[0] > 1 && (grid[0] > INT32_MAX || grid[1] > UINT16_MAX || grid[2] > UINT16_MAX))
    tg_throw(ctx, TG_INVALID,
             "the launch '%s' would have a grid of %lld x %lld x %lld blocks; at most 2^31 - 1 x 65535 x 65535 can be launched",
             launch->entry, (long long)grid[0], (long long)grid[1], (long long)grid[2]);
  for (int i = 0; i < 4; i++) {
    if (__builtin_mul_overflow(blocks, grid[i], &blocks))
      tg_throw(ctx, TG_INVALID, "the launch '%s' would have more than 2^63 blocks", launch->entry);
  }
  return blocks;
}

void tg_record_check_views(tg_context *ctx, const tg_record *record, const tg_dims *dims) {
  for (int i = 0; i < record->nviews; i++) {
    const tg_record_view *view = &record->views[i];
    if (tg_record_eval(ctx, view->some, dims, view->what) <= 0) continue;
    const int64_t first = tg_record_eval(ctx, view->first, dims, view->what), last = tg_record_eval(ctx, view->last, dims, view->what),
                  have = tg_record_eval(ctx, view->have, dims, view->what);
    if (first >= 0 && last < have) continue;
    tg_throw(
        ctx, TG_INVALID,
        "%s leads outside of its storage for these dims: it covers elements %lld ... %lld, and there are %lld (0 ... %s); its start or an "
        "extent is too large",
        view->what, (long long)first, (long long)last, (long long)have, tg_e_text(&ctx->arena, view->have));
  }
}

uint64_t tg_record_address(tg_context *ctx, const char *name, const tg_record_values *values) {
  for (int i = 0; i < values->ntensors; i++) {
    if (strcmp(values->tensors[i].name, name) == 0) return (uint64_t)(uintptr_t)values->tensors[i].data;
  }
  tg_throw(ctx, TG_INVALID, "the launch takes '%s', which no buffer is bound to", name);
}

uint64_t tg_record_slot(tg_context *ctx, const tg_record_arg *arg, const tg_record_values *values) {
  if (arg->kind == TG_ARG_POINTER) return tg_record_address(ctx, arg->name, values);
  if (arg->kind == TG_ARG_MAP) tg_throw(ctx, TG_INVALID, "the launch takes a tensor map, '%s', which this device has not", arg->name);
  if (arg->value) return (uint64_t)tg_record_eval(ctx, arg->value, values->dims, arg->name);
  double number;
  if (!values->scalar || !values->scalar(values->user, arg->name, &number))
    tg_throw(ctx, TG_INVALID, "scalar '%s' has no value: give it as %s=NUMBER", arg->name, arg->name);
  if (!tg_dtype_is_float(arg->dtype)) {
    if (!(fabs(number) < 0x1p63)) tg_throw(ctx, TG_INVALID, "scalar '%s' = %g is not a 64-bit integer", arg->name, number);
    return (uint64_t)(int64_t)number;
  }
  return tg_encode(arg->dtype, number, TG_ROUND_IEEE);
}

// ---- preconditions: "K % 16 == 0", "M < 2147483648", "aligned(A, 16)"

struct reader {
  const char *at, *end;
};

static void skip(struct reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\t')) r->at++;
}

static bool take(struct reader *r, const char *token) {
  skip(r);
  size_t n = strlen(token);
  if ((size_t)(r->end - r->at) < n || memcmp(r->at, token, n) != 0) return false;
  r->at += n;
  return true;
}

static bool number(struct reader *r, int64_t *out) {
  skip(r);
  if (r->at == r->end || *r->at < '0' || *r->at > '9') return false;
  int64_t value = 0;
  for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *r->at - '0', &value)) return false;
  }
  *out = value;
  return true;
}

static bool aligned(struct reader *r, int ntensors, const tg_tensor *tensors, bool *holds) {
  skip(r);
  const char *name = r->at;
  while (r->at < r->end && *r->at != ',' && *r->at != ' ') r->at++;
  size_t n = (size_t)(r->at - name);
  int64_t align;
  if (!take(r, ",") || !number(r, &align) || align <= 0 || !take(r, ")")) return false;
  *holds = tensors == NULL; // without pointers: those of a driver's own allocations, which are aligned
  for (int i = 0; i < ntensors; i++) {
    if (strlen(tensors[i].name) == n && memcmp(tensors[i].name, name, n) == 0) *holds = (uintptr_t)tensors[i].data % (uintptr_t)align == 0;
  }
  return true;
}

static bool side(tg_arena *arena, struct reader *r, const tg_dims *dims, int64_t *value) {
  const char *stopped = NULL, *missing;
  const tg_expr *e = tg_e_parse(arena, r->at, r->end, &stopped);
  if (!e || !tg_e_eval(e, tg_dims_lookup, (void *)(uintptr_t)dims, value, &missing)) return false;
  r->at = stopped;
  int64_t modulus;
  if (!take(r, "%")) return true;
  if (!number(r, &modulus) || modulus <= 0) return false;
  *value = (*value % modulus + modulus) % modulus;
  return true;
}

static bool compare(struct reader *r, tg_arena *arena, const tg_dims *dims, bool *holds) {
  static const char *const relations[] = {"==", "!=", "<=", ">=", "<", ">"};
  int64_t a, b;
  if (!side(arena, r, dims, &a)) return false;
  for (int i = 0; i < 6; i++) {
    if (!take(r, relations[i])) continue;
    if (!side(arena, r, dims, &b)) return false;
    const bool results[] = {a == b, a != b, a <= b, a >= b, a<b, a> b};
    *holds = results[i];
    return true;
  }
  return false;
}

// A condition that cannot be read or evaluated does not hold: the last variant, which has none, serves every call.
static bool holds(tg_arena *arena, const char *text, const tg_dims *dims, int ntensors, const tg_tensor *tensors) {
  struct reader r = {text, text + strlen(text)};
  bool result = false;
  bool read = take(&r, "aligned(") ? aligned(&r, ntensors, tensors, &result) : compare(&r, arena, dims, &result);
  skip(&r);
  return read && r.at == r.end && result;
}

bool tg_record_admits(const tg_record *record, const tg_dims *dims, int ntensors, const tg_tensor *tensors) {
  for (int i = 0; i < record->npreconditions; i++) {
    if (!holds(record->arena, record->preconditions[i], dims, ntensors, tensors)) return false;
  }
  return true;
}
