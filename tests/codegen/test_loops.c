// What the loops lowering makes of every kind of op, on the cpu device, against the interpreter, which executes the tile IR op by op and
// shares no code with it. The kernels lie in tests/codegen/loops/; shapes are such that every axis has whole vectors, a rest, or nothing.
#include <math.h>

#include "oracle.h"
#include "tegula/tegula.h"
#include "test.h"

typedef struct sample {
  const char *file, *settings; // settings: "BM=1" or ""
  int64_t M, N, K;             // K also binds P
  double tolerance;            // of f32 and bf16 results, relative to 1 + |want|
} sample;

static const sample samples[] = {
    {"transpose", "", 33, 50, 0, 0},        {"transpose", "", 5, 3, 0, 0},          {"reshape", "", 9, 100, 0, 1e-6},
    {"reshape", "", 4, 64, 0, 1e-6},        {"reduce", "", 16, 32, 0, 1e-5},        {"reduce", "", 21, 75, 0, 1e-5},
    {"reduce", "", 3, 5, 0, 1e-5},          {"gather", "", 19, 45, 7, 0},           {"gather", "", 1, 1, 1, 0},
    {"carried", "", 7, 40, 0, 1e-4},        {"carried", "", 4, 0, 0, 1e-4},         {"control", "", 5, 70, 0, 1e-5},
    {"control", "", 2, 1, 0, 1e-5},         {"causal", "", 9, 100, 0, 1e-6},        {"causal", "", 9, 5, 0, 1e-6},
    {"inplace", "", 16, 0, 0, 1e-6},        {"inplace", "", 21, 0, 0, 1e-6},        {"attention", "", 33, 50, 0, 1e-4},
    {"attention", "BM=1", 3, 17, 0, 1e-4},  {"attention", "BM=4", 6, 16, 0, 1e-4},  {"dots", "", 37, 70, 83, 1e-4},
    {"dots", "BM=2", 3, 45, 40, 1e-4},      {"dots", "BM=48", 100, 200, 300, 1e-4}, {"dots", "BN=8", 16, 8, 16, 1e-4},
    {"scaled", "", 33, 130, 200, 1e-4},     {"scaled", "BM=4", 5, 70, 144, 1e-4},   {"scaled", "BN=32", 16, 64, 64, 1e-4},
    {"pairs", "", 5, 32, 0, 1e-5},          {"pairs", "", 2, 20, 0, 1e-5},          {"codes", "", 7, 147, 203, 1e-4},
    {"codes", "BM=1", 2, 64, 256, 1e-4},    {"codes", "BM=2", 3, 33, 40, 1e-4},     {"far", "", 19, 12, 0, 0},
    {"operands", "", 33, 50, 0, 2e-2},      {"operands", "BM=4", 7, 64, 0, 2e-2},   {"operands", "BN=1", 17, 5, 0, 2e-2},
    {"operands", "BN=32", 40, 33, 0, 2e-2},
};

static tg_context *ctx;
static bool good(tg_status status) { // a failed check when not
  CHECKF(status == TG_OK, "%s", tg_error_message(ctx));
  return status == TG_OK;
}

static int64_t dim_value(const sample *s, const char *name) {
  if (!strcmp(name, "M")) return s->M;
  return !strcmp(name, "N") ? s->N : s->K;
}

// Dims of the kernels here are letters, constants and letter-by-constant forms, which printing and evaluating by hand would repeat; the
// arrays are therefore made from the shape by running the expression printer's text through a tiny evaluator of "X", "12" and "ceildiv(X,
// 12)".
static int64_t evaluate(const sample *s, const tg_expr *e) {
  char text[128], name[64];
  long long divisor;
  int64_t constant;
  if (tg_expr_is_const(e, &constant)) return constant;
  tg_expr_print(e, text, sizeof text);
  if (sscanf(text, "ceildiv(%63[A-Z], %lld)", name, &divisor) == 2) return (dim_value(s, name) + divisor - 1) / divisor;
  return dim_value(s, text);
}

