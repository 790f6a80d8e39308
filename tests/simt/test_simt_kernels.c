// Library kernels through the simt lowering, executed by the warp interpreter, against the float64 oracles. The first variant runs where
// its preconditions hold, the last everywhere.
#include <math.h>

#include "codegen/codegen.h"
#include "oracle.h"
#include "simt/admit.h"
#include "simt/warp.h"
#include "targets/target.h"
#include "test.h"

static tg_context *ctx;
static const tg_machine *machine;

typedef struct dims {
  const char *name[4];
  int64_t value[4];
} dims;

static bool lookup(void *user, const char *name, int64_t *value) {
  const dims *d = user;
  for (int i = 0; i < 4 && d->name[i]; i++)
    if (!strcmp(d->name[i], name)) {
      *value = d->value[i];
      return true;
    }
  return false;
}

static bool scalar(void *user, const char *name, double *value) {
  (void)user;
  *value = 1e-6;
  return !strcmp(name, "eps");
}

typedef struct kernel_job {
  const char *name;
  tg_bindings settings;
  int variant, warps, stages; // 0: the lowering's choice
  tg_kernel *tile, *lane;
} kernel_job;

static void lower_body(void *arg) {
  kernel_job *j = arg;
  tg_source *source;
  tg_bindings none = {0};
  if (tg_source_load(ctx, j->name, &source) || tg_source_trace(source, &j->settings, &none, &j->tile)) tg_rethrow(ctx);
  tg_source_free(source);
  tg_run_passes(j->tile, "canonicalise,cse,licm,dce");
  char warps[8], stages[8];
  snprintf(warps, sizeof warps, "%d", j->warps);
  snprintf(stages, sizeof stages, "%d", j->stages);
  tg_binding knobs[2] = {{"warps", warps}, {"stages", stages}};
  const int from = j->warps ? 0 : 1, to = j->stages ? 2 : 1;
  tg_lower_options options = {.machine = machine, .settings = {to - from, knobs + from}, .variant = j->variant};
  j->lane = tg_lowering_simt.lower(j->tile, &options);
  tg_kernel_free(j->tile);
  if (tg_verify(j->lane)) tg_rethrow(ctx);
}

static int stages; // of the kernels that are lowered next

static tg_kernel *lower(const char *name, int n, const tg_binding *settings, int warps, int variant) {
  kernel_job j = {.name = name, .settings = {n, settings}, .warps = warps, .variant = variant, .stages = stages};
  CHECKF(tg_protect(ctx, lower_body, &j) == TG_OK, "%s: %s", name, tg_error_message(ctx));
  return j.lane;
}

static tg_tensor tensor(const char *name, const char *dtype, int rank, int64_t d0, int64_t d1) {
  tg_tensor t = {.name = name, .dtype = (uint8_t)tg_dtype_find(dtype), .rank = rank, .dim = {d0, d1}};
  t.bytes = tg_dtype_bytes(t.dtype, d0 * (rank > 1 ? d1 : 1));
  t.data = aligned_alloc(64, t.bytes / 64 * 64 + 64);
  memset(t.data, 0xff, t.bytes); // NaN in every float format
  return t;
}

static bool run(tg_kernel *lane, int n, tg_tensor *tensors, const dims *d, warp_job *w) {
  *w = (warp_job){.ntensors = n, .tensors = tensors, .lookup = lookup, .scalar = scalar, .user = (void *)(uintptr_t)d};
  bool good = warp_run(lane, w);
  CHECKF(good, "%s: %s", lane->name, w->error);
  return good;
}

