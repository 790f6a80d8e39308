// Building through the public API as a frontend does: a kernel that verifies, every mistake with its line and cure, and an allocator that
// fails.
#include "test.h"

#include "ir/ir.h"

#define AT(line)   ((tg_loc){"gemm.lua", (line)})
#define INT(k, v)  ((tg_attr){.key = (k), .kind = TG_ATTR_INT, .i = (v)})
#define STR(k, v)  ((tg_attr){.key = (k), .kind = TG_ATTR_STR, .s = (v)})
#define TYPE(k, v) ((tg_attr){.key = (k), .kind = TG_ATTR_TYPE, .type = (v)})

typedef struct work {
  tg_context *ctx;
  tg_kernel *k;
  const tg_expr *M, *blocks;
  tg_status status; // first failure
} work;

static bool ok(work *w, tg_status status) {
  if (!w->status) w->status = status;
  return !w->status;
}

static tg_op *emit(work *w, const char *name, int n, tg_value *const *in, int nattrs, const tg_attr *attrs, int line) {
  tg_op *op = NULL;
  if (w->status) return NULL;
  ok(w, tg_emit(w->k, tg_opcode_find(name), n, in, nattrs, attrs, AT(line), &op));
  return op;
}

static tg_value *value(work *w, const char *name, int n, tg_value *const *in, int nattrs, const tg_attr *attrs, int line) {
  tg_value *const *out = NULL;
  tg_op *op = emit(w, name, n, in, nattrs, attrs, line);
  return op && tg_op_results(op, &out) ? out[0] : NULL;
}

static tg_value *constant(work *w, tg_type type, double v, int line) {
  tg_attr attrs[2] = {TYPE("type", type), {.key = "value", .kind = TG_ATTR_FLOAT, .f = v}};
  if (!tg_dtype_is_float(type.dtype)) attrs[1] = INT("value", (int64_t)v);
  return value(w, "const", 0, NULL, 2, attrs, line);
}

static const tg_type scalar_f32 = {.kind = TG_TILE, .dtype = TG_F32}, scalar_i64 = {.kind = TG_TILE, .dtype = TG_I64};

// A kernel with an open launch over one axis.
static work start(tg_context *ctx) {
  work w = {.ctx = ctx};
  const tg_expr *c;
  if (!ok(&w, tg_kernel_new(ctx, "gemm", AT(1), &w.k))) return w;
  ok(&w, tg_kernel_dim(w.k, "M", AT(2)));
  ok(&w, tg_kernel_static(w.k, "E", 4, AT(2)));
  if (w.status || !ok(&w, tg_expr_sym(w.k, "M", &w.M)) || !ok(&w, tg_expr_const(w.k, 64, &c)) ||
      !ok(&w, tg_expr_binary(w.k, TG_EXPR_CEILDIV, w.M, c, &w.blocks)))
    return w;
  ok(&w, tg_kernel_param(w.k, &(tg_param){.name = "A", .kind = TG_INPUT, .dtype = TG_F32, .rank = 1, .dims = {w.M}}, AT(3)));
  ok(&w, tg_kernel_param(w.k, &(tg_param){.name = "C", .kind = TG_OUTPUT, .dtype = TG_F32, .rank = 1, .dims = {w.M}}, AT(4)));
  const char *allowed[] = {"32", "64"};
  ok(&w, tg_kernel_setting(w.k, &(tg_setting){"BM", TG_TUNE, "64", "32", 2, allowed}, AT(4)));
  if (!w.status) ok(&w, tg_launch_begin(w.k, 1, &w.blocks, AT(5)));
  return w;
}

static bool has(work *w, const char *text) { return strstr(tg_error_message(w->ctx), text); }

