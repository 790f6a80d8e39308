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
             (tg_arg[]){{"A", TG_ARG_POINTER, TG_I64, NULL},
                        {"P", TG_ARG_POINTER, TG_I64, NULL},
                        {"N", TG_ARG_SCALAR, TG_I64, n},
                        {"A.stride0", TG_ARG_SCALAR, TG_I64, n},
                        {"eps", TG_ARG_SCALAR, TG_F32, NULL}});
  add_launch(kernel, "scale_1", 4, (const char *[]){"M", "1", "2", "3"}, 1, (tg_arg[]){{"C", TG_ARG_POINTER, TG_I64, NULL}});
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
}

// Every truncation and every changed byte is either refused or read: no crash, no read out of bounds (the sanitizer build looks).
static void hostile(tg_context *ctx, tg_arena *arena, const tg_record *record) {
  size_t size;
  char *json = tg_record_to_json(arena, record, &size);
  char *copy = malloc(size + 1);
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
                    "\"static_shared_bytes\":0,\"args\":[{\"name\":\"C\",\"kind\":\"pointer\",\"dtype\":\"f32\"}]}]}\n");
  const tg_binding at[] = {{"M", "129"}, {"N", "32"}};
  p.shape = &(tg_bindings){2, at};
  CHECK(attempt(&p, make_meta) == TG_OK);
  CHECK(strstr(p.meta, "\"bytes\":48,\"init\":\"zero\"") != NULL); // 4 * ceil(129/64) * 4
  CHECK(strstr(p.meta, "\"bytes\":194,") != NULL);                 // 129*3 codes, two a byte
  CHECK(strstr(p.meta, "\"grid\":[3,32,1]") != NULL && strstr(p.meta, "\"grid\":[129,1,6]") != NULL);
  CHECK(strstr(p.meta, "\"A.stride0\",\"kind\":\"scalar\",\"dtype\":\"i64\",\"value\":32}") != NULL);
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
  tg_arena_free(&arena);
  tg_context_free(ctx);
  return test_done();
}
