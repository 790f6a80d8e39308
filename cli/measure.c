// bench, tune, check: measuring and judging kernels on a device.
#include "cli/cli.h"

#include <time.h>
#include <unistd.h>

// Reads a number out of a document of our own making; NAN when the key is absent.
static double json_number(const char *json, const char *key) {
  char pattern[64];
  snprintf(pattern, sizeof pattern, "\"%s\":", key);
  const char *at = strstr(json, pattern);
  return at ? strtod(at + strlen(pattern), NULL) : __builtin_nan("");
}

// Copies the value of a key: a string without its quotes, an object or array with its brackets.
static const char *json_text(const char *json, const char *key, char *buffer, size_t size) {
  char pattern[64];
  snprintf(pattern, sizeof pattern, "\"%s\":", key);
  const char *at = strstr(json, pattern);
  *buffer = 0;
  if (!at) return buffer;
  at += strlen(pattern);
  const char *end = at;
  int depth = 0;
  bool quoted = false;
  for (; *end; end++) {
    if (*end == '"') quoted = !quoted;
    if (quoted) continue;
    if (*end == '{' || *end == '[') depth++;
    if ((*end == '}' || *end == ']') && depth-- == 0) break;
    if (*end == ',' && depth == 0) break;
  }
  if (*at == '"') at++, end--;
  size_t n = (size_t)(end - at) < size - 1 ? (size_t)(end - at) : size - 1;
  memcpy(buffer, at, n);
  buffer[n] = 0;
  return buffer;
}

// ---- bench

static const cli_option bench_options[] = {{"--device", "D", "where to run (default cpu)", "@devices"},
                                           {"--shape", "S=V,…", "every dim of the kernel", NULL},
                                           {"--set", "P=V,…", "options and meta-parameters (default: tuned, else the machine's)", NULL},
                                           {"--threads", "N", "host threads (default all)", NULL},
                                           {"--runs", "N", "timed runs (default: until the median is steady)", NULL},
                                           {"--seed", "N", "seed of the inputs (default 0)", NULL},
                                           {"--json", NULL, "one JSON document on standard output", NULL},
                                           {0}};

static void print_bench(const char *json) {
  char device[64], config[512], from[64], kernel[128], shape[256];
  double gflops = json_number(json, "gflops"), gbs = json_number(json, "gbs");
  double peak = json_number(json, "peak_gflops"), stream = json_number(json, "stream_gbs");
  printf("%s on %s, %s\n", json_text(json, "kernel", kernel, sizeof kernel), json_text(json, "device", device, sizeof device),
         json_text(json, "shape", shape, sizeof shape));
  printf("  config   %s (%s)\n", json_text(json, "config", config, sizeof config), json_text(json, "config_source", from, sizeof from));
  printf("  time     %.3f ms min, %.3f ms median, %.3f ms MAD, %.0f runs, %.0f threads\n", 1e3 * json_number(json, "min"),
         1e3 * json_number(json, "median"), 1e3 * json_number(json, "mad"), json_number(json, "runs"), json_number(json, "threads"));
  printf("  compute  %.1f GFLOP/s", gflops);
  if (peak > 0) printf(", %.2f of the measured peak of %.1f", gflops / peak, peak);
  printf("\n  memory   %.1f GB/s", gbs);
  if (stream > 0) printf(", %.2f of the measured stream of %.1f", gbs / stream, stream);
  printf("\n  compile  %.1f ms\n", 1e3 * json_number(json, "compile_seconds"));
}

static int run_bench(cli *c) {
  tg_source *source = NULL;
  char *json = NULL;
  tg_bench_options o = {.device = cli_value(c, "--device", "cpu"),
                        .shape = cli_bindings(c, "--shape"),
                        .settings = cli_bindings(c, "--set"),
                        .threads = (int)cli_int(c, "--threads", 0, 1, 4096),
                        .runs = (int)cli_int(c, "--runs", 0, 1, 1000000),
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

const cli_command cli_bench = {"bench",
                               "KERNEL [--device D] --shape S=V,… [--set P=V,…] [--threads N] [--json]",
                               "Times a kernel and says how far it is from the machine's limits",
                               "  tegula bench gemm_fp8 --shape M=64,N=7168,K=2048 --threads 1\n"
                               "  tegula bench gemm_fp8 --shape M=1,N=7168,K=2048 --set packed=1 --json\n",
                               bench_options,
                               1,
                               1,
                               "@kernels",
                               run_bench};

// ---- tune

static const cli_option tune_options[] = {{"--device", "D", "where to run (default cpu)", "@devices"},
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
  if (!status && cli_has(c, "--json")) {
    printf("%s\n", json);
  } else if (!status) {
    const char *best = strstr(json, "\"best\":"), *fallback = strstr(json, "\"default\":");
    char config[512];
    if (best) printf("best     %9.3f ms  %s\n", 1e3 * json_number(best, "seconds"), json_text(best, "config", config, sizeof config));
    if (fallback)
      printf("default  %9.3f ms  %s\n", 1e3 * json_number(fallback, "seconds"), json_text(fallback, "config", config, sizeof config));
  }
  tg_string_free(c->ctx, json);
  tg_source_free(source);
  return exit_status;
}

const cli_command cli_tune = {"tune",
                              "KERNEL [--device D] --shape S=V,… [--trials N] [--budget SECONDS] [--strategy S] [--seed N] [--threads N] [--json]",
                              "Searches meta-parameters by measuring, records the best in the database",
                              "  tegula tune gemm_fp8 --shape M=64,N=7168,K=2048 --trials 40\n"
                              "  tegula tune rmsnorm --shape T=512,H=7168 --strategy exhaustive --threads 1 --json\n",
                              tune_options,
                              1,
                              1,
                              "@kernels",
                              run_tune};

// ---- check

static const cli_option check_options[] = {{"--device", "D", "run every library kernel on it and compare with the interpreter", "@devices"},
                                           {"--target", "T", "compile every library kernel for it", "@targets"},
                                           {0}};

typedef struct {
  int passed, failed;
} tally;

static void report_line(void *user, const char *line, bool ok) {
  tally *t = user;
  if (ok) t->passed++;
  else t->failed++;
  printf("%-4s %s\n", ok ? "ok" : "FAIL", line);
  fflush(stdout);
}

static int run_check(cli *c) {
  const char *device = cli_value(c, "--device", NULL), *target = cli_value(c, "--target", NULL);
  if (!device == !target) cli_usage("check: give either --device D or --target T");
  tally t = {0, 0};
  tg_status status = tg_check(c->ctx, device, target, report_line, &t);
  if (status == TG_OK || t.passed + t.failed) printf("%d passed, %d failed\n", t.passed, t.failed);
  if (status) return cli_fail(c, status);
  return t.failed ? 1 : 0;
}

const cli_command cli_check = {"check",
                               "--device D | --target T",
                               "Conformance: every library kernel, awkward shapes, against the interpreter",
                               "  tegula check --device cpu\n  tegula check --target nvptx:sm_80\n",
                               check_options,
                               0,
                               0,
                               NULL,
                               run_check};
