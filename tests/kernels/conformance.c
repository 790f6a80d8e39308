#include "conformance.h"

#include "targets/target.h"
#include "test.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

static tg_context *ctx;
static tg_device *device;
static const char *device_name;
static char directory[32];
static oracle_random randomness;
static int refused; // runs for whose tiles the device has no room

static void check_status(const char *what, tg_status status) { CHECKF(status == TG_OK, "%s: %s", what, tg_error_message(ctx)); }

void conformance_open(const char *name) {
  mallopt(M_PERTURB, 0x80); // fresh memory is full of 0x7f: NaN as e4m3, huge as anything wider
  strcpy(directory, "/tmp/tegula-conformance-XXXXXX");
  CHECK(mkdtemp(directory) != NULL);
  static char database[128];
  snprintf(database, sizeof database, "%s/database.jsonl", directory);
  const tg_config config = {.root = ROOT_DIR, .cache_dir = directory, .database = database, .worker = BUILD_DIR "/tegula-worker"};
  if (tg_context_new(&config, &ctx)) abort();
  check_status("open", tg_device_open(ctx, name, &device));
  if (!device) exit(test_done());
  device_name = name;
}

void conformance_machine(const char *file, const char *name) {
  check_status(file, tg_machine_load(ctx, file));
  device->target = name;
}

// ---- arrays between pages that cannot be touched

enum { PAGE = 4096, MOST_GUARDED = 64 };
static struct guarded {
  char *memory, *map;
  size_t size;
} guarded[MOST_GUARDED];
static bool guarded_at_end;

