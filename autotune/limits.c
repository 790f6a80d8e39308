// What this machine can do at most: f32 multiply-adds and dots of bf16 pairs in registers, and reading from memory. Measured at every use;
// the highest is kept in the cache directory.
#include <cjson/cJSON.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "autotune/autotune.h"
#include "targets/json.h"

int tg_host_threads(void) {
  cpu_set_t set;
  if (!sched_getaffinity(0, sizeof set, &set) && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)n : 1;
}

// ---- multiply-adds: enough independent chains to cover latency (4-5 cycles) times throughput (2 a cycle), few enough for the register
// file

typedef float fma_fn(int64_t rounds); // returns a sum so that nothing is removed; flops = rounds * chains * lanes * 2

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float fma_avx512(int64_t rounds) {
  enum { CHAINS = 16 };
  __m512 x[CHAINS], a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(0.001f);
  for (int i = 0; i < CHAINS; i++) x[i] = _mm512_set1_ps((float)i);
  for (int64_t r = 0; r < rounds; r++)
#pragma GCC unroll 16
    for (int i = 0; i < CHAINS; i++) x[i] = _mm512_fmadd_ps(x[i], a, b);
  for (int i = 1; i < CHAINS; i++) x[0] = _mm512_add_ps(x[0], x[i]);
  return _mm512_reduce_add_ps(x[0]);
}

__attribute__((target("avx512f,avx512bf16"))) static float dot_avx512(int64_t rounds) {
  enum { CHAINS = 16 };
  __m512 x[CHAINS];
  __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.25f));
  for (int i = 0; i < CHAINS; i++) x[i] = _mm512_set1_ps((float)i);
  for (int64_t r = 0; r < rounds; r++)
#pragma GCC unroll 16
    for (int i = 0; i < CHAINS; i++) x[i] = _mm512_dpbf16_ps(x[i], a, a);
  for (int i = 1; i < CHAINS; i++) x[0] = _mm512_add_ps(x[0], x[i]);
  return _mm512_reduce_add_ps(x[0]);
}

__attribute__((target("avx2,fma"))) static float fma_avx2(int64_t rounds) {
  enum { CHAINS = 12 };
  __m256 x[CHAINS], a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(0.001f);
  for (int i = 0; i < CHAINS; i++) x[i] = _mm256_set1_ps((float)i);
  for (int64_t r = 0; r < rounds; r++)
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++) x[i] = _mm256_fmadd_ps(x[i], a, b);
  for (int i = 1; i < CHAINS; i++) x[0] = _mm256_add_ps(x[0], x[i]);
  float lanes[8], sum = 0;
  _mm256_storeu_ps(lanes, x[0]);
  for (int i = 0; i < 8; i++) sum += lanes[i];
  return sum;
}
#endif

typedef float vector4 __attribute__((vector_size(16)));
static float fma_generic(int64_t rounds) {
  enum { CHAINS = 12 };
  vector4 x[CHAINS], a = {0.999f, 0.999f, 0.999f, 0.999f}, b = {0.001f, 0.001f, 0.001f, 0.001f};
  for (int i = 0; i < CHAINS; i++) x[i] = (vector4){(float)i, (float)i, (float)i, (float)i};
  for (int64_t r = 0; r < rounds; r++)
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++) x[i] = x[i] * a + b; // contracts to one instruction where there is one
  for (int i = 1; i < CHAINS; i++) x[0] += x[i];
  return x[0][0] + x[0][1] + x[0][2] + x[0][3];
}

static fma_fn *best_fma(double *flops_per_round) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    *flops_per_round = 16 * 16 * 2;
    return fma_avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    *flops_per_round = 12 * 8 * 2;
    return fma_avx2;
  }
#endif
  *flops_per_round = 12 * 4 * 2;
  return fma_generic;
}

// Dots of bf16 pairs; NULL where there is no instruction for them.
static fma_fn *bf16_dot(double *flops_per_round) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16")) {
    *flops_per_round = 16 * 32 * 2;
    return dot_avx512;
  }
#endif
  return NULL;
}

