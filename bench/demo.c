// ./dev demo: one DeepSeek-V3 projection, y = x W^T with N = 7168, K = 2048, end to end: quantise activations and weights to block-scaled
// FP8, pack the weights, tune, run, check every element against a float64 oracle, time beside OpenBLAS sgemm on weights already in f32.
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/gemm_host.h"

enum { N = 7168, K = 2048, KB = K / 128, NB = N / 128, ROUNDS = 15 };
static const char *const devices = "cpu";

typedef struct {
  tg_context *ctx;
  tg_device *device;
  tg_source *quantize_rows, *quantize_blocks, *pack, *gemm;
  tg_array *W, *Wq, *Ws, *Wp; // weights: bf16, FP8 codes, block scales, packed
  float *W_f32;               // dequantised, for the peer
  host_blas blas;
  bool have_blas;
  int threads;
  double tuning; // seconds spent
} demo;

typedef struct turn {
  int64_t M;
  tg_launchable *launchable;
  const float *X; // activations in f32, for the peer
  float *C;       // its result
} turn;

static void must(demo *d, tg_status status) {
  if (!status) return;
  fprintf(stderr, "tegula: error: %s\n", tg_error_message(d->ctx));
  exit(status == TG_INVALID ? 2 : 1);
}

static tg_array *random_bf16(demo *d, int64_t rows, uint64_t seed, double scale) {
  tg_array *x;
  must(d, tg_array_new(d->ctx, tg_dtype_find("bf16"), 2, (int64_t[]){rows, K}, &x));
  uint16_t *p = x->data;
  for (int64_t i = 0; i < rows * K; i++) p[i] = host_to_bf16((float)(host_normal(&seed) * scale));
  return x;
}

// Runs a kernel with two outputs (codes, scales) or one.
static void quantise(demo *d, tg_source *kernel, tg_array *x, tg_array **q, tg_array **s) {
  tg_argument args[] = {{.name = "X", .array = x}, {.name = "Q"}, {.name = "S"}};
  must(d, tg_run(d->device, kernel, &(tg_run_options){.threads = d->threads}, 3, args, true));
  *q = args[1].array;
  *s = args[2].array;
}

static void prepare_weights(demo *d) {
  printf("weights   %d x %d bf16 -> e4m3 codes with 128x128 scales -> packed layout\n", N, K);
  d->W = random_bf16(d, N, 1, 0.02);
  quantise(d, d->quantize_blocks, d->W, &d->Wq, &d->Ws);
  tg_argument args[] = {{.name = "B", .array = d->Wq}, {.name = "Bp"}};
  must(d, tg_run(d->device, d->pack, &(tg_run_options){.threads = d->threads}, 2, args, true));
  d->Wp = args[1].array;
  d->W_f32 = malloc(sizeof(float) * N * K);
  const uint8_t *codes = d->Wq->data;
  const float *scales = d->Ws->data;
  for (int64_t n = 0; n < N; n++)
    for (int64_t k = 0; k < K; k++) d->W_f32[n * K + k] = (float)(host_e4m3(codes[n * K + k]) * (double)scales[n / 128 * KB + k / 128]);
}

static void show_progress(void *user, int done, int total, double best, double eta) {
  (void)user;
  if (isatty(2))
    fprintf(stderr, "\r\033[K  tuning: %d of %d, best %.3f ms, %.0f s left%s", done, total, 1e3 * best, eta,
            done == total ? "\r\033[K" : "");
}

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, int n) {
  qsort(values, (size_t)n, sizeof *values, compare_doubles);
  return values[n / 2];
}

static void run_ours(demo *d, const turn *t) { must(d, tg_launchable_run(t->launchable, 1, NULL)); }
static void run_theirs(demo *d, const turn *t) { host_blas_linear(&d->blas, t->M, N, K, t->X, d->W_f32, t->C); }

// Wall seconds of one run. Threads of a BLAS library spin for tens of milliseconds after a call and would take the CPUs from whoever is
// next: they are waited for, and a run that is not counted wakes one's own.
static double timed(demo *d, const turn *t, void (*run)(demo *d, const turn *t)) {
  nanosleep(&(struct timespec){.tv_nsec = 40000000}, NULL);
  run(d, t);
  double start = host_seconds();
  run(d, t);
  return host_seconds() - start;
}

