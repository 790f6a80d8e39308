// Library kernels that do more than stream through the simt lowering, executed by the warp interpreter, against the tile interpreter (which
// the oracles hold): routing, dispatch, attention. Both variants.
#include <math.h>

#include "codegen/codegen.h"
#include "oracle.h"
#include "simt/admit.h"
#include "simt/warp.h"
#include "targets/target.h"
#include "test.h"

static tg_context *ctx;
static const tg_machine *machine;

typedef struct value {
  const char *name;
  int64_t value;
} value;

typedef struct library_case {
  const char *kernel;
  tg_binding settings[6], statics[3];
  value dims[8];    // statics too
  double tolerance; // of the largest element; integers must be equal
  int warps;
} library_case;

static bool lookup(void *user, const char *name, int64_t *out) {
  const library_case *c = user;
  for (int i = 0; i < 8 && c->dims[i].name; i++)
    if (!strcmp(c->dims[i].name, name)) {
      *out = c->dims[i].value;
      return true;
    }
  return false;
}

static bool scalar(void *user, const char *name, double *out) {
  (void)user, (void)name;
  *out = 0.125;
  return true;
}

static int64_t dim(const library_case *c, const char *name) {
  int64_t n = 0;
  CHECKF(lookup((void *)(uintptr_t)c, name, &n), "%s has no %s", c->kernel, name);
  return n;
}

// Index tensors: every kind of content that kernels must take, what is out of range among it where they drop it.
static void fill_indices(const library_case *c, tg_tensor *t, oracle_random *random) {
  int32_t *x = t->data;
  int64_t n = (int64_t)(t->bytes / 4);
  for (int64_t i = 0; i < n; i++) {
    uint64_t r = oracle_next(random) >> 33;
    if (!strcmp(t->name, "idx")) x[i] = (int32_t)(r % 9) - 1;
    else if (!strcmp(t->name, "src")) x[i] = i % 5 == 4 ? -1 : (int32_t)(n - 1 - i);
    else if (!strcmp(t->name, "table")) x[i] = i % 7 == 5 ? -1 : (int32_t)(r % (uint64_t)dim(c, "P"));
    else if (!strcmp(t->name, "lens"))
      x[i] = (int32_t)(i == 0 ? 0 : i == 1 ? 64 * dim(c, "W") : (int64_t)(r % (uint64_t)(64 * dim(c, "W"))));
    else if (!strcmp(t->name, "cu")) x[i] = (int32_t)(i * dim(c, "T") / (n - 1));
    else x[i] = (int32_t)(r % 100);
  }
}

static void fill(const library_case *c, tg_tensor *t, oracle_random *random) {
  size_t size = tg_dtype_bytes(t->dtype, 1);
  if (t->dtype == TG_I32) {
    fill_indices(c, t, random);
    return;
  }
  for (size_t i = 0; i < t->bytes / size; i++) {
    uint64_t bits = tg_encode(t->dtype, oracle_normal(random), TG_ROUND_SAT);
    memcpy((char *)t->data + i * size, &bits, size);
  }
}

typedef struct run {
  const library_case *c;
  int variant;
  tg_kernel *tile, *lane;
  int n;
  tg_tensor want[16], got[16];
} run;

static void lower_body(void *arg) {
  run *r = arg;
  const library_case *c = r->c;
  tg_bindings settings = {0, c->settings}, statics = {0, c->statics};
  while (settings.n < 6 && c->settings[settings.n].name) settings.n++;
  while (statics.n < 3 && c->statics[statics.n].name) statics.n++;
  tg_source *source;
  if (tg_source_load(ctx, c->kernel, &source) || tg_source_trace(source, &settings, &statics, &r->tile)) tg_rethrow(ctx);
  tg_source_free(source);
  tg_run_passes(r->tile, "canonicalise,cse,licm,dce");
  char warps[8];
  snprintf(warps, sizeof warps, "%d", c->warps);
  tg_binding knob = {"warps", warps};
  tg_lower_options options = {.machine = machine, .settings = {c->warps ? 1 : 0, &knob}, .variant = r->variant};
  r->lane = tg_lowering_simt.lower(r->tile, &options);
  if (tg_verify(r->lane)) tg_rethrow(ctx);
}