// ---- reading: every thread sums its own part, 64 bytes a step in eight chains

static int64_t read_words(const int64_t *words, size_t n) {
  typedef uint64_t vector4u __attribute__((vector_size(32), aligned(32)));
  const vector4u *v = (const vector4u *)words;
  vector4u sum[8] = {{0}};
  for (size_t i = 0; i + 8 <= n / 4; i += 8)
#pragma GCC unroll 8
    for (int k = 0; k < 8; k++) sum[k] += v[i + (size_t)k];
  for (int k = 1; k < 8; k++) sum[0] += sum[k];
  return (int64_t)(sum[0][0] + sum[0][1] + sum[0][2] + sum[0][3]);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static int64_t read_words_avx2(const int64_t *words, size_t n) {
  const __m256i *v = (const __m256i *)words;
  __m256i sum[8];
  for (int k = 0; k < 8; k++) sum[k] = _mm256_setzero_si256();
  for (size_t i = 0; i + 8 <= n / 4; i += 8)
#pragma GCC unroll 8
    for (int k = 0; k < 8; k++) sum[k] = _mm256_add_epi64(sum[k], _mm256_load_si256(v + i + k));
  for (int k = 1; k < 8; k++) sum[0] = _mm256_add_epi64(sum[0], sum[k]);
  uint64_t lanes[4];
  _mm256_storeu_si256((__m256i *)lanes, sum[0]);
  return (int64_t)(lanes[0] + lanes[1] + lanes[2] + lanes[3]);
}
#endif

// ---- trials on several threads at once

typedef struct crew {
  pthread_mutex_t gate; // held until it is known how many threads could be started
  pthread_barrier_t barrier;
  int threads;
  bool own_time;      // by each thread's processor time, which other processes do not lengthen; else from the common start to the last end
  double until, best; // best: rate of the best trial, units a second
  double units;       // of one trial of one thread
  fma_fn *fma;        // NULL: read
  int64_t rounds;
  const int64_t *words; // of all threads
  size_t words_each;
  bool stop;
  double started;
} crew;

typedef struct member {
  crew *crew;
  int index;
  double seconds; // processor time of the last trial
  volatile double sink;
} member;

static void trial(member *m) {
  crew *c = m->crew;
  if (c->fma) {
    m->sink = (double)c->fma(c->rounds);
    return;
  }
  const int64_t *words = c->words + (size_t)m->index * c->words_each;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    m->sink = (double)read_words_avx2(words, c->words_each);
    return;
  }
#endif
  m->sink = (double)read_words(words, c->words_each);
}

static void keep_best(crew *c, const member *first) {
  double wall = tg_seconds() - c->started, rate = c->units * c->threads / wall;
  if (c->own_time) {
    rate = 0;
    for (int i = 0; i < c->threads; i++) rate += c->units / first[i].seconds;
  }
  c->best = fmax(c->best, rate);
}

// Member 0 keeps the books; the barriers make a trial last from the common start to the last one's end.
static void *work(void *arg) {
  member *m = arg;
  crew *c = m->crew;
  pthread_mutex_lock(&c->gate);
  pthread_mutex_unlock(&c->gate);
  for (;;) {
    if (m->index == 0) c->started = tg_seconds(), c->stop = c->started > c->until && c->best > 0;
    pthread_barrier_wait(&c->barrier);
    if (c->stop) return NULL;
    double begin = tg_processor_seconds();
    trial(m);
    m->seconds = tg_processor_seconds() - begin;
    pthread_barrier_wait(&c->barrier);
    if (m->index == 0) keep_best(c, m);
  }
}