static void *guarded_alloc(tg_device *d, size_t bytes) {
  (void)d;
  const size_t room = (bytes + PAGE - 1) / PAGE * PAGE;
  struct guarded *g = guarded;
  while (g->memory) g++;
  g->size = room + 2 * PAGE;
  g->map = mmap(NULL, g->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (g->map == MAP_FAILED || mprotect(g->map + PAGE, room, PROT_READ | PROT_WRITE)) abort();
  memset(g->map + PAGE, 0x7f, room);
  return g->memory = g->map + PAGE + (guarded_at_end ? room - bytes : 0);
}

static void guarded_free(tg_device *d, void *memory) {
  (void)d;
  struct guarded *g = guarded;
  while (g->memory != memory) g++;
  munmap(g->map, g->size);
  g->memory = NULL;
}

void conformance_guard(bool at_end) {
  static tg_driver driver;
  driver = *device->driver;
  driver.alloc = guarded_alloc, driver.free = guarded_free;
  guarded_at_end = at_end;
  device->driver = &driver;
}

// ---- running

typedef struct loaded {
  const char *kernel;
  tg_source *source;
} loaded;
static loaded sources[64];

static tg_source *source_of(const char *kernel) {
  int i = 0;
  for (; sources[i].kernel; i++)
    if (!strcmp(sources[i].kernel, kernel)) return sources[i].source;
  sources[i].kernel = kernel;
  check_status(kernel, tg_source_load(ctx, kernel, &sources[i].source));
  if (!sources[i].source) exit(test_done());
  return sources[i].source;
}

int conformance_close(void) {
  for (int i = 0; sources[i].kernel; i++) tg_source_free(sources[i].source);
  memset(sources, 0, sizeof sources);
  tg_device_close(device);
  tg_context_free(ctx);
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", directory);
  CHECK(system(command) == 0);
  if (refused) printf("%d runs were refused for the size of their tiles; ", refused);
  return test_done();
}

// "BM=1,BN=32" to bindings; the text is kept in `room`.
static tg_bindings parse_settings(const char *settings, char *room, size_t size, tg_binding *at) {
  tg_bindings b = {0, at};
  snprintf(room, size, "%s", settings);
  for (char *save, *item = strtok_r(room, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
    char *equals = strchr(item, '=');
    *equals = 0;
    at[b.n++] = (tg_binding){item, equals + 1};
  }
  return b;
}

static bool run(const char *kernel, const char *settings, int threads, int nargs, tg_argument *args) {
  char room[128];
  tg_binding at[8];
  const tg_run_options options = {.settings = parse_settings(settings, room, sizeof room, at), .threads = threads};
  const tg_status status = tg_run(device, source_of(kernel), &options, nargs, args, false);
  if (status == TG_INVALID && *settings && strstr(tg_error_message(ctx), "choose smaller tiles")) { // of a GPU, which says so
    refused++;
    return false;
  }
  CHECKF(status == TG_OK, "%s [%s] on %s: %s", kernel, settings, device_name, tg_error_message(ctx));
  return status == TG_OK;
}

bool conform_run(const char *kernel, const char *settings, int threads, int nargs, tg_argument *args) {
  return run(kernel, settings, threads, nargs, args);
}

tg_array *conform_array(const char *dtype, int rank, const int64_t *dims) {
  tg_array *a = NULL;
  check_status("array", tg_array_new(ctx, tg_dtype_find(dtype), rank, dims, &a));
  if (!a) exit(test_done());
  return a;
}

static tg_array *array_of(const char *dtype, int rank, int64_t d0, int64_t d1) { return conform_array(dtype, rank, (int64_t[]){d0, d1}); }

void conform_free(int n, tg_array *const *arrays) {
  for (int i = 0; i < n; i++) tg_array_free(ctx, arrays[i]);
}

const char *conform_device(void) { return device_name; }

static int64_t blocks(int64_t n) { return (n + 127) / 128; }

// ---- judging

// Elements of an output as doubles, by the oracle's decoders.
static double element(const tg_array *a, int64_t i) {
  const char *name = tg_dtype_name(a->dtype);
  return oracle_decode(!strcmp(name, "f32") ? ORACLE_F32 : !strcmp(name, "bf16") ? ORACLE_BF16 : ORACLE_E4M3, a->data, i);
}

static bool same_kind(double got, double want) {
  if (isnan(want)) return isnan(got);
  if (isinf(want)) return isinf(got) && signbit(got) == signbit(want);
  return isfinite(got);
}

typedef struct verdict {
  const char *kernel, *settings, *what;
  int64_t d[3];
} verdict;

static void judge(const verdict *v, int64_t wrong, int64_t first, double got, double want) {
  CHECKF(wrong == 0, "%s [%s] on %s, %lld x %lld x %lld, %s: %lld elements, the first %lld: %.9g, want %.9g", v->kernel, v->settings,
         device_name, (long long)v->d[0], (long long)v->d[1], (long long)v->d[2], v->what, (long long)wrong, (long long)first, got, want);
}

// |got - want| <= relative*|want| + absolute*scale[i] + tiny everywhere; NaN and Inf where the oracle has them.
static void judge_bounds(const verdict *v, const tg_array *out, const double *want, const double *scale, double relative, double absolute,
                         double tiny) {
  int64_t n = 1, wrong = 0, first = -1;
  for (int i = 0; i < out->rank; i++) n *= out->dim[i];
  for (int64_t i = 0; i < n; i++) {
    const double got = element(out, i);
    const double bound = relative * fabs(want[i]) + (scale ? absolute * scale[i] : 0) + tiny;
    const bool ok = same_kind(got, want[i]) && (!isfinite(want[i]) || fabs(got - want[i]) <= bound);
    if (!ok && wrong++ == 0) first = i;
  }
  judge(v, wrong, first, first < 0 ? 0 : element(out, first), first < 0 ? 0 : want[first]);
}

static void judge_bits(const verdict *v, const tg_array *a, const tg_array *b) {
  CHECKF(a->bytes == b->bytes && (a->bytes == 0 || !memcmp(a->data, b->data, a->bytes)),
         "%s [%s] on %s, %lld x %lld x %lld, %s: other bits", v->kernel, v->settings, device_name, (long long)v->d[0], (long long)v->d[1],
         (long long)v->d[2], v->what);
}

// Elements for which touched() holds must not be finite, all others must have the clean run's bits.
typedef bool touched_fn(const shape *s, int64_t row, int64_t column, const int64_t *at);
static void judge_reach(const verdict *v, const tg_array *dirty, const tg_array *clean, const shape *s, touched_fn *touched,
                        const int64_t *at) {
  const size_t width = dirty->bytes / (size_t)(dirty->dim[0] * dirty->dim[1]);
  int64_t wrong = 0, first = -1;
  for (int64_t r = 0; r < dirty->dim[0]; r++)
    for (int64_t c = 0; c < dirty->dim[1]; c++) {
      const int64_t i = r * dirty->dim[1] + c;
      const size_t offset = (size_t)i * width;
      const bool same = !memcmp((char *)dirty->data + offset, (char *)clean->data + offset, width);
      const bool ok = touched(s, r, c, at) ? !isfinite(element(dirty, i)) : same;
      if (!ok && wrong++ == 0) first = i;
    }
  judge(v, wrong, first, first < 0 ? 0 : element(dirty, first), first < 0 ? 0 : element(clean, first));
}

// ---- gemm

typedef struct gemm {
  const char *kernel, *settings;
  oracle_format format;
  bool packed;
  shape s;
  tg_array *A, *As, *B, *Bs, *C, *Bp;
} gemm;

static int64_t packed_bytes(const shape *s) { return (s->N + 31) / 32 * 32 * s->K + 64; }

static bool run_gemm(gemm *g, int threads, tg_array *C) {
  if (C->bytes) memset(C->data, 0xee, C->bytes);
  if (g->packed && !run("pack_weights", "", threads, 2, (tg_argument[]){{.name = "B", .array = g->B}, {.name = "Bp", .array = g->Bp}}))
    return false;
  tg_argument args[5] = {{.name = "A", .array = g->A},
                         {.name = "B", .array = g->packed ? g->Bp : g->B},
                         {.name = "C", .array = C},
                         {.name = "As", .array = g->As},
                         {.name = "Bs", .array = g->Bs}};
  return run(g->kernel, g->settings, threads, g->As ? 5 : 3, args);
}

static void fill_input(oracle_format format, tg_array *a, int64_t n) {
  if (format == ORACLE_E4M3) oracle_fill_codes(&randomness, n, a->data);
  else oracle_fill(format, &randomness, n, 1, a->data);
}

static gemm make_gemm(const char *kernel, const char *settings, shape s) {
  gemm g = {.kernel = kernel, .settings = settings, .s = s, .packed = strstr(settings, "packed=1") != NULL};
  const bool fp8 = !strcmp(kernel, "gemm_fp8"), f32 = !strcmp(kernel, "gemm_f32");
  const char *in = fp8 ? "e4m3" : f32 ? "f32" : "bf16";
  g.format = fp8 ? ORACLE_E4M3 : f32 ? ORACLE_F32 : ORACLE_BF16;
  g.A = array_of(in, 2, s.M, s.K), g.B = array_of(in, 2, s.N, s.K);
  g.C = array_of(f32 ? "f32" : "bf16", 2, s.M, s.N);
  fill_input(g.format, g.A, s.M * s.K), fill_input(g.format, g.B, s.N * s.K);
  if (fp8) {
    g.As = array_of("f32", 2, s.M, blocks(s.K)), g.Bs = array_of("f32", 2, blocks(s.N), blocks(s.K));
    oracle_fill_scales(&randomness, s.M * blocks(s.K), g.As->data), oracle_fill_scales(&randomness, blocks(s.N) * blocks(s.K), g.Bs->data);
  }
  if (g.packed) g.Bp = array_of("e4m3", 1, packed_bytes(&s), 0);
  return g;
}

static void free_gemm(gemm *g) {
  tg_array *all[] = {g->A, g->As, g->B, g->Bs, g->C, g->Bp};
  for (int i = 0; i < 6; i++) tg_array_free(ctx, all[i]);
}

// Everything NaN: every element is NaN, or 0 where nothing is summed. Leaves scratch and freed memory full of NaN.
static void all_nan(gemm *g, const verdict *v) {
  tg_array *inputs[] = {g->A, g->B, g->As, g->Bs}, *kept[4] = {NULL};
  for (int i = 0; i < 4 && inputs[i]; i++) {
    kept[i] = array_of("i8", 1, (int64_t)inputs[i]->bytes, 0);
    if (!inputs[i]->bytes) continue;
    memcpy(kept[i]->data, inputs[i]->data, inputs[i]->bytes);
    memset(inputs[i]->data, 0xff, inputs[i]->bytes);
  }
  if (run_gemm(g, 2, g->C)) {
    int64_t wrong = 0;
    for (int64_t i = 0; i < g->s.M * g->s.N; i++) wrong += g->s.K ? !isnan(element(g->C, i)) : element(g->C, i) != 0;
    judge(v, wrong, 0, 0, g->s.K ? NAN : 0);
  }
  for (int i = 0; i < 4 && inputs[i]; i++) {
    if (inputs[i]->bytes) memcpy(inputs[i]->data, kept[i]->data, inputs[i]->bytes);
    tg_array_free(ctx, kept[i]);
  }
}

static bool row_touched(const shape *s, int64_t row, int64_t column, const int64_t *at) { return (void)s, (void)column, row == at[0]; }
static bool column_touched(const shape *s, int64_t row, int64_t column, const int64_t *at) { return (void)s, (void)row, column == at[0]; }
static bool block_touched(const shape *s, int64_t row, int64_t column, const int64_t *at) {
  return (void)s, (void)row, column / 128 == at[0];
}

// Puts `bits` into n elements of an input from i on, runs, and puts the old bits back.
static void spoil_row(gemm *g, verdict v, const char *what, tg_array *input, int64_t i, int64_t n, const void *bits, size_t width,
                      touched_fn *touched, int64_t at) {
  char *old = malloc((size_t)n * width), *place = (char *)input->data + (size_t)i * width;
  tg_array *dirty = array_of(tg_dtype_name(g->C->dtype), 2, g->s.M, g->s.N);
  memcpy(old, place, (size_t)n * width);
  for (int64_t k = 0; k < n; k++) memcpy(place + (size_t)k * width, bits, width);
  v.what = what;
  if (run_gemm(g, 2, dirty)) judge_reach(&v, dirty, g->C, &g->s, touched, &at);
  memcpy(place, old, (size_t)n * width);
  free(old);
  tg_array_free(ctx, dirty);
}

static void spoil(gemm *g, verdict v, const char *what, tg_array *input, int64_t i, const void *bits, size_t width, touched_fn *touched,
                  int64_t at) {
  spoil_row(g, v, what, input, i, 1, bits, width, touched, at);
}

// An Inf scale makes terms of both signs: row 0 is NaN or Inf as the definition has it, however a lowering shares out its scales. Where
// a tile reaches beyond K, its zeros take part: Inf times zero may then make a NaN of an Inf. The simt lowering multiplies the sum of a
// block by its scales, so that it has an Inf where the definition has Inf - Inf.
static bool same_infinite(const shape *s, double got, double want) {
  if (same_kind(got, want) || (s->K % 128 && isnan(got))) return true;
  return (!strncmp(device_name, "sim:", 4) || !strncmp(device_name, "cuda:", 5)) && isnan(want) && isinf(got);
}

static void infinite_scale(gemm *g, verdict v) {
  const shape s = g->s;
  float *scale = g->As->data, old = *scale;
  double *want = malloc(sizeof *want * (size_t)s.N), *sum = malloc(sizeof *sum * (size_t)s.N);
  tg_array *dirty = array_of(tg_dtype_name(g->C->dtype), 2, s.M, s.N);
  int64_t wrong = 0, first = 0;
  *scale = INFINITY;
  oracle_gemm(g->format, 1, s.N, s.K, g->A->data, g->As->data, g->B->data, g->Bs->data, want, sum);
  v.what = "Inf in As, as the oracle has it";
  if (run_gemm(g, 2, dirty)) {
    for (int64_t i = 0; i < s.N; i++)
      if (!same_infinite(&s, element(dirty, i), want[i]) && wrong++ == 0) first = i;
    judge(&v, wrong, first, element(dirty, first), want[first]);
  }
  *scale = old;
  free(want), free(sum);
  tg_array_free(ctx, dirty);
}

static void reach(gemm *g, const verdict *v) {
  const shape s = g->s;
  if (!s.M || !s.N || !s.K) return;
  const uint32_t f32_nan = 0x7fc00000, f32_inf = 0x7f800000;
  const uint16_t bf16_nan = 0x7fc0, bf16_inf = 0xff80;
  const uint8_t e4m3_nan = 0x7f;
  const void *nan_bits = g->format == ORACLE_F32 ? (const void *)&f32_nan : g->format == ORACLE_BF16 ? (const void *)&bf16_nan : &e4m3_nan;
  const void *inf_bits = g->format == ORACLE_F32 ? (const void *)&f32_inf : &bf16_inf;
  const size_t width = g->format == ORACLE_F32 ? 4 : g->format == ORACLE_BF16 ? 2 : 1;
  const int64_t m = s.M - 1, n = s.N / 2, k = s.K - 1;
  spoil(g, *v, "NaN in A's last row", g->A, m * s.K + 0, nan_bits, width, row_touched, m);
  spoil(g, *v, "NaN at A's end of row 0", g->A, k, nan_bits, width, row_touched, 0);
  spoil(g, *v, "NaN in B's middle row", g->B, n * s.K + k, nan_bits, width, column_touched, n);
  spoil(g, *v, "NaN at B's start", g->B, 0, nan_bits, width, column_touched, 0);
  // what is packed for one part of the product must not be met by another that is shorter
  spoil_row(g, *v, "NaN all over A's last row", g->A, m * s.K, s.K, nan_bits, width, row_touched, m);
  spoil_row(g, *v, "NaN all over B's last row", g->B, (s.N - 1) * s.K, s.K, nan_bits, width, column_touched, s.N - 1);
  if (g->format != ORACLE_E4M3) {
    spoil(g, *v, "Inf in A", g->A, m * s.K + k, inf_bits, width, row_touched, m);
    spoil(g, *v, "Inf in B", g->B, (s.N - 1) * s.K, inf_bits, width, column_touched, s.N - 1);
  } else {
    const int64_t kb = blocks(s.K), last = blocks(s.N) - 1;
    spoil(g, *v, "NaN in As", g->As, m * kb + kb - 1, &f32_nan, 4, row_touched, m);
    spoil(g, *v, "NaN in Bs", g->Bs, last * kb, &f32_nan, 4, block_touched, last);
    spoil(g, *v, "Inf in As", g->As, 0, &f32_inf, 4, row_touched, 0);
    infinite_scale(g, *v);
  }
}

void conform_gemm(const char *kernel, const char *settings, shape s) {
  gemm g = make_gemm(kernel, settings, s);
  verdict v = {kernel, settings, "all NaN", {s.M, s.N, s.K}};
  all_nan(&g, &v);
  double *want = malloc(sizeof *want * (size_t)(s.M * s.N + 1)), *sum = malloc(sizeof *sum * (size_t)(s.M * s.N + 1));
  oracle_gemm(g.format, s.M, s.N, s.K, g.A->data, g.As ? g.As->data : NULL, g.B->data, g.Bs ? g.Bs->data : NULL, want, sum);
  v.what = "bounds";
  if (run_gemm(&g, 1, g.C)) {
    // f32 results are not rounded to bf16: sums in any order err by far less than the common bound allows
    if (g.format == ORACLE_F32) judge_bounds(&v, g.C, want, sum, 0x1p-22, 0x1p-18, 0);
    else judge_bounds(&v, g.C, want, sum, 0x1p-8, 0x1p-13, 0);
    tg_array *again = array_of(tg_dtype_name(g.C->dtype), 2, s.M, s.N);
    for (int threads = 2; threads <= 3; threads++) {
      v.what = threads == 2 ? "two threads" : "three threads";
      if (run_gemm(&g, threads, again)) judge_bits(&v, again, g.C);
    }
    tg_array_free(ctx, again);
    if (s.M * s.N * s.K < 40000000) reach(&g, &v);
  }
  free(want), free(sum);
  free_gemm(&g);
}

// The header that the design asks for, and room for every panel.
void conform_pack(int64_t N, int64_t K) {
  const shape s = {0, N, K};
  tg_array *B = array_of("e4m3", 2, N, K), *Bp = array_of("e4m3", 1, packed_bytes(&s), 0);
  oracle_fill_codes(&randomness, N * K, B->data);
  if (run("pack_weights", "", 1, 2, (tg_argument[]){{.name = "B", .array = B}, {.name = "Bp", .array = Bp}})) {
    int64_t header[8], counts[2][256] = {{0}};
    memcpy(header, Bp->data, sizeof header);
    CHECKF(header[1] == N && header[2] == K, "pack_weights: header says %lld x %lld, want %lld x %lld", (long long)header[1],
           (long long)header[2], (long long)N, (long long)K);
    for (int64_t i = 0; i < N * K; i++) counts[0][((uint8_t *)B->data)[i]]++;
    for (int64_t i = 64; i < packed_bytes(&s); i++) counts[1][((uint8_t *)Bp->data)[i]]++;
    counts[0][0] += packed_bytes(&s) - 64 - N * K; // a rearrangement, the rest 0
    CHECKF(!memcmp(counts[0], counts[1], sizeof counts[0]), "pack_weights %lld x %lld: other codes came out than went in", (long long)N,
           (long long)K);
  }
  tg_array_free(ctx, B), tg_array_free(ctx, Bp);
}

// ---- quantise

// Q against X / S (an f32 quotient: an amax of 8 bits makes true ties common) with the scales that the kernel itself gave, S against the
// oracle's.
static void judge_codes(const verdict *v, const tg_array *Q, const tg_array *S, const double *X, const double *scales, int rows,
                        double scale_bound, double share) {
  const int64_t R = Q->dim[0], K = Q->dim[1];
  int64_t wrong = 0, off = 0, first = -1;
  verdict scale_verdict = *v;
  scale_verdict.what = "scales";
  judge_bounds(&scale_verdict, S, scales, NULL, scale_bound, 0, 0);
  for (int64_t r = 0; r < R; r++)
    for (int64_t k = 0; k < K; k++) {
      const int64_t block = r / rows * blocks(K) + k / 128;
      const uint8_t got = ((uint8_t *)Q->data)[r * K + k], want = oracle_to_e4m3((float)(X[r * K + k] / element(S, block)));
      const int step = abs(oracle_e4m3_order(got) - oracle_e4m3_order(want));
      const bool ok = (want & 0x7f) == 0x7f ? (got & 0x7f) == 0x7f : (got & 0x7f) != 0x7f && step <= 1;
      off += ok && step == 1 && (want & 0x7f) != 0x7f;
      if (!ok && wrong++ == 0) first = r * K + k;
    }
  judge(v, wrong, first, first < 0 ? 0 : ((uint8_t *)Q->data)[first], first < 0 ? 0 : X[first]);
  CHECKF((double)off <= ceil(share * (double)(R * K)), "%s [%s] on %s, %lld x %lld: %lld codes are off by one", v->kernel, v->settings,
         device_name, (long long)R, (long long)K, (long long)off);
}

void conform_quantize(const char *kernel, const char *settings, int64_t R, int64_t K) {
  const int rows = !strcmp(kernel, "quantize_blocks") ? 128 : 1;
  const bool ue8m0 = strstr(settings, "ue8m0=1") != NULL;
  const int64_t scales = (R + rows - 1) / rows * blocks(K);
  tg_array *X = array_of("bf16", 2, R, K), *Q = array_of("e4m3", 2, R, K), *S = array_of("f32", 2, (R + rows - 1) / rows, blocks(K));
  tg_array *Q2 = array_of("e4m3", 2, R, K), *S2 = array_of("f32", 2, S->dim[0], S->dim[1]);
  double *wide = malloc(sizeof *wide * (size_t)(R * K + 1)), *s = malloc(sizeof *s * (size_t)(scales + 1));
  uint16_t *x = X->data;
  oracle_fill(ORACLE_BF16, &randomness, R * K, 3, x);
  if (R * K >= 64) { // NaN, both Inf, an all-zero stretch, tiny and huge numbers
    x[R * K / 3] = 0x7fc0, x[R * K / 2] = 0xffc0;
    x[K - 1] = 0x7f80;
    x[16] = 0x0001, x[17] = 0x8000;
    if (R > 2) x[K + 1] = 0x7f7f;
    for (int64_t k = 0; R > 8 && k < K; k++)
      x[4 * K + k] = 0, x[5 * K + k] = x[(R - 1) * K + k] = 0x3980; // 2^-12 stays above the least amax
  }
  verdict v = {kernel, settings, "codes", {R, K, 0}};
  tg_argument args[] = {{.name = "X", .array = X}, {.name = "Q", .array = Q}, {.name = "S", .array = S}};
  tg_argument more[] = {{.name = "X", .array = X}, {.name = "Q", .array = Q2}, {.name = "S", .array = S2}};
  if (run(kernel, settings, 1, 3, args)) {
    oracle_widen(ORACLE_BF16, R * K, x, wide);
    oracle_scales(R, K, rows, ue8m0, wide, s);
    judge_codes(&v, Q, S, wide, s, rows, ue8m0 ? 0 : 0x1p-21, 0); // a quotient of f32 is IEEE: to the code
    v.what = "two threads";
    if (run(kernel, settings, 2, 3, more)) judge_bits(&v, Q2, Q), judge_bits(&v, S2, S);
  }
  free(wide), free(s);
  tg_array *all[] = {X, Q, S, Q2, S2};
  for (int i = 0; i < 5; i++) tg_array_free(ctx, all[i]);
}

// ---- rows

// Activations as the settings ask for them; the error that f32 arithmetic, and the rounding to that dtype, may leave.
static oracle_format format_of(const char *settings) { return strstr(settings, "dtype=f32") ? ORACLE_F32 : ORACLE_BF16; }
static const char *dtype_of(const char *settings) { return format_of(settings) == ORACLE_F32 ? "f32" : "bf16"; }
static double rounding_of(const char *settings) { return format_of(settings) == ORACLE_F32 ? 0x1p-20 : 1.5 * 0x1p-8; }

// An element from its bf16 bits.
static void put(tg_array *a, int64_t i, uint16_t bits) {
  if (!strcmp(tg_dtype_name(a->dtype), "f32")) ((uint32_t *)a->data)[i] = (uint32_t)bits << 16;
  else ((uint16_t *)a->data)[i] = bits;
}

void conform_rmsnorm(const char *settings, int64_t T, int64_t H) {
  const char *dtype = dtype_of(settings);
  const oracle_format format = format_of(settings);
  tg_array *X = array_of(dtype, 2, T, H), *W = array_of(dtype, 1, H, 0), *O = array_of(dtype, 2, T, H), *O2 = array_of(dtype, 2, T, H);
  double *want = malloc(sizeof *want * (size_t)(T * H + 1));
  oracle_fill(format, &randomness, T * H, 2, X->data), oracle_fill(format, &randomness, H, 1, W->data);
  if (T > 2 && H > 2) {
    put(X, H + H - 1, 0x7fc0);                    // row 1 is NaN
    put(X, 2 * H, 0x7f80);                        // row 2: one NaN, 0 elsewhere
    put(W, H / 2, 0x7fc0);                        // a column of NaN
    for (int64_t h = 0; h < H; h++) put(X, h, 0); // row 0: 0
  }
  verdict v = {"rmsnorm", settings, "bounds", {T, H, 0}};
  tg_argument args[] = {{.name = "X", .array = X}, {.name = "W", .array = W}, {.name = "O", .array = O}, {.name = "eps", .number = 1e-6}};
  if (run("rmsnorm", settings, 1, 4, args)) {
    oracle_rmsnorm(format, T, H, (double)1e-6f, X->data, W->data, want);
    judge_bounds(&v, O, want, NULL, rounding_of(settings), 0, 1e-36);
    v.what = "two threads";
    args[2].array = O2;
    if (run("rmsnorm", settings, 2, 4, args)) judge_bits(&v, O2, O);
  }
  free(want);
  tg_array *all[] = {X, W, O, O2};
  for (int i = 0; i < 4; i++) tg_array_free(ctx, all[i]);
}

static void swiglu_plain(const verdict *v, const char *settings, tg_array *G, const double *want) {
  tg_array *O = array_of(dtype_of(settings), 2, v->d[0], v->d[1]), *O2 = array_of(dtype_of(settings), 2, v->d[0], v->d[1]);
  tg_argument args[] = {{.name = "G", .array = G}, {.name = "O", .array = O}};
  if (run("swiglu", settings, 1, 2, args)) {
    judge_bounds(v, O, want, NULL, rounding_of(settings), 0, 1e-36);
    args[1].array = O2;
    verdict again = *v;
    again.what = "two threads";
    if (run("swiglu", settings, 2, 2, args)) judge_bits(&again, O2, O);
  }
  tg_array_free(ctx, O), tg_array_free(ctx, O2);
}

static void swiglu_codes(const verdict *v, const char *settings, tg_array *G, const double *want) {
  const int64_t T = v->d[0], I = v->d[1];
  tg_array *Q = array_of("e4m3", 2, T, I), *S = array_of("f32", 2, T, blocks(I)), *Q2 = array_of("e4m3", 2, T, I),
           *S2 = array_of("f32", 2, T, blocks(I));
  double *s = malloc(sizeof *s * (size_t)(T * blocks(I) + 1));
  tg_argument args[] = {{.name = "G", .array = G}, {.name = "Q", .array = Q}, {.name = "S", .array = S}};
  if (run("swiglu_quantize", settings, 1, 3, args)) {
    const bool ue8m0 = strstr(settings, "ue8m0=1") != NULL;
    oracle_scales(T, I, 1, ue8m0, want, s);
    judge_codes(v, Q, S, want, s, 1, ue8m0 ? 0 : 0x1p-18, 0.005);
    args[1].array = Q2, args[2].array = S2;
    verdict again = *v;
    again.what = "two threads";
    if (run("swiglu_quantize", settings, 2, 3, args)) judge_bits(&again, Q2, Q), judge_bits(&again, S2, S);
  }
  free(s);
  tg_array_free(ctx, Q), tg_array_free(ctx, S), tg_array_free(ctx, Q2), tg_array_free(ctx, S2);
}

void conform_swiglu(const char *kernel, const char *settings, int64_t T, int64_t I) {
  const char *clamp = strstr(settings, "clamp=");
  tg_array *G = array_of(dtype_of(settings), 2, T, 2 * I);
  double *want = malloc(sizeof *want * (size_t)(T * I + 1));
  oracle_fill(format_of(settings), &randomness, T * 2 * I, 4, G->data);
  if (T > 1 && I > 2) {
    put(G, 0, 0x7fc0), put(G, 2 * I - 1, 0x7fc0); // NaN in the gate and in the other factor
    put(G, 2 * I + 1, 0xc2c8);                    // a gate of -100
    put(G, 2 * I + 2, 0xff80);                    // -Inf: -Inf * 0
    for (int64_t i = 0; T > 8 && i < 2 * I; i++) put(G, 8 * I + i, 0), put(G, 10 * I + i, 0x3c00); // amax below 1e-4
  }
  const verdict v = {kernel, settings, "bounds", {T, I, 0}};
  oracle_swiglu(format_of(settings), T, I, clamp ? atof(clamp + 6) : 0, G->data, want);
  if (!strcmp(kernel, "swiglu")) swiglu_plain(&v, settings, G, want);
  else swiglu_codes(&v, settings, G, want);
  free(want);
  tg_array_free(ctx, G);
}

// ---- tables

static const int64_t Ms[] = {0, 1, 2, 3, 17, 64, 129, 257}, Ns[] = {1, 24, 129, 576, 2112}, Ks[] = {0, 16, 128, 144, 2048, 7168};
enum { NM = 8, NN = 5, NK = 6 };

static const struct {
  const char *kernel, *settings;
} gemms[] = {{"gemm_f32", ""}, {"gemm_bf16", ""}, {"gemm_fp8", ""}, {"gemm_fp8", "packed=1"}};

static int64_t pick(int64_t below) { return (int64_t)(oracle_next(&randomness) >> 16) % below; }

// Shapes and tiles that nobody thought of.
static void conform_random(int count) {
  static const char *const rows[] = {"1", "2", "4", "8", "16", "32", "64", "128", "192", "256"}, *const columns[] = {"32", "64", "128",
                                                                                                                     "256"};
  for (int i = 0; i < count; i++) {
    for (size_t g = 0; g < sizeof gemms / sizeof *gemms; g++) {
      const bool fp8 = !strcmp(gemms[g].kernel, "gemm_fp8");
      const shape s = {1 + pick(140), 1 + pick(300), fp8 ? 16 * (1 + pick(40)) : 1 + pick(640)};
      char settings[64];
      snprintf(settings, sizeof settings, "%s%sBM=%s,BN=%s", gemms[g].settings, *gemms[g].settings ? "," : "", rows[pick(10)],
               columns[pick(4)]);
      if (!fp8) snprintf(settings + strlen(settings), 16, ",BK=%d", 16 << pick(4));
      if (!strcmp(device_name, "cpu")) snprintf(settings + strlen(settings), 16, ",kc=%d", (int)(128 * (1 + pick(4))));
      conform_gemm(gemms[g].kernel, settings, s);
    }
    const int64_t r = 1 + pick(140), c = 1 + pick(700);
    conform_quantize("quantize_rows", i % 2 ? "ue8m0=1" : "", r, c), conform_quantize("quantize_blocks", "", 1 + pick(300), c);
    conform_rmsnorm("", r, c), conform_swiglu("swiglu", "", r, c), conform_swiglu("swiglu_quantize", i % 2 ? "clamp=2" : "", r, c);
    conform_rmsnorm("dtype=f32", r, c), conform_swiglu("swiglu", "dtype=f32", r, c), conform_swiglu("swiglu_quantize", "dtype=f32", r, c);
    conform_pack(1 + pick(200), 16 * (1 + pick(20)));
  }
}

void conform_some(void) {
  const shape shapes[] = {{0, 24, 16},   {1, 1, 16},    {1, 576, 144},   {2, 24, 0},     {2, 129, 128}, {3, 129, 144},
                          {17, 24, 144}, {64, 129, 16}, {129, 129, 144}, {257, 24, 128}, {3, 576, 2048}};
  for (size_t g = 0; g < sizeof gemms / sizeof *gemms; g++) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) conform_gemm(gemms[g].kernel, gemms[g].settings, shapes[i]);
    const char *tiles[] = {"BM=1,BN=32", "BM=4,BN=128", "BM=8,BN=32", "BM=16,BN=64", "BM=128,BN=256"};
    for (int t = 0; t < 5; t++) {
      char settings[64];
      snprintf(settings, sizeof settings, "%s%s%s", gemms[g].settings, *gemms[g].settings ? "," : "", tiles[t]);
      conform_gemm(gemms[g].kernel, settings, (shape){17, 129, 144});
    }
  }
  conform_pack(1, 16), conform_pack(129, 144), conform_pack(24, 0);
  const int64_t rows[][2] = {{0, 128}, {1, 16}, {3, 0}, {17, 144}, {129, 128}, {3, 2048}};
  for (int i = 0; i < 6; i++) {
    const int64_t r = rows[i][0], c = rows[i][1];
    conform_quantize("quantize_rows", "", r, c), conform_quantize("quantize_rows", "ue8m0=1", r, c),
        conform_quantize("quantize_blocks", "", r, c), conform_quantize("quantize_blocks", "ue8m0=1", r, c);
    conform_rmsnorm("", r, c), conform_swiglu("swiglu", "", r, c), conform_swiglu("swiglu_quantize", "", r, c);
    conform_swiglu("swiglu", "clamp=7", r, c), conform_swiglu("swiglu_quantize", "clamp=7", r, c);
    conform_rmsnorm("dtype=f32", r, c), conform_swiglu("swiglu", "dtype=f32,clamp=7", r, c),
        conform_swiglu("swiglu_quantize", "dtype=f32", r, c), conform_swiglu("swiglu_quantize", "ue8m0=1", r, c);
  }
  conform_quantize("quantize_rows", "BM=1", 17, 144), conform_quantize("quantize_rows", "BM=32", 17, 144);
  conform_rmsnorm("BM=4,BH=64", 17, 576), conform_rmsnorm("BM=16,BH=1024", 17, 576);
  conform_swiglu("swiglu", "BM=8,BI=64", 17, 144), conform_swiglu("swiglu_quantize", "BM=32", 17, 144);
  conform_random(3);
}

