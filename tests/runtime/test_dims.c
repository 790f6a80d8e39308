// Dims solved from shapes, packed headers, statics and --shape, and the sentences when they disagree.
#include "targets/record.h"

#include "test.h"

enum { MAX_PARAMS = 8 };

struct problem {
  tg_context *ctx;
  tg_arena *arena;
  tg_record record;
  tg_record_param params[MAX_PARAMS];
  const char *symbols[8];
  int ntensors;
  tg_tensor tensors[MAX_PARAMS];
  tg_bindings shape;
  tg_dims dims;
};

static const tg_expr *expr(struct problem *p, const char *text) {
  const char *stopped;
  return tg_e_parse(p->arena, text, text + strlen(text), &stopped);
}

static tg_record_param *param(struct problem *p, const char *name, int dtype, const char *a, const char *b) {
  tg_record_param *param = &p->params[p->record.nparams++];
  *param = (tg_record_param){.name = name, .kind = TG_INPUT, .dtype = (uint8_t)dtype, .rank = b ? 2 : 1};
  param->dims[0] = expr(p, a);
  if (b) param->dims[1] = expr(p, b);
  return param;
}

static void tensor(struct problem *p, const char *name, int dtype, int rank, int64_t a, int64_t b) {
  size_t elements = (size_t)(a * (rank > 1 ? b : 1));
  p->tensors[p->ntensors++] =
      (tg_tensor){.name = name, .dtype = (uint8_t)dtype, .rank = rank, .dim = {a, b}, .bytes = elements * (size_t)tg_dtype_bits(dtype) / 8};
}

static struct problem problem(tg_context *ctx, tg_arena *arena, int nsymbols, const char *const *symbols) {
  struct problem p = {.ctx = ctx, .arena = arena};
  for (int i = 0; i < nsymbols; i++) p.symbols[i] = symbols[i];
  p.record = (tg_record){.arena = arena, .kernel = "k", .nsymbols = nsymbols};
  return p;
}

static void solve_body(void *arg) {
  struct problem *p = arg;
  p->record.symbols = p->symbols;
  p->record.params = p->params;
  tg_dims_solve(p->ctx, &p->record, p->ntensors, p->tensors, &p->shape, &p->dims);
}
static tg_status solve(struct problem *p) { return tg_protect(p->ctx, solve_body, p); }

static int64_t value(struct problem *p, const char *name) {
  int64_t v = -1;
  return tg_dims_lookup(&p->dims, name, &v) ? v : -1;
}

static bool says(struct problem *p, const char *a, const char *b, const char *c) {
  const char *message = tg_error_message(p->ctx);
  bool good = strstr(message, a) && strstr(message, b) && strstr(message, c);
  if (!good) fprintf(stderr, "message: %s\n", message);
  return good;
}

static struct problem gemm(tg_context *ctx, tg_arena *arena) { // scales first: their rounded shapes must not win over the exact ones
  struct problem p = problem(ctx, arena, 3, (const char *[]){"M", "N", "K"});
  param(&p, "As", TG_F32, "M", "ceildiv(K, 128)");
  param(&p, "A", TG_E4M3, "M", "K");
  param(&p, "B", TG_E4M3, "N", "K");
  param(&p, "C", TG_BF16, "M", "N")->kind = TG_OUTPUT;
  return p;
}

static void shapes(tg_context *ctx, tg_arena *arena) {
  struct problem p = gemm(ctx, arena);
  tensor(&p, "As", TG_F32, 2, 3, 2);
  tensor(&p, "A", TG_E4M3, 2, 3, 144);
  tensor(&p, "B", TG_E4M3, 2, 24, 144);
  CHECK(solve(&p) == TG_OK);
  CHECK(value(&p, "M") == 3 && value(&p, "N") == 24 && value(&p, "K") == 144);

  p = gemm(ctx, arena);
  tensor(&p, "As", TG_F32, 2, 3, 1); // ceil(144/128) = 2
  tensor(&p, "A", TG_E4M3, 2, 3, 144);
  CHECK(solve(&p) == TG_INVALID);
  CHECK(says(&p, "As's axis 1 is 1", "ceildiv(K, 128) = 2", "K = 144 from A's axis 1"));

  p = gemm(ctx, arena);
  tensor(&p, "A", TG_E4M3, 2, 3, 144);
  tensor(&p, "B", TG_E4M3, 2, 24, 160);
  CHECK(solve(&p) == TG_INVALID);
  CHECK(says(&p, "B's axis 1 is 160", "K = 144", "A's axis 1"));

  p = gemm(ctx, arena);
  tensor(&p, "A", TG_BF16, 2, 3, 144);
  CHECK(solve(&p) == TG_INVALID);
  CHECK(says(&p, "A holds bf16", "declares e4m3", ""));

  p = gemm(ctx, arena);
  tensor(&p, "A", TG_E4M3, 1, 3, 0);
  CHECK(solve(&p) == TG_INVALID);
  CHECK(says(&p, "A has shape [3]", "A[M, K]", "2 axes, not 1"));

  p = gemm(ctx, arena);
  tensor(&p, "A", TG_E4M3, 2, 3, 144);
  p.tensors[0].bytes--;
  CHECK(solve(&p) == TG_INVALID);
  CHECK(says(&p, "A of shape [3, 144]", "431 bytes", ""));

  p = gemm(ctx, arena);
  p.tensors[p.ntensors++] = (tg_tensor){.name = "A", .dtype = TG_E4M3, .rank = 2, .dim = {INT64_MAX, INT64_MAX}, .bytes = 1};
  CHECK(solve(&p) == TG_INVALID);

  p = gemm(ctx, arena); // empty tensors are shapes like any other
  tensor(&p, "A", TG_E4M3, 2, 0, 0);
  tensor(&p, "B", TG_E4M3, 2, 24, 0);
  CHECK(solve(&p) == TG_OK && value(&p, "M") == 0 && value(&p, "K") == 0 && value(&p, "N") == 24);
}