static double crew_rate(crew *c, int threads, double seconds) {
  enum { MAX_THREADS = 1024 };
  if (threads > MAX_THREADS) threads = MAX_THREADS;
  pthread_t ids[MAX_THREADS];
  member members[MAX_THREADS];
  pthread_mutex_init(&c->gate, NULL);
  pthread_mutex_lock(&c->gate);
  for (int i = 0; i < threads; i++) members[i] = (member){.crew = c, .index = i};
  int started = 1;
  while (started < threads && !pthread_create(&ids[started], NULL, work, &members[started])) started++;
  c->threads = started;
  pthread_barrier_init(&c->barrier, NULL, (unsigned)started);
  c->until = tg_seconds() + seconds;
  pthread_mutex_unlock(&c->gate);
  work(&members[0]);
  for (int i = 1; i < started; i++) pthread_join(ids[i], NULL);
  pthread_barrier_destroy(&c->barrier);
  pthread_mutex_destroy(&c->gate);
  return c->best;
}

// Of multiply-adds: around a millisecond, much longer than the steps in which an operating system may account for processor time.
enum { TRIAL_ROUNDS = 1 << 18 };

static double measure_peak(int threads, double seconds) {
  crew c = {.rounds = TRIAL_ROUNDS, .own_time = true};
  c.fma = best_fma(&c.units);
  c.units *= (double)c.rounds;
  return crew_rate(&c, threads, seconds);
}

static double measure_bf16_peak(int threads, double seconds) {
  crew c = {.rounds = TRIAL_ROUNDS, .own_time = true};
  c.fma = bf16_dot(&c.units);
  c.units *= (double)c.rounds;
  return c.fma ? crew_rate(&c, threads, seconds) : 0;
}

// 64 MiB a thread and at least 256 MiB together: beyond every last-level cache share that a core can fill.
static double measure_stream(int threads, double seconds) {
  size_t each = 64u << 20;
  if (threads < 4) each = (256u << 20) / (unsigned)threads;
  each -= each % 4096;
  size_t bytes = each * (size_t)threads;
  char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 0;
  madvise(memory, bytes, MADV_HUGEPAGE);
  memset(memory, 1, bytes);
  crew c = {.words = (const int64_t *)memory, .words_each = each / 8, .units = (double)each, .own_time = threads == 1};
  double rate = crew_rate(&c, threads, seconds);
  munmap(memory, bytes);
  return rate;
}

// About `seconds` for each figure.
static tg_limits measure_limits(int threads, double seconds) {
  return (tg_limits){.peak_gflops = measure_peak(threads, seconds) * 1e-9,
                     .bf16_peak_gflops = measure_bf16_peak(threads, seconds) * 1e-9,
                     .stream_gbs = measure_stream(threads, seconds) * 1e-9};
}

// ---- which machine this is, and the file that remembers

// Value of a /proc/cpuinfo line such as "model name\t: AMD EPYC", "" when absent.
static const char *cpuinfo(tg_arena *arena, const char *text, const char *key) {
  size_t n = strlen(key);
  for (const char *line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    const char *colon = strchr(line, ':');
    if (strncmp(line, key, n) || !colon || strcspn(line, "\n") < (size_t)(colon - line) ||
        (line[n] != '\t' && line[n] != ' ' && line[n] != ':'))
      continue;
    colon += 1 + strspn(colon + 1, " \t");
    return tg_arena_strndup(arena, colon, strcspn(colon, "\n"));
  }
  return "";
}

const char *tg_host_model(tg_arena *arena) {
  char text[8192];
  FILE *in = fopen("/proc/cpuinfo", "r");
  size_t n = in ? fread(text, 1, sizeof text - 1, in) : 0;
  if (in) fclose(in);
  text[n] = 0;
  const char *name = cpuinfo(arena, text, "model name");
  if (!*name) name = cpuinfo(arena, text, "Model");
  const char *family = cpuinfo(arena, text, "cpu family"), *model = cpuinfo(arena, text, "model");
  return *name ? tg_arena_printf(arena, "%s (%s/%s)", name, family, model) : "unknown processor";
}