// The whole of a small kernel; used with every allocation failing in turn.
static tg_status build_print_parse(tg_context *ctx, char **out) {
  work w = start(ctx);
  tg_op *loop = NULL, *branch = NULL;
  tg_value *const *args = NULL;
  tg_kernel *again = NULL;
  const char *text = NULL;
  size_t n = 0;
  int nargs;
  tg_value *lo = constant(&w, scalar_i64, 0, 6), *hi = constant(&w, scalar_i64, 10, 6), *x = constant(&w, scalar_f32, 1, 6);
  loop = emit(&w, "for", 3, (tg_value *[]){lo, hi, x}, 1, (tg_attr[]){INT("step", 1)}, 7);
  if (loop && ok(&w, tg_region_begin(w.k, loop, 0, &nargs, &args))) {
    tg_value *sum = value(&w, "add", 2, (tg_value *[]){args[1], x}, 0, NULL, 8);
    if (sum) ok(&w, tg_region_end(w.k, 1, &sum, AT(9)));
  }
  tg_value *c = w.status ? NULL : value(&w, "lt", 2, (tg_value *[]){x, loop->out[0]}, 0, NULL, 10);
  branch = c ? emit(&w, "if", 1, &c, 0, NULL, 11) : NULL;
  for (int i = 0; branch && i < 2 && !w.status; i++) {
    if (ok(&w, tg_region_begin(w.k, branch, i, NULL, NULL))) ok(&w, tg_region_end(w.k, 1, i ? &x : &loop->out[0], AT(12)));
  }
  tg_value *C = value(&w, "param", 0, NULL, 2,
                      (tg_attr[]){STR("name", "C"), TYPE("type", ((tg_type){.kind = TG_VIEW, .dtype = TG_F32, .rank = 1}))}, 13);
  if (!w.status) emit(&w, "store", 3, (tg_value *[]){C, lo, branch->out[0]}, 0, NULL, 14);
  if (!w.status) ok(&w, tg_launch_end(w.k, AT(15)));
  if (!w.status) ok(&w, tg_kernel_verify(w.k));
  if (!w.status && ok(&w, tg_kernel_print(w.k, &text, &n)) && ok(&w, tg_kernel_parse(ctx, text, n, "again", &again))) {
    const char *second = NULL;
    if (ok(&w, tg_kernel_print(again, &second, NULL))) CHECK_STR(second, text);
  }
  if (out) *out = text ? strdup(text) : NULL;
  tg_kernel_free(again);
  tg_kernel_free(w.k);
  return w.status;
}

static const char want_text[] =
    "kernel gemm tile {\n  dim M\n  static E = 4\n  tune BM = \"64\" fallback \"32\" of (\"32\", \"64\")\n"
    "  input A : f32[M] @gemm.lua:3\n  output C : f32[M] @gemm.lua:4\n  launch (ceildiv(M, 64)) {\n"
    "    %0 = const {type = i64, value = 0} : i64 @gemm.lua:6\n    %1 = const {type = i64, value = 10} : i64 @gemm.lua:6\n"
    "    %2 = const {type = f32, value = 0x1p+0} : f32 @gemm.lua:6\n"
    "    %3 = for %0, %1, %2 {step = 1} : f32 (%4 : i64, %5 : f32) {\n      %6 = add %5, %2 : f32 @gemm.lua:8\n      yield %6 @gemm.lua:9\n"
    "    } @gemm.lua:7\n    %7 = lt %2, %3 : i1 @gemm.lua:10\n    %8 = if %7 : f32 {\n      yield %3 @gemm.lua:12\n    } {\n"
    "      yield %2 @gemm.lua:12\n    } @gemm.lua:11\n    %9 = param {name = \"C\", type = view<f32,1>} : view<f32,1> @gemm.lua:13\n"
    "    store %9, %0, %8 @gemm.lua:14\n  } @gemm.lua:5\n} @gemm.lua:1\n";

static void check_whole(tg_context *ctx) {
  char *text;
  CHECKF(!build_print_parse(ctx, &text), "%s", tg_error_message(ctx));
  CHECK_STR(text, want_text);
  free(text);
}

// ---- an allocator that counts what is held and refuses from the n-th request on, or the n-th alone

typedef struct hostile {
  long held, requests, refuse;
  bool once;
} hostile;

static void *hostile_allocate(void *user, void *ptr, size_t size) {
  hostile *h = user;
  if (size == 0) {
    h->held -= ptr != NULL;
    free(ptr);
    return NULL;
  }
  h->requests++;
  if (h->refuse && (h->once ? h->requests == h->refuse : h->requests >= h->refuse)) return NULL;
  void *p = realloc(ptr, size);
  h->held += p && !ptr;
  return p;
}

static void check_hostile(void) {
  for (int once = 0; once < 2; once++) {
    int succeeded = 0;
    for (long n = 1; n < 400 && succeeded < 2; n++) {
      hostile h = {.refuse = n, .once = once};
      tg_context *ctx = NULL;
      tg_status status = tg_context_new(&(tg_config){.allocate = hostile_allocate, .user = &h}, &ctx);
      if (!status) status = build_print_parse(ctx, NULL);
      CHECKF(status == TG_OK || status == TG_NO_MEMORY, "refusing request %ld: status %d, %s", n, (int)status, tg_error_message(ctx));
      succeeded += !status;
      tg_context_free(ctx);
      CHECKF(h.held == 0, "refusing request %ld leaks %ld blocks", n, h.held);
    }
    CHECK(succeeded == 2);
  }
}

