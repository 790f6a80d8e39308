// bench, tune, check: measuring and judging kernels on a device.
#include "cli/cli.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <time.h>
#include <unistd.h>

// ---- members of the documents that bench and tune make

static double number_of(const cJSON *object, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
  return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static const char *text_of(const cJSON *object, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
  return cJSON_IsString(item) ? item->valuestring : "";
}

// An object on one line.
static void print_object(const cJSON *object, const char *key) {
  char *text = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(object, key));
  fputs(text ? text : "", stdout);
  free(text);
}

// ---- bench

static const cli_option bench_options[] = {
    {"--device", "D", "where to run (default cpu)", "@devices"},
    {"--shape", "S=V,…", "every dim of the kernel", NULL},
    {"--set", "P=V,…", "options and meta-parameters (default: tuned, else the machine's)", NULL},
    {"--threads", "N", "host threads (default all)", NULL},
    {"--warm", NULL, "time a GPU with its caches as the run before left them (default: emptied)", NULL},
    {"--runs", "N", "timed runs (default: until the median is steady)", NULL},
    {"--seed", "N", "seed of the inputs (default 0)", NULL},
    {"--json", NULL, "one JSON document on standard output", NULL},
    {0}};

// Whether the times hold the packing of weights, of kernels that take them packed.
static void print_packing(const cJSON *json) {
  const cJSON *packed = cJSON_GetObjectItemCaseSensitive(json, "packed"), *name;
  if (cJSON_GetArraySize(packed)) {
    printf("  packing  ");
    cJSON_ArrayForEach(name, packed) printf("%s%s", name == packed->child ? "" : ", ", cJSON_GetStringValue(name));
    printf(" packed by pack_weights before the clock started, in %.3f ms\n", 1e3 * number_of(json, "pack_seconds"));
  } else if (number_of(cJSON_GetObjectItemCaseSensitive(json, "options"), "packed") == 0) {
    printf("  packing  none, weights are row-major; --set packed=1 times weights that pack_weights has packed, off the clock\n");
  }
}

static void print_bench(const char *document) {
  cJSON *json = cJSON_Parse(document);
  const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(json, "seconds");
  double gflops = number_of(json, "gflops"), gbs = number_of(json, "gbs");
  double peak = number_of(json, "peak_gflops"), bf16 = number_of(json, "bf16_peak_gflops"), stream = number_of(json, "stream_gbs");
  printf("%s on %s, ", text_of(json, "kernel"), text_of(json, "device"));
  print_object(json, "shape");
  printf("\n  config   ");
  print_object(json, "config");
  printf(" (%s)\n", text_of(json, "config_source"));
  const double runs = number_of(json, "runs"), threads = number_of(json, "threads");
  printf("  time     %.3f ms min, %.3f ms median, %.3f ms MAD, ", 1e3 * number_of(seconds, "min"), 1e3 * number_of(seconds, "median"),
         1e3 * number_of(seconds, "mad"));
  printf("%.0f run%s, %.0f thread%s\n", runs, runs == 1 ? "" : "s", threads, threads == 1 ? "" : "s");
  if (isnan(gflops)) printf("  compute  unknown: how much there is depends on data");
  else printf("  compute  %.1f GFLOP/s", gflops);
  const char *const how = text_of(json, "limits");
  const double fp8 = number_of(json, "fp8_peak_gflops");
  if (peak > 0 && !isnan(gflops)) printf(", %.2f of the %s peak of %.1f", gflops / peak, how, peak);
  if (bf16 > 0 && !isnan(gflops)) printf(", %.2f of that of bf16 dots, %.1f", gflops / bf16, bf16);
  if (fp8 > 0 && !isnan(gflops)) printf(", %.2f of that of fp8 dots, %.1f", gflops / fp8, fp8);
  printf("\n  memory   %.1f GB/s", gbs);
  if (stream > 0) printf(", %.2f of the %s stream of %.1f", gbs / stream, how, stream);
  printf("\n");
  print_packing(json);
  printf("  compile  %.1f ms\n", 1e3 * number_of(json, "compile_seconds"));
  cJSON_Delete(json);
}