static bool limits_from(const char *text, const char *model, int threads, tg_limits *out) {
  cJSON *json = cJSON_Parse(text);
  const cJSON *name = cJSON_GetObjectItemCaseSensitive(json, "machine"), *n = cJSON_GetObjectItemCaseSensitive(json, "threads");
  const cJSON *peak = cJSON_GetObjectItemCaseSensitive(json, "peak_gflops"), *stream = cJSON_GetObjectItemCaseSensitive(json, "stream_gbs");
  const cJSON *bf16 = cJSON_GetObjectItemCaseSensitive(json, "bf16_peak_gflops");
  bool good = cJSON_IsNumber(bf16) && bf16->valuedouble >= 0 && cJSON_IsString(name) && !strcmp(name->valuestring, model) &&
              cJSON_IsNumber(n) && n->valueint == threads && cJSON_IsNumber(peak) && peak->valuedouble > 0 && cJSON_IsNumber(stream) &&
              stream->valuedouble > 0;
  if (good) *out = (tg_limits){.peak_gflops = peak->valuedouble, .bf16_peak_gflops = bf16->valuedouble, .stream_gbs = stream->valuedouble};
  cJSON_Delete(json);
  return good;
}

static tg_limits highest(tg_limits a, tg_limits b) {
  return (tg_limits){.peak_gflops = fmax(a.peak_gflops, b.peak_gflops),
                     .bf16_peak_gflops = fmax(a.bf16_peak_gflops, b.bf16_peak_gflops),
                     .stream_gbs = fmax(a.stream_gbs, b.stream_gbs)};
}

// Worth a line: noise in the last digits is not.
static bool is_higher(tg_limits a, tg_limits than) {
  const double step = 1.002;
  return a.peak_gflops > step * than.peak_gflops || a.bf16_peak_gflops > step * than.bf16_peak_gflops ||
         a.stream_gbs > step * than.stream_gbs;
}

static bool cached(const char *file, const char *model, int threads, tg_limits *out) {
  char line[1024];
  bool found = false;
  FILE *in = fopen(file, "r");
  *out = (tg_limits){0};
  while (in && fgets(line, sizeof line, in)) {
    tg_limits other;
    if (!limits_from(line, model, threads, &other)) continue;
    *out = highest(*out, other);
    found = true;
  }
  if (in) fclose(in);
  return found;
}

typedef struct save_call {
  tg_context *ctx;
  const char *file;
  tg_text *line;
} save_call;

static void save(void *arg) {
  save_call *c = arg;
  tg_db_append(c->ctx, c->file, c->line->data, c->line->size);
}

tg_limits tg_limits_get(tg_context *ctx, int threads) {
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  const char *model = tg_host_model(&arena),
             *file = tg_arena_printf(&arena, "%s/limits.jsonl", ctx->config.cache_dir ? ctx->config.cache_dir : ".");
  tg_limits before, limits;
  bool known = cached(file, model, threads, &before);
  limits = highest(before, measure_limits(threads, known ? 0.12 : 0.4));
  if (is_higher(limits, before)) {
    tg_text line = {.arena = &arena};
    tg_text_add(&line, "{");
    tg_json_put_string(&line, "machine", model);
    tg_json_put_int(&line, "threads", threads);
    tg_json_put_number(&line, "peak_gflops", limits.peak_gflops);
    tg_json_put_number(&line, "bf16_peak_gflops", limits.bf16_peak_gflops);
    tg_json_put_number(&line, "stream_gbs", limits.stream_gbs);
    tg_text_add(&line, "}\n");
    if (tg_protect(ctx, save, &(save_call){ctx, file, &line}) != TG_OK) // a read-only cache costs a measurement each time
      tg_log(ctx, TG_LOG_INFO, "the machine's limits are not kept: %s", tg_error_message(ctx));
  }
  tg_arena_free(&arena);
  return limits;
}

struct measure_call {
  tg_context *ctx;
  int threads;
  tg_limits *out;
};

static void measure_body(void *arg) {
  const struct measure_call *call = arg;
  if (call->threads < 0) tg_throw(call->ctx, TG_INVALID, "threads are 0 or more");
  *call->out = tg_limits_get(call->ctx, call->threads ? call->threads : tg_host_threads());
}

tg_status tg_measure_limits(tg_context *ctx, int threads, tg_limits *out) {
  *out = (tg_limits){0};
  return tg_protect(ctx, measure_body, &(struct measure_call){ctx, threads, out});
}