// ---- mistakes

static void check_scopes(tg_context *ctx) {
  work w = start(ctx);
  tg_value *const *args;
  tg_value *lo = constant(&w, scalar_i64, 0, 14), *x = constant(&w, scalar_f32, 1, 14);
  tg_op *loop = emit(&w, "for", 3, (tg_value *[]){lo, lo, x}, 1, (tg_attr[]){INT("step", 1)}, 15), *op;
  CHECK(tg_emit(w.k, tg_opcode_find("neg"), 1, &x, 0, NULL, AT(16), &op) == TG_INVALID &&
        has(&w, "gemm.lua:16: in kernel 'gemm': the body of the for at line 15 was not given"));
  CHECK(!tg_region_begin(w.k, loop, 0, NULL, &args));
  tg_value *inner = value(&w, "neg", 1, &args[1], 0, NULL, 17), *outer = loop->out[0];
  CHECK(tg_emit(w.k, tg_opcode_find("neg"), 1, &outer, 0, NULL, AT(18), &op) == TG_INVALID &&
        has(&w, "gemm.lua:18: in kernel 'gemm': neg: operand 1 is the result of the loop opened at line 15, used inside of it; use the "
                "carried value"));
  CHECK(tg_launch_end(w.k, AT(18)) == TG_INVALID && has(&w, "gemm.lua:18: in kernel 'gemm': the for opened at line 15 is still open"));
  CHECK(tg_region_begin(w.k, loop, 0, NULL, NULL) == TG_INVALID && has(&w, "regions are filled in order"));
  CHECK(tg_region_end(w.k, 0, NULL, AT(19)) == TG_INVALID &&
        has(&w, "gemm.lua:19: in kernel 'gemm': for: the loop carries 1 value but its body returns 0"));
  CHECK(tg_region_end(w.k, 1, &lo, AT(19)) == TG_INVALID && has(&w, "carried value 1 changes from f32 to i64; cast it with :to(f32)"));
  CHECK(!tg_region_end(w.k, 1, &inner, AT(19)));
  CHECK(tg_emit(w.k, tg_opcode_find("neg"), 1, &inner, 0, NULL, AT(20), &op) == TG_INVALID &&
        has(&w, "gemm.lua:20: in kernel 'gemm': neg: the value defined at gemm.lua:17 belongs to the loop opened at line 15; return it "
                "from the fold"));
  CHECK(tg_emit(w.k, tg_opcode_find("neg"), 1, (tg_value *[]){args[1]}, 0, NULL, AT(20), &op) == TG_INVALID &&
        has(&w, "the value defined at gemm.lua:15 belongs to the loop opened at line 15"));
  tg_value *c = constant(&w, (tg_type){.kind = TG_TILE, .dtype = TG_I1}, 1, 21);
  tg_op *branch = emit(&w, "if", 1, &c, 0, NULL, 22);
  CHECK(!tg_region_begin(w.k, branch, 0, NULL, NULL));
  tg_value *taken = value(&w, "neg", 1, &x, 0, NULL, 23);
  CHECK(!tg_region_end(w.k, 0, NULL, AT(24)));
  CHECK(tg_emit(w.k, tg_opcode_find("neg"), 1, &x, 0, NULL, AT(24), &op) == TG_INVALID &&
        has(&w, "the body of the if at line 22 was not given"));
  CHECK(!tg_region_begin(w.k, branch, 1, NULL, NULL));
  CHECK(tg_region_end(w.k, 1, &x, AT(25)) == TG_INVALID && has(&w, "if: the branches give 0 and 1 results"));
  CHECK(!tg_region_end(w.k, 0, NULL, AT(25)));
  CHECK(tg_emit(w.k, tg_opcode_find("neg"), 1, &taken, 0, NULL, AT(26), &op) == TG_INVALID &&
        has(&w, "the value defined at gemm.lua:23 belongs to the branch opened at line 22; return it from the branch"));
  CHECK(tg_region_end(w.k, 0, NULL, AT(27)) == TG_INVALID && has(&w, "no loop or branch is open"));
  CHECK(tg_launch_begin(w.k, 1, &w.blocks, AT(28)) == TG_INVALID &&
        has(&w, "the launch opened at line 5 is still open; launches do not nest"));
  CHECK(tg_kernel_verify(w.k) == TG_INVALID && has(&w, "gemm.lua:5: in kernel 'gemm': the launch opened here was not ended"));
  CHECK(!tg_launch_end(w.k, AT(29)));
  CHECK(tg_emit(w.k, tg_opcode_find("neg"), 1, &x, 0, NULL, AT(30), &op) == TG_INVALID && has(&w, "this stands outside of k.blocks"));
  CHECK(!tg_launch_begin(w.k, 1, &w.blocks, AT(31)));
  CHECK(tg_emit(w.k, tg_opcode_find("neg"), 1, &x, 0, NULL, AT(32), &op) == TG_INVALID &&
        has(&w, "the value defined at gemm.lua:14 belongs to another launch, opened at line 5; compute it again here, or pass it through a "
                "workspace"));
  CHECK(tg_emit(w.k, tg_opcode_find("neg"), 1, (tg_value *[]){NULL}, 0, NULL, AT(33), &op) == TG_INVALID &&
        has(&w, "neg: operand 1 is missing"));
  CHECK(tg_emit(w.k, tg_opcode_find("yield"), 0, NULL, 0, NULL, AT(33), &op) == TG_INVALID && has(&w, "cannot be emitted"));
  CHECK(tg_emit(w.k, -1, 0, NULL, 0, NULL, AT(33), &op) == TG_INVALID &&
        tg_emit(w.k, TG_OP_TID, 0, NULL, 0, NULL, AT(33), &op) == TG_INVALID);
  work other = start(ctx);
  CHECK(tg_emit(other.k, tg_opcode_find("neg"), 1, &x, 0, NULL, AT(34), &op) == TG_INVALID &&
        has(&w, "operand 1 belongs to another kernel, 'gemm'"));
  tg_kernel_free(other.k);
  CHECK(!tg_launch_end(w.k, AT(35)) && !tg_kernel_verify(w.k));
  tg_kernel_free(w.k);
}

