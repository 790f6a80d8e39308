// tegula-peer PEER: one competitor of the GEMM benchmark as a process that bench/run.py drives over a line protocol, so that OpenMP
// runtimes never mix and rounds can be interleaved.
//
//   peers     tegula:KERNEL[:P=V,…]    a library kernel, with these settings, else the database's config for the shape
//             blas:FILE                cblas_sgemm (cblas_sgemv for M = 1) of a library, weights ready in f32
//             dnnl:FILE                oneDNN's dnnl_sgemm, weights ready in f32; its threads are OpenMP's (OMP_NUM_THREADS)
//             mkl_fp8:FILE             MKL's cblas_gemm_e4m3e4m3f32 (no scales)
//             peak                     FMA in registers: the machine's f32 limit
//             peak_bf16                dots of bf16 pairs in registers, where the machine has them
//             stream                   reading memory far larger than the caches; its line reads seconds per GB
//   stdin     prepare M N K THREADS  ->  "ready" or "error WHY"
//             run R                  ->  "SECONDS": least of R runs; CPU time of the thread with one thread, wall time else
//             quit
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dlfcn.h>

#include "bench/gemm_host.h"

typedef void fp8_gemm(int order, int ta, int tb, int m, int n, int k, float alpha, const void *a, int lda, const void *b, int ldb,
                      float beta, float *c, int ldc);
// oneDNN, row-major: https://uxlfoundation.github.io/oneDNN/group_dnnl_api_blas.html
typedef int dnnl_gemm(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b,
                      int64_t ldb, float beta, float *c, int64_t ldc);

typedef struct {
  const char *kind, *kernel, *file; // "tegula", "blas", "dnnl", "mkl_fp8", "peak", "peak_bf16", "stream"
  tg_binding settings[16];
  int nsettings;
  bool packed; // among the settings
  tg_context *ctx;
  tg_device *device;
  tg_source *source;
  tg_launchable *launchable;
  tg_array *arrays[8];
  int narrays;
  host_blas blas;
  fp8_gemm *fp8;
  dnnl_gemm *dnnl;
  int64_t M, N, K;
  int threads;
  void *a, *b, *c; // raw operands of the other peers
} peer;

static tg_array *make_array(peer *p, const char *dtype, int rank, int64_t d0, int64_t d1, double scale) {
  tg_array *array;
  int64_t dim[2] = {d0, d1};
  if (tg_array_new(p->ctx, tg_dtype_find(dtype), rank, dim, &array)) return NULL;
  p->arrays[p->narrays++] = array;
  uint64_t seed = (uint64_t)p->narrays;
  int64_t n = d0 * (rank > 1 ? d1 : 1);
  if (scale > 0)
    for (int64_t i = 0; i < n; i++) tg_array_set(array, i, host_normal(&seed) * scale);
  return array;
}

static void fill_scales(tg_array *s) {
  uint64_t seed = 7;
  for (size_t i = 0; i < s->bytes / 4; i++) ((float *)s->data)[i] = 0.5f + (float)(host_random(&seed) >> 40) * 0x1p-24f;
}

static tg_status pack(peer *p, tg_array *b, tg_array **packed) {
  tg_source *source;
  tg_status status = tg_source_load(p->ctx, "pack_weights", &source);
  if (status) return status;
  tg_argument args[] = {{.name = "B", .array = b}, {.name = "Bp"}};
  status = tg_run(p->device, source, &(tg_run_options){0}, 2, args, true);
  tg_source_free(source);
  if (!status) *packed = p->arrays[p->narrays++] = args[1].array;
  return status;
}

static tg_status prepare_tegula(peer *p) {
  bool fp8 = !strcmp(p->kernel, "gemm_fp8");
  const char *dtype = fp8 ? "e4m3" : !strcmp(p->kernel, "gemm_bf16") ? "bf16" : "f32";
  int64_t blocks = (p->K + 127) / 128;
  tg_argument args[5] = {{.name = "A", .array = make_array(p, dtype, 2, p->M, p->K, 1)},
                         {.name = "B", .array = make_array(p, dtype, 2, p->N, p->K, 1)}};
  int n = 2;
  if (fp8) {
    args[n] = (tg_argument){.name = "As", .array = make_array(p, "f32", 2, p->M, blocks, 0)};
    fill_scales(args[n++].array);
    args[n] = (tg_argument){.name = "Bs", .array = make_array(p, "f32", 2, (p->N + 127) / 128, blocks, 0)};
    fill_scales(args[n++].array);
  }
  args[n++] = (tg_argument){.name = "C", .array = make_array(p, fp8 ? "bf16" : dtype, 2, p->M, p->N, 0)};
  tg_status status = p->packed ? pack(p, args[1].array, &args[1].array) : TG_OK;
  if (status) return status;
  return tg_prepare(p->device, p->source, &(tg_run_options){.settings = {p->nsettings, p->settings}, .threads = p->threads}, n, args,
                    &p->launchable);
}