static void check_gemm(int64_t M, int64_t N, int64_t K, int n, const tg_binding *settings, int warps, int variant) {
  dims d = {{"M", "N", "K"}, {M, N, K}};
  tg_kernel *lane = lower("gemm_bf16", n, settings, warps, variant);
  if (!lane) return;
  warp_job w;
  tg_tensor t[] = {tensor("A", "bf16", 2, M, K), tensor("B", "bf16", 2, N, K), tensor("C", "bf16", 2, M, N)};
  oracle_random random = {7};
  oracle_fill(ORACLE_BF16, &random, M * K, 1, t[0].data);
  oracle_fill(ORACLE_BF16, &random, N * K, 1, t[1].data);
  if (admitted(ctx, lane, lookup, &d) && run(lane, 3, t, &d, &w)) {
    double *C = malloc(sizeof *C * (size_t)(M * N + 1)), *sum = malloc(sizeof *sum * (size_t)(M * N + 1));
    oracle_gemm(ORACLE_BF16, M, N, K, t[0].data, NULL, t[1].data, NULL, C, sum);
    for (int64_t i = 0; i < M * N; i++) {
      double got = oracle_decode(ORACLE_BF16, t[2].data, i);
      CHECKF(fabs(got - C[i]) <= ldexp(fabs(C[i]), -8) + ldexp(sum[i], -13), "gemm %ldx%ldx%ld warps %d variant %d: C[%ld] is %g, want %g",
             M, N, K, warps, variant, i, got, C[i]);
    }
    if (M && N && K) CHECK(w.executed[TG_OP_MMA] > 0);
    free(C), free(sum);
  }
  for (int i = 0; i < 3; i++) free(t[i].data);
  tg_kernel_free(lane);
}

static void test_gemm(void) {
  static const int64_t shapes[][3] = {{1, 1, 1},    {3, 24, 16},  {17, 31, 40},   {65, 129, 0},
                                      {64, 64, 64}, {37, 53, 41}, {66, 136, 144}, {0, 8, 8}};
  static const tg_binding small[] = {{"BM", "16"}, {"BN", "32"}, {"BK", "64"}}, flat[] = {{"BM", "1"}, {"BN", "64"}, {"BK", "16"}},
                          odd[] = {{"BM", "32"}, {"BN", "192"}, {"BK", "32"}};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (int variant = 0; variant < 2; variant++) {
      int64_t M = shapes[i][0], N = shapes[i][1], K = shapes[i][2];
      check_gemm(M, N, K, 0, NULL, 0, variant);
      check_gemm(M, N, K, 3, small, 1, variant);
      check_gemm(M, N, K, 3, flat, 2, variant);
      check_gemm(M, N, K, 3, odd, 4, variant);
    }
}

// Products that sm_80 has no instruction for: f32 by multiplying and adding in lanes, scaled fp8 widened to bf16.
static void check_gemm_f32(int64_t M, int64_t N, int64_t K, int warps, int variant) {
  static const tg_binding tile[] = {{"BM", "8"}, {"BN", "32"}, {"BK", "16"}};
  dims d = {{"M", "N", "K"}, {M, N, K}};
  tg_kernel *lane = lower("gemm_f32", 3, tile, warps, variant);
  if (!lane) return;
  warp_job w;
  tg_tensor t[] = {tensor("A", "f32", 2, M, K), tensor("B", "f32", 2, N, K), tensor("C", "f32", 2, M, N)};
  oracle_random random = {13};
  oracle_fill(ORACLE_F32, &random, M * K, 1, t[0].data);
  oracle_fill(ORACLE_F32, &random, N * K, 1, t[1].data);
  if (admitted(ctx, lane, lookup, &d) && run(lane, 3, t, &d, &w)) {
    double *C = malloc(sizeof *C * (size_t)(M * N)), *sum = malloc(sizeof *sum * (size_t)(M * N));
    oracle_gemm(ORACLE_F32, M, N, K, t[0].data, NULL, t[1].data, NULL, C, sum);
    for (int64_t i = 0; i < M * N; i++) {
      double got = oracle_decode(ORACLE_F32, t[2].data, i);
      CHECKF(fabs(got - C[i]) <= ldexp(sum[i], -19), "gemm_f32 %ldx%ldx%ld variant %d: C[%ld] is %g, want %g", M, N, K, variant, i, got,
             C[i]);
    }
    CHECK(w.executed[TG_OP_MMA] == 0);
    free(C), free(sum);
  }
  for (int i = 0; i < 3; i++) free(t[i].data);
  tg_kernel_free(lane);
}