static void make_tensors(run *r) {
  oracle_random random = {91};
  for (int i = 0; i < r->tile->nparams; i++) {
    const tg_param *p = &r->tile->params[i];
    if (p->kind == TG_SCALAR_PARAM) continue;
    tg_tensor *t = &r->want[r->n];
    int64_t n = 1;
    *t = (tg_tensor){.name = p->name, .dtype = (uint8_t)p->dtype, .rank = p->rank};
    for (int a = 0; a < p->rank; a++) {
      const char *missing = "";
      CHECKF(tg_e_eval(p->dims[a], lookup, (void *)(uintptr_t)r->c, &t->dim[a], &missing), "%s: %s", r->c->kernel, missing);
      n *= t->dim[a];
    }
    t->bytes = tg_dtype_bytes(p->dtype, n);
    t->data = aligned_alloc(64, t->bytes / 64 * 64 + 64);
    memset(t->data, p->flags & TG_PARAM_ZERO ? 0 : 0xff, t->bytes);
    if (p->kind == TG_INPUT) fill(r->c, t, &random);
    r->got[r->n] = *t;
    r->got[r->n].data = aligned_alloc(64, t->bytes / 64 * 64 + 64);
    memcpy(r->got[r->n++].data, t->data, t->bytes);
  }
}

static void interpret_body(void *arg) {
  run *r = arg;
  tg_interp_options all = {.only_launch = -1};
  tg_interpret(r->tile, r->n, r->want, lookup, (void *)(uintptr_t)r->c, scalar, NULL, &all);
}

static double element(const tg_tensor *t, int64_t i) {
  uint64_t bits = 0;
  size_t size = tg_dtype_bytes(t->dtype, 1);
  memcpy(&bits, (const char *)t->data + (size_t)i * size, size);
  return t->dtype == TG_I32 ? (double)(int32_t)bits : tg_decode(t->dtype, bits);
}

static void compare(const run *r, int which) {
  const tg_tensor *want = &r->want[which], *got = &r->got[which];
  int64_t n = (int64_t)(want->bytes / tg_dtype_bytes(want->dtype, 1));
  double largest = 0;
  for (int64_t i = 0; i < n; i++)
    if (isfinite(element(want, i))) largest = fmax(largest, fabs(element(want, i)));
  for (int64_t i = 0; i < n; i++) {
    double x = element(want, i), y = element(got, i);
    if (x == y || (isnan(x) && isnan(y)) || (want->dtype != TG_I32 && fabs(x - y) <= r->c->tolerance * largest)) continue;
    CHECKF(false, "%s, variant %d: %s[%lld] is %g, want %g", r->c->kernel, r->variant, want->name, (long long)i, y, x);
    break;
  }
  test_checks++;
}

static void check_case(const library_case *c, int variant) {
  run r = {.c = c, .variant = variant};
  CHECKF(tg_protect(ctx, lower_body, &r) == TG_OK, "%s: %s", c->kernel, tg_error_message(ctx));
  if (!r.lane) return;
  CHECKF(admitted(ctx, r.lane, lookup, c), "%s: variant %d does not take the shape", c->kernel, variant);
  make_tensors(&r);
  CHECKF(tg_protect(ctx, interpret_body, &r) == TG_OK, "%s: %s", c->kernel, tg_error_message(ctx));
  warp_job w = {.ntensors = r.n, .tensors = r.got, .lookup = lookup, .scalar = scalar, .user = (void *)(uintptr_t)c};
  bool good = warp_run(r.lane, &w);
  CHECKF(good, "%s, variant %d: %s", c->kernel, variant, w.error);
  for (int i = 0; i < r.n; i++) {
    if (good && tg_find_param(r.tile, r.want[i].name)->kind == TG_OUTPUT) compare(&r, i);
    free(r.want[i].data), free(r.got[i].data);
  }
  tg_kernel_free(r.lane), tg_kernel_free(r.tile);
}