static void fill(tg_array *a, const char *name, const sample *s, oracle_random *random) {
  int64_t n = 1;
  for (int d = 0; d < a->rank; d++) n *= a->dim[d];
  for (int64_t i = 0; i < n; i++) {
    double v = oracle_normal(random);
    if (!tg_dtype_is_float(a->dtype)) v = (double)(int64_t)(oracle_next(random) % 21) - 10;
    if (!strcmp(name, "I") && !strcmp(s->file, "gather"))
      v = (double)(int64_t)(oracle_next(random) % (uint64_t)(s->K + 2)) - 1; // some outside
    if (!strcmp(name, "L")) v = (double)(int64_t)(oracle_next(random) % 30);
    if (name[1] == 's') v = fabs(v) + 0.1;
    tg_array_set(a, i, v);
  }
}

static void compare(const sample *s, const char *name, const tg_array *got, const tg_array *want) {
  int64_t n = 1, bad = 0, at = 0;
  for (int d = 0; d < want->rank; d++) n *= want->dim[d];
  for (int64_t i = 0; i < n; i++) {
    double g = tg_array_get(got, i), w = tg_array_get(want, i), tolerance = s->tolerance;
    if (!strcmp(tg_dtype_name(want->dtype), "bf16")) tolerance += 0x1p-8;
    if (!tg_dtype_is_float(want->dtype)) tolerance = 0;
    if ((isnan(g) && isnan(w)) || fabs(g - w) <= tolerance * (1 + fabs(w))) continue;
    if (!bad++) at = i;
  }
  CHECKF(!bad, "%s M=%lld N=%lld K=%lld %s: %lld of %lld elements of %s differ, first %lld: %g, not %g", s->file, (long long)s->M,
         (long long)s->N, (long long)s->K, s->settings, (long long)bad, (long long)n, name, (long long)at, tg_array_get(got, at),
         tg_array_get(want, at));
}

enum { MAX_ARGS = 8 };
typedef struct run {
  int n;
  tg_argument args[MAX_ARGS];
} run;

static bool prepare(tg_source *source, const tg_bindings *settings, const sample *s, run *r) {
  tg_kernel *signature;
  const tg_param *params;
  if (!good(tg_source_signature(source, settings, &signature))) return false;
  r->n = tg_kernel_params(signature, &params);
  oracle_random random = {42};
  for (int i = 0; i < r->n; i++) {
    int64_t dim[TG_MAX_RANK];
    for (int d = 0; d < params[i].rank; d++) dim[d] = evaluate(s, params[i].dims[d]);
    r->args[i] = (tg_argument){.name = params[i].name};
    if (!good(tg_array_new(ctx, params[i].dtype, params[i].rank, dim, &r->args[i].array))) return false;
    if (params[i].kind != TG_OUTPUT) fill(r->args[i].array, params[i].name, s, &random);
  }
  return true;
}

static void release(run *r) {
  for (int i = 0; i < r->n; i++)
    if (r->args[i].array) tg_array_free(ctx, r->args[i].array);
}

static void try(tg_device *cpu, tg_device *interp, const sample *s) {
  char path[1024], name[64] = "", value[64] = "";
  snprintf(path, sizeof path, TESTS_DIR "/codegen/loops/%s.lua", s->file);
  sscanf(s->settings, "%63[A-Z]=%63s", name, value);
  tg_binding setting = {name, value};
  tg_run_options options = {.settings = {*s->settings ? 1 : 0, &setting}, .threads = 1};
  tg_source *source;
  if (!good(tg_source_load(ctx, path, &source))) return;
  run got = {0}, want = {0};
  if (prepare(source, &options.settings, s, &got) && prepare(source, &options.settings, s, &want) &&
      good(tg_run(cpu, source, &options, got.n, got.args, false)) && good(tg_run(interp, source, &options, want.n, want.args, false)))
    for (int i = 0; i < got.n; i++) compare(s, got.args[i].name, got.args[i].array, want.args[i].array);
  release(&got);
  release(&want);
  tg_source_free(source);
}

int main(void) {
  tg_config config = {.root = ROOT_DIR, .worker = BUILD_DIR "/tegula-worker"};
  if (tg_context_new(&config, &ctx)) return 1;
  tg_device *cpu, *interp;
  if (good(tg_device_open(ctx, "cpu", &cpu)) && good(tg_device_open(ctx, "interp", &interp))) {
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) try(cpu, interp, &samples[i]);
    tg_device_close(cpu);
    tg_device_close(interp);
  }
  tg_context_free(ctx);
  return test_done();
}
