// bench and tune from end to end on the interpreter, which needs no compiler: schema, work model, inputs, gate, lookup, resumption's files.
#include <cjson/cJSON.h>
#include <math.h>
#include <unistd.h>

#include "autotune/autotune.h"
#include "test.h"

static tg_context *ctx;
static char directory[] = "/tmp/tegula-bench-XXXXXX", infos[8192];

static void keep_log(void *user, tg_log_level level, const char *text) {
  (void)user;
  size_t used = strlen(infos);
  if (level >= TG_LOG_INFO) snprintf(infos + used, sizeof infos - used, "%s\n", text);
}

static tg_bindings list(tg_binding *at, const char *names, const char *const *values) {
  int n = 0;
  for (; names[n]; n++) {
    static char letters[26][2];
    letters[names[n] - 'A'][0] = names[n];
    at[n] = (tg_binding){letters[names[n] - 'A'], values[n]};
  }
  return (tg_bindings){n, at};
}

static double number(const cJSON *json, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
  CHECKF(cJSON_IsNumber(item), "no number %s", name);
  return item ? item->valuedouble : 0;
}

static const char *string(const cJSON *json, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
  CHECKF(cJSON_IsString(item), "no string %s", name);
  return cJSON_IsString(item) ? item->valuestring : "";
}

// ---- bench

static cJSON *bench(const char *kernel, tg_bindings shape, tg_bindings settings) {
  tg_source *source;
  char *json = NULL;
  CHECK(tg_source_load(ctx, kernel, &source) == TG_OK);
  tg_status status =
      tg_bench(ctx, source, &(tg_bench_options){.device = "interp", .shape = shape, .settings = settings, .threads = 1, .runs = 5}, &json);
  CHECKF(status == TG_OK, "%s: %s", kernel, tg_error_message(ctx));
  cJSON *parsed = json ? cJSON_Parse(json) : NULL;
  CHECK(parsed != NULL);
  tg_string_free(ctx, json);
  tg_source_free(source);
  return parsed;
}

static void test_schema(void) {
  tg_binding at[8];
  cJSON *json =
      bench("gemm_fp8", list(at, "MNK", (const char *const[]){"17", "72", "144"}), (tg_bindings){1, (tg_binding[]){{"BM", "16"}}});
  CHECK_STR(string(json, "kernel"), "gemm_fp8");
  CHECK_STR(string(json, "device"), "interp");
  CHECK(*string(json, "target"));
  CHECK_STR(string(json, "config_source"), "set");
  const cJSON *shape = cJSON_GetObjectItemCaseSensitive(json, "shape"), *config = cJSON_GetObjectItemCaseSensitive(json, "config");
  CHECK(number(shape, "M") == 17 && number(shape, "N") == 72 && number(shape, "K") == 144);
  CHECK(number(config, "BM") == 16 && number(config, "BN") == 128);
  const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(json, "seconds");
  double median = number(seconds, "median");
  CHECK(number(seconds, "min") > 0 && number(seconds, "min") <= median && number(seconds, "mad") >= 0);
  CHECK(number(json, "threads") == 1 && number(json, "runs") == 5);
  CHECK(number(json, "flops") == 2.0 * 17 * 72 * 144);
  CHECK(number(json, "bytes") == 17 * 144 + 4 * 17 * 2 + 72 * 144 + 4 * 1 * 2 + 2 * 17 * 72);
  CHECK(fabs(number(json, "gflops") / (number(json, "flops") / median * 1e-9) - 1) < 1e-6);
  CHECK(fabs(number(json, "gbs") / (number(json, "bytes") / median * 1e-9) - 1) < 1e-6);
  CHECK(number(json, "peak_gflops") > 0 && number(json, "bf16_peak_gflops") >= 0 && number(json, "stream_gbs") > 0 &&
        number(json, "pack_seconds") == 0 && number(json, "compile_seconds") >= 0);
  CHECK(cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(json, "packed")) &&
        cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(json, "packed")) == 0);
  cJSON_Delete(json);
}