static void release(peer *p) {
  tg_launchable_free(p->launchable);
  p->launchable = NULL;
  for (int i = 0; i < p->narrays; i++) tg_array_free(p->ctx, p->arrays[i]);
  p->narrays = 0;
  free(p->a), free(p->b), free(p->c);
  p->a = p->b = p->c = NULL;
}

static float *random_floats(int64_t n) {
  float *x = malloc(sizeof *x * (size_t)n);
  uint64_t seed = 3;
  for (int64_t i = 0; i < n; i++) x[i] = (float)(host_random(&seed) >> 40) * 0x1p-24f - 0.5f;
  return x;
}

static bool is_peak(const peer *p) { return !strncmp(p->kind, "peak", 4) || !strcmp(p->kind, "stream"); }

static const char *prepare(peer *p) {
  release(p);
  if (!strcmp(p->kind, "tegula")) return prepare_tegula(p) ? tg_error_message(p->ctx) : NULL;
  p->c = malloc(sizeof(float) * (size_t)(p->M * p->N));
  if (!p->dnnl) p->blas.set_threads(p->threads);
  if (p->dnnl || !strcmp(p->kind, "blas")) {
    p->a = random_floats(p->M * p->K);
    p->b = random_floats(p->N * p->K);
  } else {
    p->a = malloc((size_t)(p->M * p->K));
    p->b = malloc((size_t)(p->N * p->K));
    memset(p->a, 0x38, (size_t)(p->M * p->K)); // 1.0
    memset(p->b, 0x38, (size_t)(p->N * p->K));
  }
  return NULL;
}

// Ten independent chains of fused multiply-add in registers; prints seconds per 1e9 flop so that its line reads like the others'.
__attribute__((target("avx2,fma"))) static double peak_seconds_avx2(void) {
  typedef float v8 __attribute__((vector_size(32)));
  v8 x[10], a = {0.999f}, b = {1e-3f};
  for (int i = 0; i < 10; i++) x[i] = (v8){(float)i};
  const long rounds = 1000000;
  double start = host_cpu_seconds();
  for (long r = 0; r < rounds; r++)
    for (int i = 0; i < 10; i++) __asm__ volatile("vfmadd213ps %2, %1, %0" : "+x"(x[i]) : "x"(a), "x"(b));
  return (host_cpu_seconds() - start) / (double)rounds / 160 * 1e9;
}
__attribute__((target("avx512f"))) static double peak_seconds_avx512(void) {
  typedef float v16 __attribute__((vector_size(64)));
  v16 x[10], a = {0.999f}, b = {1e-3f};
  for (int i = 0; i < 10; i++) x[i] = (v16){(float)i};
  const long rounds = 1000000;
  double start = host_cpu_seconds();
  for (long r = 0; r < rounds; r++)
    for (int i = 0; i < 10; i++) __asm__ volatile("vfmadd213ps %2, %1, %0" : "+v"(x[i]) : "v"(a), "v"(b));
  return (host_cpu_seconds() - start) / (double)rounds / 320 * 1e9;
}

__attribute__((target("avx512f,avx512bf16"))) static double peak_seconds_bf16(void) {
  typedef float v16 __attribute__((vector_size(64)));
  v16 x[10], a = {0.999f}, b = {1e-3f};
  for (int i = 0; i < 10; i++) x[i] = (v16){(float)i};
  const long rounds = 1000000;
  double start = host_cpu_seconds();
  for (long r = 0; r < rounds; r++)
    for (int i = 0; i < 10; i++) __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(x[i]) : "v"(a), "v"(b));
  return (host_cpu_seconds() - start) / (double)rounds / 640 * 1e9;
}

enum { STREAM_BYTES = 256 << 20 };
typedef uint64_t words4 __attribute__((vector_size(32)));

// Sums a block that no cache holds, in eight chains of 32 bytes.
__attribute__((target("avx2"))) static uint64_t read_block(const words4 *block) {
  words4 sum[8] = {{0}};
  for (size_t i = 0; i < STREAM_BYTES / sizeof *block; i += 8)
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) sum[j] += block[i + (size_t)j];
  for (int j = 1; j < 8; j++) sum[0] += sum[j];
  return sum[0][0] + sum[0][1] + sum[0][2] + sum[0][3];
}

static double stream_seconds(void) {
  static words4 *block;
  static volatile uint64_t sink;
  if (!block) {
    block = aligned_alloc(64, STREAM_BYTES);
    if (!block) return 1e30;
    memset(block, 1, STREAM_BYTES);
  }
  double start = host_cpu_seconds();
  sink += read_block(block);
  return (host_cpu_seconds() - start) / STREAM_BYTES * 1e9;
}

