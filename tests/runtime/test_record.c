// The launch record: made from lane IR, JSON both ways, hostile JSON, the document of --emit meta, preconditions, grids.
#include "targets/record.h"

#include "test.h"

static const tg_expr *expr(tg_kernel *kernel, const char *text) {
  const char *stopped;
  return tg_e_parse(&kernel->arena, text, text + strlen(text), &stopped);
}

static void add_param(tg_kernel *kernel, const char *name, tg_param_kind kind, int dtype, unsigned flags, int rank, const char *a,
                      const char *b) {
  tg_param param = {.name = name, .kind = kind, .dtype = dtype, .rank = rank, .flags = flags};
  if (rank > 0) param.dims[0] = expr(kernel, a);
  if (rank > 1) param.dims[1] = expr(kernel, b);
  CHECKF(tg_kernel_param(kernel, &param, (tg_loc){0}) == TG_OK, "%s", tg_error_message(kernel->ctx));
}

static void add_launch(tg_kernel *kernel, const char *entry, int naxes, const char *const *axes, int nargs, const tg_arg *args) {
  const tg_expr *grid[4];
  for (int i = 0; i < naxes; i++) grid[i] = expr(kernel, axes[i]);
  tg_launch *launch = tg_add_launch(kernel, naxes, grid);
  launch->entry = entry;
  launch->nargs = nargs;
  launch->args = TG_NEWN(&kernel->arena, tg_arg, nargs);
  memcpy(launch->args, args, sizeof *args * (size_t)nargs);
}

static tg_kernel *make_kernel(tg_context *ctx) {
  tg_kernel *kernel = tg_kernel_create(ctx, "scale", TG_LEVEL_LANE);
  const tg_loc nowhere = {0};
  CHECK(tg_kernel_dim(kernel, "M", nowhere) == TG_OK && tg_kernel_dim(kernel, "N", nowhere) == TG_OK);
  CHECK(tg_kernel_static(kernel, "E", 4, nowhere) == TG_OK);
  const char *const allowed[] = {"32", "64"};
  CHECK(tg_kernel_setting(kernel, &(tg_setting){"BM", TG_TUNE, "64", "64", 2, allowed}, nowhere) == TG_OK);
  CHECK(tg_kernel_setting(kernel, &(tg_setting){.name = "mode", .kind = TG_OPTION, .value = "a\"b", .fallback = "x"}, nowhere) == TG_OK);
  add_param(kernel, "A", TG_INPUT, TG_E4M3, 0, 2, "M", "N");
  add_param(kernel, "C", TG_OUTPUT, TG_F32, 0, 2, "M", "N");
  const tg_param index = {.name = "I",
                          .kind = TG_INPUT,
                          .dtype = TG_I32,
                          .rank = 1,
                          .flags = TG_PARAM_INDEX,
                          .dims = {expr(kernel, "M")},
                          .below = expr(kernel, "N + 1")};
  CHECK(tg_kernel_param(kernel, &index, nowhere) == TG_OK);
  add_param(kernel, "P", TG_WORKSPACE, TG_F32, TG_PARAM_ZERO, 2, "E", "ceildiv(M, 64)");
  add_param(kernel, "Q", TG_WORKSPACE, TG_E2M1, 0, 2, "M", "3");
  add_param(kernel, "eps", TG_SCALAR_PARAM, TG_F32, 0, 0, NULL, NULL);
  static const char *requires[] = {"N % 16 == 0", "aligned(A, 16)"};
  kernel->preconditions = requires;
  kernel->npreconditions = 2;
  const tg_expr *n = expr(kernel, "N");
  add_launch(kernel, "scale_0", 2, (const char *[]){"ceildiv(M, 64)", "N"}, 5,
             (tg_arg[]){{"A", TG_ARG_POINTER, TG_I64, NULL, NULL},
                        {"P", TG_ARG_POINTER, TG_I64, NULL, NULL},
                        {"N", TG_ARG_SCALAR, TG_I64, n, NULL},
                        {"A.stride0", TG_ARG_SCALAR, TG_I64, n, NULL},
                        {"eps", TG_ARG_SCALAR, TG_F32, NULL, NULL}});
  const tg_arg_map map = {.of = "A",
                          .rank = 2,
                          .byte_offset = expr(kernel, "16 * E"),
                          .dims = {n, expr(kernel, "M - 1")},
                          .strides_bytes = {n},
                          .box = {128, 64},
                          .element_strides = {1, 1},
                          .swizzle = 128,
                          .fill = TG_FILL_NAN};
  add_launch(
      kernel, "scale_1", 4, (const char *[]){"M", "1", "2", "3"}, 2,
      (tg_arg[]){{"C", TG_ARG_POINTER, TG_I64, NULL, NULL}, {"A.map0", TG_ARG_MAP, TG_E4M3, NULL, tg_arg_map_copy(&kernel->arena, &map)}});
  return kernel;
}