static int run_bench(cli *c) {
  tg_source *source = NULL;
  char *json = NULL;
  tg_bench_options o = {.device = cli_value(c, "--device", "cpu"),
                        .shape = cli_bindings(c, "--shape"),
                        .settings = cli_bindings(c, "--set"),
                        .threads = (int)cli_int(c, "--threads", 0, 1, 4096),
                        .runs = (int)cli_int(c, "--runs", 0, 1, 1000000),
                        .warm_caches = cli_has(c, "--warm"),
                        .seed = (uint64_t)cli_int(c, "--seed", 0, 0, 1L << 62)};
  tg_status status = cli_source(c, &source);
  if (!status) status = tg_bench(c->ctx, source, &o, &json);
  int exit_status = status ? cli_fail(c, status) : 0;
  if (!status && cli_has(c, "--json")) printf("%s\n", json);
  else if (!status) print_bench(json);
  tg_string_free(c->ctx, json);
  tg_source_free(source);
  return exit_status;
}

const cli_command cli_bench = {
    .name = "bench",
    .arguments = "KERNEL",
    .required = "--shape",
    .summary = "Times a kernel and says how far it is from the machine's limits",
    .examples = "  tegula bench gemm_fp8 --shape M=64,N=7168,K=2048 --threads 1\n"
                "  tegula bench gemm_fp8 --shape M=1,N=7168,K=2048 --set packed=1 --json\n",
    .options = bench_options,
    .min_words = 1,
    .max_words = 1,
    .words = "@kernels",
    .run = run_bench,
};

// ---- tune

static const cli_option tune_options[] = {
    {"--device", "D", "where to run (default cpu)", "@devices"},
    {"--shape", "S=V,…", "every dim of the kernel", NULL},
    {"--set", "P=V,…", "options and meta-parameters to hold fixed", NULL},
    {"--trials", "N", "configs to try (default 64; all of them when exhaustive or with a budget)", NULL},
    {"--budget", "SECONDS", "stop after so long (default none)", NULL},
    {"--strategy", "S", "random, exhaustive, forest (default random)", "random exhaustive forest"},
    {"--seed", "N", "seed of strategy and inputs (default 0)", NULL},
    {"--threads", "N", "host threads (default all)", NULL},
    {"--json", NULL, "one JSON document on standard output", NULL},
    {0}};

static void show_progress(void *user, int done, int total, double best, double eta) {
  (void)user;
  if (!isatty(2)) return;
  fprintf(stderr, "\r\033[K%d of %d, best %.3f ms, %.0f s left%s", done, total, 1e3 * best, eta, done == total ? "\n" : "");
}

// What the search left out, and why most of that.
static void print_space(const cJSON *space) {
  const double pruned = number_of(space, "pruned");
  const cJSON *most = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(space, "reasons"), 0);
  if (pruned > 0)
    printf("%-7s  %.0f of %.0f configs left out before the search, %.0f of them as %s\n", "space", pruned,
           pruned + number_of(space, "configs"), number_of(most, "configs"), text_of(most, "reason"));
}

static void print_tune(const char *document) {
  static const char *const rows[] = {"best", "default"};
  cJSON *json = cJSON_Parse(document);
  print_space(cJSON_GetObjectItemCaseSensitive(json, "space"));
  for (int i = 0; i < 2; i++) {
    const cJSON *row = cJSON_GetObjectItemCaseSensitive(json, rows[i]);
    printf("%-7s  %9.3f ms  ", rows[i], 1e3 * number_of(row, "seconds"));
    print_object(row, "config");
    printf("\n");
  }
  cJSON_Delete(json);
}

static int run_tune(cli *c) {
  tg_source *source = NULL;
  char *json = NULL;
  tg_tune_options o = {.device = cli_value(c, "--device", "cpu"),
                       .strategy = cli_value(c, "--strategy", NULL),
                       .shape = cli_bindings(c, "--shape"),
                       .settings = cli_bindings(c, "--set"),
                       .trials = (int)cli_int(c, "--trials", 0, 1, 1000000),
                       .threads = (int)cli_int(c, "--threads", 0, 1, 4096),
                       .budget = cli_number(c, "--budget", 0),
                       .seed = (uint64_t)cli_int(c, "--seed", 0, 0, 1L << 62),
                       .progress = show_progress};
  tg_status status = cli_source(c, &source);
  if (!status) status = tg_tune(c->ctx, source, &o, &json);
  int exit_status = status ? cli_fail(c, status) : 0;
  if (!status && cli_has(c, "--json")) printf("%s\n", json);
  else if (!status) print_tune(json);
  tg_string_free(c->ctx, json);
  tg_source_free(source);
  return exit_status;
}