void conform_pairs(void) {
  const shape shapes[] = {{0, 24, 16}, {1, 1, 16},   {2, 24, 0},   {3, 129, 144},  {64, 129, 16}, {129, 129, 144},
                          {5, 7, 272}, {17, 24, 31}, {9, 40, 257}, {17, 131, 575}, {3, 576, 2048}};
  static const char *const settings[] = {"dot2=1", "dot2=1,BM=16,BN=64,kc=128", "dot2=1,BM=128,BN=256,kc=384", "dot2=1,BM=2,BN=64",
                                         "dot2=1,BM=8,BN=128"};
  for (int i = 0; i < 5; i++)
    for (size_t j = 0; j < sizeof shapes / sizeof *shapes; j++) {
      char packed[64];
      snprintf(packed, sizeof packed, "packed=1,%s", settings[i]);
      shape s = shapes[j];
      if (i >= 3 && s.M > 9) continue; // these are for few rows
      conform_gemm("gemm_bf16", settings[i], s);
      s.K = (s.K + 15) / 16 * 16;
      conform_gemm("gemm_fp8", settings[i], s), conform_gemm("gemm_fp8", packed, s);
    }
}

void conform_few(void) {
  static const int64_t rows[] = {1, 5, 9, 33}, columns[] = {1, 131}, depths[] = {1, 95, 257};
  static const char *const bf16[] = {"BM=8,BK=32", "BM=16,BK=128", "BM=32,BK=64"}, *const fp8[] = {"BM=1", "BM=2", "BM=4", "BM=8"};
  char settings[64];
  for (int m = 0; m < 4; m++)
    for (int n = 0; n < 2; n++)
      for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 3; i++) {
          snprintf(settings, sizeof settings, "dot2=1,%s,BN=32", bf16[i]);
          conform_gemm("gemm_bf16", settings, (shape){rows[m], columns[n], depths[k]});
        }
        for (int i = 0; i < 8 && rows[m] < 10; i++) {
          snprintf(settings, sizeof settings, "dot2=1,packed=%d,%s,BN=32", i / 4, fp8[i % 4]);
          conform_gemm("gemm_fp8", settings, (shape){rows[m], columns[n], (depths[k] + 15) / 16 * 16});
        }
      }
}

void conform_all(void) {
  conform_random(60);
  for (size_t g = 0; g < sizeof gemms / sizeof *gemms; g++)
    for (int m = 0; m < NM; m++)
      for (int n = 0; n < NN; n++)
        for (int k = 0; k < NK; k++) conform_gemm(gemms[g].kernel, gemms[g].settings, (shape){Ms[m], Ns[n], Ks[k]});
  for (int n = 0; n < NN; n++)
    for (int k = 0; k < NK; k++) {
      conform_pack(Ns[n], Ks[k]);
      conform_quantize("quantize_blocks", "", Ns[n], Ks[k]);
    }
  for (int m = 0; m < NM; m++)
    for (int k = 0; k < NK; k++) {
      conform_quantize("quantize_rows", "", Ms[m], Ks[k]), conform_quantize("quantize_rows", "ue8m0=1", Ms[m], Ks[k]);
      conform_rmsnorm("", Ms[m], Ks[k]);
      conform_swiglu("swiglu", "", Ms[m], Ks[k]), conform_swiglu("swiglu", "clamp=7", Ms[m], Ks[k]);
      conform_swiglu("swiglu_quantize", "", Ms[m], Ks[k]);
    }
}