static void check_gemm_fp8(int64_t M, int64_t N, int64_t K, int warps, int variant) {
  static const tg_binding tile[] = {{"BM", "16"}, {"BN", "32"}};
  dims d = {{"M", "N", "K"}, {M, N, K}};
  tg_kernel *lane = lower("gemm_fp8", 2, tile, warps, variant);
  if (!lane) return;
  warp_job w;
  int64_t ks = (K + 127) / 128, ns = (N + 127) / 128;
  tg_tensor t[] = {tensor("A", "e4m3", 2, M, K), tensor("As", "f32", 2, M, ks), tensor("B", "e4m3", 2, N, K),
                   tensor("Bs", "f32", 2, ns, ks), tensor("C", "bf16", 2, M, N)};
  oracle_random random = {17};
  oracle_fill_codes(&random, M * K, t[0].data), oracle_fill_scales(&random, M * ks, t[1].data);
  oracle_fill_codes(&random, N * K, t[2].data), oracle_fill_scales(&random, ns * ks, t[3].data);
  if (admitted(ctx, lane, lookup, &d) && run(lane, 5, t, &d, &w)) {
    double *C = malloc(sizeof *C * (size_t)(M * N)), *sum = malloc(sizeof *sum * (size_t)(M * N));
    oracle_gemm(ORACLE_E4M3, M, N, K, t[0].data, t[1].data, t[2].data, t[3].data, C, sum);
    for (int64_t i = 0; i < M * N; i++) {
      double got = oracle_decode(ORACLE_BF16, t[4].data, i);
      CHECKF(fabs(got - C[i]) <= ldexp(fabs(C[i]), -8) + ldexp(sum[i], -13), "gemm_fp8 %ldx%ldx%ld variant %d: C[%ld] is %g, want %g", M, N,
             K, variant, i, got, C[i]);
    }
    CHECK(w.executed[TG_OP_MMA] > 0);
    free(C), free(sum);
  }
  for (int i = 0; i < 5; i++) free(t[i].data);
  tg_kernel_free(lane);
}

static void test_other_products(void) {
  for (int variant = 0; variant < 2; variant++) {
    check_gemm_f32(9, 40, 36, 1, variant);
    check_gemm_f32(17, 33, 19, 2, variant);
    check_gemm_fp8(17, 136, 272, 1, variant);
    check_gemm_fp8(3, 24, 16, 2, variant);
  }
}

static bool run_square(int64_t stage, const tg_binding *tile, int64_t M, int64_t N, int64_t K, int warps, warp_job *w) {
  dims d = {{"M", "N", "K"}, {M, N, K}};
  stages = (int)stage;
  tg_kernel *lane = lower("gemm_bf16", 3, tile, warps, 0);
  stages = 0;
  if (!lane) return false;
  tg_tensor t[] = {tensor("A", "bf16", 2, M, K), tensor("B", "bf16", 2, N, K), tensor("C", "bf16", 2, M, N)};
  bool good = run(lane, 3, t, &d, w);
  for (int i = 0; i < 3; i++) free(t[i].data);
  tg_kernel_free(lane);
  return good;
}