static void given(tg_context *ctx, tg_arena *arena) {
  struct problem p = gemm(ctx, arena);
  p.shape = (tg_bindings){3, (tg_binding[]){{"M", "1"}, {"N", "2"}, {"K", "3"}}};
  CHECK(solve(&p) == TG_OK && value(&p, "K") == 3);

  p = gemm(ctx, arena);
  tensor(&p, "A", TG_E4M3, 2, 3, 144);
  p.shape = (tg_bindings){1, (tg_binding[]){{"K", "128"}}};
  CHECK(solve(&p) == TG_INVALID);
  CHECK(says(&p, "K = 144 from A's axis 1", "--shape gives K = 128", ""));

  p.shape = (tg_bindings){1, (tg_binding[]){{"Z", "128"}}};
  CHECK(solve(&p) == TG_INVALID);
  CHECK(says(&p, "no dim 'Z'", "M, N, K", ""));
  static const char *const bad[] = {"-1", "1.5", "", "x", "99999999999999999999"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    p.shape = (tg_bindings){1, (tg_binding[]){{"N", bad[i]}}};
    CHECKF(solve(&p) == TG_INVALID, "%s", bad[i]);
  }

  p = gemm(ctx, arena); // only a rounded shape is known: the largest K, as the design has it, unless --shape knows better
  tensor(&p, "As", TG_F32, 2, 3, 2);
  CHECK(solve(&p) == TG_OK && value(&p, "K") == 256);
  p.shape = (tg_bindings){1, (tg_binding[]){{"K", "144"}}};
  CHECK(solve(&p) == TG_OK && value(&p, "K") == 144);
  p.shape = (tg_bindings){1, (tg_binding[]){{"K", "300"}}};
  CHECK(solve(&p) == TG_INVALID);

  p = gemm(ctx, arena);
  p.record.statics = (tg_bindings){1, (tg_binding[]){{"N", "576"}}};
  tensor(&p, "B", TG_E4M3, 2, 24, 16);
  CHECK(solve(&p) == TG_INVALID);
  CHECK(says(&p, "B's axis 0 is 24", "N = 576", "statics"));
}

static void expressions(tg_context *ctx, tg_arena *arena) {
  struct problem p = problem(ctx, arena, 4, (const char *[]){"T", "I", "E", "D"});
  param(&p, "G", TG_BF16, "T", "2 * I");
  param(&p, "offsets", TG_I32, "E + 1", NULL);
  param(&p, "X", TG_F32, "D + 64", "T * D");
  tensor(&p, "G", TG_BF16, 2, 5, 14);
  tensor(&p, "offsets", TG_I32, 1, 9, 0);
  tensor(&p, "X", TG_F32, 2, 576, 5 * 512);
  CHECK(solve(&p) == TG_OK);
  CHECK(value(&p, "I") == 7 && value(&p, "E") == 8 && value(&p, "D") == 512);
  p.tensors[0].dim[1] = 13; // no I gives 2*I = 13
  CHECK(solve(&p) == TG_INVALID);
  CHECK(says(&p, "G's axis 1 is 13", "2 * I", ""));
  p.tensors[0].dim[1] = 14;
  p.tensors[1].dim[0] = 0; // E = -1
  CHECK(solve(&p) == TG_INVALID);

  p = problem(ctx, arena, 2, (const char *[]){"A", "B"});
  param(&p, "X", TG_F32, "A * B", NULL);
  tensor(&p, "X", TG_F32, 1, 12, 0);
  CHECK(solve(&p) == TG_INVALID);
  CHECK(says(&p, "X's axis 0 is 12", "A * B", "--shape"));
  p.shape = (tg_bindings){1, (tg_binding[]){{"A", "3"}}};
  CHECK(solve(&p) == TG_OK && value(&p, "B") == 4);
}