struct guarded {
  tg_context *ctx;
  void (*body)(struct guarded *p);
  tg_arena *arena;
  const tg_record *record;
  const char *json;
  size_t size;
  tg_record *out;
  const tg_bindings *shape;
  char *meta;
  const tg_dims *dims;
  int64_t grid[4], blocks;
  int launch;
};
static void enter(void *arg) { ((struct guarded *)arg)->body(arg); }
static tg_status attempt(struct guarded *p, void (*body)(struct guarded *)) {
  p->body = body;
  return tg_protect(p->ctx, enter, p);
}

static void read_record(struct guarded *p) { p->out = tg_record_from_json(p->ctx, p->arena, p->json, p->size); }
static void make_meta(struct guarded *p) { p->meta = tg_record_meta(p->arena, p->record, p->shape, &p->size); }
static void solve(struct guarded *p) { tg_dims_solve(p->ctx, p->record, 0, NULL, p->shape, (tg_dims *)(uintptr_t)p->dims); }
static void grid(struct guarded *p) { p->blocks = tg_record_grid(p->ctx, &p->record->launches[p->launch], p->dims, p->grid); }

static void round_trip(tg_context *ctx, tg_arena *arena, const tg_record *record) {
  size_t size, again;
  char *json = tg_record_to_json(arena, record, &size);
  struct guarded p = {.ctx = ctx, .arena = arena, .json = json, .size = size};
  CHECK(attempt(&p, read_record) == TG_OK);
  CHECK_STR(tg_record_to_json(arena, p.out, &again), json);
  CHECK(p.out->nparams == 6 && p.out->params[3].flags == TG_PARAM_ZERO && p.out->params[5].kind == TG_SCALAR_PARAM);
  CHECK(p.out->params[2].flags == TG_PARAM_INDEX && p.out->params[2].below && p.out->params[2].below->op == TG_EXPR_ADD);
  CHECK(p.out->launches[0].args[4].value == NULL && p.out->launches[0].args[4].dtype == TG_F32);
  CHECK_STR(p.out->config.at[1].value, "a\"b");
  const tg_record_arg *map = &p.out->launches[1].args[1];
  CHECK(map->kind == TG_ARG_MAP && map->dtype == TG_E4M3 && tg_arg_map_equal(map->map, record->launches[1].args[1].map));
}

// Every truncation and every changed byte is either refused or read: no crash, no read out of bounds (the sanitizer build looks).
static void hostile(tg_context *ctx, tg_arena *arena, const tg_record *record) {
  size_t size;
  char *json = tg_record_to_json(arena, record, &size);
  char *copy = malloc(size + 2);
  int refused = 0;
  for (size_t n = 0; n < size; n++) {
    char *part = malloc(n ? n : 1);
    memcpy(part, json, n);
    struct guarded p = {.ctx = ctx, .arena = arena, .json = part, .size = n};
    CHECKF(attempt(&p, read_record) == TG_FAILED, "%zu of %zu bytes were accepted", n, size);
    free(part);
  }
  static const char changes[] = "\"{}[],:-9x\\\0";
  for (size_t n = 0; n < size; n++) {
    for (size_t c = 0; c < sizeof changes; c++) {
      memcpy(copy, json, size + 1);
      copy[n] = changes[c];
      struct guarded p = {.ctx = ctx, .arena = arena, .json = copy, .size = size};
      refused += attempt(&p, read_record) != TG_OK;
    }
  }
  CHECK(refused > 1000);
  // No cluster is as large; a launch multiplies three of them.
  const char *at = strstr(json, "\"cx\":1,");
  const int n = snprintf(copy, size + 2, "%.*s\"cx\":17,%s", (int)(at - json), json, at + 7);
  struct guarded wide = {.ctx = ctx, .arena = arena, .json = copy, .size = (size_t)n};
  CHECK(attempt(&wide, read_record) == TG_FAILED);
  free(copy);
  static const char *const bad[] = {
      "", "null", "[]", "{}", "{\"kernel\":1}", "1e999", "{\"kernel\":\"k\",\"target\":\"t\",\"config\":[[1,2]]}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct guarded p = {.ctx = ctx, .arena = arena, .json = bad[i], .size = strlen(bad[i])};
    CHECK(attempt(&p, read_record) == TG_FAILED);
  }
}