// Packing happens off the clock, and the same work is reported.
static void test_packed(void) {
  tg_binding at[8];
  cJSON *json =
      bench("gemm_fp8", list(at, "MNK", (const char *const[]){"3", "40", "128"}), (tg_bindings){1, (tg_binding[]){{"packed", "1"}}});
  const cJSON *packed = cJSON_GetObjectItemCaseSensitive(json, "packed");
  CHECK(cJSON_GetArraySize(packed) == 1 && !strcmp(cJSON_GetArrayItem(packed, 0)->valuestring, "B"));
  CHECK(number(json, "pack_seconds") > 0 && number(json, "flops") == 2.0 * 3 * 40 * 128);
  CHECK_STR(string(json, "config_source"), "default");
  cJSON_Delete(json);
}

static void test_bytes(void) {
  tg_binding at[8];
  cJSON *json = bench("rmsnorm", list(at, "TH", (const char *const[]){"5", "300"}), (tg_bindings){0});
  CHECK(number(json, "bytes") == 2 * 5 * 300 * 2 + 2 * 300);
  CHECK(number(json, "flops") >= 4 * 5 * 300 && number(json, "flops") < 8 * 5 * 300); // square, add, two products, and a little a row
  cJSON_Delete(json);
}

// What index tensors hold is the greatest that they may: a full cache, and that is the work reported.
static void test_indices(void) {
  tg_binding at[8];
  tg_binding set[] = {{"D", "64"}, {"R", "16"}, {"splits", "1"}, {"BM", "16"}, {"BK", "64"}};
  cJSON *json = bench("mla_decode", list(at, "BSNPW", (const char *const[]){"1", "1", "16", "5", "4"}), (tg_bindings){5, set});
  CHECK(number(json, "flops") == 2.0 * 16 * 256 * (80 + 64));
  cJSON_Delete(json);
}

static void test_mistakes(void) {
  tg_source *source;
  char *json = (char *)1;
  tg_binding at[8];
  CHECK(tg_source_load(ctx, "gemm_fp8", &source) == TG_OK);
  const struct {
    const char *names;
    const char *const values[4];
    const char *device, *words;
  } wrong[] = {{"MN", {"1", "2"}, "interp", "dim K"},
               {"MNKQ", {"1", "2", "16", "4"}, "interp", "no dim 'Q'"},
               {"MNK", {"1", "x", "16"}, "interp", "N=x"},
               {"MNK", {"1", "-2", "16"}, "interp", "0 or more"},
               {"MNK", {"1", "2", "16"}, "abacus", "abacus"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    tg_bench_options options = {.device = wrong[i].device, .shape = list(at, wrong[i].names, wrong[i].values)};
    CHECK(tg_bench(ctx, source, &options, &json) == TG_INVALID && !json);
    CHECKF(strstr(tg_error_message(ctx), wrong[i].words), "%s", tg_error_message(ctx));
  }
  tg_bindings shape = list(at, "MNK", (const char *const[]){"1", "2", "16"});
  CHECK(tg_bench(ctx, source, &(tg_bench_options){.device = "interp", .shape = shape, .settings = {1, (tg_binding[]){{"BM", "3"}}}},
                 &json) == TG_INVALID);
  CHECK(tg_tune(ctx, source, &(tg_tune_options){.device = "interp", .shape = shape, .settings = {1, (tg_binding[]){{"BM", "3"}}}}, &json) ==
        TG_INVALID);
  CHECK(tg_tune(ctx, source, &(tg_tune_options){.device = "interp", .shape = shape, .settings = {1, (tg_binding[]){{"BQ", "3"}}}}, &json) ==
        TG_INVALID);
  CHECKF(strstr(tg_error_message(ctx), "BQ"), "%s", tg_error_message(ctx));
  CHECK(tg_tune(ctx, source, &(tg_tune_options){.device = "interp", .shape = shape, .strategy = "guess"}, &json) == TG_INVALID);
  CHECKF(strstr(tg_error_message(ctx), "random, exhaustive"), "%s", tg_error_message(ctx));
  tg_source_free(source);
}

// ---- tune

static void expect_for(tg_source *source, tg_bindings shape, tg_bindings settings, int threads, const char *name, const char *value) {
  char *json;
  const char *from;
  CHECK(tg_config_lookup(ctx, source, "interp", &shape, &settings, threads, &json, &from) == TG_OK);
  CHECK_STR(from, value ? "database" : "default");
  cJSON *config = cJSON_Parse(json);
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, name);
  CHECK(value ? item && item->valueint == atoi(value) : !item);
  cJSON_Delete(config);
  tg_string_free(ctx, json);
}