// Main-loop quality, on a full block. Straight from memory: every operand element is fetched once a lane, 16 bytes at a time, and not
// masked. Through shared memory: copies of 16 bytes, each element copied once a block, whole matrices from there, one barrier a trip.
static void test_gemm_instructions(void) {
  static const tg_binding tile[] = {{"BM", "32"}, {"BN", "32"}, {"BK", "32"}}, big[] = {{"BM", "64"}, {"BN", "64"}, {"BK", "32"}};
  warp_job w;
  if (run_square(1, tile, 32, 32, 64, 1, &w)) {
    CHECK(w.executed[TG_OP_MMA] == 2 * 2 * 4 * 2);              // trips x 32/16 x 32/8 x 32/16
    CHECK(w.executed[TG_OP_LLOAD] == 2 * 2 * 32 * 32 / 32 / 8); // trips x operands x elements / lanes / 8 a load
    CHECK(w.executed[TG_OP_LOADM] == 0 && w.executed[TG_OP_STOREM] == 0);
    CHECK(w.executed[TG_OP_LSTORE] == 32 * 32 / 32 / 8); // 16 bytes each
    CHECK(w.executed[TG_OP_SHFL] == 0 && w.executed[TG_OP_BARRIER] == 0);
  }
  for (int slots = 2; slots <= 4; slots++)
    if (run_square(slots, big, 64, 64, 5 * 32, 4, &w)) {
      CHECK(w.executed[TG_OP_MMA] == 5 * 2 * 4 * 2);                  // trips x 32/16 x 32/8 x 32/16 of a warp
      CHECK(w.executed[TG_OP_LDMATRIX] == 5 * 2 * (2 + 2));           // trips x k x (rows/16 + columns/16)
      CHECK(w.executed[TG_OP_CP_ASYNC] == 5 * 2 * 64 * 32 / 8 / 128); // trips x operands x units of 16 bytes / threads
      CHECK(w.executed[TG_OP_BARRIER] == 5 + 1);
      CHECK(w.executed[TG_OP_LLOAD] == 0 && w.executed[TG_OP_LOADM] == 0 && w.executed[TG_OP_STOREM] == 0);
    }
}

// Rings of every length, for folds of no trip to more than fill them, the last whole or not.
static void test_rings(void) {
  static const tg_binding tile[] = {{"BM", "32"}, {"BN", "64"}, {"BK", "32"}}, wide[] = {{"BM", "16"}, {"BN", "192"}, {"BK", "64"}};
  static const int64_t depths[] = {0, 8, 32, 40, 64, 72, 128, 160, 200};
  for (stages = 2; stages <= 4; stages++)
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
      check_gemm(32, 64, depths[i], 3, tile, 2, 0);
      check_gemm(33, 72, depths[i], 3, tile, 4, 0);
      check_gemm(20, 192, depths[i], 3, wide, 8, 0);
    }
  stages = 0;
}

static void check_rmsnorm(int64_t T, int64_t H, int n, const tg_binding *settings, int warps, int variant) {
  dims d = {{"T", "H"}, {T, H}};
  tg_kernel *lane = lower("rmsnorm", n, settings, warps, variant);
  if (!lane) return;
  warp_job w;
  tg_tensor t[] = {tensor("X", "bf16", 2, T, H), tensor("W", "bf16", 1, H, 0), tensor("O", "bf16", 2, T, H)};
  oracle_random random = {11};
  oracle_fill(ORACLE_BF16, &random, T * H, 1, t[0].data);
  oracle_fill(ORACLE_BF16, &random, H, 1, t[1].data);
  if (admitted(ctx, lane, lookup, &d) && run(lane, 3, t, &d, &w)) {
    double *O = malloc(sizeof *O * (size_t)(T * H + 1));
    oracle_rmsnorm(ORACLE_BF16, T, H, 1e-6, t[0].data, t[1].data, O);
    for (int64_t i = 0; i < T * H; i++) {
      double got = oracle_decode(ORACLE_BF16, t[2].data, i);
      CHECKF(fabs(got - O[i]) <= ldexp(fabs(O[i]), -8) + 1e-30, "rmsnorm %ldx%ld warps %d variant %d: O[%ld] is %g, want %g", T, H, warps,
             variant, i, got, O[i]);
    }
    free(O);
  }
  for (int i = 0; i < 3; i++) free(t[i].data);
  tg_kernel_free(lane);
}