static void meta(tg_context *ctx, tg_arena *arena, const tg_record *record) {
  struct guarded p = {.ctx = ctx, .arena = arena, .record = record};
  CHECK(attempt(&p, make_meta) == TG_OK);
  CHECK_STR(p.meta, "{\"kernel\":\"scale\",\"target\":\"cpu\",\"config\":{\"BM\":64,\"mode\":\"a\\\"b\"},"
                    "\"preconditions\":[\"N % 16 == 0\",\"aligned(A, 16)\"],"
                    "\"workspaces\":[{\"name\":\"P\",\"bytes\":\"4 * ceildiv(M, 64) * 4\",\"init\":\"zero\"},"
                    "{\"name\":\"Q\",\"bytes\":\"ceildiv(M * 3 * 4, 8)\",\"init\":\"none\"}],"
                    "\"launches\":[{\"entry\":\"scale_0\",\"grid\":[\"ceildiv(M, 64)\",\"N\",1],\"block\":[1,1,1],\"cluster\":[1,1,1],"
                    "\"shared_bytes\":0,\"static_shared_bytes\":0,\"args\":["
                    "{\"name\":\"A\",\"kind\":\"pointer\",\"dtype\":\"e4m3\"},{\"name\":\"P\",\"kind\":\"pointer\",\"dtype\":\"f32\"},"
                    "{\"name\":\"N\",\"kind\":\"scalar\",\"dtype\":\"i64\",\"value\":\"N\"},"
                    "{\"name\":\"A.stride0\",\"kind\":\"scalar\",\"dtype\":\"i64\",\"value\":\"N\"},"
                    "{\"name\":\"eps\",\"kind\":\"scalar\",\"dtype\":\"f32\"}]},"
                    "{\"entry\":\"scale_1\",\"grid\":[\"M\",1,6],\"block\":[1,1,1],\"cluster\":[1,1,1],\"shared_bytes\":0,"
                    "\"static_shared_bytes\":0,\"args\":[{\"name\":\"C\",\"kind\":\"pointer\",\"dtype\":\"f32\"},"
                    "{\"name\":\"A.map0\",\"kind\":\"tensormap\",\"dtype\":\"e4m3\",\"tensormap\":{\"of\":\"A\",\"dtype\":\"e4m3\","
                    "\"byte_offset\":64,\"dims\":[\"N\",\"M - 1\"],\"strides_bytes\":[\"N\"],\"box\":[128,64],\"element_strides\":[1,1],"
                    "\"swizzle\":128,\"fill\":\"nan\"}}]}]}\n");
  const tg_binding at[] = {{"M", "129"}, {"N", "32"}};
  p.shape = &(tg_bindings){2, at};
  CHECK(attempt(&p, make_meta) == TG_OK);
  CHECK(strstr(p.meta, "\"bytes\":48,\"init\":\"zero\"") != NULL); // 4 * ceil(129/64) * 4
  CHECK(strstr(p.meta, "\"bytes\":194,") != NULL);                 // 129*3 codes, two a byte
  CHECK(strstr(p.meta, "\"grid\":[3,32,1]") != NULL && strstr(p.meta, "\"grid\":[129,1,6]") != NULL);
  CHECK(strstr(p.meta, "\"A.stride0\",\"kind\":\"scalar\",\"dtype\":\"i64\",\"value\":32}") != NULL);
  CHECK(strstr(p.meta, "\"byte_offset\":64,\"dims\":[32,128],\"strides_bytes\":[32],\"box\":[128,64]") != NULL);
  p.shape = &(tg_bindings){1, at};
  CHECK(attempt(&p, make_meta) == TG_INVALID && strstr(tg_error_message(ctx), "N") != NULL);
}