static void check_nesting(tg_context *ctx) {
  work w = start(ctx);
  tg_value *lo = constant(&w, scalar_i64, 0, 6);
  tg_status status = TG_OK;
  int depth = 0;
  for (; depth < 200 && !status; depth++) {
    tg_op *loop = emit(&w, "for", 2, (tg_value *[]){lo, lo}, 1, (tg_attr[]){INT("step", 1)}, 7);
    status = tg_region_begin(w.k, loop, 0, NULL, NULL);
  }
  CHECK(status == TG_INVALID && depth == TG_MAX_NESTING && has(&w, "nest deeper than 64"));
  tg_kernel_free(w.k);
}

static void check_declarations(tg_context *ctx) {
  tg_kernel *none;
  CHECK(tg_kernel_new(ctx, "a b", AT(1), &none) == TG_INVALID && !none);
  CHECK(tg_kernel_new(ctx, NULL, AT(1), &none) == TG_INVALID && !none);
  work w = start(ctx);
  const tg_expr *e;
  tg_param p = {.name = "B", .kind = TG_INPUT, .dtype = TG_F32, .rank = 1, .dims = {w.M}};
  const char *allowed[] = {"1", "2"};
  CHECK(tg_kernel_dim(w.k, "M", AT(6)) == TG_INVALID &&
        has(&w, "gemm.lua:6: in kernel 'gemm': dim M: a dim or static of that name is declared already"));
  CHECK(tg_kernel_dim(w.k, "A", AT(6)) == TG_INVALID && has(&w, "a parameter of that name is declared already"));
  CHECK(tg_kernel_dim(w.k, "min", AT(6)) == TG_INVALID && has(&w, "\"min\" cannot name a dim"));
  CHECK(tg_kernel_dim(w.k, NULL, AT(6)) == TG_INVALID);
  CHECK(tg_expr_sym(w.k, "N", &e) == TG_INVALID && has(&w, "N is not declared as a dim or static"));
  CHECK(tg_expr_binary(w.k, TG_EXPR_CONST, w.M, w.M, &e) == TG_INVALID);
  p.rank = 5;
  CHECK(tg_kernel_param(w.k, &p, AT(7)) == TG_INVALID && has(&w, "input B has 5 axes; a tensor has 1 to 4"));
  p.rank = 0;
  CHECK(tg_kernel_param(w.k, &p, AT(7)) == TG_INVALID && has(&w, "input B has 0 axes"));
  p = (tg_param){.name = "B", .kind = TG_INPUT, .dtype = 99, .rank = 1, .dims = {w.M}};
  CHECK(tg_kernel_param(w.k, &p, AT(7)) == TG_INVALID && has(&w, "B has no dtype"));
  p.dtype = TG_F32, p.dims[0] = NULL;
  CHECK(tg_kernel_param(w.k, &p, AT(7)) == TG_INVALID && has(&w, "a dim of B is missing"));
  p.dims[0] = w.M, p.flags = TG_PARAM_ZERO;
  CHECK(tg_kernel_param(w.k, &p, AT(7)) == TG_INVALID && has(&w, "input B cannot be zeroed; only a workspace can"));
  p.flags = TG_PARAM_PACKED;
  CHECK(tg_kernel_param(w.k, &p, AT(7)) == TG_INVALID && has(&w, "a packed dim of B is missing"));
  p = (tg_param){.name = "B", .kind = TG_WORKSPACE, .dtype = TG_F32, .rank = 1, .dims = {w.M}, .flags = TG_PARAM_OPTIONAL};
  CHECK(tg_kernel_param(w.k, &p, AT(7)) == TG_INVALID && has(&w, "workspace B cannot be optional"));
  p = (tg_param){.name = "eps", .kind = TG_SCALAR_PARAM, .dtype = TG_E4M3};
  CHECK(tg_kernel_param(w.k, &p, AT(7)) == TG_INVALID && has(&w, "scalar eps is e4m3; it can be i32, i64, f32 or f64"));
  p = (tg_param){.name = "A", .kind = TG_SCALAR_PARAM, .dtype = TG_F32};
  CHECK(tg_kernel_param(w.k, &p, AT(7)) == TG_INVALID && has(&w, "a parameter of that name is declared already"));
  CHECK(tg_kernel_setting(w.k, &(tg_setting){"BN", TG_TUNE, "3", "1", 2, allowed}, AT(8)) == TG_INVALID &&
        has(&w, "BN = 3 is not among the values it can have: 1, 2"));
  CHECK(tg_kernel_setting(w.k, &(tg_setting){"BM", TG_TUNE, "1", "1", 2, allowed}, AT(8)) == TG_INVALID &&
        has(&w, "option BM is declared twice"));
  CHECK(tg_kernel_setting(w.k, &(tg_setting){"BN", TG_TUNE, "1", "1", 0, NULL}, AT(8)) == TG_INVALID &&
        has(&w, "meta-parameter BN has no values"));
  CHECK(tg_kernel_setting(w.k, &(tg_setting){"BN", TG_OPTION, NULL, "1", 0, NULL}, AT(8)) == TG_INVALID);
  CHECK(!tg_launch_end(w.k, AT(9)));
  CHECK(tg_launch_begin(w.k, 0, NULL, AT(9)) == TG_INVALID && has(&w, "a grid has 1 to 4 axes, not 0"));
  const tg_param *params;
  const tg_setting *settings;
  const char *const *symbols;
  CHECK(tg_kernel_params(w.k, &params) == 2 && !strcmp(params[1].name, "C") && params[1].loc.line == 4);
  CHECK(tg_kernel_settings(w.k, &settings) == 1 && !strcmp(settings[0].fallback, "32"));
  CHECK(tg_kernel_symbols(w.k, &symbols) == 2 && !strcmp(symbols[1], "E"));
  tg_kernel_free(w.k);
  tg_kernel_free(NULL);
}