static void test_rmsnorm(void) {
  static const int64_t shapes[][2] = {{1, 1}, {3, 128}, {17, 576}, {3, 1000}, {0, 64}};
  static const tg_binding rows[] = {{"BM", "4"}, {"BH", "64"}};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (int variant = 0; variant < 2; variant++) {
      check_rmsnorm(shapes[i][0], shapes[i][1], 0, NULL, 0, variant);
      check_rmsnorm(shapes[i][0], shapes[i][1], 2, rows, 1, variant);
      check_rmsnorm(shapes[i][0], shapes[i][1], 0, NULL, 4, variant); // sums across warps
    }
}

// A NaN reaches its own row alone (rmsnorm), its own row and column alone (gemm).
static void test_nan(void) {
  dims d = {{"M", "N", "K"}, {20, 20, 20}};
  tg_kernel *lane = lower("gemm_bf16", 0, NULL, 0, 1);
  if (!lane) return;
  tg_tensor t[] = {tensor("A", "bf16", 2, 20, 20), tensor("B", "bf16", 2, 20, 20), tensor("C", "bf16", 2, 20, 20)};
  oracle_random random = {5};
  oracle_fill(ORACLE_BF16, &random, 400, 1, t[0].data);
  oracle_fill(ORACLE_BF16, &random, 400, 1, t[1].data);
  ((uint16_t *)t[0].data)[7 * 20 + 3] = 0x7fc0;
  ((uint16_t *)t[1].data)[11 * 20 + 19] = 0xff80; // -Inf
  warp_job w;
  if (run(lane, 3, t, &d, &w))
    for (int i = 0; i < 400; i++) CHECK(isfinite(oracle_decode(ORACLE_BF16, t[2].data, i)) == (i / 20 != 7 && i % 20 != 11));
  for (int i = 0; i < 3; i++) free(t[i].data);
  tg_kernel_free(lane);
}

static void test_quantize(void) {
  for (int variant = 0; variant < 2; variant++)
    for (int warps = 1; warps <= 4; warps *= 4) {
      int64_t N = 130, K = 144, SN = 2, SK = 2;
      dims d = {{"N", "K"}, {N, K}};
      tg_kernel *lane = lower("quantize_blocks", 0, NULL, warps * 2, variant);
      if (!lane) return;
      warp_job w;
      tg_tensor t[] = {tensor("X", "bf16", 2, N, K), tensor("Q", "e4m3", 2, N, K), tensor("S", "f32", 2, SN, SK)};
      oracle_random random = {3};
      oracle_fill(ORACLE_BF16, &random, N * K, 1, t[0].data);
      double *X = malloc(sizeof *X * (size_t)(N * K)), S[4];
      oracle_widen(ORACLE_BF16, N * K, t[0].data, X);
      oracle_scales(N, K, 128, false, X, S);
      if (admitted(ctx, lane, lookup, &d) && run(lane, 3, t, &d, &w)) {
        for (int i = 0; i < 4; i++) CHECK(fabs(((float *)t[2].data)[i] - S[i]) <= ldexp(S[i], -23));
        for (int64_t i = 0; i < N * K; i++) { // at most the neighbouring code, where the f32 quotient rounds the other way
          double q = X[i] / S[i / K / 128 * SK + i % K / 128];
          CHECK(abs(oracle_e4m3_order(((uint8_t *)t[1].data)[i]) - oracle_e4m3_order(oracle_to_e4m3(q))) <= 1);
        }
      }
      free(X);
      for (int i = 0; i < 3; i++) free(t[i].data);
      tg_kernel_free(lane);
    }
}

int main(void) {
  tg_config config = {.root = ROOT_DIR};
  CHECK(tg_context_new(&config, &ctx) == TG_OK);
  const tg_family *family;
  machine = tg_target_find(ctx, "nvptx:sm_80", &family);
  test_gemm();
  test_gemm_instructions();
  test_rings();
  test_other_products();
  test_rmsnorm();
  test_nan();
  test_quantize();
  tg_context_free(ctx);
  return test_done();
}