static void expect_config(tg_source *source, tg_bindings shape, tg_bindings settings, const char *name, const char *value) {
  expect_for(source, shape, settings, 0, name, value);
}

// Another record of the same shape, for 7 threads and slower: it serves those who launch on 7.
static void test_threads(tg_source *source, tg_bindings shape, const char *bm) {
  char command[400];
  const char *other = strcmp(bm, "256") ? "256" : "192";
  snprintf(
      command, sizeof command,
      "tail -n 1 %s/tuning.jsonl | sed 's/\"BM\":%s/\"BM\":%s/; s/\"threads\":1,/\"threads\":7,/; s/\"seconds\":/&1/' >> %s/tuning.jsonl",
      directory, bm, other, directory);
  CHECK(system(command) == 0);
  expect_for(source, shape, (tg_bindings){0}, 7, "BM", other);
  expect_for(source, shape, (tg_bindings){0}, 1, "BM", bm);
}

static void test_tune(void) {
  tg_source *source;
  char *text = NULL;
  tg_binding at[8], near[8];
  CHECK(tg_source_load(ctx, "gemm_fp8", &source) == TG_OK);
  tg_bindings shape = list(at, "MNK", (const char *const[]){"3", "40", "144"}), pinned = {1, (tg_binding[]){{"BN", "32"}}};
  expect_config(source, shape, (tg_bindings){0}, "BM", NULL);
  expect_config(source, shape, (tg_bindings){0}, "BM", NULL);
  const char *miss = strstr(infos, "no tuned config of gemm_fp8");
  CHECK(miss && !strstr(miss + 1, "no tuned config of gemm_fp8")); // once
  tg_tune_options options = {.device = "interp", .strategy = "exhaustive", .shape = shape, .settings = pinned, .threads = 1, .budget = 20};
  tg_status status = tg_tune(ctx, source, &options, &text);
  CHECKF(status == TG_OK, "%s", tg_error_message(ctx));
  cJSON *json = text ? cJSON_Parse(text) : NULL;
  CHECK_STR(string(json, "kernel"), "gemm_fp8");
  CHECK_STR(string(json, "device"), "interp");
  CHECK_STR(string(json, "strategy"), "exhaustive");
  CHECK(number(json, "seed") == 0 && number(cJSON_GetObjectItemCaseSensitive(json, "shape"), "K") == 144);
  const cJSON *evaluated = cJSON_GetObjectItemCaseSensitive(json, "evaluated"), *item;
  CHECKF(cJSON_GetArraySize(evaluated) == 12, "%d", cJSON_GetArraySize(evaluated)); // the values of BM
  cJSON_ArrayForEach(item, evaluated) {
    CHECKF(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "ok")), "%s", cJSON_PrintUnformatted(item));
    CHECK(number(item, "seconds") > 0 && number(cJSON_GetObjectItemCaseSensitive(item, "config"), "BN") == 32);
  }
  const cJSON *best = cJSON_GetObjectItemCaseSensitive(json, "best"), *standard = cJSON_GetObjectItemCaseSensitive(json, "default");
  CHECK(number(best, "seconds") <= number(standard, "seconds"));
  CHECK(number(cJSON_GetObjectItemCaseSensitive(standard, "config"), "BM") == 64);
  char bm[16];
  snprintf(bm, sizeof bm, "%d", (int)number(cJSON_GetObjectItemCaseSensitive(best, "config"), "BM"));
  expect_config(source, shape, (tg_bindings){0}, "BM", bm);
  expect_config(source, list(near, "MNK", (const char *const[]){"5", "64", "256"}), (tg_bindings){0}, "BM", bm); // nearest
  expect_config(source, shape, (tg_bindings){1, (tg_binding[]){{"packed", "1"}}}, "BM", NULL);                   // other declarations
  test_threads(source, shape, bm);
  cJSON_Delete(json);
  tg_string_free(ctx, text);
  tg_source_free(source);
  char command[200];
  snprintf(command, sizeof command, "ls %s | grep -q run-", directory);
  CHECK(system(command) != 0); // no journal is left
}

