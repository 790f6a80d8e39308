// Kernels run through the public API on interp and cpu: every parameter kind, several launches, empty tensors, threads, and wrong calls.
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "targets/run.h"

#include "test.h"

// Two launches: column sums of X scaled by a, into a zeroed workspace, then O = X + those of its column; Y is added to in place.
static const char script[] =
    "local tg <const> = require 'tegula'\n"
    "local f32, i32 = tg.f32, tg.i32\n"
    "return tg.kernel('sums', function(k)\n"
    "  local M, N = k.dim 'M', k.dim 'N'\n"
    "  local E = k.static 'E'\n"
    "  local twice = k.option('twice', 0, 0, 1)\n"
    "  local bm = k.tune('BM', 4, 2, 8)\n"
    "  local X = k.input('X', f32, M, N)\n"
    "  local offsets, rows = k.input('offsets', i32, E + 1, { offsets = M }), k.input('rows', i32, E, 2, { index = M + 1 })\n"
    "  local a = k.scalar('a', f32)\n"
    "  local Y = k.inout('Y', f32, M)\n"
    "  local O = k.output('O', f32, M, N)\n"
    "  local D = k.output('D', f32, M, { optional = true })\n"
    "  local S = k.workspace('S', f32, N, { zero = true })\n"
    "  k.blocks(N:by(16), function(n)\n"
    "    S[{n}] = S[{n}] + M:by(bm):fold(tg.zeros(f32, 1, 16), function(sum, m)\n"
    "      return sum + X[{m, n}]:rsum(1)\n"
    "    end):reshape(16) * a * (E * (twice + 1))\n"
    "  end)\n"
    "  k.blocks(M:by(bm), N:by(16), function(m, n)\n"
    "    O[{m, n}] = X[{m, n}] + S[{n}]\n"
    "  end)\n"
    "  k.blocks(M:by(bm), function(m)\n"
    "    Y[{m}] = Y[{m}] + 1\n"
    "    D[{m}] = Y[{m}] * 10\n"
    "  end)\n"
    "end)\n";

static char directory[] = "/tmp/tegula-test-XXXXXX", file[64], cache[64];
static tg_context *ctx;
static tg_source *source;
static tg_device *device;

enum { X, OFFSETS, ROWS, A, Y, O, D, NARGS };
typedef struct arguments {
  tg_argument at[NARGS];
} arguments;

static tg_array *array(tg_dtype dtype, int rank, int64_t a, int64_t b) {
  tg_array *out = NULL;
  CHECK(tg_array_new(ctx, dtype, rank, (int64_t[]){a, b}, &out) == TG_OK);
  return out;
}

static arguments make(int64_t m, int64_t n, int64_t e) {
  tg_dtype f32 = tg_dtype_find("f32");
  arguments a = {{{.name = "X", .array = array(f32, 2, m, n)},
                  {.name = "offsets", .array = array(tg_dtype_find("i32"), 1, e + 1, 0)},
                  {.name = "rows", .array = array(tg_dtype_find("i32"), 2, e, 2)},
                  {.name = "a", .number = 0.5},
                  {.name = "Y", .array = array(f32, 1, m, 0)},
                  {.name = "O"},
                  {.name = "D"}}};
  for (int64_t i = 0; i < m * n; i++) tg_array_set(a.at[X].array, i, (double)(i * 7 % 31) - 11);
  for (int64_t i = 0; i < m; i++) tg_array_set(a.at[Y].array, i, (double)i);
  return a;
}

static void release(arguments *a) {
  for (int i = 0; i < NARGS; i++) tg_array_free(ctx, a->at[i].array);
}

static void right(const arguments *a, int64_t m, int64_t n, int64_t e, int twice, int adds) {
  int64_t wrong = 0;
  for (int64_t j = 0; j < n; j++) {
    double sum = 0;
    for (int64_t i = 0; i < m; i++) sum += tg_array_get(a->at[X].array, i * n + j);
    for (int64_t i = 0; i < m; i++) { // every number here is exact in f32
      wrong += tg_array_get(a->at[O].array, i * n + j) != tg_array_get(a->at[X].array, i * n + j) + sum * 0.5 * (double)e * (twice + 1);
    }
  }
  for (int64_t i = 0; i < m; i++) {
    wrong += tg_array_get(a->at[Y].array, i) != (double)(i + adds);
    if (a->at[D].array) wrong += tg_array_get(a->at[D].array, i) != 10.0 * (double)(i + adds);
  }
  CHECKF(wrong == 0, "%lld x %lld, E = %lld: %lld wrong", (long long)m, (long long)n, (long long)e, (long long)wrong);
}