static void packed(tg_context *ctx, tg_arena *arena) {
  int64_t header[8] = {0, 576, 144, 1, 1, 0, 0, 0};
  memcpy(header, "TGLPACK1", 8);
  struct problem p = problem(ctx, arena, 3, (const char *[]){"M", "N", "K"});
  param(&p, "A", TG_E4M3, "M", "K");
  tg_record_param *b = param(&p, "Bp", TG_E4M3, "64 + ceildiv(N, 32) * 32 * K", NULL);
  b->flags = TG_PARAM_PACKED;
  b->packed[0] = expr(&p, "N");
  b->packed[1] = expr(&p, "K");
  tensor(&p, "A", TG_E4M3, 2, 3, 144);
  tensor(&p, "Bp", TG_E4M3, 1, 64 + 576 * 144, 0);
  p.tensors[1].data = header;
  CHECK(solve(&p) == TG_OK && value(&p, "N") == 576);
  p.tensors[0].dim[1] = 160;
  p.tensors[0].bytes = 480;
  CHECK(solve(&p) == TG_INVALID);
  CHECK(says(&p, "A's axis 1 is 160", "K = 144", "Bp's pack header"));
  p.tensors[0].dim[1] = 144;
  p.tensors[1].dim[0]--; // shorter than its header says
  CHECK(solve(&p) == TG_INVALID);
  p.tensors[1].dim[0]++;
  static const int fields[] = {0, 1, 3, 4, 5, 6, 7};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    int64_t kept = header[fields[i]];
    header[fields[i]] = -7;
    CHECKF(solve(&p) == TG_INVALID, "header field %d", fields[i]);
    header[fields[i]] = kept;
  }
  header[1] = header[2] = INT64_MAX;
  CHECK(solve(&p) == TG_INVALID);
  p.tensors[1].bytes = 10;
  CHECK(solve(&p) == TG_INVALID);
}

// Packed weights where a kernel declares rows: the cure is a setting.
static void packed_as_rows(tg_context *ctx, tg_arena *arena) {
  int64_t header[8] = {0, 32, 1, 1, 1, 0, 0, 0};
  struct problem p = problem(ctx, arena, 2, (const char *[]){"N", "K"});
  param(&p, "B", TG_E4M3, "N", "K");
  tensor(&p, "B", TG_E4M3, 1, 64, 0);
  p.tensors[0].data = header;
  CHECK(solve(&p) == TG_INVALID);
  CHECK(!strstr(tg_error_message(ctx), "packed=1"));
  memcpy(header, "TGLPACK1", 8);
  CHECK(solve(&p) == TG_INVALID);
  CHECK(says(&p, "B has shape [64]", "pack_weights", "packed=1"));
}

// Several matrices: packed by themselves, or as one whose rows are all of theirs.
static void packed_experts(tg_context *ctx, tg_arena *arena) {
  int64_t header[8] = {0, 40, 144, 1, 1, 3, 0, 0};
  memcpy(header, "TGLPACK1", 8);
  struct problem p = problem(ctx, arena, 3, (const char *[]){"E", "N", "K"});
  tg_record_param *b = param(&p, "Bp", TG_E4M3, "64 + E * ceildiv(N, 32) * 32 * K", NULL);
  param(&p, "offsets", TG_I32, "E + 1", NULL);
  b->flags = TG_PARAM_PACKED;
  b->packed[0] = expr(&p, "N"), b->packed[1] = expr(&p, "K"), b->packed[2] = expr(&p, "E");
  tensor(&p, "Bp", TG_E4M3, 1, 64 + 3 * 64 * 144, 0);
  tensor(&p, "offsets", TG_I32, 1, 4, 0);
  p.tensors[0].data = header;
  CHECK(solve(&p) == TG_OK && value(&p, "N") == 40 && value(&p, "E") == 3);
  header[5] = 4;
  CHECK(solve(&p) == TG_INVALID);
  header[5] = -1;
  CHECK(solve(&p) == TG_INVALID);
  header[5] = 0, header[1] = 3 * 64;
  CHECK(solve(&p) == TG_OK && value(&p, "N") == 64 && value(&p, "E") == 3);
  header[1] = 3 * 40, p.tensors[0].dim[0] = 64 + 4 * 32 * 144;
  CHECK(solve(&p) == TG_INVALID);
  CHECK(says(&p, "Bp was packed as one matrix of 120 rows", "3 of 40 rows", "experts=3"));
  b->packed[2] = NULL, header[1] = 40, header[5] = 3;
  CHECK(solve(&p) == TG_INVALID);
  CHECK(says(&p, "3 packed matrices", "takes one", ""));
}

int main(void) {
  tg_context *ctx;
  if (tg_context_new(NULL, &ctx) != TG_OK) return 1;
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  shapes(ctx, &arena);
  given(ctx, &arena);
  expressions(ctx, &arena);
  packed(ctx, &arena);
  packed_as_rows(ctx, &arena);
  packed_experts(ctx, &arena);
  tg_arena_free(&arena);
  tg_context_free(ctx);
  return test_done();
}