// Every op of the reflection table is complete, and lane-level ops are not in it.
static void check_reflection(void) {
  for (int i = 0; i < tg_opcode_count(); i++) {
    const tg_op_info *info = tg_opcode_info(i);
    CHECKF(info->name[0] && info->doc[0] && strchr(info->traits, 'V'), "op %d", i);
    CHECK(tg_opcode_find(info->name) == i);
    const char *column = info->attrs;
    tg_attr_spec spec;
    while (tg_next_attr_spec(&column, &spec)) CHECKF(spec.length > 0, "%s", info->name);
  }
  CHECK(tg_opcode_find("dot") == TG_OP_DOT && tg_opcode_find("tid") < 0 && tg_opcode_find(NULL) < 0 && !tg_opcode_info(-1) &&
        !tg_opcode_info(100000));
  CHECK(tg_dtype_find("bf16") == TG_BF16 && tg_dtype_find("f8") < 0 && tg_dtype_find(NULL) < 0 && tg_dtype_bits(-1) == 0 &&
        !strcmp(tg_dtype_name(99), "none"));
  CHECK(tg_dtype_bytes(TG_E2M1, 3) == 2 && tg_dtype_bytes(TG_F64, 3) == 24 && tg_dtype_bytes(TG_I1, 3) == 3 &&
        tg_dtype_bytes(TG_F32, -1) == 0);
}

int main(void) {
  tg_context *ctx;
  if (tg_context_new(NULL, &ctx)) return 1;
  check_whole(ctx);
  check_scopes(ctx);
  check_nesting(ctx);
  check_declarations(ctx);
  check_reflection();
  tg_context_free(ctx);
  tg_context_free(NULL);
  check_hostile();
  return test_done();
}