static void preconditions(tg_context *ctx, tg_arena *arena) {
  static const struct {
    const char *text;
    bool holds;
  } cases[] = {
      {"K % 16 == 0", true},
      {"K % 32 == 0", false},
      {"M < 2147483648", true},
      {"M*K <= 4800", true},
      {"M * K < 4800", false},
      {"K%16==0", true},
      {"ceildiv(M, 64) >= 2", true},
      {"M != K", true},
      {"aligned(A, 16)", true},
      {"aligned(A, 32)", false},
      {"aligned(Z, 1)", false},
      {"J == 0", false},
      {"K", false},
      {"K == ", false},
      {"", false},
      {"aligned(A", false},
      {"aligned(A, 0)", false},
      {"K % 0 == 0", false},
      {"K % 16 == 0 junk", false},
      {"K % 99999999999999999999 == 0", false},
  };
  static char memory[64] __attribute__((aligned(64)));
  const tg_tensor tensors[] = {{.name = "A", .data = memory + 16}};
  tg_dims dims = {.n = 2, .at = {{"M", 100, ""}, {"K", 48, ""}}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *list[] = {cases[i].text};
    tg_record record = {.arena = arena, .npreconditions = 1, .preconditions = list};
    CHECKF(tg_record_admits(&record, &dims, 1, tensors) == cases[i].holds, "%s", cases[i].text);
  }
  const char *two[] = {"K % 16 == 0", "M < 100"};
  CHECK(!tg_record_admits(&(tg_record){.arena = arena, .npreconditions = 2, .preconditions = two}, &dims, 1, tensors));
  CHECK(tg_record_admits(&(tg_record){.arena = arena}, &dims, 1, tensors));
  (void)ctx;
}

static void grids(tg_context *ctx, tg_arena *arena, const tg_record *record) {
  tg_dims dims;
  struct guarded p = {.ctx = ctx, .arena = arena, .record = record, .dims = &dims};
  tg_binding at[] = {{"M", "0"}, {"N", "4611686018427387904"}};
  p.shape = &(tg_bindings){2, at};
  CHECK(attempt(&p, solve) == TG_OK);
  CHECK(attempt(&p, grid) == TG_OK && p.blocks == 0); // one axis is 0: skipped, whatever the others
  at[0].value = "65";
  CHECK(attempt(&p, solve) == TG_OK);
  CHECK(attempt(&p, grid) == TG_INVALID && strstr(tg_error_message(ctx), "2^63") != NULL);
  at[1].value = "10";
  CHECK(attempt(&p, solve) == TG_OK);
  CHECK(attempt(&p, grid) == TG_OK && p.blocks == 20 && p.grid[0] == 2 && p.grid[1] == 10 && p.grid[2] == 1);
  record->launches[0].block[0] = 64; // threads: a GPU's launch
  CHECK(attempt(&p, grid) == TG_OK && p.blocks == 20);
  at[0].value = "137438953408"; // 64 * (2^31 - 1)
  CHECK(attempt(&p, solve) == TG_OK && attempt(&p, grid) == TG_OK && p.grid[0] == INT32_MAX);
  at[0].value = "137438953409";
  CHECK(attempt(&p, solve) == TG_OK);
  CHECK(attempt(&p, grid) == TG_INVALID && strstr(tg_error_message(ctx), "a grid of 2147483648 x 10 x 1 blocks") != NULL);
  CHECK(attempt(&p, make_meta) == TG_INVALID);
  at[0].value = "65", at[1].value = "65536";
  CHECK(attempt(&p, solve) == TG_OK);
  CHECK(attempt(&p, grid) == TG_INVALID && strstr(tg_error_message(ctx), "a grid of 2 x 65536 x 1 blocks") != NULL);
  record->launches[0].block[0] = 1;
  at[1].value = "10";
  CHECK(attempt(&p, solve) == TG_OK);
  p.launch = 1;
  CHECK(attempt(&p, grid) == TG_OK && p.blocks == 390);
}

struct map_call {
  tg_context *ctx;
  const tg_record_arg *arg;
  const tg_record_values *values;
  tg_tensor_map out;
};
static void make_map(void *arg) {
  struct map_call *call = arg;
  tg_record_tensor_map(call->ctx, call->arg, call->values, &call->out);
}

struct text_call {
  tg_context *ctx;
  const char *text;
  size_t size;
  tg_kernel *kernel;
};
static void parse_text(void *arg) {
  struct text_call *call = arg;
  call->kernel = tg_parse(call->ctx, call->text, call->size, "text");
}