static void results(void) {
  static const int64_t shapes[][3] = {{1, 1, 1}, {5, 33, 3}, {0, 20, 2}, {9, 0, 2}, {64, 48, 0}, {130, 17, 7}};
  static const tg_binding sets[][2] = {{{"BM", "2"}, {"twice", "1"}}, {{"BM", "8"}, {"twice", "0"}}};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    for (int set = 0; set < 3; set++) {
      tg_run_options options = {.settings = {set < 2 ? 2 : 0, sets[set % 2]}, .threads = 1 + set};
      arguments a = make(shapes[i][0], shapes[i][1], shapes[i][2]);
      CHECKF(tg_run(device, source, &options, NARGS, a.at, true) == TG_OK, "%s", tg_error_message(ctx));
      CHECK(a.at[O].array && a.at[D].array && a.at[O].array->rank == 2 && a.at[O].array->dim[1] == shapes[i][1]);
      if (a.at[O].array) right(&a, shapes[i][0], shapes[i][1], shapes[i][2], set == 0, 1);
      release(&a);
    }
  }
  arguments a = make(5, 33, 3); // without the optional output
  tg_run_options options = {0};
  CHECKF(tg_run(device, source, &options, NARGS - 1, a.at, true) == TG_OK, "%s", tg_error_message(ctx));
  right(&a, 5, 33, 3, 0, 1);
  release(&a);
}

// Launched again and again: workspaces are zeroed each time, inout goes on.
static void repeated(void) {
  arguments a = make(5, 33, 3);
  a.at[O].array = array(tg_dtype_find("f32"), 2, 5, 33);
  tg_run_options options = {0};
  tg_launchable *l;
  CHECKF(tg_prepare(device, source, &options, NARGS, a.at, &l) == TG_OK, "%s", tg_error_message(ctx));
  double seconds[4] = {-1, -1, -1, -1};
  CHECK(tg_launchable_run(l, 3, seconds) == TG_OK && seconds[2] >= 0 && seconds[3] == -1);
  CHECK(tg_launchable_run(l, 1, NULL) == TG_OK);
  CHECK(tg_array_get(a.at[Y].array, 0) == 0); // nothing comes back before it is fetched
  CHECK(tg_launchable_fetch(l) == TG_OK);
  right(&a, 5, 33, 3, 0, 4);
  tg_launchable_free(l);
  release(&a);
}

static void *spin(void *stop) {
  while (!*(_Atomic bool *)stop) continue;
  return NULL;
}

// One thread is timed by its own time: what else its CPU does adds nothing.
static void own_time(void) {
  cpu_set_t all, one;
  CHECK(!sched_getaffinity(0, sizeof all, &all));
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  CHECK(!sched_setaffinity(0, sizeof one, &one)); // which the other thread inherits
  _Atomic bool stop = false;
  pthread_t other;
  CHECK(!pthread_create(&other, NULL, spin, &stop));
  arguments a = make(130, 170, 7);
  a.at[O].array = array(tg_dtype_find("f32"), 2, 130, 170);
  for (int threads = 1; threads <= 2; threads++) {
    enum { REPEAT = 8 };
    tg_launchable *l;
    double seconds[REPEAT], own = 0, wall = 0, sum = 0;
    CHECKF(tg_prepare(device, source, &(tg_run_options){.threads = threads}, NARGS, a.at, &l) == TG_OK, "%s", tg_error_message(ctx));
    bool own_time = threads == 1 && device->target; // the interpreter has none
    CHECK(tg_launchable_own_time(l) == own_time);
    for (double start = tg_seconds(); tg_seconds() - start < 0.1;) {
      double begin_own = tg_processor_seconds(), begin = tg_seconds();
      CHECK(tg_launchable_run(l, REPEAT, seconds) == TG_OK);
      own += tg_processor_seconds() - begin_own;
      wall += tg_seconds() - begin;
      for (int i = 0; i < REPEAT; i++) sum += seconds[i];
    }
    CHECKF(sum > 0 && sum <= (own_time ? own : wall), "%d threads: %g s, own %g, wall %g", threads, sum, own, wall);
    tg_launchable_free(l);
  }
  release(&a);
  stop = true;
  pthread_join(other, NULL);
  CHECK(!sched_setaffinity(0, sizeof all, &all));
}