// ---- gate

static void test_gate_in(tg_arena *arena, const char *kernel, tg_bindings shape, const char *output, int64_t victim, double factor) {
  tg_source *source;
  tg_subject subject;
  tg_inputs inputs;
  tg_device *device = NULL;
  tg_reference reference;
  CHECK(tg_source_load(ctx, kernel, &source) == TG_OK && tg_device_open(ctx, "interp", &device) == TG_OK);
  tg_subject_make(ctx, arena, source, &(tg_request){.device = "interp", .shape = shape}, &subject);
  tg_inputs_make(ctx, arena, &subject, device, 5, &inputs);
  tg_reference_map(ctx, arena, tg_reference_make(ctx, arena, &subject, &inputs, 5), &inputs, &reference);
  CHECK(tg_run(device, source, &(tg_run_options){.shape = shape}, inputs.n, inputs.args, false) == TG_OK);
  const char *complaint = tg_gate(arena, &reference, &inputs);
  CHECKF(!complaint, "%s: %s", kernel, complaint);
  for (int i = 0; i < inputs.n; i++) {
    if (strcmp(inputs.args[i].name, output)) continue;
    tg_array *array = inputs.args[i].array;
    double right = tg_array_get(array, victim);
    tg_array_set(array, victim, right * factor);
    complaint = tg_gate(arena, &reference, &inputs);
    CHECKF(complaint && strstr(complaint, output) && strstr(complaint, "1 of "), "%s: %s", kernel, complaint ? complaint : "accepted");
    tg_array_set(array, victim, NAN);
    CHECK(tg_gate(arena, &reference, &inputs));
  }
  tg_reference_unmap(&reference);
  tg_inputs_free(ctx, &inputs);
  tg_device_close(device);
  tg_source_free(source);
}

static void test_gate(tg_arena *arena) {
  tg_binding at[8];
  // sums of 144 products: dropping one tenth of a sum is seen, wherever it is
  test_gate_in(arena, "gemm_fp8", list(at, "MNK", (const char *const[]){"5", "40", "144"}), "C", 5 * 40 - 1, 0.9);
  test_gate_in(arena, "gemm_f32", list(at, "MNK", (const char *const[]){"5", "40", "33"}), "C", 77, 1.01);
  test_gate_in(arena, "rmsnorm", list(at, "TH", (const char *const[]){"3", "100"}), "O", 299, 1.03);
  // two launches that share a workspace, and a static
  const char *split = TESTS_DIR "/autotune/data/splitsum.lua";
  test_gate_in(arena, split, list(at, "MKE", (const char *const[]){"33", "200", "3"}), "Y", 32, 1.01);
  test_gate_in(arena, "quantize_rows", list(at, "MK", (const char *const[]){"3", "200"}), "S", 5, 1.001);
}

// With blocks of 64 rows, 1023 rows end in a block whose first row is 960: where such blocks start is sampled, not only the last row.
static void test_gate_samples(tg_arena *arena) {
  tg_source *source;
  tg_subject subject;
  tg_inputs inputs;
  tg_device *device = NULL;
  tg_reference reference;
  tg_binding at[8];
  tg_bindings shape = list(at, "MNK", (const char *const[]){"1023", "32", "4096"});
  CHECK(tg_source_load(ctx, "gemm_f32", &source) == TG_OK && tg_device_open(ctx, "interp", &device) == TG_OK);
  tg_subject_make(ctx, arena, source, &(tg_request){.device = "interp", .shape = shape}, &subject);
  tg_inputs_make(ctx, arena, &subject, device, 5, &inputs);
  tg_reference_map(ctx, arena, tg_reference_make(ctx, arena, &subject, &inputs, 5), &inputs, &reference);
  const uint32_t *values = reference.at[0].values;
  int covered = 0;
  for (int row = 0; row < 1023; row++) covered += values[row * 32] != 0xffffffffu;
  CHECKF(covered < 700, "%d rows are covered: not a sample", covered);
  for (int rows = 1; rows <= 512; rows = rows & (rows - 1) ? rows / 3 * 4 : rows == 1 ? 2 : rows / 2 * 3) {
    int first = 1022 / rows * rows;
    CHECKF(values[first * 32] != 0xffffffffu, "row %d, where blocks of %d rows start last, is not covered", first, rows);
  }
  tg_reference_unmap(&reference);
  tg_inputs_free(ctx, &inputs);
  tg_device_close(device);
  tg_source_free(source);
}

