// Random kernels (random.lua) on device cpu against the interpreter, which is the meaning of tile IR: the same bits for every seed.
#include <math.h>
#include <unistd.h>

#include "tegula/tegula.h"
#include "test.h"

enum { INPUTS = 6, OUTPUTS = 4, SEEDS = 30 };
static const char *const names[INPUTS + OUTPUTS] = {"X", "Y", "Z", "B", "E", "V", "F", "G", "H", "S"};
static const char *const dtypes[INPUTS] = {"f32", "bf16", "i32", "i8", "e4m3", "i32"};

static tg_context *ctx;
static tg_source *source;
static tg_device *interp, *cpu;
static char directory[] = "/tmp/tegula-random-XXXXXX";

static uint32_t random_state;
static int below(int n) {
  random_state = random_state * 1664525u + 1013904223u;
  return (int)((random_state >> 8) % (uint32_t)n);
}

// Small integers with some NaN, Inf and -0 among the floats; extremes among the integers; indices that reach a little outside.
static double element(int input, int most) {
  switch (input) {
  case 0:
  case 1: {
    const double rare[] = {NAN, INFINITY, -INFINITY, -0.0};
    return below(20) ? below(19) - 9 : rare[below(4)];
  }
  case 2: return below(12) ? below(81) - 40 : below(2) ? INT32_MAX : INT32_MIN;
  case 3: return below(256) - 128;
  default: return below(most + 6) - 3;
  }
}

static void fill(tg_argument *args, int64_t M, int64_t N, int64_t P) {
  for (int i = 0; i < INPUTS; i++) {
    const bool vector = i == INPUTS - 1;
    const int64_t n = vector ? P : M * N;
    args[i] = (tg_argument){.name = names[i]};
    CHECK(tg_array_new(ctx, tg_dtype_find(dtypes[i]), vector ? 1 : 2, (int64_t[]){vector ? P : M, N}, &args[i].array) == TG_OK);
    for (int64_t k = 0; k < n; k++)
      if (i == 4) ((uint8_t *)args[i].array->data)[k] = (uint8_t)below(256);
      else tg_array_set(args[i].array, k, element(i, (int)(M > N ? M : N)));
  }
}

static bool run(tg_device *device, const char *name, int seed, int threads, tg_argument *args) {
  char text[16];
  snprintf(text, sizeof text, "%d", seed);
  tg_binding setting = {"seed", text};
  const tg_run_options options = {.settings = {1, &setting}, .threads = threads};
  for (int i = INPUTS; i < INPUTS + OUTPUTS; i++) args[i] = (tg_argument){.name = names[i]};
  const tg_status status = tg_run(device, source, &options, INPUTS + OUTPUTS, args, true);
  CHECKF(status == TG_OK, "seed %d on %s: %s", seed, name, tg_error_message(ctx));
  return status == TG_OK;
}

static void check(int seed, int64_t M, int64_t N, int64_t P) {
  tg_argument want[INPUTS + OUTPUTS], got[INPUTS + OUTPUTS];
  random_state = (uint32_t)seed;
  fill(want, M, N, P);
  memcpy(got, want, sizeof got);
  if (run(interp, "interp", seed, 1, want) && run(cpu, "cpu", seed, 1 + seed % 2, got))
    for (int i = INPUTS; i < INPUTS + OUTPUTS; i++) {
      const tg_array *a = want[i].array, *b = got[i].array;
      const bool same = a->bytes == b->bytes && (!a->bytes || !memcmp(a->data, b->data, a->bytes));
      size_t at = 0;
      while (!same && at < a->bytes && ((char *)a->data)[at] == ((char *)b->data)[at]) at++;
      CHECKF(same, "seed %d, %lld x %lld: %s differs at %zu: %g, want %g", seed, (long long)M, (long long)N, names[i], at / 4,
             tg_array_get(b, (int64_t)at / 4), tg_array_get(a, (int64_t)at / 4));
    }
  for (int i = 0; i < INPUTS + OUTPUTS; i++) {
    if (i >= INPUTS) tg_array_free(ctx, want[i].array);
    tg_array_free(ctx, got[i].array);
  }
}

int main(void) {
  if (!mkdtemp(directory)) return 1;
  const tg_config config = {.root = ROOT_DIR, .cache_dir = directory, .worker = BUILD_DIR "/tegula-worker"};
  if (tg_context_new(&config, &ctx)) return 1;
  CHECKF(tg_source_load(ctx, TESTS_DIR "/codegen/random.lua", &source) == TG_OK, "%s", tg_error_message(ctx));
  CHECK(tg_device_open(ctx, "interp", &interp) == TG_OK && tg_device_open(ctx, "cpu", &cpu) == TG_OK);
  static const int64_t shapes[][3] = {{13, 37, 29}, {1, 1, 1}, {40, 7, 3}, {5, 64, 50}, {33, 20, 0}};
  for (int seed = 1; seed <= SEEDS && source; seed++) {
    const int64_t *s = shapes[seed % 5];
    check(seed, s[0], s[1], s[2]);
  }
  tg_source_free(source);
  tg_device_close(cpu), tg_device_close(interp);
  tg_context_free(ctx);
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", directory);
  CHECK(system(command) == 0);
  return test_done();
}
