// sim: executes an entry of a PTX text on the host.
#include <errno.h>

#include <cjson/cJSON.h>

#include "cli/cli.h"

static const cli_option options[] = {{"--grid", "X,Y,Z", "blocks (default 1; Y and Z may be left out)", NULL},
                                     {"--block", "X,Y,Z", "threads of a block", NULL},
                                     {"--cluster", "X,Y,Z", "blocks of a cluster (default: what the text says)", NULL},
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
static tg_status plain_argument(cli *c, const char *word, tg_ptx_argument *out) {
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

// Numbers separated by x, as many as the array has dimensions, in its order; into the map's order, innermost first.
static void map_numbers(const char *word, const char *text, const tg_array *array, uint32_t *out) {
  const char *at = text;
  for (int i = array->rank; i-- > 0; at++) {
    char *end;
    errno = 0;
    const long n = strtol(at, &end, 10);
    if (end == at || errno || n < 1 || n > 256 || *end != (i ? 'x' : 0))
      cli_usage("sim: '%s': %d numbers from 1 to 256, as in 128x64, are wanted in '%s'", word, array->rank, text);
    out[i] = (uint32_t)n, at = end;
  }
}

static void map_option(const char *word, const char *text, const tg_array *array, tg_ptx_tensor_map *map) {
  const char *equals = strchr(text, '=');
  const char *value = equals ? equals + 1 : "";
  const size_t n = equals ? (size_t)(equals - text) : strlen(text);
  if (n == 3 && !memcmp(text, "box", 3)) map_numbers(word, value, array, map->box);
  else if (n == 7 && !memcmp(text, "strides", 7)) map_numbers(word, value, array, map->element_strides);
  else if (n == 7 && !memcmp(text, "swizzle", 7)) map->swizzle = atoi(value);
  else if (!strcmp(text, "fill=nan")) map->nan_fill = true;
  else cli_usage("sim: '%s': '%s' is none of box=…, swizzle=32|64|128, strides=…, fill=nan", word, text);
}

// map:ARRAY,box=RxC[,swizzle=128][,strides=1x1][,fill=nan]: a tensor map of an array, which is written as an argument is, or @N: that of
// argument N.
static tg_status map_argument(cli *c, const char *word, int index, tg_ptx_argument *args) {
  tg_ptx_argument *out = &args[index];
  char text[4096];
  char *rest = NULL;
  if ((size_t)snprintf(text, sizeof text, "%s", word + 4) >= sizeof text) cli_usage("sim: '%s' is too long", word);
  const char *array = strtok_r(text, ",", &rest);
  if (!array || !strchr(word, ','))
    cli_usage("sim: '%s': a tensor map names an array and its box, as in map:bf16:a.npy,box=128x64,swizzle=128", word);
  if (array[0] == '@') {
    const int n = atoi(array + 1);
    if (n < 1 || n > index || !args[n - 1].array) cli_usage("sim: '%s': %s is no array that stands before it", word, array);
    out->array = args[n - 1].array, out->empty = args[n - 1].empty;
  } else {
    char *name = tg_context_allocate(c->ctx, NULL, strlen(array) + 1); // messages name it as long as the command runs
    strcpy(name, array);
    const tg_status status = plain_argument(c, name, out);
    if (status) return status;
    if (!out->array) cli_usage("sim: '%s': '%s' is no array", word, name);
    tg_context_allocate(c->ctx, name, 0);
  }
  static tg_ptx_tensor_map maps[CLI_MAX_VALUES];
  tg_ptx_tensor_map *map = &maps[index];
  const tg_array *a = out->array;
  if (a->rank < 1 || a->rank > 5) cli_usage("sim: '%s': a tensor map has 1 to 5 dimensions, the array has %d", word, a->rank);
  *map = (tg_ptx_tensor_map){.dtype = a->dtype, .rank = a->rank};
  uint64_t stride = (uint64_t)tg_dtype_bits(a->dtype) / 8;
  for (int i = 0; i < a->rank; i++) {
    map->dims[i] = (uint64_t)a->dim[a->rank - 1 - i], map->strides[i] = stride;
    stride *= map->dims[i];
  }
  for (const char *option; (option = strtok_r(NULL, ",", &rest));) map_option(word, option, a, map);
  if (!map->box[0]) cli_usage("sim: '%s': box=… is missing", word);
  out->map = map;
  return TG_OK;
}

static tg_status argument(cli *c, const char *word, int index, tg_ptx_argument *args) {
  return strncmp(word, "map:", 4) ? plain_argument(c, word, &args[index]) : map_argument(c, word, index, args);
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

enum { MOST_TEXT = 1 << 28 }; // bytes; generated kernels have a few million

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
    if (used > MOST_TEXT) cli_usage("%s: more than %d MiB, which is no PTX text", file, MOST_TEXT >> 20);
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
  if (cli_has(c, "--cluster")) three(c, "--cluster", launch.cluster);
  tg_status status = TG_OK;
  for (int i = 0; i < launch.nargs && !status; i++) status = argument(c, c->words[i + 2], i, args);
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
  for (int i = 0; i < launch.nargs; i++) {
    bool again = false; // a map of an argument before
    for (int k = 0; k < i; k++) again |= args[k].array == args[i].array;
    if (!again) tg_array_free(c->ctx, args[i].array);
  }
  return exit_status;
}

const cli_command cli_sim = {
    .name = "sim",
    .arguments = "FILE.ptx ENTRY ARGUMENT…",
    .required = "--block",
    .summary = "Executes PTX of any origin on the host and says what is wrong with it",
    .examples = "  tegula sim saxpy.ptx saxpy x.npy y.npy 2.5 1000 --grid 4 --block 256 --out 2=y2.npy\n"
                "  tegula sim gemm.ptx gemm bf16:a.npy bf16:b.npy bf16:128x64 1024 --grid 2,1 --block 128 --shared 49152 --out 3=c.npy\n"
                "  tegula sim tma.ptx gemm map:bf16:a.npy,box=128x64,swizzle=128 map:bf16:b.npy,box=128x64,swizzle=128 bf16:256x256 --grid "
                "2,2 --block 384 --shared 132096\n",
    .options = options,
    .min_words = 2,
    .max_words = -1,
    .words = "@files",
    .run = run,
};