// What cuTensorMapEncodeTiled takes (CUDA Driver API): addresses and strides in multiples of 16 bytes, extents of 1 to 2^32.
static void tensor_maps(tg_context *ctx, tg_arena *arena, const tg_record *record) {
  static char memory[64] __attribute__((aligned(16)));
  tg_tensor tensor = {.name = "A", .data = memory};
  tg_dims dims = {.n = 3, .at = {{"M", 129, ""}, {"N", 32, ""}, {"E", 4, ""}}};
  const tg_record_values values = {.dims = &dims, .ntensors = 1, .tensors = &tensor};
  tg_record_arg arg = record->launches[1].args[1];
  struct map_call call = {ctx, &arg, &values, {0}};
  CHECK(tg_protect(ctx, make_map, &call) == TG_OK);
  const tg_tensor_map *m = &call.out;
  CHECK(m->address == (uint64_t)(uintptr_t)memory + 64 && m->rank == 2 && m->dtype == TG_E4M3 && m->swizzle == 128 && m->fill == 1);
  CHECK(m->dims[0] == 32 && m->dims[1] == 128 && m->strides_bytes[0] == 32);
  CHECK(m->box[0] == 128 && m->box[1] == 64 && m->element_strides[0] == 1 && m->element_strides[1] == 1);
  static const struct {
    int64_t rows, columns, shift;
    const char *said; // NULL: accepted
  } cases[] = {
      {2, 16, 0, NULL},
      {1, 16, 0, "extent of axis 1 is 0"},
      {2, 24, 0, "stride of axis 1 is 24"},
      {2, 0, 0, "extent of axis 0"},
      {2, 16, 8, "address of"},
      {((int64_t)1 << 32) + 1, 16, 0, NULL},
      {((int64_t)1 << 32) + 2, 16, 0, "extent of axis 1"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    dims.at[0].value = cases[i].rows, dims.at[1].value = cases[i].columns;
    tensor.data = memory + cases[i].shift;
    const tg_status status = tg_protect(ctx, make_map, &call);
    CHECKF((status == TG_OK) == !cases[i].said, "case %zu", i);
    if (cases[i].said) CHECKF(strstr(tg_error_message(ctx), cases[i].said) != NULL, "%s", tg_error_message(ctx));
  }
  tensor.data = memory, dims.at[0].value = 2, dims.at[1].value = 16;
  tg_arg_map *changed = tg_arg_map_copy(arena, arg.map);
  arg.map = changed;
  changed->box[0] = 256; // bytes, twice what the swizzle spans
  CHECK(tg_protect(ctx, make_map, &call) == TG_INVALID && strstr(tg_error_message(ctx), "the swizzle") != NULL);
  changed->swizzle = 0;
  CHECK(tg_protect(ctx, make_map, &call) == TG_OK);
  changed->box[0] = 24;
  CHECK(tg_protect(ctx, make_map, &call) == TG_INVALID);
  tensor.name = "B";
  changed->box[0] = 32;
  CHECK(tg_protect(ctx, make_map, &call) == TG_INVALID && strstr(tg_error_message(ctx), "'A', which no buffer") != NULL);
}

// The argument in text: printed, read, printed.
static void map_in_text(tg_context *ctx) {
  static const char text[] =
      "kernel k lane {\n  dim M, N\n  input A : e4m3[M, N]\n"
      "  launch k_0 (M) block (32, 1, 1) (%0 : ptr<param> = A.map0 of A e4m3 at (16) dims (N, M) strides (N) box (128, 64) "
      "steps (1, 1) swizzle 128 fill zero) {\n  }\n}\n";
  struct text_call call = {ctx, text, sizeof text - 1, NULL};
  CHECKF(tg_protect(ctx, parse_text, &call) == TG_OK, "%s", tg_error_message(ctx));
  if (!call.kernel) return;
  CHECKF(tg_verify(call.kernel) == TG_OK, "%s", tg_error_message(ctx));
  size_t n;
  CHECK_STR(tg_print(&ctx->arena, call.kernel, &n), text);
  tg_kernel *again = tg_kernel_clone(call.kernel);
  CHECK_STR(tg_print(&ctx->arena, again, &n), text);
  tg_kernel_free(again);
  tg_kernel_free(call.kernel);
}

int main(void) {
  tg_context *ctx;
  if (tg_context_new(NULL, &ctx) != TG_OK) return 1;
  tg_kernel *kernel = make_kernel(ctx);
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  tg_record *record = tg_record_make(&arena, kernel, "cpu");
  tg_kernel_free(kernel); // the record stands on its own
  round_trip(ctx, &arena, record);
  hostile(ctx, &arena, record);
  meta(ctx, &arena, record);
  preconditions(ctx, &arena);
  grids(ctx, &arena, record);
  tensor_maps(ctx, &arena, record);
  map_in_text(ctx);
  tg_arena_free(&arena);
  tg_context_free(ctx);
  return test_done();
}