static double run_once(peer *p) {
  if (!strcmp(p->kind, "stream")) return stream_seconds();
  if (!strcmp(p->kind, "peak_bf16")) return peak_seconds_bf16();
  if (!strcmp(p->kind, "peak")) return __builtin_cpu_supports("avx512f") ? peak_seconds_avx512() : peak_seconds_avx2();
  double wall = host_seconds(), cpu = host_cpu_seconds();
  if (p->launchable) {
    if (tg_launchable_run(p->launchable, 1, NULL)) return -1;
  } else if (p->dnnl) {
    p->dnnl('N', 'T', p->M, p->N, p->K, 1, p->a, p->K, p->b, p->K, 0, p->c, p->N);
  } else if (!strcmp(p->kind, "blas")) {
    host_blas_linear(&p->blas, p->M, p->N, p->K, p->a, p->b, p->c);
  } else {
    p->fp8(101, 111, 112, (int)p->M, (int)p->N, (int)p->K, 1, p->a, (int)p->K, p->b, (int)p->K, 0, p->c, (int)p->N);
  }
  return p->threads == 1 ? host_cpu_seconds() - cpu : host_seconds() - wall;
}

static void run(peer *p, int repeat) {
  double best = 1e30;
  for (int i = 0; i < repeat; i++) {
    double t = run_once(p);
    if (t < 0) {
      printf("error %s\n", tg_error_message(p->ctx));
      return;
    }
    if (t < best) best = t;
  }
  printf("%.9g\n", best);
}

static const char *read_settings(peer *p, char *list) {
  char *save = NULL;
  for (char *item = strtok_r(list, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
    char *equals = strchr(item, '=');
    if (!equals || p->nsettings == 16) return "settings are P=V,…";
    *equals = 0;
    p->settings[p->nsettings++] = (tg_binding){item, equals + 1};
    if (!strcmp(item, "packed") && !strcmp(equals + 1, "1")) p->packed = true;
  }
  return NULL;
}

static const char *open_peer(peer *p, char *word) {
  p->kind = strtok(word, ":");
  char *rest = strtok(NULL, ":"), *more = strtok(NULL, ":");
  if (!strcmp(p->kind, "peak_bf16") && !__builtin_cpu_supports("avx512bf16")) return "the processor has no AVX512_BF16";
  if (is_peak(p)) return NULL;
  if (!rest) return "the peer wants a kernel or a library after ':'";
  if (!strcmp(p->kind, "tegula")) {
    p->kernel = rest;
    const char *wrong = more ? read_settings(p, more) : NULL;
    if (wrong) return wrong;
    if (tg_context_new(NULL, &p->ctx)) return "out of memory";
    if (tg_device_open(p->ctx, "cpu", &p->device) || tg_source_load(p->ctx, rest, &p->source)) return tg_error_message(p->ctx);
    return NULL;
  }
  if (!strcmp(p->kind, "dnnl")) {
    void *library = dlopen(rest, RTLD_NOW | RTLD_LOCAL);
    if (library) *(void **)&p->dnnl = dlsym(library, "dnnl_sgemm");
    return p->dnnl ? NULL : "the library or its dnnl_sgemm was not found";
  }
  if (!host_blas_open(&p->blas, rest)) return "the library or its cblas_sgemm was not found";
  *(void **)&p->fp8 = dlsym(p->blas.library, "cblas_gemm_e4m3e4m3f32");
  return !strcmp(p->kind, "mkl_fp8") && !p->fp8 ? "the library has no cblas_gemm_e4m3e4m3f32" : NULL;
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: tegula-peer PEER\n");
    return 2;
  }
  static peer p;
  setvbuf(stdout, NULL, _IOLBF, 0);
  const char *why = open_peer(&p, argv[1]);
  char line[256];
  while (fgets(line, sizeof line, stdin)) {
    int repeat;
    if (!strncmp(line, "quit", 4)) break;
    if (is_peak(&p) && !strncmp(line, "prepare", 7)) { // nothing of a shape concerns it
      printf(why ? "error %s\n" : "ready\n", why);
    } else if (sscanf(line, "prepare %ld %ld %ld %d", &p.M, &p.N, &p.K, &p.threads) == 4) {
      const char *error = why ? why : prepare(&p);
      if (error) printf("error %s\n", error);
      else printf("ready\n");
    } else if (sscanf(line, "run %d", &repeat) == 1) {
      run(&p, repeat);
    } else {
      printf("error not understood\n");
    }
  }
  release(&p);
  tg_source_free(p.source);
  if (p.device) tg_device_close(p.device);
  tg_context_free(p.ctx);
  return 0;
}