static const library_case cases[] = {
    {"moe_gate", {{0}}, {{"E", "64"}}, {{"T", 5}, {"E", 64}}, 1e-5, 1},
    {"moe_gate", {{"BT", "4"}}, {{"E", "160"}}, {{"T", 5}, {"E", 160}}, 1e-5, 2},
    {"moe_gate", {{"score", "sqrt_softplus"}, {"groups", "1"}, {"topk_groups", "1"}}, {{"E", "48"}}, {{"T", 3}, {"E", 48}}, 1e-5, 0},
    {"moe_dispatch", {{"experts", "8"}, {"BS", "16"}, {"BH", "256"}}, {{0}}, {{"T", 8}, {"H", 40}, {"k", 3}}, 0, 1},
    {"moe_dispatch", {{"experts", "8"}, {"BS", "32"}, {"BH", "256"}}, {{0}}, {{"T", 28}, {"H", 264}, {"k", 2}}, 0, 2},
    {"moe_combine", {{"BH", "64"}}, {{"k", "3"}}, {{"T", 7}, {"H", 72}, {"k", 3}}, 1e-2, 2},
    {"mla_decode",
     {{"D", "64"}, {"R", "16"}, {"BM", "16"}, {"BK", "64"}, {"splits", "2"}},
     {{0}},
     {{"B", 3}, {"S", 1}, {"N", 6}, {"P", 6}, {"W", 3}},
     1e-2,
     2},
    {"mla_decode",
     {{"D", "128"}, {"R", "64"}, {"BM", "32"}, {"BK", "128"}, {"splits", "1"}},
     {{0}},
     {{"B", 2}, {"S", 3}, {"N", 4}, {"P", 7}, {"W", 3}},
     1e-2,
     4},
    {"mla_prefill",
     {{"BQ", "16"}, {"BK", "32"}},
     {{"Dqk", "48"}, {"Dv", "32"}},
     {{"T", 50}, {"N", 2}, {"B", 2}, {"Dqk", 48}, {"Dv", 32}},
     1e-2,
     2},
    {"mla_prefill",
     {{"BQ", "32"}, {"BK", "64"}},
     {{"Dqk", "64"}, {"Dv", "64"}},
     {{"T", 70}, {"N", 1}, {"B", 3}, {"Dqk", 64}, {"Dv", 64}},
     1e-2,
     4},
};

// Default settings, at which tiles are too large to be executed here in good time: they must lower.
static void test_defaults(void) {
  static const library_case defaults[] = {{"mla_decode", {{0}}, {{0}}, {{0}}, 0, 0},
                                          {"mla_prefill", {{0}}, {{"Dqk", "192"}, {"Dv", "128"}}, {{0}}, 0, 0},
                                          {"gemm_bf16", {{"BM", "128"}, {"BN", "128"}, {"BK", "64"}}, {{0}}, {{0}}, 0, 8}};
  for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
    for (int variant = 0; variant < 2; variant++) {
      run r = {.c = &defaults[i], .variant = variant};
      CHECKF(tg_protect(ctx, lower_body, &r) == TG_OK, "%s: %s", defaults[i].kernel, tg_error_message(ctx));
      if (r.lane) tg_kernel_free(r.lane);
      if (r.tile) tg_kernel_free(r.tile);
    }
}

int main(void) {
  tg_config config = {.root = ROOT_DIR};
  CHECK(tg_context_new(&config, &ctx) == TG_OK);
  const tg_family *family;
  machine = tg_target_find(ctx, "nvptx:sm_80", &family);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int variant = 0; variant < 2; variant++) check_case(&cases[i], variant);
  test_defaults();
  tg_context_free(ctx);
  return test_done();
}