// The same seed gives the same inputs; values are what the dtypes can compute with.
static void test_inputs(tg_arena *arena) {
  tg_source *source;
  tg_subject subject;
  tg_inputs first, second, other;
  tg_device *device = NULL;
  tg_binding at[8];
  CHECK(tg_source_load(ctx, "gemm_fp8", &source) == TG_OK && tg_device_open(ctx, "interp", &device) == TG_OK);
  tg_request request = {.device = "interp", .shape = list(at, "MNK", (const char *const[]){"64", "128", "256"})};
  tg_subject_make(ctx, arena, source, &request, &subject);
  tg_inputs_make(ctx, arena, &subject, device, 1, &first);
  tg_inputs_make(ctx, arena, &subject, device, 1, &second);
  tg_inputs_make(ctx, arena, &subject, device, 2, &other);
  for (int i = 0; i < first.n; i++) {
    const tg_array *a = first.args[i].array;
    if (first.is_output[i]) continue;
    CHECK(!memcmp(a->data, second.args[i].array->data, a->bytes) && memcmp(a->data, other.args[i].array->data, a->bytes));
    for (int64_t e = 0; e < a->dim[0] * a->dim[1]; e++) {
      double value = tg_array_get(a, e);
      if (a->dtype == TG_F32) CHECK(value >= 0.5 && value <= 1.5);
      else CHECK(fabs(value) <= 448); // no NaN
    }
  }
  tg_inputs_free(ctx, &first);
  tg_inputs_free(ctx, &second);
  tg_inputs_free(ctx, &other);
  tg_device_close(device);
  tg_source_free(source);
}

// Of many kernels without a tuned config the first few are named.
static void test_misses(void) {
  static const char *const kernels[] = {"add", "cast", "embed", "swiglu", "argmax"};
  infos[0] = 0;
  for (int i = 0; i < 5; i++) {
    tg_source *source;
    CHECK(tg_source_load(ctx, kernels[i], &source) == TG_OK);
    char *json = NULL;
    const char *from = NULL;
    const tg_bindings shape = {2, (tg_binding[]){{"T", "7"}, {i < 4 ? i < 3 ? "H" : "I" : "V", "33"}}};
    CHECKF(tg_config_lookup(ctx, source, "cpu", &shape, NULL, 1, &json, &from) == TG_OK, "%s: %s", kernels[i], tg_error_message(ctx));
    CHECK_STR(from, "default");
    tg_string_free(ctx, json);
    tg_source_free(source);
  }
  int named = 0;
  for (const char *at = infos; (at = strstr(at, "no tuned config of")); at++) named++;
  const char *rest = strstr(infos, "no tuned configs of further kernels");
  CHECKF(named <= 3 && rest && !strstr(rest + 1, "no tuned config"), "%s", infos);
}

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "measure")) return tg_measure_serve(TG_MEASURE_FD, &tg_backend_device);
  CHECK(mkdtemp(directory) != NULL);
  tg_config config = {.log = keep_log, .root = ROOT_DIR, .cache_dir = directory, .worker = "/proc/self/exe"};
  char database[128];
  snprintf(database, sizeof database, "%s/tuning.jsonl", directory);
  config.database = database;
  CHECK(tg_context_new(&config, &ctx) == TG_OK);
  tg_arena arena;
  tg_arena_init(&arena, ctx);
  test_schema();
  test_packed();
  test_bytes();
  test_indices();
  test_mistakes();
  test_inputs(&arena);
  test_gate(&arena);
  test_gate_samples(&arena);
  test_tune();
  test_misses();
  tg_arena_free(&arena);
  tg_context_free(ctx);
  char command[200];
  snprintf(command, sizeof command, "rm -r %s", directory);
  CHECK(system(command) == 0);
  return test_done();
}