// One M: quantise, tune, run, check, time. Returns false when an element is out of bounds.
static bool run_shape(demo *d, int64_t M, double budget) {
  tg_array *X = random_bf16(d, M, 2 + (uint64_t)M, 1), *Q, *S;
  quantise(d, d->quantize_rows, X, &Q, &S);
  char m[24];
  snprintf(m, sizeof m, "%lld", (long long)M);
  tg_binding shape[] = {{"M", m}, {"N", "7168"}, {"K", "2048"}}, packed[] = {{"packed", "1"}};
  char *json;
  double start = host_seconds();
  must(d, tg_tune(d->ctx, d->gemm,
                  &(tg_tune_options){.device = devices,
                                     .shape = {3, shape},
                                     .settings = {1, packed},
                                     .trials = 40,
                                     .threads = d->threads,
                                     .budget = budget,
                                     .progress = show_progress},
                  &json));
  tg_string_free(d->ctx, json);
  d->tuning += host_seconds() - start;

  tg_argument args[] = {
      {.name = "A", .array = Q}, {.name = "As", .array = S}, {.name = "B", .array = d->Wp}, {.name = "Bs", .array = d->Ws}, {.name = "C"}};
  must(d, tg_array_new(d->ctx, tg_dtype_find("bf16"), 2, (int64_t[]){M, N}, &args[4].array));
  tg_launchable *launchable;
  must(d, tg_prepare(d->device, d->gemm, &(tg_run_options){.settings = {1, packed}, .threads = d->threads}, 5, args, &launchable));
  float *Xf = malloc(sizeof(float) * (size_t)(M * K)), *Cf = malloc(sizeof(float) * (size_t)(M * N));
  for (int64_t i = 0; i < M * K; i++)
    Xf[i] = (float)(host_e4m3(((uint8_t *)Q->data)[i]) * (double)((float *)S->data)[i / K * KB + i % K / 128]);
  double ours[ROUNDS], theirs[ROUNDS];
  const turn in_turn = {M, launchable, Xf, Cf};
  for (int r = 0; r < ROUNDS; r++) {
    ours[r] = timed(d, &in_turn, run_ours);
    theirs[r] = d->have_blas ? timed(d, &in_turn, run_theirs) : 0;
  }
  must(d, tg_launchable_fetch(launchable));

  double *ref = malloc(sizeof(double) * (size_t)(M * N)), *mass = malloc(sizeof(double) * (size_t)(M * N));
  host_gemm_fp8(M, N, K, Q->data, S->data, d->Wq->data, d->Ws->data, ref, mass);
  double worst = host_worst(M * N, args[4].array->data, ref, mass), t = median(ours, ROUNDS), u = median(theirs, ROUNDS);
  double flop = 2.0 * (double)M * N * K;
  printf("%6lld  %9.3f ms %8.1f GFLOP/s %7.1f GB/s", (long long)M, 1e3 * t, 1e-9 * flop / t, 1e-9 * N * K / t);
  if (d->have_blas) printf("  %9.3f ms %8.1f GFLOP/s  %5.2fx", 1e3 * u, 1e-9 * flop / u, u / t);
  printf("  %.2f %s\n", worst, worst <= 1 ? "ok" : "WRONG");
  fflush(stdout);
  tg_launchable_free(launchable);
  free(Xf), free(Cf), free(ref), free(mass);
  tg_array_free(d->ctx, X), tg_array_free(d->ctx, Q), tg_array_free(d->ctx, S), tg_array_free(d->ctx, args[4].array);
  return worst <= 1;
}

static void log_line(void *user, tg_log_level level, const char *text) {
  (void)user;
  if (level == TG_LOG_WARNING) fprintf(stderr, "tegula: warning: %s\n", text);
}

static int usable_processors(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) ? (int)sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&set);
}

int main(int argc, char **argv) {
  demo d = {.threads = usable_processors()};
  double budget = argc > 1 ? atof(argv[1]) : 8;
  if (tg_context_new(&(tg_config){.log = log_line}, &d.ctx)) return 1;
  must(&d, tg_device_open(d.ctx, devices, &d.device));
  must(&d, tg_source_load(d.ctx, "quantize_rows", &d.quantize_rows));
  must(&d, tg_source_load(d.ctx, "quantize_blocks", &d.quantize_blocks));
  must(&d, tg_source_load(d.ctx, "pack_weights", &d.pack));
  must(&d, tg_source_load(d.ctx, "gemm_fp8", &d.gemm));
  const char *const libraries[] = {"libopenblas.so.0", "libopenblas.so", "libmkl_rt.so.2", NULL};
  for (int i = 0; libraries[i] && !d.have_blas; i++) d.have_blas = host_blas_open(&d.blas, libraries[i]);
  if (d.have_blas) d.blas.set_threads(d.threads);

  const tg_device_info *info;
  int n = tg_devices(d.ctx, &info);
  for (int i = 0; i < n; i++)
    if (!strcmp(info[i].name, devices)) printf("device    %s: %s\n", devices, info[i].description);
  prepare_weights(&d);
  printf("peer      %s, sgemm (sgemv for M = 1) on weights already in f32\n\n", d.have_blas ? d.blas.name : "none found");
  printf("     M  tegula gemm_fp8: median of %d  weights read%s  worst error / bound\n", ROUNDS,
         d.have_blas ? "  peer                       faster" : "");
  bool ok = true;
  const int64_t shapes[] = {1, 16, 128};
  for (int i = 0; i < 3; i++) ok &= run_shape(&d, shapes[i], budget);
  printf("\nbound     2^-8 |ref| + 2^-13 sum |a||b|, every element against a float64 oracle\n"
         "clock     wall time, each side in its turn after a pause and a run that is not counted\n"
         "tuning    %.0f s; what it found is kept, and serves from now on:\n"
         "          build/tegula bench gemm_fp8 --shape M=16,N=%d,K=%d --set packed=1\n",
         d.tuning, N, K);
  free(d.W_f32);
  tg_array_free(d.ctx, d.W), tg_array_free(d.ctx, d.Wq), tg_array_free(d.ctx, d.Ws), tg_array_free(d.ctx, d.Wp);
  tg_source_free(d.quantize_rows), tg_source_free(d.quantize_blocks), tg_source_free(d.pack), tg_source_free(d.gemm);
  tg_device_close(d.device);
  tg_context_free(d.ctx);
  return ok ? 0 : 1;
}
