// Public functions of contexts' kernels: each is a struct of arguments, a body that may throw, and one protected call.
#include "ir/kernel.h"

#define PROTECT(ctx_, body, ...) tg_protect((ctx_), (body), &(struct args){__VA_ARGS__})

struct args {
  tg_context *ctx;
  tg_kernel *kernel;
  tg_kernel **out_kernel;
  const char *name, *text;
  size_t length;
  int64_t value;
  int kind, n, nattrs;
  const void *data;
  tg_value *const *values;
  const tg_attr *attrs;
  tg_op *op;
  tg_op **out_op;
  tg_region *region;
  const tg_expr *a, *b, **out_expr;
  tg_loc loc;
};

// ---- kernels

static void name_kernel(void *arg) {
  struct args *a = arg;
  if (!a->name || !tg_is_name(a->name))
    tg_throw(a->kernel->ctx, TG_INVALID, "\"%.60s\" cannot name a kernel; use letters, digits and _", a->name ? a->name : "");
  a->kernel->name = tg_arena_strdup(&a->kernel->arena, a->name);
  a->kernel->loc = tg_keep_loc(a->kernel, a->loc);
}

static void new_kernel(void *arg) {
  struct args *a = arg;
  *a->out_kernel = tg_kernel_create(a->ctx, "", TG_LEVEL_TILE);
}

tg_status tg_kernel_new(tg_context *ctx, const char *name, tg_loc loc, tg_kernel **out) {
  *out = NULL;
  tg_status status = PROTECT(ctx, new_kernel, .ctx = ctx, .out_kernel = out);
  if (status) return status;
  status = PROTECT(ctx, name_kernel, .kernel = *out, .name = name, .loc = loc);
  if (status) {
    tg_kernel_free(*out);
    *out = NULL;
  }
  return status;
}

static void declare_symbol(void *arg) {
  struct args *a = arg;
  tg_declare_symbol(a->kernel, a->name, a->kind, a->value, a->loc);
}

tg_status tg_kernel_dim(tg_kernel *kernel, const char *name, tg_loc loc) {
  return PROTECT(kernel->ctx, declare_symbol, .kernel = kernel, .name = name, .kind = TG_SYM_DIM, .value = -1, .loc = loc);
}

tg_status tg_kernel_static(tg_kernel *kernel, const char *name, int64_t value, tg_loc loc) {
  return PROTECT(kernel->ctx, declare_symbol, .kernel = kernel, .name = name, .kind = TG_SYM_STATIC, .value = value, .loc = loc);
}

static void declare_setting(void *arg) {
  struct args *a = arg;
  tg_declare_setting(a->kernel, a->data, a->loc);
}

tg_status tg_kernel_setting(tg_kernel *kernel, const tg_setting *setting, tg_loc loc) {
  return PROTECT(kernel->ctx, declare_setting, .kernel = kernel, .data = setting, .loc = loc);
}

static void declare_param(void *arg) {
  struct args *a = arg;
  tg_declare_param(a->kernel, a->data, a->loc);
}

tg_status tg_kernel_param(tg_kernel *kernel, const tg_param *param, tg_loc loc) {
  return PROTECT(kernel->ctx, declare_param, .kernel = kernel, .data = param, .loc = loc);
}

// ---- expressions

static void make_expr(void *arg) {
  struct args *a = arg;
  tg_arena *arena = &a->kernel->arena;
  if (a->kind == TG_EXPR_CONST) {
    *a->out_expr = tg_e_const(arena, a->value);
  } else if (a->kind == TG_EXPR_SYM) {
    if (!tg_find_symbol(a->kernel, a->name))
      tg_throw(arena->ctx, TG_INVALID, "in kernel '%s': %.60s is not declared as a dim or static", a->kernel->name, a->name);
    *a->out_expr = tg_e_sym(arena, a->name);
  } else {
    if (a->kind < TG_EXPR_ADD || a->kind > TG_EXPR_MAX) tg_throw(arena->ctx, TG_INVALID, "expression operation %d does not exist", a->kind);
    *a->out_expr = tg_e_bin(arena, a->kind, a->a, a->b);
  }
}

tg_status tg_expr_const(tg_kernel *kernel, int64_t value, const tg_expr **out) {
  return PROTECT(kernel->ctx, make_expr, .kernel = kernel, .kind = TG_EXPR_CONST, .value = value, .out_expr = out);
}
tg_status tg_expr_sym(tg_kernel *kernel, const char *name, const tg_expr **out) {
  return PROTECT(kernel->ctx, make_expr, .kernel = kernel, .kind = TG_EXPR_SYM, .name = name, .out_expr = out);
}
tg_status tg_expr_binary(tg_kernel *kernel, tg_expr_op op, const tg_expr *a, const tg_expr *b, const tg_expr **out) {
  return PROTECT(kernel->ctx, make_expr, .kernel = kernel, .kind = (int)op == TG_EXPR_CONST || (int)op == TG_EXPR_SYM ? -1 : (int)op,
                 .a = a, .b = b, .out_expr = out);
}