// An array that is read and written: what is read is what was there before the call.
static void in_place(void) {
  arguments a = make(13, 17, 3), b = make(13, 17, 3);
  a.at[O].array = array(tg_dtype_find("f32"), 2, 13, 17);
  b.at[O].array = b.at[X].array;
  CHECK(tg_run(device, source, &(tg_run_options){0}, NARGS, a.at, false) == TG_OK);
  CHECK(tg_run(device, source, &(tg_run_options){0}, NARGS, b.at, false) == TG_OK);
  CHECK(!memcmp(a.at[O].array->data, b.at[X].array->data, a.at[O].array->bytes));
  b.at[O].array = NULL;
  release(&a), release(&b);
}

static void refuse(arguments *a, int nargs, const tg_run_options *options, bool allocate, const char *one, const char *two,
                   const char *three) {
  tg_status status = tg_run(device, source, options, nargs, a->at, allocate);
  const char *message = tg_error_message(ctx);
  CHECKF(status == TG_INVALID && strstr(message, one) && strstr(message, two) && strstr(message, three), "%d: %s", status, message);
}

static void wrong_calls(void) {
  const tg_run_options plain = {0};
  arguments a = make(5, 33, 3), b = a;
  b.at[X].name = "Z";
  refuse(&b, NARGS, &plain, true, "no parameter 'Z'", "X, offsets, rows, a, Y, O, D", "sums");
  b = a, b.at[D] = b.at[X];
  refuse(&b, NARGS, &plain, true, "X is given twice", "", "");
  b = a, b.at[X].array = NULL;
  refuse(&b, NARGS, &plain, true, "input 'X'", "missing", "");
  b = a, b.at[A] = b.at[O];
  refuse(&b, NARGS - 2, &plain, true, "scalar 'a'", "a=NUMBER", "");
  b = a, b.at[A].array = a.at[X].array;
  refuse(&b, NARGS, &plain, true, "a is a scalar", "not an array", "");
  refuse(&a, NARGS, &plain, false, "output 'O'", "--out O=", "");
  b = a, b.at[D].array = a.at[Y].array;
  refuse(&b, NARGS, &plain, true, "Y and D", "same memory", "");
  tg_array part = *a.at[Y].array;
  part.data = (float *)part.data + 4, part.dim[0] = 1, part.bytes = sizeof(float);
  b.at[D].array = &part;
  refuse(&b, NARGS, &plain, true, "Y and D", "same memory", "");
  b = a, b.at[O].name = "S";
  refuse(&b, NARGS, &plain, true, "no parameter 'S'", "", "");

  b = a, b.at[X].array = array(tg_dtype_find("bf16"), 2, 5, 33);
  refuse(&b, NARGS, &plain, true, "X holds bf16", "declares f32", "");
  tg_array_free(ctx, b.at[X].array);
  b.at[X].array = array(tg_dtype_find("f32"), 1, 5, 33);
  refuse(&b, NARGS, &plain, true, "X has shape [5]", "X[M, N]", "2 axes");
  tg_array_free(ctx, b.at[X].array);
  tg_array *wide = NULL;
  CHECK(tg_array_new(ctx, tg_dtype_find("f32"), 6, (int64_t[]){1, 1, 1, 1, 1, 1}, &wide) == TG_OK);
  b.at[X].array = wide;
  refuse(&b, NARGS, &plain, true, "X has 6 axes", "2", "");
  tg_array_free(ctx, wide);
  b = a, b.at[Y].array = array(tg_dtype_find("f32"), 1, 6, 0);
  refuse(&b, NARGS, &plain, true, "Y's axis 0 is 6", "M = 5", "X's axis 0");
  tg_array_free(ctx, b.at[Y].array);
  b = a, b.at[O].array = array(tg_dtype_find("f32"), 2, 5, 34);
  refuse(&b, NARGS, &plain, true, "O's axis 1 is 34", "N = 33", "X's axis 1");
  tg_array_free(ctx, b.at[O].array);

  tg_binding binding = {"N", "34"};
  refuse(&a, NARGS, &(tg_run_options){.shape = {1, &binding}}, true, "N = 33", "--shape", "34");
  binding = (tg_binding){"Q", "34"};
  refuse(&a, NARGS, &(tg_run_options){.shape = {1, &binding}}, true, "no dim 'Q'", "M, N, E", "");
  refuse(&a, NARGS, &(tg_run_options){.settings = {1, &binding}}, true, "no setting 'Q'", "twice, BM", "");
  binding = (tg_binding){"BM", "5"};
  refuse(&a, NARGS, &(tg_run_options){.settings = {1, &binding}}, true, "BM=5", "4, 2, 8", "");
  tg_binding two[] = {{"BM", "2"}, {"BM", "2"}};
  refuse(&a, NARGS, &(tg_run_options){.settings = {2, two}}, true, "'BM' is given twice", "", "");
  release(&a);
}