const cli_command cli_tune = {
    .name = "tune",
    .arguments = "KERNEL",
    .required = "--shape",
    .summary = "Searches meta-parameters by measuring, records the best in the database",
    .examples = "  tegula tune gemm_fp8 --shape M=64,N=7168,K=2048 --trials 40\n"
                "  tegula tune rmsnorm --shape T=512,H=7168 --strategy exhaustive --threads 1 --json\n",
    .options = tune_options,
    .min_words = 1,
    .max_words = 1,
    .words = "@kernels",
    .run = run_tune,
};

// ---- check

static const cli_option check_options[] = {
    {"--device", "D", "run library kernels on it and compare with the interpreter", "@devices"},
    {"--target", "T", "compile library kernels for it: a target, a machine or a description's FILE.lua", "@targets"},
    {"--kernels", "K,…", "these alone", "@kernels"},
    {"--configs", "N", "so many configs of each search space, in place of every value by itself", NULL},
    {"--budget", "SECONDS", "what configs may take together (default no limit)", NULL},
    {"--seed", "N", "which configs (default 0)", NULL},
    {"--all-shapes", NULL, "of a target: compile for every shape that a device is checked with (default: one)", NULL},
    {"--emit", "FORM", "what a target's code has to come to: asm or obj (default asm)", "asm obj"},
    {0}};

typedef struct {
  int count[TG_VERDICT_NOTE + 1];
  double began;
} tally;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// A line for each case, and on a terminal how far it is below the last one.
static void report_line(void *user, const char *line, tg_verdict verdict, int done, int total) {
  static const char *const words[] = {"ok", "refused", "FAIL", "note"};
  const char *const wipe = isatty(2) ? "\r\033[K" : "";
  tally *t = user;
  t->count[verdict]++;
  fputs(wipe, stderr);
  printf("%-7s %s\n", words[verdict], line);
  cli_stop_unread();
  const double spent = now() - t->began;
  if (*wipe && done < total) fprintf(stderr, "%d of %d, %.0f s, %.0f s left", done, total, spent, spent / done * (total - done));
}

static int run_check(cli *c) {
  tally t = {.began = now()};
  tg_check_options o = {.device = cli_value(c, "--device", NULL),
                        .target = cli_value(c, "--target", NULL),
                        .form = cli_value(c, "--emit", NULL),
                        .all_shapes = cli_has(c, "--all-shapes"),
                        .configs = (int)cli_int(c, "--configs", 0, 0, 1 << 22),
                        .budget = cli_number(c, "--budget", 0),
                        .seed = (uint64_t)cli_int(c, "--seed", 0, 0, 1L << 62),
                        .report = report_line,
                        .user = &t};
  if (!o.device == !o.target) cli_usage("check: give either --device D or --target T");
  if (o.form && o.device) cli_usage("check: --emit is for a target; a device takes the form that it runs");
  if (o.all_shapes && o.device) cli_usage("check: --all-shapes is for a target; a device is given them all");
  if (cli_has(c, "--budget") && !o.configs) cli_usage("check: --budget is for configs: give --configs N too");
  o.nkernels = cli_names(c, "--kernels", &o.kernels);
  if (!o.nkernels && cli_has(c, "--kernels")) cli_usage("check: --kernels names none; 'tegula kernels' lists them");
  tg_status status = tg_check(c->ctx, &o);
  const int passed = t.count[TG_VERDICT_OK], refused = t.count[TG_VERDICT_REFUSED], failed = t.count[TG_VERDICT_FAIL];
  if (status == TG_OK || passed + refused + failed)
    printf("%d passed, %d refused, %d failed in %.1f s\n", passed, refused, failed, now() - t.began);
  if (status) return cli_fail(c, status);
  return failed ? 1 : 0;
}

const cli_command cli_check = {
    .name = "check",
    .arguments = "",
    .required = "--device|--target",
    .summary = "Conformance: library kernels, awkward shapes, against the interpreter",
    .examples = "  tegula check --device cpu\n"
                "  tegula check --device sim:sm_80 --kernels gemm_bf16,rmsnorm --configs 20\n"
                "  tegula check --target nvptx:sm_80 --emit obj --configs 100000 --budget 600\n",
    .options = check_options,
    .run = run_check,
};
