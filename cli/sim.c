// sim: executes an entry of a PTX text on the host.
#include <errno.h>

#include <cjson/cJSON.h>

#include "cli/cli.h"

static const cli_option options[] = {{"--grid", "X,Y,Z", "blocks (default 1; Y and Z may be left out)", NULL},
                                     {"--block", "X,Y,Z", "threads of a block", NULL},
                                     {"--shared", "BYTES", "dynamic shared memory of a block (default 0)", NULL},
                                     {"--out", "N=FILE.npy", "file for the array that the Nth argument is, after the run", "@files"},
                                     {"--threads", "N", "host threads (default all)", NULL},
                                     {"--json", NULL, "one JSON document on standard output", NULL},
                                     {0}};

static void three(const cli *c, const char *option, int *out) {
  const char *text = cli_value(c, option, "1"), *at = text;
  for (int i = 0; i < 3; i++) {
    char *end = NULL;
    errno = 0;
    const long n = *at ? strtol(at, &end, 10) : 1;
    if (*at && (end == at || (*end && *end != ',') || (*end == ',' && (!end[1] || i == 2)) || errno || n < 0 || n > INT32_MAX))
      cli_usage("%s '%s' is not up to three whole numbers, as in 8,4,1", option, text);
    out[i] = (int)n;
    if (*at) at = *end ? end + 1 : end;
  }
}

// "bf16:128x64"
static tg_status new_array(cli *c, const char *word, const char *dims, tg_dtype dtype, tg_array **out) {
  int64_t dim[8];
  int rank = 0;
  for (const char *at = dims; rank < 8; at++) {
    char *end;
    dim[rank++] = strtoll(at, &end, 10);
    if (end == at || dim[rank - 1] < 0 || (*end && *end != 'x')) break;
    at = end;
    if (!*end) return tg_array_new(c->ctx, dtype, rank, dim, out);
  }
  cli_usage("sim: '%s' is no shape, as in %s:128x64", word, tg_dtype_name(dtype));
}

static bool ends_with(const char *text, const char *end) {
  const size_t n = strlen(text), m = strlen(end);
  return n > m && !strcmp(text + n - m, end);
}

// FILE.npy, DTYPE:FILE.npy, DTYPE:DIMxDIM, NUMBER
static tg_status argument(cli *c, const char *word, tg_ptx_argument *out) {
  const char *colon = strchr(word, ':');
  char name[16] = "";
  tg_dtype dtype = -1;
  if (colon && (size_t)(colon - word) < sizeof name) {
    memcpy(name, word, (size_t)(colon - word));
    dtype = tg_dtype_find(name);
  }
  const bool file = ends_with(word, ".npy");
  if (colon && dtype < 0 && !file) cli_usage("sim: '%s': there is no dtype '%s'", word, name);
  if (file) return tg_npy_read(c->ctx, dtype < 0 ? word : colon + 1, dtype, &out->array);
  out->empty = dtype >= 0;
  if (out->empty) return new_array(c, word, colon + 1, dtype, &out->array);
  out->number = word;
  return TG_OK;
}

static int write_outputs(cli *c, const tg_ptx_launch *launch) {
  for (int i = 0; i < c->ngiven; i++) {
    if (strcmp(c->given[i].option->name, "--out")) continue;
    const tg_binding pair = cli_pair(c, c->given[i].value, "--out");
    const tg_status status = tg_npy_write(c->ctx, pair.value, launch->args[atoi(pair.name) - 1].array);
    if (status) return cli_fail(c, status);
  }
  return 0;
}

static void check_outputs(cli *c, const tg_ptx_launch *launch) {
  for (int i = 0; i < c->ngiven; i++) {
    if (strcmp(c->given[i].option->name, "--out")) continue;
    const tg_binding pair = cli_pair(c, c->given[i].value, "--out");
    char *end;
    const long n = strtol(pair.name, &end, 10);
    if (*end || n < 1 || n > launch->nargs || !launch->args[n - 1].array)
      cli_usage("sim: --out %s: argument %s is no array; they are counted from 1", c->given[i].value, pair.name);
  }
}

static char *read_text(cli *c, const char *file, size_t *size) {
  FILE *in = fopen(file, "rb");
  if (!in) cli_usage("%s: cannot read: %s", file, strerror(errno));
  char *text = NULL;
  size_t used = 0, room = 0;
  for (size_t n = 1; n;) {
    if (used == room) {
      char *more = realloc(text, room = room ? 2 * room : 65536);
      if (!more) {
        fprintf(stderr, "tegula: error: out of memory\n");
        exit(1);
      }
      text = more;
    }
    used += n = fread(text + used, 1, room - used, in);
  }
  const bool bad = ferror(in);
  fclose(in);
  if (bad) cli_usage("%s: cannot read: it is no file", file);
  *size = used;
  (void)c;
  return text;
}

static void print_counts(const char *json) {
  cJSON *d = cJSON_Parse(json);
  const char *const groups[] = {"instructions", "shared"};
  for (int i = 0; i < 2; i++) {
    const cJSON *group = cJSON_GetObjectItemCaseSensitive(d, groups[i]), *item;
    cJSON_ArrayForEach(item, group) {
      if (item->valuedouble != 0) printf("%-12s %-14s %.0f\n", groups[i], item->string, item->valuedouble);
    }
  }
  cJSON_Delete(d);
}

static int run(cli *c) {
  static tg_ptx_argument args[CLI_MAX_VALUES];
  tg_ptx_launch launch = {.entry = c->words[1], .nargs = c->nwords - 2, .args = args};
  launch.threads = (int)cli_int(c, "--threads", 0, 1, 4096);
  launch.shared_bytes = cli_int(c, "--shared", 0, 0, 1 << 20);
  three(c, "--grid", launch.grid), three(c, "--block", launch.block);
  tg_status status = TG_OK;
  for (int i = 0; i < launch.nargs && !status; i++) status = argument(c, c->words[i + 2], &args[i]);
  if (!status) check_outputs(c, &launch);
  int exit_status = 0;
  char *json = NULL;
  if (!status) {
    size_t size;
    char *text = read_text(c, c->words[0], &size);
    status = tg_simulate(c->ctx, c->words[0], text, size, &launch, &json);
    free(text);
  }
  if (json && cli_has(c, "--json")) puts(json);
  else if (json && !status) print_counts(json);
  exit_status = status ? cli_fail(c, status) : write_outputs(c, &launch);
  tg_string_free(c->ctx, json);
  for (int i = 0; i < launch.nargs; i++) tg_array_free(c->ctx, args[i].array);
  return exit_status;
}

const cli_command cli_sim = {
    .name = "sim",
    .arguments = "FILE.ptx ENTRY ARGUMENT…",
    .required = "--block",
    .summary = "Executes PTX of any origin on the host and says what is wrong with it",
    .examples = "  tegula sim saxpy.ptx saxpy x.npy y.npy 2.5 1000 --grid 4 --block 256 --out 2=y2.npy\n"
                "  tegula sim gemm.ptx gemm bf16:a.npy bf16:b.npy bf16:128x64 1024 --grid 2,1 --block 128 --shared 49152 --out 3=c.npy\n",
    .options = options,
    .min_words = 2,
    .max_words = -1,
    .words = "@files",
    .run = run,
};