static void indices(void) {
  const tg_run_options plain = {0}, look = {.check_indices = true};
  arguments a = make(5, 33, 3);
  tg_array *offsets = a.at[OFFSETS].array, *rows = a.at[ROWS].array;
  for (int i = 0; i < 4; i++) tg_array_set(offsets, i, (double[]){0, 2, 2, 5}[i]);
  tg_array_set(rows, 3, 5); // M + 1 are allowed: 0 ... 5
  CHECKF(tg_run(device, source, &look, NARGS, a.at, true) == TG_OK, "%s", tg_error_message(ctx));
  tg_array_set(rows, 3, 6);
  refuse(&a, NARGS, &look, true, "rows[1, 1] is 6", "0 ... 5", "M + 1");
  tg_array_set(rows, 3, -1);
  refuse(&a, NARGS, &look, true, "rows[1, 1] is -1", "0 ... 5", "");
  CHECKF(tg_run(device, source, &plain, NARGS, a.at, true) == TG_OK, "%s", tg_error_message(ctx)); // who does not ask is not told
  tg_array_set(rows, 3, 0);
  tg_array_set(offsets, 3, 6);
  refuse(&a, NARGS, &look, true, "offsets[3] is 6", "0 ... 5", "M");
  tg_array_set(offsets, 3, 1);
  refuse(&a, NARGS, &look, true, "offsets[3] is 1", "less than the 2 before it", "");
  release(&a);
}

// What compile shows: the last variant, whatever the shape; another one on demand.
static void variants(void) {
  const tg_binding zero = {"variant", "0"}, nine = {"variant", "9"}, dims[] = {{"T", "4"}, {"H", "64"}};
  const tg_bindings shape = {2, dims};
  tg_source *rmsnorm;
  tg_artifact *artifact;
  const void *data;
  size_t size;
  CHECK(tg_source_load(ctx, "rmsnorm", &rmsnorm) == TG_OK);
  for (int first = 0; first < 2; first++) {
    const tg_compile_options options = {.target = "nvptx:sm_80", .settings = {first, &zero}};
    CHECKF(tg_compile(ctx, rmsnorm, &options, &artifact) == TG_OK, "%s", tg_error_message(ctx));
    CHECK(tg_artifact_emit(artifact, "meta", &shape, &data, &size) == TG_OK);
    CHECKF((strstr(data, "\"preconditions\":[]") != NULL) == !first, "%s", (const char *)data);
    CHECK(strstr(data, "\"grid\":[4,1,1]") != NULL);
    tg_artifact_free(artifact);
  }
  const tg_compile_options options = {.target = "nvptx:sm_80", .settings = {1, &nine}};
  CHECK(tg_compile(ctx, rmsnorm, &options, &artifact) == TG_INVALID && strstr(tg_error_message(ctx), "variant=9"));
  tg_source_free(rmsnorm);
}

static void on(const char *name) {
  CHECKF(tg_device_open(ctx, name, &device) == TG_OK, "%s", tg_error_message(ctx));
  results();
  repeated();
  own_time();
  in_place();
  wrong_calls();
  indices();
  tg_device_close(device);
}

int main(void) {
  if (!mkdtemp(directory)) return 1;
  snprintf(file, sizeof file, "%s/sums.lua", directory);
  snprintf(cache, sizeof cache, "%s/cache", directory);
  FILE *out = fopen(file, "w");
  fputs(script, out);
  fclose(out);
  const tg_config config = {.root = ROOT_DIR, .cache_dir = cache, .worker = BUILD_DIR "/tegula-worker"};
  if (tg_context_new(&config, &ctx) != TG_OK) return 1;
  tg_status status = tg_source_load(ctx, file, &source);
  CHECKF(status == TG_OK, "%s", tg_error_message(ctx));
  if (status == TG_OK) {
    on("interp");
    on("cpu");
    variants();
    tg_source_free(source);
  }
  tg_context_free(ctx);
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", directory);
  CHECK(system(command) == 0);
  return test_done();
}