bool tg_expr_is_const(const tg_expr *e, int64_t *value) {
  if (e->op != TG_EXPR_CONST) return false;
  if (value) *value = e->value;
  return true;
}

// ---- launches, ops, regions

static void open_launch(void *arg) {
  struct args *a = arg;
  tg_open_launch(a->kernel, a->n, a->data, a->loc);
}
static void close_launch(void *arg) {
  struct args *a = arg;
  tg_close_launch(a->kernel, a->loc);
}

tg_status tg_launch_begin(tg_kernel *kernel, int naxes, const tg_expr *const *grid, tg_loc loc) {
  return PROTECT(kernel->ctx, open_launch, .kernel = kernel, .n = naxes, .data = grid, .loc = loc);
}
tg_status tg_launch_end(tg_kernel *kernel, tg_loc loc) { return PROTECT(kernel->ctx, close_launch, .kernel = kernel, .loc = loc); }

static void emit(void *arg) {
  struct args *a = arg;
  *a->out_op = tg_emit_op(a->kernel, a->kind, a->n, a->values, a->nattrs, a->attrs, a->loc);
}

tg_status tg_emit(tg_kernel *kernel, int opcode, int n, tg_value *const *operands, int nattrs, const tg_attr *attrs, tg_loc loc,
                  tg_op **out) {
  return PROTECT(kernel->ctx, emit, .kernel = kernel, .kind = opcode, .n = n, .values = operands, .nattrs = nattrs, .attrs = attrs,
                 .loc = loc, .out_op = out);
}

int tg_op_results(const tg_op *op, tg_value *const **out) {
  if (out) *out = op->out;
  return op->nout;
}

static void begin_region(void *arg) {
  struct args *a = arg;
  a->region = tg_open_region(a->kernel, a->op, a->n);
}
static void end_region(void *arg) {
  struct args *a = arg;
  tg_close_region(a->kernel, a->n, a->values, a->loc);
}

tg_status tg_region_begin(tg_kernel *kernel, tg_op *op, int index, int *nargs, tg_value *const **args) {
  struct args a = {.kernel = kernel, .op = op, .n = index};
  tg_status status = tg_protect(kernel->ctx, begin_region, &a);
  if (status) return status;
  if (nargs) *nargs = a.region->nargs;
  if (args) *args = a.region->args;
  return TG_OK;
}

tg_status tg_region_end(tg_kernel *kernel, int nyield, tg_value *const *yield, tg_loc loc) {
  return PROTECT(kernel->ctx, end_region, .kernel = kernel, .n = nyield, .values = yield, .loc = loc);
}

// ---- text

static void parse_text(void *arg) {
  struct args *a = arg;
  *a->out_kernel = tg_parse(a->ctx, a->text, a->length, a->name);
}

tg_status tg_kernel_verify(tg_kernel *kernel) { return tg_verify(kernel); }

tg_status tg_kernel_parse(tg_context *ctx, const char *text, size_t length, const char *file, tg_kernel **out) {
  *out = NULL;
  tg_status status = PROTECT(ctx, parse_text, .ctx = ctx, .text = text, .length = length, .name = file, .out_kernel = out);
  if (!status) status = tg_verify(*out);
  if (status) {
    tg_kernel_free(*out);
    *out = NULL;
  }
  return status;
}

static void print_text(void *arg) {
  struct args *a = arg;
  tg_arena *arena = (tg_arena *)(uintptr_t)a->data;
  const char *text = tg_print(arena, a->kernel, &a->length);
  char *copy = tg_realloc(a->kernel->ctx, NULL, a->length + 1);
  memcpy(copy, text, a->length + 1);
  tg_realloc(a->kernel->ctx, a->kernel->printed, 0);
  a->kernel->printed = copy;
}

tg_status tg_kernel_print(tg_kernel *kernel, const char **text, size_t *length) {
  tg_arena arena;
  tg_arena_init(&arena, kernel->ctx);
  struct args a = {.kernel = kernel, .data = &arena};
  tg_status status = tg_protect(kernel->ctx, print_text, &a);
  tg_arena_free(&arena);
  if (status) return status;
  *text = kernel->printed;
  if (length) *length = a.length;
  return TG_OK;
}
